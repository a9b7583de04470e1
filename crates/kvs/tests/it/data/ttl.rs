//! Lifetimes: the three ways to give one, what is refused, and what an expired key looks like.

use serde_json::json;

use crate::support::client::{Client, encode};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::{unix_ms, until_true};

const HOUR_MS: u64 = 3_600_000;

/// The lifetime of the value at a path in ms, `None` for ever.
#[track_caller]
fn lifetime(client: &mut Client, path: &str) -> Option<u64> {
    let json = client.get(&format!("/kv/{path}")).expect(200).json();
    let expires_at = json.get("expires_at").map(|at| at.as_u64().unwrap())?;
    Some(expires_at - json["timestamp"].as_u64().unwrap())
}

/// The clock may be read twice for one write: at the door and in the commit.
#[track_caller]
fn assert_about(lifetime: Option<u64>, expected: u64) {
    let lifetime = lifetime.expect("a lifetime");
    assert!(lifetime.abs_diff(expected) < 60_000, "{lifetime} is not about {expected}");
}

fn wait_until_gone(client: &mut Client, path: &str) {
    until_true("the value to expire", || client.get(&format!("/kv/{path}")).status == 404);
}

#[test]
fn every_documented_form_of_a_duration_is_understood_in_the_query_and_in_the_envelope() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let forms =
        [("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604_800), ("120", 120), ("1d2h3m4s", 93_784)];
    for (text, seconds) in forms {
        client.put(&format!("/kv/query/{text}?ttl={text}"), "1").expect(201);
        assert_about(lifetime(&mut client, &format!("query/{text}")), seconds * 1000);
        let envelope = json!({"data": {"a": [1]}, "ttl": text});
        client.put(&format!("/kv/envelope/{text}"), envelope.to_string()).expect(201);
        assert_about(lifetime(&mut client, &format!("envelope/{text}")), seconds * 1000);
        assert_eq!(client.value(&format!("envelope/{text}")), Some(json!({"a": [1]})));
        client
            .post("/kv/_batch", &json!({"ops": [{"op": "put", "path": "batch", "data": 1, "ttl": text}]}))
            .expect(200);
        assert_about(lifetime(&mut client, "batch"), seconds * 1000);
    }
    client.put("/kv/number", "{\"ttl\":90,\"data\":1}").expect(201);
    assert_about(lifetime(&mut client, "number"), 90_000);
}

#[test]
fn zero_means_never() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("default_ttl", "\"1h\"")]);
    let mut client = node.client();
    for (target, body) in [
        ("/kv/a?ttl=0", "1"),
        ("/kv/b?ttl=0s", "1"),
        ("/kv/c", "{\"data\":1,\"ttl\":\"0\"}"),
        ("/kv/d", "{\"data\":1,\"ttl\":0}"),
    ] {
        client.put(target, body).expect(201);
        let path = target.trim_start_matches("/kv/").split('?').next().unwrap();
        assert_eq!(lifetime(&mut client, path), None, "{target} {body}");
        assert_eq!(client.value(path), Some(json!(1)));
    }
}

#[test]
fn the_default_applies_where_nothing_is_said_and_only_there() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("default_ttl", "\"1h\"")]);
    let mut client = node.client();
    client.put("/kv/plain", "{\"data\":1,\"ttl\":\"5m\",\"more\":2}").expect(201);
    assert_about(lifetime(&mut client, "plain"), HOUR_MS);
    client.put("/kv/named?ttl=2h", "1").expect(201);
    assert_about(lifetime(&mut client, "named"), 2 * HOUR_MS);
    client.put("/kv/enveloped", "{\"data\":1,\"ttl\":\"3h\"}").expect(201);
    assert_about(lifetime(&mut client, "enveloped"), 3 * HOUR_MS);
    client.post("/kv/_batch", &json!({"ops": [{"op": "put", "path": "batch", "data": 1}]})).expect(200);
    assert_about(lifetime(&mut client, "batch"), HOUR_MS);
}

#[test]
fn only_an_object_with_exactly_data_and_ttl_is_an_envelope() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for (number, value) in [
        json!({"data": 1}),
        json!({"ttl": "1h"}),
        json!({"data": 1, "ttl": "1h", "x": 2}),
        json!({"Data": 1, "ttl": "1h"}),
        json!([{"data": 1, "ttl": "1h"}]),
        json!({"inner": {"data": 1, "ttl": "1h"}}),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("plain/{number}");
        client.put(&format!("/kv/{path}"), value.to_string()).expect(201);
        assert_eq!(client.value(&path), Some(value));
        assert_eq!(lifetime(&mut client, &path), None);
    }
    // Spaces and escapes do not matter, and the data keeps its bytes.
    client.put("/kv/a", " { \"t\\u0074l\" : \"1h\" , \"data\" : { \"x\" : 1.0 } } ").expect(201);
    assert_about(lifetime(&mut client, "a"), HOUR_MS);
    let read = client.get("/kv/a").expect(200);
    assert!(read.text().contains("\"data\":{ \"x\" : 1.0 }"), "{}", read.shown());
    // An envelope may hold what looks like one.
    client.put("/kv/b", "{\"data\":{\"data\":1,\"ttl\":\"2h\"},\"ttl\":\"1h\"}").expect(201);
    assert_eq!(client.value("b"), Some(json!({"data": 1, "ttl": "2h"})));
    assert_about(lifetime(&mut client, "b"), HOUR_MS);
}

