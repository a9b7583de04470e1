//! `kvs members`: the table of the nodes, as people and as programs read it.

use serde_json::{Value, json};

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::until;

fn named(members: &Value, name: &str) -> Value {
    members.as_array().unwrap().iter().find(|member| member["id"] == name).cloned().unwrap_or(Value::Null)
}

#[test]
fn the_members_and_how_far_they_are_can_be_seen_from_the_command_line() {
    let sandbox = Sandbox::new();
    let lines = |name| [("node_id", name), ("data_dir", name), ("clustering_enabled", "true")];
    let first = Node::start(&sandbox, &sandbox.configure("first.yaml", &lines("first")));
    let seeds = format!("[\"{}\"]", first.address());
    let second_lines = [&lines("second")[..], &[("seed_nodes", &*seeds)]].concat();
    let second = Node::start(&sandbox, &sandbox.configure("second.yaml", &second_lines));
    first.client().put("/kv/a", "1").expect(201);
    let members = until("both to be equal", || {
        let members = sandbox.run(&["members", "--url", &first.url(), "--json"]).expect(0).json();
        let standing = &named(&members, "second")["standing"];
        (standing["equal"] == true && standing["lag_records"] == 0).then_some(members)
    });
    assert_eq!(members.as_array().unwrap().len(), 2);
    for (name, node, asked) in [("first", &first, true), ("second", &second, false)] {
        let member = named(&members, name);
        assert_eq!(
            (&member["address"], &member["asked"]),
            (&json!(node.address().to_string()), &json!(asked))
        );
        assert_eq!(member["status"], "alive");
        assert!(member["joined_timestamp"].is_u64() && member["uuid"].is_string(), "{member}");
    }
    assert_eq!(named(&members, "first")["standing"], Value::Null);
    // A line per node for programs: name, address, status, mode, lag, records behind, equal, clock, what it waits for.
    let printed = sandbox.run(&["members", "--url", &first.url()]).expect(0).stdout;
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2, "{printed}");
    let row = rows.iter().find(|row| row[0] == "second").unwrap();
    assert_eq!((row.len(), row[1], row[6], row[8]), (9, &*second.address().to_string(), "yes", "-"));
    assert!(row[7].ends_with(" ms"), "{printed}");
    assert_eq!(rows.iter().find(|row| row[0] == "first").unwrap()[6], "(asked)");
}

#[test]
fn a_node_alone_is_its_only_member() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let members = sandbox.run(&["members", "--url", &node.url(), "--json"]).expect(0).json();
    assert_eq!((members.as_array().unwrap().len(), &members[0]["id"]), (1, &json!("tested")));
    drop(node);
    sandbox.run(&["members", "--url", "http://127.0.0.1:1"]).expect(3);
}
