//! Clients that misbehave: each is refused or cut off in time, while one that behaves is answered throughout.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::support::attack::{ask, assert_all_refused, while_served};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::Deadline;
use crate::support::wire::Wire;

/// How long a request may take whose head or body does not end: the deadlines of the node (10 s and 30 s), and room for
/// a busy machine.
const CUT_OFF: Duration = Duration::from_secs(75);

/// How many connections stay idle at once.
const IDLE: usize = 300;

fn node(sandbox: &Sandbox) -> Node {
    let node = Node::new(sandbox, &[]);
    node.client().put("/kv/known", "\"secret\"").expect(201);
    node
}

/// Sends `bytes` one by one, some time apart, until the other side ends the connection; whether it did in time.
fn drip(address: SocketAddr, start: &[u8], byte: &[u8]) -> bool {
    let mut wire = Wire::open(address);
    wire.send(start);
    let deadline = Deadline::after(CUT_OFF);
    while deadline.left().is_some() {
        // The pause between two bytes is what this client is about; the look at the connection is how it waits.
        if wire.is_closed_within(Duration::from_millis(300)) || wire.try_send(byte).is_err() {
            return true;
        }
    }
    false
}

#[test]
fn slow_heads_slow_bodies_and_idle_connections_are_cut_off_while_others_are_served() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let address = node.address();
    let host = format!("Host: {address}\r\n");
    while_served(&node, || {
        thread::scope(|scope| {
            let mut attacks = Vec::new();
            let mut attack = |name: &'static str, start: String, byte: &'static [u8]| {
                attacks.push((name, scope.spawn(move || drip(address, start.as_bytes(), byte))));
            };
            attack("a head of single bytes", "GET /kv/known HTTP/1.1\r\nX: ".to_owned(), b"x");
            attack("a head of many short fields", format!("GET /kv/known HTTP/1.1\r\n{host}"), b"a:b\r\n");
            attack("a request line of single bytes", "GET /kv/".to_owned(), b"a");
            attack("empty lines for ever", "\r\n".to_owned(), b"\r\n");
            let put = format!("PUT /kv/slow HTTP/1.1\r\n{host}Content-Type: application/json\r\n");
            attack("a body of single bytes", format!("{put}Content-Length: 1000\r\n\r\n"), b"1");
            attack("a body that never comes", format!("{put}Content-Length: 5\r\n\r\n"), b"");
            attack(
                "chunks of single bytes",
                format!("{put}Transfer-Encoding: chunked\r\n\r\n"),
                b"1\r\n1\r\n",
            );
            attack("a chunk size without end", format!("{put}Transfer-Encoding: chunked\r\n\r\n"), b"0");
            let batch = format!("POST /kv/_batch HTTP/1.1\r\n{host}Content-Type: application/json\r\n");
            attack("a batch of single bytes", format!("{batch}Content-Length: 1000\r\n\r\n"), b" ");

            let mut idle: Vec<Wire> = (0..IDLE).map(|_| Wire::open(address)).collect();
            let served = idle.last_mut().unwrap();
            served.send(format!("GET /kv/known HTTP/1.1\r\n{host}\r\n"));
            served.answer().expect(200);
            idle.pop();
            for (name, attack) in attacks {
                assert!(attack.join().unwrap(), "{name}: not cut off");
            }
            let open =
                idle.iter_mut().filter_map(|wire| (!wire.is_closed_within(CUT_OFF)).then_some(())).count();
            assert_eq!(open, 0, "idle connections that were not closed");
        });
    });
    assert_eq!(node.client().value("slow"), None, "half a body was stored");
}

#[test]
fn a_missing_or_doubled_host_is_refused() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = node.address();
    let requests = [
        "GET /kv/known HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /kv/known HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"),
        format!("GET /kv/known HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n"),
        "GET /kv/known HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        format!("GET /kv/known HTTP/1.1\r\nHost: {host}, {host}\r\n\r\n"),
        format!("GET /kv/known HTTP/1.1\r\nHost: {host}/x\r\n\r\n"),
        format!("GET /kv/known HTTP/1.1\r\nHost: user@{host}\r\n\r\n"),
        format!("GET /kv/known HTTP/1.1\r\nHost : {host}\r\n\r\n"),
        "GET /kv/known HTTP/1.1\r\nX:a\r\n Host: b\r\n\r\n".to_owned(),
    ];
    while_served(&node, || assert_all_refused(&node, &requests));
}