#[test]
fn what_is_no_duration_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for text in [
        "",
        "x",
        "-1",
        "-5s",
        "1.5h",
        "1h30",
        "30m1h",
        "1w",
        "1H",
        " 1h",
        "1h ",
        "1e3",
        "+5",
        "99999999999999999999",
        "never",
        "1y",
    ] {
        client.put(&format!("/kv/a?ttl={}", encode(text)), "1").refused(400, "bad_ttl");
        client.put("/kv/a", json!({"data": 1, "ttl": text}).to_string()).refused(400, "bad_ttl");
        let batch = json!({"ops": [{"op": "put", "path": "b", "data": 1}, {"op": "put", "path": "a", "data": 1, "ttl": text}]});
        let answer = client.post("/kv/_batch", &batch).refused(400, "bad_ttl");
        assert_eq!(answer.json()["index"], 1, "{}", answer.shown());
    }
    for ttl in ["null", "true", "[]", "{}", "-1", "1.5", "1e400", "99999999999999999999"] {
        let answer = client.put("/kv/a", format!("{{\"data\":1,\"ttl\":{ttl}}}"));
        let expected = if ttl == "1e400" { "bad_json" } else { "bad_ttl" };
        answer.refused(400, expected);
    }
    assert_eq!(client.keys(), Vec::<String>::new());
}

#[test]
fn a_write_replaces_the_lifetime_too() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv/a?ttl=1h", "1").expect(201);
    client.put("/kv/a", "2").expect(200);
    assert_eq!(lifetime(&mut client, "a"), None);
    client.put("/kv/b?ttl=1", "1").expect(201);
    client.put("/kv/b?ttl=1h", "2");
    client.put("/kv/c?ttl=1", "1").expect(201);
    wait_until_gone(&mut client, "c");
    assert_eq!(client.value("b"), Some(json!(2)), "the lifetime of an earlier version took a later one away");
}

#[test]
fn an_expired_key_is_absent_everywhere_and_can_be_made_again() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let written = client.put("/kv/dir/a?ttl=1", "\"old\"").expect(201);
    client.put("/kv/dir/b", "1").expect(201);
    let etag = format!("\"{}\"", written.uuid());
    wait_until_gone(&mut client, "dir/a");
    client.get("/kv/dir/a").refused(404, "not_found");
    assert_eq!(client.send("HEAD", "/kv/dir/a", &[], b"").status, 404);
    client.send("GET", "/kv/dir/a", &[("If-None-Match", &etag)], b"").refused(404, "not_found");
    assert_eq!(client.keys(), ["dir/b"]);
    let many = client.post("/kv/_get", &json!({"paths": ["dir/a"]})).expect(200).json();
    assert!(!many.to_string().contains("old"), "{many}");
    client.delete("/kv/dir/a").refused(404, "not_found");
    client.send("PUT", "/kv/dir/a", &[("If-Match", &etag)], b"2").refused(412, "precondition_failed");
    client.send("PUT", "/kv/dir/a", &[("If-Match", "*")], b"2").refused(412, "precondition_failed");
    let answer = client.delete("/kv/dir?recursive=true").expect(200);
    assert_eq!(answer.json(), json!({"deleted": 1}), "an expired key was counted");
    client.send("PUT", "/kv/dir/a", &[("If-None-Match", "*")], b"2").expect(201);
    assert_eq!(client.value("dir/a"), Some(json!(2)));
}

#[test]
fn an_expiry_is_in_the_history_and_what_was_there_before_can_be_brought_back() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let kept = client.put("/kv/a", "\"kept\"").expect(201).uuid();
    let expiring = client.put("/kv/a?ttl=1", "\"secret\"").expect(200).uuid();
    wait_until_gone(&mut client, "a");
    let versions = || {
        let history = node.client().get("/history/a");
        if history.status == 404 {
            Vec::new()
        } else {
            history.expect(200).json().as_array().unwrap().clone()
        }
    };
    // Hidden at once, and its own tombstone as soon as the node has swept.
    until_true("the expiry to be recorded", || {
        versions()
            .first()
            .is_some_and(|newest| newest["op"] == "expire" && newest["uuid"] == expiring.as_str())
    });
    let all = versions();
    assert_eq!(all.last().unwrap()["uuid"], kept, "{all:?}");
    assert!(all.iter().all(|version| version["uuid"] == kept || version["uuid"] == expiring), "{all:?}");
    // What was there before can be brought back.
    assert!(client.send("POST", &format!("/history/a/{kept}/restore"), &[], b"").status < 300);
    assert_eq!(client.value("a"), Some(json!("kept")));
}

#[test]
fn a_value_that_expired_while_the_node_was_down_is_absent_at_once() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    node.client().put("/kv/b?ttl=1", "1").expect(201);
    let expires_at = node.client().get("/kv/b").expect(200).json()["expires_at"].as_u64().unwrap();
    // Killed at once: the expiry was not recorded.
    node.kill();
    until_true("the value's time to be over", || unix_ms() > expires_at);
    let node = Node::start(&sandbox, &config);
    node.client().get("/kv/b").refused(404, "not_found");
    assert_eq!(node.client().keys(), Vec::<String>::new());
    node.client().put("/kv/b", "2").expect(201);
}
