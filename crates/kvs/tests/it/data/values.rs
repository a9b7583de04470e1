//! Single values: written, read, looked at, deleted.

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

/// The names of the members of an object, in order.
fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Whether a text is a uuid as the contract writes it: lower-case hexadecimal with hyphens.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

#[test]
fn a_write_answers_201_for_a_new_key_and_200_for_a_known_one_with_its_version() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let mut uuids = Vec::new();
    let mut last_timestamp = 0;
    for (body, status) in [("1", 201), ("2", 200), ("2", 200)] {
        let answer = client.put("/kv/users/jo", body).expect(status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let json = answer.json();
        assert_eq!(members(&json), ["timestamp", "uuid"]);
        assert!(is_uuid(&answer.uuid()), "{}", answer.shown());
        uuids.push(answer.uuid());
        let timestamp = json["timestamp"].as_u64().unwrap();
        // Milliseconds, not seconds or microseconds: between the years 2020 and 2200.
        assert!((1_577_836_800_000..7_258_118_400_000).contains(&timestamp), "{timestamp}");
        assert!(timestamp >= last_timestamp, "time goes backwards");
        last_timestamp = timestamp;
    }
    uuids.sort();
    uuids.dedup();
    assert_eq!(uuids.len(), 3, "versions share a uuid");
}

#[test]
fn a_read_answers_the_version_with_its_data_and_says_so_in_the_headers() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let written = client.put("/kv/users/jo", "{ \"age\" : 7.0 }").expect(201);
    let read = client.get("/kv/users/jo").expect(200);
    assert_eq!(members(&read.json()), ["data", "timestamp", "uuid"]);
    assert_eq!(read.json()["timestamp"], written.json()["timestamp"]);
    assert_eq!(read.uuid(), written.uuid());
    assert!(read.text().contains("\"data\":{ \"age\" : 7.0 }"), "{}", read.shown());
    assert_eq!(read.header("content-type"), Some("application/json"));
    assert_eq!(read.header("etag"), Some(format!("\"{}\"", written.uuid()).as_str()));
    assert!(is_http_date(read.header("last-modified").unwrap()), "{}", read.shown());
    assert_eq!(read.header("content-length"), Some(read.body.len().to_string().as_str()));
}

/// Whether a text is a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_http_date(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    shape == "aaa, 00 aaa 0000 00:00:00 aaa" && text.ends_with(" GMT")
}

#[test]
fn every_kind_of_json_value_is_a_value() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for (number, value) in
        ["null", "true", "false", "0", "-1.5e-7", "\"\"", "\"text\"", "[]", "{}", "[[],{}]"]
            .iter()
            .enumerate()
    {
        let target = format!("/kv/kinds/{number}");
        client.put(&target, value).expect(201);
        let read = client.get(&target).expect(200);
        assert_eq!(read.json()["data"], serde_json::from_str::<Value>(value).unwrap());
        assert!(read.json().as_object().unwrap().contains_key("data"), "{value}");
    }
}

#[test]
fn head_answers_what_get_answers_without_the_body() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv/a", "[1,2,3]").expect(201);
    let fields = |answer: &Answer| -> Vec<(String, String)> {
        let changing = ["date", "x-request-id"];
        answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str())).cloned().collect()
    };
    for (target, status) in [
        ("/kv/a", 200),
        ("/kv/none", 404),
        ("/history/a", 200),
        ("/kv/_range", 200),
        ("/health", 200),
        ("/metrics", 200),
        ("/ready", 200),
    ] {
        let get = client.get(target).expect(status);
        let head = client.send("HEAD", target, &[], b"").expect(status);
        assert!(head.body.is_empty());
        if target != "/metrics" {
            assert_eq!(fields(&head), fields(&get), "{target}");
        }
    }
    // Nothing of a body was left on the connection.
    assert_eq!(client.value("a"), Some(json!([1, 2, 3])));
}