#[test]
fn heads_and_targets_that_are_too_large_are_refused() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = format!("Host: {}\r\n", node.address());
    let long = "a".repeat(1024 * 1024);
    let requests = [
        (format!("GET /kv/known HTTP/1.1\r\n{host}X: {long}\r\n\r\n"), 431),
        (format!("GET /kv/known HTTP/1.1\r\n{host}{long}: x\r\n\r\n"), 431),
        (format!("GET /kv/known HTTP/1.1\r\n{host}{}\r\n", "a: b\r\n".repeat(1000)), 431),
        (format!("GET /kv/{long} HTTP/1.1\r\n{host}\r\n"), 414),
        (format!("GET /kv/_range?prefix={long} HTTP/1.1\r\n{host}\r\n"), 414),
    ];
    while_served(&node, || {
        for (request, status) in &requests {
            let mut wire = node.wire();
            // The node may stop reading before all is sent.
            let sent = wire.try_send(request.as_bytes());
            match wire.answer_or_close() {
                Some(answer) => {
                    answer.check();
                    let fits = answer.status == *status || (answer.status == 431 && *status == 414);
                    assert!(fits, "{:.60}: {}", request, answer.shown());
                }
                None => assert!(sent.is_err() || wire.is_closed_within(CUT_OFF), "{request:.60}"),
            }
        }
    });
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("max_json_size", "1000")]);
    let put =
        format!("PUT /kv/big HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", node.address());
    while_served(&node, || {
        for headers in [
            "Content-Length: 1001\r\n",
            "Content-Length: 1000000000000\r\n",
            "Content-Length: 1001\r\nExpect: 100-continue\r\n",
        ] {
            let mut wire = node.wire();
            wire.send(format!("{put}{headers}\r\n"));
            let answer = wire.answer();
            answer.check();
            answer.refused(413, "too_large");
        }
    });
    assert_eq!(node.client().value("big"), None);
    node.client().put("/kv/big", format!("\"{}\"", "x".repeat(998))).expect(201);
}

#[test]
fn a_client_that_waits_for_leave_gets_it() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let mut wire = node.wire();
    wire.send(format!(
        "PUT /kv/asked HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        node.address()
    ));
    assert_eq!(wire.answer().status, 100);
    wire.send("7");
    wire.answer().expect(201);
}

#[test]
fn targets_of_other_forms_are_refused_or_served_but_never_for_another_name() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = node.address();
    let own = ask(&node, format!("GET http://{host}/kv/known HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
    assert!(own.status == 200 || (400..500).contains(&own.status), "{}", own.shown());
    assert_all_refused(
        &node,
        &[
            format!("GET http://evil.example/kv/known HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET http://{host}/kv/known HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            "GET http://evil.example/kv/known HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
            format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ],
    );
}

#[test]
fn a_page_of_another_name_cannot_reach_a_node_on_loopback() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let port = node.address().port();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::2]",
        "evil.example:80",
    ] {
        let host = if host.contains("]") || !host.contains(':') {
            format!("{host}:{port}")
        } else {
            host.to_owned()
        };
        let answer = ask(&node, format!("GET /kv/known HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
        assert!(
            (400..500).contains(&answer.status) && !answer.shown().contains("secret"),
            "{host}: {}",
            answer.shown()
        );
        let put = format!(
            "PUT /kv/planted HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"
        );
        assert!(ask(&node, put).is_none_or(|answer| (400..500).contains(&answer.status)), "{host}");
    }
    for host in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        "localhost".to_owned(),
    ] {
        ask(&node, format!("GET /kv/known HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap().expect(200);
    }
    assert_eq!(node.client().keys(), ["known"]);
}

#[test]
fn old_clients_are_answered_or_refused_and_the_connection_ends() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = node.address();
    for request in [
        "GET /kv/known HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET /kv/known HTTP/1.0\r\nHost: {host}\r\n\r\n"),
    ] {
        let mut wire = node.wire();
        wire.send(&request);
        let answer = wire.answer();
        answer.check();
        assert!(answer.status == 200 || (400..500).contains(&answer.status), "{}", answer.shown());
        assert_eq!(answer.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
        assert!(wire.is_closed_within(CUT_OFF), "the connection stays open");
    }
}

#[test]
fn bytes_that_are_no_http_are_refused() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = node.address();
    let mut noise = vec![0_u8; 64 * 1024];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_be_bytes()[0];
    }
    let requests: Vec<Vec<u8>> = vec![
        noise,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(),
        b"\x00\x00\x00\x00\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /kv/known\r\n\r\n".to_vec(),
        format!("GET /kv/known HTTP/9.9\r\nHost: {host}\r\n\r\n").into_bytes(),
        format!("GET  /kv/known  HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
        format!("GET /kv/known x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
        format!("G\x00T /kv/known HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
        format!("GET /kv/known HTTP/1.1\r\nHost: {host}\r\nX\x00: y\r\n\r\n").into_bytes(),
        format!("GET /kv/known HTTP/1.1\r\nHost: {host}\r\nno field\r\n\r\n").into_bytes(),
        b"*1\r\n$4\r\nPING\r\n\r\n".to_vec(),
    ];
    while_served(&node, || {
        for request in &requests {
            let mut wire = node.wire();
            wire.try_send(request).unwrap_or_default();
            wire.finish_sending();
            if let Some(answer) = wire.answer_or_close() {
                answer.check();
                assert!(
                    (400..506).contains(&answer.status) && answer.status != 500,
                    "{:?}: {}",
                    String::from_utf8_lossy(&request[..request.len().min(60)]),
                    answer.shown()
                );
            }
            assert!(wire.is_closed_within(CUT_OFF), "the connection stays open");
        }
    });
}
