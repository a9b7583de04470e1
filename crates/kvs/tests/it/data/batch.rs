//! `POST /kv/_batch`: all or nothing, in order, and which operation is to blame.

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

fn batch(client: &mut Client, ops: Value) -> Answer {
    client.post("/kv/_batch", &json!({ "ops": ops }))
}

#[test]
fn puts_and_deletes_are_done_together_and_answered_in_their_order() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv/old", "1").expect(201);
    client.put("/kv/changed", "1").expect(201);
    let answer = batch(
        &mut client,
        json!([
            {"op": "put", "path": "new", "data": {"x": 1}},
            {"op": "delete", "path": "old"},
            {"op": "put", "path": "changed", "data": null},
            {"op": "put", "path": "dir/with spaces/\u{e9}", "data": "text"},
        ]),
    )
    .expect(200);
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 4);
    for (index, path) in [(0, "new"), (2, "changed"), (3, "dir/with%20spaces/%C3%A9")] {
        let read = client.get(&format!("/kv/{path}")).expect(200).json();
        assert_eq!(results[index]["uuid"], read["uuid"], "{path}");
        assert_eq!(results[index]["timestamp"], read["timestamp"], "{path}");
    }
    assert_eq!(client.value("new"), Some(json!({"x": 1})));
    assert_eq!(client.value("changed"), Some(Value::Null));
    assert_eq!(client.value("old"), None);
    assert_eq!(client.get("/history/changed").expect(200).json().as_array().unwrap().len(), 2);
}

#[test]
fn data_keeps_its_bytes() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let data = "{ \"n\" : 1.00, \"n\":2, \"u\":\"\\u0041\" }";
    let body = format!("{{\"ops\":[{{\"data\":{data},\"path\":\"a\",\"op\":\"put\"}}]}}");
    client.send("POST", "/kv/_batch", &[], body.as_bytes()).expect(200);
    let read = client.get("/kv/a").expect(200);
    assert!(read.text().contains(&format!("\"data\":{data}")), "{}", read.shown());
}

#[test]
fn one_failed_condition_undoes_all_and_is_named() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let former = client.put("/kv/c", "1").expect(201).uuid();
    let current = client.put("/kv/c", "2").expect(200).uuid();
    client.put("/kv/b", "1").expect(201);
    let ops = |uuid: &str| {
        json!([
            {"op": "put", "path": "a", "data": 1},
            {"op": "delete", "path": "b"},
            {"op": "put", "path": "c", "data": 3, "if_match": uuid},
            {"op": "put", "path": "d", "data": 1},
        ])
    };
    let answer = batch(&mut client, ops(&former)).refused(412, "precondition_failed");
    assert_eq!(answer.json()["index"], 2, "{}", answer.shown());
    assert_eq!(client.keys(), ["b", "c"]);
    assert_eq!(client.value("c"), Some(json!(2)));
    assert_eq!(client.get("/history/b").expect(200).json().as_array().unwrap().len(), 1, "a trace was left");
    batch(&mut client, ops(&current)).expect(200);
    assert_eq!(client.keys(), ["a", "c", "d"]);
    assert_eq!(client.value("c"), Some(json!(3)));
}

