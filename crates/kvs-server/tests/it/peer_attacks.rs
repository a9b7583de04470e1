//! What strangers, eavesdroppers and people in the middle can make a node do: nothing.

use std::net::SocketAddr;

use kvs_protocol::call::{CallFailure, CallKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::peer_support::{HandWriter, SECRET, Written, call, challenge, client, node, node_with};
use crate::support::{Answer, PATIENCE, TestNode, refused};

async fn send(node: &TestNode, bytes: impl AsRef<[u8]>) -> Answer {
    let mut client = node.connect().await;
    client.send(bytes).await;
    client.answer().await
}

/// Expects a refusal whose sentence contains `words`, and a challenge on every 401.
fn assert_refused(answer: &Answer, status: u16, code: &str, words: &str) {
    assert_eq!(answer.refusal(), refused(status, code));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(words), "{detail}");
    assert_eq!(answer.header("x-kvs-challenge").is_some(), status == 401);
    assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("KVS1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_before_their_body_is_read() {
    let (node, recorder) = node().await;
    for kind in CallKind::ALL {
        let target = format!("/peer/v1/{}", kind.name());
        let none = node.post(&target, "{}").await;
        assert_refused(&none, 401, "unauthorized", "no credential");
        for garbage in ["KVS1", "KVS1 AAAA", "Bearer abc", "Basic YTpi", "KVS1 \u{ff}\u{fe}", ""] {
            let headers = format!("Authorization: {garbage}\r\n");
            let answer = node.request("POST", &target, &headers, "\u{0}garbage").await;
            assert_refused(&answer, 401, "unauthorized", "no credential of a node");
        }
        // The body never comes, nor does it have to.
        let huge =
            format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n");
        assert_refused(&send(&node, huge).await, 401, "unauthorized", "no credential");
        assert_eq!(node.get(&target).await.refusal(), refused(405, "method_not_allowed"));
    }
    for target in ["/peer/v1/", "/peer/v1/nothing", "/peer/v1/Swim", "/peer/v1/swim/x", "/peer/v2/swim"] {
        assert_eq!(node.post(target, "").await.refusal(), refused(404, "not_found"), "{target}");
    }
    assert!(recorder.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_without_a_credential_loses_the_connection() {
    let (node, _) = node().await;
    let mut client = node.connect().await;
    let first = client.request("POST", "/peer/v1/swim", "", "").await;
    assert_eq!((first.status, first.header("connection")), (401, None));
    let second = client.request("POST", "/peer/v1/swim", "", "").await;
    assert_eq!((second.status, second.header("connection")), (401, Some("close")));
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_once_and_never_altered() {
    let (node, recorder) = node().await;
    let (challenge, writer) = (challenge(&node).await, HandWriter::new(SECRET));
    let write = |kind| writer.write(&challenge, kind, b"question");
    for (number, kind) in CallKind::ALL.into_iter().enumerate() {
        let good = write(kind).bytes();
        assert_eq!(send(&node, &good).await.text(), "genuine answer to question");
        for _ in 0..2 {
            assert_refused(&send(&node, &good).await, 401, "unauthorized", "received before");
        }
        let other_body = Written { body: b"questiom".to_vec(), ..write(kind) };
        assert_refused(&send(&node, other_body.bytes()).await, 401, "unauthorized", "the body is not");
        // That number is used up, with the right body too.
        let right_body = Written { body: b"question".to_vec(), ..other_body };
        assert_refused(&send(&node, right_body.bytes()).await, 401, "unauthorized", "received before");
        let other_kind = CallKind::ALL.into_iter().find(|other| *other != kind).unwrap();
        let elsewhere = Written { line: format!("POST /peer/v1/{}", other_kind.name()), ..write(kind) };
        assert_refused(&send(&node, elsewhere.bytes()).await, 401, "unauthorized", "not valid");
        let queried = Written { line: format!("POST /peer/v1/{}?a=b", kind.name()), ..write(kind) };
        assert_refused(&send(&node, queried.bytes()).await, 401, "unauthorized", "not valid");
        let good = write(kind);
        let text = good.authorization.clone();
        for place in (5..text.len()).step_by(9) {
            let mut altered = text.clone().into_bytes();
            altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            let answer = send(&node, Written { authorization: altered, ..write(kind) }.bytes()).await;
            assert_eq!(answer.refusal(), refused(401, "unauthorized"), "{place}");
        }
        let twice = Written { authorization: format!("{text}\r\nAuthorization: {text}"), ..good };
        assert_refused(&send(&node, twice.bytes()).await, 401, "unauthorized", "no credential of a node");
        assert_eq!(recorder.calls().len(), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_whole_plain_and_bounded() {
    let (node, recorder) = node().await;
    let (challenge, writer) = (challenge(&node).await, HandWriter::new(SECRET));
    for kind in CallKind::ALL {
        let with = |fields: &str, body: &[u8]| {
            let written = writer.write(&challenge, kind, body);
            Written { fields: fields.to_owned(), ..written }.bytes()
        };
        for length in [100 * 1024 * 1024_u64, u64::MAX] {
            let oversized = with(&format!("Content-Length: {length}\r\n"), b"");
            let answer = send(&node, oversized).await;
            assert!(matches!(answer.status, 413 | 431), "{}", answer.status);
        }
        let bomb = with("Content-Encoding: zstd\r\nContent-Length: 4\r\n", b"\x28\xb5\x2f\xfd");
        assert_refused(&send(&node, bomb).await, 415, "unsupported_media_type", "no Content-Encoding");
        let chunked = with("Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n0\r\n\r\n");
        assert_refused(&send(&node, chunked).await, 411, "length_required", "Content-Length");
        // Cut off in the middle.
        let mut cut = node.connect().await;
        cut.send(with("Content-Length: 10\r\n", b"12345")).await;
        cut.close_sending().await;
        assert_refused(&cut.answer().await, 400, "bad_request", "ended early");
    }
    let longest = vec![0; 64 * 1024 + 1];
    let too_long = writer.write(&challenge, CallKind::Swim, &longest).bytes();
    assert_refused(&send(&node, too_long).await, 413, "too_large", "65536");
    assert!(recorder.calls().is_empty());
    // What is refused after its sender was proved is sealed, so that the sender can believe it.
    let (to, body) = (node.address.to_string(), bytes::Bytes::from(longest));
    let failure = client(SECRET).call(&to, None, CallKind::Swim, body, PATIENCE).await;
    assert!(matches!(failure, Err(CallFailure::Rejected(reason)) if reason.contains("65536")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_overheard_is_worthless_after_a_restart() {
    let lines = format!("cluster_secret: {SECRET}\n");
    let (node, _) = node().await;
    let (old, writer) = (challenge(&node).await, HandWriter::new(SECRET));
    let received = writer.write(&old, CallKind::Replicate, b"question").bytes();
    let held_back = writer.write(&old, CallKind::Replicate, b"question").bytes();
    assert_eq!(send(&node, &received).await.status, 200);
    let (node, recorder) = node_with(node.stop().await, &lines).await;
    assert_eq!(challenge(&node).await.node, old.node);
    for bytes in [received, held_back] {
        assert_refused(&send(&node, bytes).await, 401, "unauthorized", "another process");
    }
    assert!(recorder.calls().is_empty());
}

/// Somebody between a client and `node` who replaces `from` by `to` in what the client or the node says.
async fn in_the_middle(node: SocketAddr, side: Side, from: &'static str, to: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (client_reads, client_writes) = client.into_split();
            let (node_reads, node_writes) = TcpStream::connect(node).await.unwrap().into_split();
            let (asked, answered) = match side {
                Side::Request => ((from, to), ("", "")),
                Side::Reply => (("", ""), (from, to)),
            };
            tokio::spawn(pass(client_reads, node_writes, asked));
            tokio::spawn(pass(node_reads, client_writes, answered));
        }
    });
    address
}

#[derive(Clone, Copy)]
enum Side {
    Request,
    Reply,
}

async fn pass(
    mut reads: impl AsyncReadExt + Unpin,
    mut writes: impl AsyncWriteExt + Unpin,
    (from, to): (&str, &str),
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = reads.read(&mut buffer).await {
        let mut bytes = buffer[..count].to_vec();
        let found = bytes.windows(from.len().max(1)).position(|bytes| bytes == from.as_bytes());
        if let Some(place) = found {
            bytes.splice(place..place + from.len(), to.bytes());
        }
        if writes.write_all(&bytes).await.is_err() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_reply_is_no_answer() {
    let (node, recorder) = node().await;
    let untouched = in_the_middle(node.address, Side::Reply, "", "").await;
    assert!(call(&client(SECRET), untouched, CallKind::Sync, "question").await.is_ok());
    for (from, to) in [
        ("genuine", "gemuine"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 409 Conflict"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"),
        ("x-kvs-seal: ", "x-kvs-seal: A"),
        ("x-kvs-seal", "x-kvs-seam"),
        ("content-length: 2", "content-length: 1"),
    ] {
        let address = in_the_middle(node.address, Side::Reply, from, to).await;
        let failure = call(&client(SECRET), address, CallKind::Sync, "question").await.unwrap_err();
        assert!(matches!(&failure, CallFailure::Unreachable(_)), "{from} -> {to}: {failure}");
    }
    // The node did its part each time; the client knows only that it may have.
    assert_eq!(recorder.calls().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_request_or_a_false_challenge_reaches_no_service() {
    let (node, recorder) = node().await;
    for (side, from, to) in [
        (Side::Request, "question", "questiom"),
        (Side::Request, "/peer/v1/sync", "/peer/v1/page"),
        (Side::Request, "KVS1 ", "KVS2 "),
        (Side::Reply, "x-kvs-challenge: ", "x-kvs-challengf: "),
        (Side::Reply, "HTTP/1.1 401", "HTTP/1.1 200"),
    ] {
        let address = in_the_middle(node.address, side, from, to).await;
        let failure = call(&client(SECRET), address, CallKind::Sync, "question").await.unwrap_err();
        let is_one = matches!(&failure, CallFailure::Denied(_) | CallFailure::Unreachable(_));
        assert!(is_one, "{from} -> {to}: {failure}");
    }
    assert!(recorder.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_of_another_node_leads_to_no_node() {
    let (meant, recorder) = node().await;
    let (other, other_recorder) = node().await;
    let (meant_challenge, other_challenge) = (challenge(&meant).await, challenge(&other).await);
    let writer = HandWriter::new(SECRET);
    // Told the other's nonce, the sender binds its call to the node that it means.
    let mixed =
        kvs_protocol::peer_auth::challenge::Challenge { node: meant_challenge.node, ..other_challenge };
    let bytes = writer.write(&mixed, CallKind::Replicate, b"question").bytes();
    assert_refused(&send(&meant, &bytes).await, 401, "unauthorized", "another process");
    assert_refused(&send(&other, &bytes).await, 401, "unauthorized", "not valid");
    assert!(recorder.calls().is_empty() && other_recorder.calls().is_empty());
}
