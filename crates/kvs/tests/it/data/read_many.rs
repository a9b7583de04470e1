//! `POST /kv/_get`: many keys in one request.

use serde_json::{Value, json};

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

#[test]
fn values_come_in_the_order_asked_and_absent_keys_are_said_to_be_so() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv/a", "{\"x\": 1.0}").expect(201);
    client.put("/kv/b?ttl=1h", "null").expect(201);
    client.put("/kv/gone", "1").expect(201);
    client.delete("/kv/gone").expect(204);
    let answer = client.post("/kv/_get", &json!({"paths": ["b", "none", "a", "gone", "a"]})).expect(200);
    assert!(answer.text().contains("\"data\":{\"x\": 1.0}"), "{}", answer.shown());
    let json = answer.json();
    let items = json["items"].as_array().unwrap();
    let paths: Vec<&str> = items.iter().map(|item| item["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["b", "none", "a", "gone", "a"]);
    for (index, path) in [(0, "b"), (2, "a"), (4, "a")] {
        let mut single = client.get(&format!("/kv/{path}")).expect(200).json();
        single["path"] = json!(path);
        assert_eq!(items[index], single);
    }
    for index in [1, 3] {
        assert_eq!(items[index].get("data"), None);
        assert_eq!(items[index]["error"], "not_found");
    }
}

#[test]
fn a_thousand_paths_are_the_most_and_a_wrong_body_is_refused() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let paths =
        |count: usize| json!({"paths": (0..count).map(|number| format!("k/{number}")).collect::<Vec<_>>()});
    let answer = client.post("/kv/_get", &paths(1000)).expect(200);
    assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(1000));
    let answer = client.post("/kv/_get", &paths(1001));
    assert!(matches!(answer.status, 400 | 413), "{}", answer.shown());
    for body in [
        "",
        "{}",
        "[]",
        "{\"paths\":\"a\"}",
        "{\"paths\":[1]}",
        "{\"paths\":[\"a\"",
        "{\"paths\":[],\"path\":[]}",
    ] {
        client.send("POST", "/kv/_get", &[], body.as_bytes()).refused(400, "bad_json");
    }
    let empty = client.post("/kv/_get", &json!({"paths": []})).expect(200).json();
    assert_eq!(empty["items"], Value::Array(Vec::new()));
}
