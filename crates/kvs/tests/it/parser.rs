//! What the parser of HTTP refuses by itself: lengths and codings that two readers could read differently, and heads that
//! are none. Such answers look like all others.

use crate::support::attack::{assert_all_refused, while_served};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

fn node(sandbox: &Sandbox) -> Node {
    let node = Node::new(sandbox, &[]);
    node.client().put("/kv/known", "\"secret\"").expect(201);
    node
}

#[test]
fn lengths_that_two_readers_could_read_differently_are_refused() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let put = format!(
        "PUT /kv/smuggled HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
        node.address()
    );
    // Each carries a second request where a reader that took the other length would look for it.
    let tail = format!("1\r\n1\r\n0\r\n\r\nPUT /kv/smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", node.address());
    let headers = [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 2\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length:\r\n",
        "Content-Length : 1\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
    ];
    let requests: Vec<String> = headers.iter().map(|headers| format!("{put}{headers}\r\n{tail}")).collect();
    while_served(&node, || assert_all_refused(&node, &requests));
    assert_eq!(node.client().value("smuggled"), None);
}

#[test]
fn what_the_parser_refuses_by_itself_is_answered_like_everything_else_or_not_at_all() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox);
    let host = format!("Host: {}", node.address());
    let requests = [
        format!("GET kv/known HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET http:///x HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET /kv/known HTTP/2.0\r\n{host}\r\n\r\n"),
        format!("GET /kv/\x01 HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET /kv/a b HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET /kv/known HTTP/1.1\r\n{host}\r\nA\x01: b\r\n\r\n"),
        format!("GET /kv/known HTTP/1.1\r\n{host}\r\nA: b\x01\r\n\r\n"),
    ];
    assert_all_refused(&node, &requests);
}
