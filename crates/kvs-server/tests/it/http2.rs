//! HTTP/2 with prior knowledge on the same port.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::TestNode;

async fn connect(node: &TestNode) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(node.address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    body: &'static str,
) -> (StatusCode, http::HeaderMap, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_written_and_read() {
    let node = TestNode::start().await;
    let mut sender = connect(&node).await;
    assert_eq!(send(&mut sender, "PUT", "/kv/a", "{\"x\": 1}").await.0, 201);
    for _ in 0..2 {
        let (status, headers, body) = send(&mut sender, "GET", "/kv/a", "").await;
        assert_eq!(status, 200);
        assert!(body.ends_with(b",\"data\":{\"x\": 1}}"));
        assert!(headers.contains_key("x-request-id") && headers.contains_key("etag"));
    }
    let (status, headers, body) = send(&mut sender, "HEAD", "/kv/a", "").await;
    assert_eq!((status.as_u16(), body.len()), (200, 0));
    assert!(headers["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 50);
    assert_eq!(send(&mut sender, "DELETE", "/kv/a", "").await.0, 204);
    assert_eq!(send(&mut sender, "GET", "/kv/a", "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_a_connection() {
    let node = TestNode::start().await;
    let sender = connect(&node).await;
    let mut requests = Vec::new();
    for number in 0..60 {
        let mut sender = sender.clone();
        requests.push(tokio::spawn(async move {
            let path = format!("/kv/many/{number}");
            assert_eq!(send(&mut sender, "PUT", &path, "1").await.0, 201);
            assert_eq!(send(&mut sender, "GET", &path, "").await.0, 200);
        }));
    }
    for request in requests {
        request.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_authority_is_refused() {
    let node = TestNode::start().await;
    let mut sender = connect(&node).await;
    let request = Request::builder().uri("http://evil.example/kv/a").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_connection_end() {
    let node = TestNode::start().await;
    let mut sender = connect(&node).await;
    assert_eq!(send(&mut sender, "PUT", "/kv/a", "1").await.0, 201);
    drop(node.stop().await);
}
