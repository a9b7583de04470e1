//! A member that its cluster has given up, and what becomes of it when it comes back.

use std::fs;

use serde_json::{Value, json};

use crate::support::access::{SECRET, person};
use crate::support::cluster::Cluster;
use crate::support::wait::{until, until_true};

/// What a node calls itself by, and the uuid behind the name.
fn uuid_of(cluster: &Cluster, at: usize, name: &str) -> Option<String> {
    let members = cluster.client(at).get("/members/").expect(200).json();
    let found = members.as_array()?.iter().find(|member| member["id"] == name)?;
    Some(found["uuid"].as_str()?.to_owned())
}

#[test]
fn a_forgotten_node_saves_what_only_it_has_and_begins_again() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(2).put("/kv/both?w=all", "1").expect(201);
    cluster.client(0).put("/kv/deleted?w=all", "1").expect(201);
    let before = uuid_of(&cluster, 2, "n2").unwrap();
    cluster.stop(0);
    cluster.stop(1);
    cluster.client(2).put("/kv/own", "{\"only\": \"here\"}").expect(201);
    cluster.stop(2);
    cluster.start(0);
    cluster.start(1);
    cluster.until_known();
    cluster.client(0).delete("/kv/deleted?w=1").expect(204);

    // Whoever answers is not forgotten by mistake, and nobody else is either.
    cluster.client(0).post("/members/forget", &json!({"id": "n1"})).expect(409);
    cluster.client(0).post("/members/forget", &json!({"id": "n9"})).expect(404);
    for index in 0..2 {
        let mut client = cluster.client(index);
        until_true("n2 to be forgotten", || {
            matches!(client.post("/members/forget", &json!({"id": "n2"})).status, 204 | 404)
        });
        // It blocks nothing any more.
        client.put(&format!("/kv/after{index}?w=all&timeout=20s"), "1").expect(201);
    }

    cluster.start(2);
    cluster.until_known();
    until_true("it to be another one", || uuid_of(&cluster, 0, "n2").is_some_and(|after| after != before));
    let seen = cluster.until_equal();
    let mut keys: Vec<String> = seen.keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["after0", "after1", "both"]);
    let saved = until("the saved writes", || {
        fs::read_dir(cluster.data_dir(2)).ok()?.flatten().map(|found| found.path()).find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("unreplicated-") && name.ends_with(".jsonl")
        })
    });
    let lines: Vec<Value> =
        fs::read_to_string(saved).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["path"], &lines[0]["data"]), (&json!("own"), &json!({"only": "here"})));
    let health = cluster.client(2).get("/health").expect(200).json();
    assert_eq!(health["reasons"], json!(["unreplicated_writes_saved"]), "{health}");
}

#[test]
fn what_a_forgotten_node_revoked_stays_revoked_everywhere() {
    let mut cluster = Cluster::formed(3, &[("auth_enabled", "true"), ("cluster_secret", SECRET)]);
    let ann = person(&mut cluster.client(0), "ann");
    let before = uuid_of(&cluster, 2, "n2").unwrap();
    let status = |cluster: &Cluster, index: usize| {
        cluster.node(index).client().with_token(&ann.token).get("/auth/whoami").status
    };
    until_true("the user to be known", || {
        cluster.client(2).get(&format!("/auth/users/{}", ann.uuid)).status == 200
    });
    cluster.stop(0);
    cluster.stop(1);
    // Nobody else hears of it.
    cluster.client(2).delete(&format!("/auth/users/{}/tokens", ann.uuid)).expect(204);
    assert_eq!(status(&cluster, 2), 401);
    cluster.stop(2);
    cluster.start(0);
    cluster.start(1);
    cluster.until_known();
    for index in 0..2 {
        assert_eq!(status(&cluster, index), 200);
        let mut client = cluster.client(index);
        until_true("n2 to be forgotten", || {
            matches!(client.post("/members/forget", &json!({"id": "n2"})).status, 204 | 404)
        });
    }
    cluster.start(2);
    until_true("it to be another one", || uuid_of(&cluster, 0, "n2").is_some_and(|after| after != before));
    for index in 0..3 {
        until_true("the revocation to be known", || status(&cluster, index) == 401);
    }
}