#[test]
fn one_wrong_operation_undoes_all_and_is_named() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("max_json_size", "300")]);
    let mut client = node.client();
    let fine = json!({"op": "put", "path": "fine", "data": 1});
    let wrong = [
        (json!({"op": "put", "path": "a//b", "data": 1}), 400, "bad_path"),
        (json!({"op": "put", "path": "a", "data": 1, "ttl": "soon"}), 400, "bad_ttl"),
        (json!({"op": "put", "path": "a", "data": "x".repeat(299)}), 413, "too_large"),
        (json!({"op": "rename", "path": "a", "data": 1}), 400, "bad_json"),
        (json!({"op": "put", "path": "a"}), 400, "bad_json"),
        (json!({"op": "put", "data": 1}), 400, "bad_json"),
        (json!({"path": "a", "data": 1}), 400, "bad_json"),
        (json!({"op": "delete", "path": "a", "data": 1}), 400, "bad_json"),
        (json!({"op": "put", "path": "a", "data": 1, "ifmatch": "x"}), 400, "bad_json"),
        (json!({"op": "put", "path": 7, "data": 1}), 400, "bad_json"),
        (json!(7), 400, "bad_json"),
    ];
    for (op, status, code) in wrong {
        let answer = batch(&mut client, json!([fine, op, fine])).refused(status, code);
        if code != "bad_json" {
            assert_eq!(answer.json()["index"], 1, "{}", answer.shown());
        }
    }
    for body in ["", "[]", "{}", "{\"ops\":1}", "{\"ops\":[]", "{\"ops\":[],\"ops\":[]}", "null"] {
        client.send("POST", "/kv/_batch", &[], body.as_bytes()).refused(400, "bad_json");
    }
    for data in ["1e999", "\"\\ud800\"", &format!("{}{}", "[".repeat(129), "]".repeat(129))] {
        let body = format!("{{\"ops\":[{{\"op\":\"put\",\"path\":\"a\",\"data\":{data}}}]}}");
        client.send("POST", "/kv/_batch", &[], body.as_bytes()).refused(400, "bad_json");
    }
    assert_eq!(client.keys(), Vec::<String>::new());
}

#[test]
fn a_thousand_operations_are_the_most() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let ops = |count: usize| {
        (0..count)
            .map(|number| json!({"op": "put", "path": format!("k/{number}"), "data": number}))
            .collect::<Value>()
    };
    let answer = batch(&mut client, ops(1001));
    assert!(matches!(answer.status, 400 | 413), "{}", answer.shown());
    assert_eq!(client.keys(), Vec::<String>::new());
    let answer = batch(&mut client, ops(1000)).expect(200);
    assert_eq!(answer.json()["results"].as_array().unwrap().len(), 1000);
    assert_eq!(client.keys().len(), 1000);
}

#[test]
fn operations_on_one_key_are_done_in_their_order_or_refused_together() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let answer = batch(
        &mut client,
        json!([
            {"op": "put", "path": "a", "data": 1},
            {"op": "put", "path": "a", "data": 2},
            {"op": "put", "path": "b", "data": 1},
            {"op": "delete", "path": "b"},
        ]),
    );
    match answer.status {
        200 => assert_eq!((client.value("a"), client.value("b")), (Some(json!(2)), None)),
        400 => assert_eq!(client.keys(), Vec::<String>::new()),
        _ => panic!("{}", answer.shown()),
    }
}

#[test]
fn a_batch_on_its_way_is_whole_or_absent_for_every_reader_and_after_a_crash() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let ops = |number: u64| {
        (0..50).map(|key| json!({"op": "put", "path": format!("k/{key}"), "data": number})).collect::<Value>()
    };
    let mut acknowledged = 0;
    std::thread::scope(|scope| {
        let address = node.address();
        let writer = scope.spawn(move || {
            let mut client = Client::new(address);
            let mut last = 0;
            for number in 1_u64.. {
                let body = json!({ "ops": ops(number) }).to_string();
                match client.try_send("POST", "/kv/_batch", &[], body.as_bytes()) {
                    Ok(answer) => {
                        answer.expect(200);
                        last = number;
                    }
                    Err(_) => break,
                }
            }
            last
        });
        crate::support::wait::until_true("some batches", || {
            node.client().value("k/0").is_some_and(|value| value.as_u64() > Some(20))
        });
        node.kill();
        acknowledged = writer.join().unwrap();
    });
    let node = Node::start(&sandbox, &config);
    let page = node.client().get("/kv/_range?limit=1000").expect(200).json();
    let values: Vec<u64> =
        page["items"].as_array().unwrap().iter().map(|item| item["data"].as_u64().unwrap()).collect();
    assert_eq!(values.len(), 50);
    assert!(values.iter().all(|value| *value == values[0]), "half a batch: {values:?}");
    assert!(
        values[0] == acknowledged || values[0] == acknowledged + 1,
        "{acknowledged} was acknowledged, {} is there",
        values[0]
    );
}
