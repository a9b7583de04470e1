//! What answers about a cluster hold, against `docs/openapi.yaml`: each member is documented, and what is always there is
//! required.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::cluster::Cluster;

/// The names that a schema requires, and all that it has.
struct Schema {
    required: BTreeSet<String>,
    properties: BTreeSet<String>,
}

/// The schema of this name among the components of `docs/openapi.yaml`, by its lines.
#[track_caller]
fn schema(name: &str) -> Schema {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let schemas = text.split_once("\n  schemas:\n").unwrap().1;
    let from = schemas.split_once(&format!("\n    {name}:\n")).unwrap().1;
    let lines = from.lines().take_while(|line| line.starts_with("      "));
    let (mut required, mut properties) = (BTreeSet::new(), BTreeSet::new());
    for line in lines {
        let line = line.strip_prefix("      ").unwrap();
        if let Some(names) = line.strip_prefix("required: [").and_then(|rest| rest.strip_suffix(']')) {
            required.extend(names.split(", ").map(str::to_owned));
        } else if let Some((property, _)) = line.strip_prefix("  ").and_then(|rest| rest.split_once(':'))
            && !property.starts_with(' ')
        {
            properties.insert(property.to_owned());
        }
    }
    assert!(!required.is_empty() && !properties.is_empty(), "the schema {name} is read from the wrong place");
    Schema { required, properties }
}

/// Each of these objects, which have every member at every time, has just what is required and documented.
#[track_caller]
fn assert_documented(name: &str, objects: &Value) {
    let Schema { required, properties } = schema(name);
    assert_eq!(required, properties, "{name}: what is documented is not what is required");
    let objects = objects.as_array().unwrap();
    assert!(!objects.is_empty(), "there is no {name}");
    for object in objects {
        let members: BTreeSet<String> = object.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, required, "{name}: {object}");
    }
}

#[test]
fn members_and_peers_hold_what_is_documented_whether_they_live_or_not() {
    let mut cluster = Cluster::formed(2, &[]);
    for is_alone in [false, true] {
        if is_alone {
            cluster.kill(1);
        }
        let mut client = cluster.client(0);
        assert_documented("Member", &client.get("/members/").expect(200).json());
        assert_documented("Peer", &client.get("/cluster/convergence").expect(200).json()["peers"]);
    }
}
