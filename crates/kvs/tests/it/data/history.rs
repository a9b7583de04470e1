//! `/history`: the versions of a key, one of them, and bringing one back.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

fn versions(client: &mut Client, path: &str) -> Vec<Value> {
    client.get(&format!("/history/{path}")).expect(200).json().as_array().unwrap().clone()
}

fn column(versions: &[Value], member: &str) -> Vec<Value> {
    versions.iter().map(|version| version[member].clone()).collect()
}

#[test]
fn versions_are_listed_newest_first_with_what_was_done() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let one = client.put("/kv/a", "1").expect(201).uuid();
    let two = client.put("/kv/a", "\"two\"").expect(200).uuid();
    client.delete("/kv/a").expect(204);
    let four = client.put("/kv/a", "[4]").expect(201).uuid();
    let listed = versions(&mut client, "a");
    assert_eq!(column(&listed, "op"), ["put", "delete", "put", "put"]);
    assert_eq!(column(&listed, "size"), [3, 0, 5, 1]);
    let uuids = column(&listed, "uuid");
    assert_eq!((&uuids[0], &uuids[2], &uuids[3]), (&json!(four), &json!(two), &json!(one)));
    let timestamps: Vec<u64> = listed.iter().map(|version| version["timestamp"].as_u64().unwrap()).collect();
    assert!(timestamps.is_sorted_by(|one, other| one >= other), "{timestamps:?}");
    for version in &listed {
        assert!(!version["origin"].is_null(), "{version}");
        assert_eq!(version["origin"], listed[0]["origin"], "one node has one origin");
    }
}

#[test]
fn a_former_version_can_be_read_and_brought_back() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let first = client.put("/kv/dir/a", "{ \"n\": 1.0 }").expect(201);
    let second = client.put("/kv/dir/a", "2").expect(200);
    let read = client.get(&format!("/history/dir/a/{}", first.uuid())).expect(200);
    assert_eq!(read.uuid(), first.uuid());
    assert_eq!(read.json()["timestamp"], first.json()["timestamp"]);
    assert!(read.text().contains("\"data\":{ \"n\": 1.0 }"), "{}", read.shown());
    let current = client.get(&format!("/history/dir/a/{}", second.uuid())).expect(200);
    assert_eq!(current.json()["data"], 2);

    let restored =
        client.send("POST", &format!("/history/dir/a/{}/restore", first.uuid()), &[], b"").expect(200);
    assert!(![first.uuid(), second.uuid()].contains(&restored.uuid()), "a restored version is a new one");
    let read = client.get("/kv/dir/a").expect(200);
    assert_eq!(read.uuid(), restored.uuid());
    assert!(read.text().contains("\"data\":{ \"n\": 1.0 }"), "{}", read.shown());
    let listed = versions(&mut client, "dir/a");
    assert_eq!(column(&listed, "uuid"), [restored.uuid(), second.uuid(), first.uuid()].map(Value::from));
}

#[test]
fn a_deleted_key_can_be_brought_back() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let first = client.put("/kv/a", "\"precious\"").expect(201).uuid();
    client.delete("/kv/a").expect(204);
    let listed = versions(&mut client, "a");
    assert_eq!(column(&listed, "op"), ["delete", "put"]);
    // A delete holds no value, and none to bring back.
    let tombstone = listed[0]["uuid"].as_str().unwrap();
    let read = client.get(&format!("/history/a/{tombstone}"));
    assert!(!read.shown().contains("precious"), "{}", read.shown());
    let answer = client.send("POST", &format!("/history/a/{tombstone}/restore"), &[], b"");
    assert!((400..500).contains(&answer.status), "{}", answer.shown());
    assert_eq!(client.value("a"), None);
    client.send("POST", &format!("/history/a/{first}/restore"), &[], b"").expect(201);
    assert_eq!(client.value("a"), Some(json!("precious")));
}

#[test]
fn what_is_not_there_is_404() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let uuid = client.put("/kv/a", "1").expect(201).uuid();
    client.put("/kv/b", "1").expect(201);
    client.get("/history/none").refused(404, "not_found");
    client.get(&format!("/history/b/{uuid}")).refused(404, "not_found");
    client.get("/history/a/00000000-0000-4000-8000-000000000000").refused(404, "not_found");
    for target in [
        format!("/history/b/{uuid}/restore"),
        "/history/a/00000000-0000-4000-8000-000000000000/restore".to_owned(),
    ] {
        client.send("POST", &target, &[], b"").refused(404, "not_found");
    }
    assert_eq!(versions(&mut client, "b").len(), 1);
}

#[test]
fn the_newest_versions_are_kept_up_to_the_limit() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("revision_limit", "3")]);
    let mut client = node.client();
    let uuids: Vec<String> = (0..10).map(|number| client.put("/kv/a", number.to_string()).uuid()).collect();
    client.put("/kv/other", "1").expect(201);
    let listed = versions(&mut client, "a");
    // The current one, and three former ones.
    let newest: Vec<Value> = uuids.iter().rev().take(4).map(|uuid| json!(uuid)).collect();
    assert_eq!(column(&listed, "uuid"), newest);
    client.get(&format!("/history/a/{}", uuids[6])).expect(200);
    client.get(&format!("/history/a/{}", uuids[5])).refused(404, "not_found");
}

#[test]
fn without_history_only_the_current_version_is_there() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("revision_history_enabled", "false")]);
    let mut client = node.client();
    client.put("/kv/a", "1").expect(201);
    let second = client.put("/kv/a", "2").expect(200).uuid();
    let listed = versions(&mut client, "a");
    assert_eq!(column(&listed, "uuid"), [json!(second)]);
}

#[test]
fn history_survives_a_restart_and_a_kill() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let mut client = node.client();
    for number in 0..5 {
        client.put("/kv/a", number.to_string());
    }
    client.delete("/kv/a").expect(204);
    let before = versions(&mut client, "a");
    node.stop();
    let node = Node::start(&sandbox, &config);
    assert_eq!(versions(&mut node.client(), "a"), before);
    node.kill();
    let node = Node::start(&sandbox, &config);
    assert_eq!(versions(&mut node.client(), "a"), before);
    let first = before.last().unwrap()["uuid"].as_str().unwrap();
    assert_eq!(node.client().get(&format!("/history/a/{first}")).expect(200).json()["data"], 0);
}

#[test]
fn writes_within_one_millisecond_keep_their_order() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("revision_limit", "1000"), ("durability", "never")]);
    let mut client = node.client();
    let uuids: Vec<String> = (0..500).map(|number| client.put("/kv/a", number.to_string()).uuid()).collect();
    let listed = column(&versions(&mut client, "a"), "uuid");
    let expected: Vec<Value> = uuids.iter().rev().map(|uuid| json!(uuid)).collect();
    assert_eq!(listed, expected);
    assert_eq!(client.value("a"), Some(json!(499)));
}