#[test]
fn a_deleted_key_is_gone_and_can_be_made_again() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.delete("/kv/a").refused(404, "not_found");
    client.put("/kv/a", "1").expect(201);
    client.put("/kv/a/b", "2").expect(201);
    let answer = client.delete("/kv/a").expect(204);
    assert!(answer.body.is_empty());
    client.get("/kv/a").refused(404, "not_found");
    client.delete("/kv/a").refused(404, "not_found");
    assert_eq!(client.send("HEAD", "/kv/a", &[], b"").status, 404);
    assert_eq!(client.value("a/b"), Some(json!(2)), "a key below was deleted too");
    client.put("/kv/a", "3").expect(201);
    assert_eq!(client.value("a"), Some(json!(3)));
}

#[test]
fn a_value_may_have_exactly_the_configured_size() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("max_json_size", "100")]);
    let mut client = node.client();
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    client.put("/kv/fits", text(100)).expect(201);
    client.put("/kv/not", text(101)).refused(413, "too_large");
    assert_eq!(node.client().keys(), ["fits"]);
    let padded = format!("1{}", " ".repeat(100));
    node.client().put("/kv/not", padded).refused(413, "too_large");
}

#[test]
fn a_body_that_is_not_announced_as_json_is_refused() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for media_type in
        ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""]
    {
        assert!(
            client.send("PUT", "/kv/a", &[("Content-Type", media_type)], b"1").status < 300,
            "{media_type}"
        );
    }
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "text/json",
        "application",
        "*/*",
        "",
    ] {
        for target in ["/kv/b", "/kv/_batch", "/kv/_get"] {
            let method = if target == "/kv/b" { "PUT" } else { "POST" };
            let answer =
                client.send(method, target, &[("Content-Type", media_type)], b"{\"ops\":[],\"paths\":[]}");
            answer.refused(415, "unsupported_media_type");
        }
    }
    assert_eq!(node.client().keys(), ["a"]);
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let written = node.client().put("/kv/a", "{\"x\": 1.00}").expect(201);
    let expiring = node.client().put("/kv/b?ttl=1h", "2").expect(201);
    node.client().put("/kv/c", "3").expect(201);
    node.client().delete("/kv/c").expect(204);
    let before = node.client().get("/kv/b").expect(200).json();
    node.stop();
    let node = Node::start(&sandbox, &config);
    let mut client = node.client();
    let read = client.get("/kv/a").expect(200);
    assert_eq!(read.uuid(), written.uuid());
    assert!(read.text().contains("\"data\":{\"x\": 1.00}"));
    assert_eq!(client.get("/kv/b").expect(200).json(), before);
    assert_eq!(before["uuid"], expiring.uuid());
    client.get("/kv/c").refused(404, "not_found");
    assert_eq!(client.keys(), ["a", "b"]);
}

#[test]
fn values_that_compress_well_badly_or_not_at_all_come_back_with_and_without_compression() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[("compression_level", "19")]);
    let mut noise = String::new();
    let mut state = 7_u32;
    while noise.len() < 200_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push(
            char::from(b'!' + u8::try_from(state >> 24).unwrap() % 90)
                .to_string()
                .replace(['"', '\\'], "q")
                .remove(0),
        );
    }
    let values = [format!("\"{}\"", "k".repeat(500_000)), format!("\"{noise}\""), "1".to_owned()];
    let node = Node::start(&sandbox, &config);
    for (number, value) in values.iter().enumerate() {
        node.client().put(&format!("/kv/{number}"), value).expect(201);
    }
    node.stop();
    sandbox.configure("config.yaml", &[("compression_enabled", "false")]);
    let node = Node::start(&sandbox, &config);
    for (number, value) in values.iter().enumerate() {
        let read = node.client().get(&format!("/kv/{number}")).expect(200);
        assert!(read.text().contains(&format!("\"data\":{value}")), "{number}");
    }
}
