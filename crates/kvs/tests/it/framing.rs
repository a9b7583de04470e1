//! Where one request ends and the next begins: lengths, chunks, pipelines, and clients that stop half-way.
//!
//! What two readers could read differently is refused, and what is clear is answered, whatever stands behind it.

use crate::support::attack::{ask, assert_all_refused, while_served};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

fn node(sandbox: &Sandbox) -> Node {
    let node = Node::new(sandbox, &[]);
    node.client().put("/kv/known", "\"secret\"").expect(201);
    node
}

#[test]
fn two_lengths_in_one_head_are_refused() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let put = format!(
        "PUT /kv/smuggled HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
        node.address()
    );
    let requests = [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
    ]
    .map(|lengths| format!("{put}{lengths}\r\n1\r\n1\r\n0\r\n\r\n"));
    while_served(&node, || assert_all_refused(&node, &requests));
    assert_eq!(node.client().value("smuggled"), None);
}

#[test]
fn broken_chunks_are_refused_and_store_nothing() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let put = format!(
        "PUT /kv/chunked HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        node.address()
    );
    let bodies = [
        "xyz\r\n1\r\n0\r\n\r\n",
        "-1\r\n1\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n1\r\n0\r\n\r\n",
        "1\r\n12\r\n0\r\n\r\n",
        "\r\n1\r\n0\r\n\r\n",
    ];
    let requests: Vec<String> = bodies.iter().map(|body| format!("{put}{body}")).collect();
    while_served(&node, || assert_all_refused(&node, &requests));
    assert_eq!(node.client().value("chunked"), None);
    // And a proper one, with an extension and a trailer, is a body like any other.
    let answer = ask(&node, format!("{put}2;x=y\r\n[1\r\n2\r\n,2\r\n1\r\n]\r\n0\r\nX: y\r\n\r\n")).unwrap();
    answer.expect(201);
    assert_eq!(node.client().value("chunked"), Some(serde_json::json!([1, 2])));
}

#[test]
fn a_body_that_is_cut_off_stores_nothing() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let put =
        format!("PUT /kv/cut HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", node.address());
    for half in [
        format!("{put}Content-Length: 10\r\n\r\n[1]"),
        format!("{put}Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n"),
    ] {
        let mut wire = node.wire();
        wire.send(&half);
        wire.finish_sending();
        if let Some(answer) = wire.answer_or_close() {
            assert!((400..500).contains(&answer.status), "{}", answer.shown());
        }
        assert_eq!(node.client().value("cut"), None);
    }
}

#[test]
fn requests_sent_at_once_are_answered_in_their_order() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = node.address();
    let mut requests = String::new();
    for number in 0..100 {
        let body = number.to_string();
        requests += &format!(
            "PUT /kv/piped/{number} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}\
             GET /kv/piped/{number} HTTP/1.1\r\nHost: {host}\r\n\r\n",
            body.len()
        );
    }
    let mut wire = node.wire();
    while_served(&node, || {
        wire.send(requests);
        for number in 0..100 {
            wire.answer().expect(201);
            assert_eq!(wire.answer().expect(200).json()["data"], number);
        }
    });
}

#[test]
fn a_good_request_is_answered_whatever_comes_behind_it() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = node.address();
    let head = format!("HTTP/1.1\r\nHost: {host}\r\n");
    let get = format!("GET /kv/known {head}\r\n");
    let put = format!("PUT /kv/first {head}Content-Type: application/json\r\n");
    let chunked = format!("{put}Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n");
    let counted = format!("{put}Content-Length: 1\r\n\r\n1");
    let mut wrong = Vec::new();
    for (name, first) in [("GET", &get), ("PUT with a length", &counted), ("PUT in chunks", &chunked)] {
        for (behind, second) in [
            ("a good one", get.as_str()),
            ("one without Host", "GET /kv/known HTTP/1.1\r\n\r\n"),
            ("garbage", "\x00\x01\r\n\r\n"),
        ] {
            let mut wire = node.wire();
            wire.send(format!("{first}{second}"));
            // A node may end the connection behind an answer if it says so; what stands behind it is asked for again.
            let ends = match wire.answer_or_close() {
                Some(answer) if answer.status < 300 => answer.header("connection") == Some("close"),
                answer => {
                    wrong.push(format!("{name}, {behind} behind it: {answer:?}"));
                    continue;
                }
            };
            if behind == "a good one"
                && !ends
                && wire.answer_or_close().is_none_or(|answer| answer.status != 200)
            {
                wrong.push(format!("{name}: the good one behind it was not answered"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_client_that_has_said_all_it_will_say_still_gets_its_answer() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let head = format!("HTTP/1.1\r\nHost: {}\r\n", node.address());
    let put = format!("PUT /kv/last {head}Content-Type: application/json\r\n");
    let requests = [
        format!("GET /kv/known {head}\r\n"),
        format!("{put}Content-Length: 1\r\n\r\n1"),
        format!("{put}Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    ];
    for request in requests {
        let mut wire = node.wire();
        wire.send(&request);
        wire.finish_sending();
        let answer = wire.answer_or_close().unwrap_or_else(|| panic!("no answer: {request}"));
        answer.check();
        assert!(answer.status < 300, "{}", answer.shown());
    }
}

#[test]
fn a_body_in_chunks_is_refused_as_soon_as_it_is_too_large() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("max_json_size", "1000")]);
    let put =
        format!("PUT /kv/big HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", node.address());
    while_served(&node, || {
        // Chunks do not announce their sum.
        let mut wire = node.wire();
        wire.send(format!("{put}Transfer-Encoding: chunked\r\n\r\n"));
        let chunk = format!("100\r\n{}\r\n", "1".repeat(256));
        for _ in 0..5 {
            if wire.try_send(chunk.as_bytes()).is_err() {
                break;
            }
        }
        let answer = wire.answer();
        answer.check();
        answer.refused(413, "too_large");
    });
    assert_eq!(node.client().value("big"), None);
}
