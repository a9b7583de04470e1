//! The guards at the door: what is not one well-formed request for this node is refused, and the connection with it.

use std::collections::BTreeSet;

use crate::support::{JSON, TestNode, refused};

/// Sends raw bytes on a new connection; expects a refusal and the end of the connection.
async fn refuse(node: &TestNode, wire: &str, status: u16, code: &str) {
    let mut client = node.connect().await;
    client.send(wire).await;
    let answer = client.answer().await;
    assert_eq!(answer.refusal(), refused(status, code), "{wire:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{wire:?}");
    assert!(client.is_closed().await, "{wire:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_host_once_and_rightly() {
    let node = TestNode::start().await;
    refuse(&node, "GET /health HTTP/1.1\r\n\r\n", 400, "bad_request").await;
    refuse(&node, "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, "bad_request")
        .await;
    refuse(&node, "GET /health HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad_request").await;
    refuse(&node, "GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "bad_host").await;
    refuse(&node, "GET /health HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n", 400, "bad_request").await;
    refuse(&node, "GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad_request")
        .await;
    for host in ["localhost", "LOCALHOST:9", "127.0.0.1:1234", "[::1]:80"] {
        let mut client = node.connect().await;
        client.send(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_cannot_write() {
    let node = TestNode::start().await;
    let foreign = format!("{JSON}Origin: http://evil.example\r\n");
    let mut client = node.connect().await;
    assert_eq!(client.request("PUT", "/kv/a", &foreign, "1").await.refusal(), refused(403, "bad_origin"));
    let own = format!("{JSON}Origin: http://localhost:3000\r\n");
    assert_eq!(node.request("PUT", "/kv/a", &own, "1").await.status, 201);
    let preflight = node.request("OPTIONS", "/kv/a", "Access-Control-Request-Method: PUT\r\n", "").await;
    assert_eq!(preflight.refusal(), refused(405, "method_not_allowed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_are_never_served() {
    let node = TestNode::start().await;
    let smuggled = "0\r\n\r\nPUT /kv/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 1\r\n\r\n1";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "transfer-encoding: chunked\r\nX: y\r\ncontent-length: 0\r\n",
    ] {
        let wire = format!("PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}{fields}\r\n{smuggled}");
        refuse(&node, &wire, 400, "bad_request").await;
        // Behind other requests of the same connection too.
        let mut client = node.connect().await;
        let before = format!("PUT /kv/b HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 2\r\n\r\n12");
        client.send(format!("{before}{wire}")).await;
        assert!(client.answer().await.status < 300);
        assert_eq!(client.answer().await.refusal(), refused(400, "bad_request"));
        assert!(client.is_closed().await);
    }
    assert_eq!(node.get("/kv/a").await.status, 404);
    assert_eq!(node.get("/kv/smuggled").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_request_is_the_last_of_its_connection() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    client
        .send(format!(
            "PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n\
             2\r\n[1\r\n2\r\n,2\r\n1\r\n]\r\n0\r\n\r\nGET /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ))
        .await;
    let put = client.answer().await;
    assert_eq!((put.status, put.header("connection")), (201, Some("close")));
    assert!(client.is_closed().await);
    assert!(node.get("/kv/a").await.text().contains("\"data\":[1,2]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_ends_the_connection() {
    let node = TestNode::start().await;
    for wire in [
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "GET /health\r\n\r\n",
        "GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n",
        "PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        "PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n12",
        "GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
    ] {
        let mut client = node.connect().await;
        client.send(wire).await;
        assert_eq!(client.answer().await.status, 400, "{wire:?}");
        assert!(client.is_closed().await, "{wire:?}");
    }
    assert_eq!(node.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let node = TestNode::start().await;
    let fields = "X: y\r\n".repeat(70);
    refuse(
        &node,
        &format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"),
        431,
        "headers_too_large",
    )
    .await;
    let target = format!("/kv/{}", "a".repeat(17_000));
    refuse(&node, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414, "uri_too_long").await;
    // Larger still, and the parser says no.
    for wire in [
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(40_000)),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200)),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(70_000)),
    ] {
        let mut client = node.connect().await;
        client.send(wire).await;
        let answer = client.answer().await;
        assert!(matches!(answer.status, 431 | 414), "{}", answer.status);
        assert!(client.is_closed().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_resources_and_methods_are_told_apart() {
    let node = TestNode::start().await;
    for target in
        ["/", "/kv", "/nowhere", "/kv/_changes", "/meta/a", "/auth/users", "/members/x", "/cluster/"]
    {
        assert_eq!(node.get(target).await.refusal(), refused(404, "not_found"), "{target}");
    }
    for (method, target, allow) in [
        ("POST", "/kv/a", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/kv/a", "GET, HEAD, PUT, DELETE"),
        ("TRACE", "/kv/a", "GET, HEAD, PUT, DELETE"),
        ("GET", "/kv/_batch", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "*", "GET, HEAD, PUT, POST, DELETE"),
        ("CONNECT", "localhost:80", "GET, HEAD, PUT, POST, DELETE"),
    ] {
        let answer = node.request(method, target, "", "").await;
        assert_eq!(answer.refusal(), refused(405, "method_not_allowed"), "{method} {target}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_an_id_of_the_nodes_own() {
    let node = TestNode::start().await;
    let mut ids = BTreeSet::new();
    let forged = "X-Request-Id: forged\r\n";
    for _ in 0..3 {
        let mut client = node.connect().await;
        for (method, target) in [
            ("GET", "/kv/a"),
            ("PUT", "/kv/a"),
            ("GET", "/nowhere"),
            ("HEAD", "/kv/a"),
            ("GET", "/health"),
            ("POST", "/health"),
        ] {
            let answer = client
                .request(method, target, &format!("{JSON}{forged}"), if method == "PUT" { "1" } else { "" })
                .await;
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert!(id.len() == 16 && ids.insert(id), "{method} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let mut wire = String::new();
    for number in 0..50 {
        let body = number.to_string();
        let length = body.len();
        wire += &format!(
            "PUT /kv/p/{number} HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {length}\r\n\r\n{body}"
        );
        wire += &format!("GET /kv/p/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    client.send(wire).await;
    for number in 0..50 {
        assert_eq!(client.answer().await.status, 201);
        assert_eq!(client.answer().await.json()["data"], number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_nobody_asked_for_ends_the_connection() {
    let node = TestNode::start().await;
    for (method, target) in [("GET", "/kv/a"), ("DELETE", "/kv/a"), ("GET", "/health"), ("POST", "/nowhere")]
    {
        let mut client = node.connect().await;
        let answer = client.request(method, target, "", "unasked").await;
        assert_eq!(answer.header("connection"), Some("close"), "{method} {target}");
        assert!(client.is_closed().await, "{method} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_asked_is_asked() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let head = format!("PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Expect: 100-continue\r\n");
    client.send(format!("{head}Content-Length: 1\r\n\r\n")).await;
    assert_eq!(client.answer_head().await.status, 100);
    client.send("1").await;
    assert_eq!(client.answer().await.status, 201);
    // And not asked for what is refused anyway.
    let mut client = node.connect().await;
    client.send(format!("{head}Content-Length: 100000000\r\n\r\n")).await;
    assert_eq!(client.answer().await.refusal(), refused(413, "too_large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_side_still_gets_its_answer() {
    let node = TestNode::start().await;
    let put = format!("PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1\r\n\r\n1");
    for wire in [
        put.as_str(),
        "GET /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /kv/_range HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut client = node.connect().await;
        client.send(wire).await;
        client.close_sending().await;
        assert!(client.answer().await.status < 300);
        assert!(client.is_closed().await);
    }
    let mut client = node.connect().await;
    client.send("GET /kv/a HTTP/1.1\r\nHost: loc").await;
    client.close_sending().await;
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /rea").await;
    assert_eq!(client.answer().await.status, 200);
    client.send("dy HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
}
