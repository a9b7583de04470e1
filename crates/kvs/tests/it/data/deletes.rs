//! Recursive deletes: a subtree, and nothing beside it.

use serde_json::{Value, json};

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

#[test]
fn a_subtree_is_deleted_with_its_root_and_counted() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for key in ["a", "a/b", "a/b/c", "a/d", "a!", "a0", "ab", "ab/c", "b", "b/a"] {
        client.put(&format!("/kv/{key}"), "1").expect(201);
    }
    let answer = client.delete("/kv/a?recursive=true").expect(200);
    assert_eq!(answer.json(), json!({"deleted": 4}));
    assert_eq!(client.keys(), ["a!", "a0", "ab", "ab/c", "b", "b/a"]);
    // A root without a value of its own.
    assert_eq!(client.delete("/kv/ab?recursive=true").expect(200).json(), json!({"deleted": 2}));
    client.put("/kv/x/y/z", "1").expect(201);
    assert_eq!(client.delete("/kv/x?recursive=true").expect(200).json(), json!({"deleted": 1}));
    assert_eq!(client.keys(), ["a!", "a0", "b", "b/a"]);
    // What was deleted is in the history.
    let versions = client.get("/history/a/b/c").expect(200).json();
    assert_eq!(versions[0]["op"], "delete");
}

#[test]
fn a_delete_without_the_switch_leaves_the_subtree() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for key in ["a", "a/b"] {
        client.put(&format!("/kv/{key}"), "1").expect(201);
    }
    client.delete("/kv/a?recursive=false").expect(204);
    assert_eq!(client.keys(), ["a/b"]);
    for query in ["recursive=1", "recursive=yes", "recursive=true&recursive=false"] {
        assert_eq!(client.delete(&format!("/kv/a?{query}")).status, 400, "{query}");
    }
    assert_eq!(client.keys(), ["a/b"]);
}

#[test]
fn an_empty_subtree_says_that_nothing_was_there() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv/b", "1").expect(201);
    let answer = client.delete("/kv/a?recursive=true");
    match answer.status {
        200 => assert_eq!(answer.json(), json!({"deleted": 0})),
        404 => assert_eq!(answer.code(), "not_found"),
        _ => panic!("{}", answer.shown()),
    }
    assert_eq!(client.keys(), ["b"]);
}

#[test]
fn a_subtree_of_many_pages_is_deleted_whole() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for part in 0..3 {
        let ops: Vec<Value> = (0..1000)
            .map(|number| json!({"op": "put", "path": format!("many/{part}/{number}"), "data": number}))
            .collect();
        client.post("/kv/_batch", &json!({"ops": ops})).expect(200);
    }
    client.put("/kv/manyother", "1").expect(201);
    assert_eq!(client.delete("/kv/many?recursive=true").expect(200).json(), json!({"deleted": 3000}));
    assert_eq!(client.keys(), ["manyother"]);
}
