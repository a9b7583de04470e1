//! Conditional requests: `If-Match`, `If-None-Match`, 304 and 412.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

const FOREIGN: &str = "\"00000000-0000-4000-8000-000000000000\"";

fn tag(uuid: &str) -> String {
    format!("\"{uuid}\"")
}

fn put_if(client: &mut Client, name: &str, value: &str, body: &str) -> (u16, String) {
    let answer = client.send("PUT", "/kv/a", &[(name, value)], body.as_bytes());
    if answer.status == 412 {
        assert_eq!(answer.code(), "precondition_failed");
    }
    let uuid = if answer.status < 300 { answer.uuid() } else { String::new() };
    (answer.status, uuid)
}

#[test]
fn if_match_writes_only_over_the_version_that_it_names() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    assert_eq!(put_if(&mut client, "If-Match", "*", "0").0, 412, "there is no version at all");
    assert_eq!(put_if(&mut client, "If-Match", FOREIGN, "0").0, 412);
    let first = client.put("/kv/a", "1").expect(201).uuid();
    let (status, second) = put_if(&mut client, "If-Match", &tag(&first), "2");
    assert_eq!(status, 200);
    assert_eq!(put_if(&mut client, "If-Match", &tag(&first), "3").0, 412, "it names a former version");
    assert_eq!(client.value("a"), Some(json!(2)));
    assert_eq!(
        put_if(&mut client, "If-Match", &format!("W/{}", tag(&second)), "3").0,
        412,
        "weak tags never match"
    );
    let (status, third) = put_if(&mut client, "If-Match", &format!("{FOREIGN} ,  {}", tag(&second)), "3");
    assert_eq!(status, 200, "one of a list is enough");
    let (status, fourth) = put_if(&mut client, "If-Match", "*", "4");
    assert_eq!(status, 200);
    assert_eq!(put_if(&mut client, "If-Match", &tag(&third), "5").0, 412);
    client.delete("/kv/a").expect(204);
    assert_eq!(put_if(&mut client, "If-Match", &tag(&fourth), "5").0, 412, "a deleted version");
    assert_eq!(put_if(&mut client, "If-Match", "*", "5").0, 412);
    assert_eq!(client.value("a"), None);
}

#[test]
fn if_none_match_protects_what_is_there() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let (status, first) = put_if(&mut client, "If-None-Match", "*", "1");
    assert_eq!(status, 201);
    assert_eq!(put_if(&mut client, "If-None-Match", "*", "2").0, 412);
    assert_eq!(put_if(&mut client, "If-None-Match", &tag(&first), "2").0, 412);
    assert_eq!(put_if(&mut client, "If-None-Match", &format!("W/{}", tag(&first)), "2").0, 412);
    assert_eq!(client.value("a"), Some(json!(1)));
    assert_eq!(put_if(&mut client, "If-None-Match", FOREIGN, "2").0, 200);
    client.delete("/kv/a").expect(204);
    assert_eq!(put_if(&mut client, "If-None-Match", "*", "3").0, 201);
}

#[test]
fn deletes_take_conditions_too() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let first = client.put("/kv/a", "1").expect(201).uuid();
    let second = client.put("/kv/a", "2").expect(200).uuid();
    client.send("DELETE", "/kv/a", &[("If-Match", &tag(&first))], b"").refused(412, "precondition_failed");
    assert_eq!(client.value("a"), Some(json!(2)));
    client.send("DELETE", "/kv/a", &[("If-Match", &tag(&second))], b"").expect(204);
    let gone = client.send("DELETE", "/kv/a", &[("If-Match", &tag(&second))], b"");
    assert!(matches!(gone.status, 404 | 412), "{}", gone.shown());
}

#[test]
fn a_reader_that_has_the_version_gets_304() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let first = client.put("/kv/a", "1").expect(201).uuid();
    for matching in
        [tag(&first), format!("W/{}", tag(&first)), format!("{FOREIGN}, {}", tag(&first)), "*".to_owned()]
    {
        for method in ["GET", "HEAD"] {
            let answer = client.send(method, "/kv/a", &[("If-None-Match", &matching)], b"").expect(304);
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), Some(tag(&first).as_str()), "{matching}");
        }
    }
    client.send("GET", "/kv/a", &[("If-None-Match", FOREIGN)], b"").expect(200);
    client.put("/kv/a", "2").expect(200);
    let changed = client.send("GET", "/kv/a", &[("If-None-Match", &tag(&first))], b"").expect(200);
    assert_eq!(changed.json()["data"], 2);
    client.send("GET", "/kv/none", &[("If-None-Match", "*")], b"").refused(404, "not_found");
    client.send("GET", "/kv/a", &[("If-Match", &tag(&first))], b"").refused(412, "precondition_failed");
    client.send("GET", "/kv/a", &[("If-Match", &tag(&changed.uuid()))], b"").expect(200);
}

#[test]
fn what_is_no_entity_tag_is_refused() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let uuid = client.put("/kv/a", "1").expect(201).uuid();
    for value in [uuid.as_str(), "\"", "'x'", "\"a\" \"b\"", "*, \"a\"", "w/\"a\"", ","] {
        for name in ["If-Match", "If-None-Match"] {
            let answer = client.send("PUT", "/kv/a", &[(name, value)], b"2");
            assert_eq!(answer.status, 400, "{name}: {value}: {}", answer.shown());
        }
    }
    assert_eq!(client.value("a"), Some(json!(1)));
}

#[test]
fn of_many_writers_at_once_with_one_condition_exactly_one_wins() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    for round in 0..20 {
        let target = format!("/kv/race/{round}");
        let winners = AtomicU64::new(0);
        thread::scope(|scope| {
            for writer in 0..8 {
                let (node, target, winners) = (&node, &target, &winners);
                scope.spawn(move || {
                    let body = writer.to_string();
                    let answer =
                        node.client().send("PUT", target, &[("If-None-Match", "*")], body.as_bytes());
                    match answer.status {
                        201 => winners.fetch_add(1, Ordering::Relaxed),
                        412 => 0,
                        _ => panic!("{}", answer.shown()),
                    };
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
    }
}

#[test]
fn counting_with_if_match_loses_no_step() {
    const WRITERS: u64 = 8;
    const STEPS: u64 = 20;
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    node.client().put("/kv/counter", "0").expect(201);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut client = node.client();
                let mut steps = 0;
                while steps < STEPS {
                    let read = client.get("/kv/counter").expect(200);
                    let next = read.json()["data"].as_u64().unwrap() + 1;
                    let header = tag(&read.uuid());
                    let answer = client.send(
                        "PUT",
                        "/kv/counter",
                        &[("If-Match", &header)],
                        next.to_string().as_bytes(),
                    );
                    match answer.status {
                        200 => steps += 1,
                        412 => {}
                        _ => panic!("{}", answer.shown()),
                    }
                }
            });
        }
    });
    assert_eq!(node.client().value("counter"), Some(json!(WRITERS * STEPS)));
}
