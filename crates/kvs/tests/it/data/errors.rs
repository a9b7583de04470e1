//! Unknown routes, wrong verbs, and the shape of every error.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

#[test]
fn unknown_routes_are_404() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for target in [
        "/",
        "/kv",
        "/k",
        "/KV/a",
        "/kvx/a",
        "/history",
        "/healthz",
        "/health/",
        "/Health",
        "/metrics/x",
        "/admin",
        "/%6bv/a",
        "//kv/a",
    ] {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            client.send(method, target, &[], b"1").refused(404, "not_found");
        }
    }
}

#[test]
fn a_wrong_verb_is_405_and_names_the_right_ones() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let uuid = "00000000-0000-4000-8000-000000000000";
    let resources: [(&str, &[&str]); 10] = [
        ("/kv/a", &["GET", "HEAD", "PUT", "DELETE"]),
        ("/kv/_range", &["GET", "HEAD"]),
        ("/kv/_batch", &["POST"]),
        ("/kv/_get", &["POST"]),
        ("/history/a", &["GET", "HEAD"]),
        (&format!("/history/a/{uuid}"), &["GET", "HEAD"]),
        (&format!("/history/a/{uuid}/restore"), &["POST"]),
        ("/health", &["GET", "HEAD"]),
        ("/ready", &["GET", "HEAD"]),
        ("/metrics", &["GET", "HEAD"]),
    ];
    for (target, allowed) in resources {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"] {
            let answer = client.send(method, target, &[], b"{}");
            // Below a restore lies a path like any other, which can be read.
            if allowed.contains(&method) || (target.ends_with("/restore") && matches!(method, "GET" | "HEAD"))
            {
                assert_ne!(answer.status, 405, "{method} {target}");
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {target}: {}", answer.shown());
            let told: BTreeSet<&str> = answer.header("allow").unwrap_or_default().split(", ").collect();
            assert!(allowed.iter().all(|method| told.contains(method)), "{method} {target}: {told:?}");
            assert!(!told.contains(method), "{method} {target}: {told:?}");
        }
    }
}

#[test]
fn every_answer_has_an_id_of_its_own() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let mut client = node.client();
        for (method, target) in [
            ("GET", "/health"),
            ("PUT", "/kv/a"),
            ("GET", "/kv/a"),
            ("HEAD", "/kv/a"),
            ("GET", "/none"),
            ("DELETE", "/kv/a"),
            ("PATCH", "/kv/a"),
        ] {
            let body: &[u8] = if method == "PUT" { b"1" } else { b"" };
            let answer = client.send(method, target, &[("X-Request-Id", "mine")], body);
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} came twice");
        }
    }
}

#[test]
fn errors_tell_nothing_of_the_machine() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let folder = sandbox.folder().to_str().unwrap().to_owned();
    for (method, target, body) in [
        ("PUT", "/kv/a", "{"),
        ("GET", "/kv/..", ""),
        ("GET", "/none", ""),
        ("POST", "/kv/_batch", "1"),
        ("GET", "/kv/_range?cursor=x", ""),
    ] {
        let answer = client.send(method, target, &[], body.as_bytes());
        assert!((400..500).contains(&answer.status));
        for word in [folder.as_str(), "src/", ".rs", "panicked"] {
            assert!(!answer.text().contains(word), "{}", answer.shown());
        }
    }
}

#[test]
fn a_read_only_node_refuses_every_write_and_answers_every_read() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let uuid = node.client().put("/kv/a", "1").expect(201).uuid();
    node.stop();
    sandbox.configure("config.yaml", &[("read_only", "true")]);
    let node = Node::start(&sandbox, &config);
    let mut client = node.client();
    client.put("/kv/b", "1").refused(403, "read_only");
    client.put("/kv/a", "1").refused(403, "read_only");
    client.delete("/kv/a").refused(403, "read_only");
    client.delete("/kv/a?recursive=true").refused(403, "read_only");
    client
        .post("/kv/_batch", &json!({"ops": [{"op": "put", "path": "b", "data": 1}]}))
        .refused(403, "read_only");
    client.send("POST", &format!("/history/a/{uuid}/restore"), &[], b"").refused(403, "read_only");
    assert_eq!(client.value("a"), Some(json!(1)));
    client.get("/history/a").expect(200);
    client.post("/kv/_get", &json!({"paths": ["a"]})).expect(200);
    assert_eq!(client.keys(), ["a"]);
    let health = client.get("/health").expect(200).json();
    assert_eq!(health["mode"], "read-only");
    client.get("/ready").expect(200);
}
