//! Calls between nodes that trust each other, and how they fail.

use std::time::Duration;

use bytes::Bytes;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::peer_auth::keyring::Keyring;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::peer_support::{CALLER, SECRET, call, challenge, client, client_of, node, node_with};
use crate::support::{PATIENCE, TestNode};

fn keys(secret: &str) -> ClusterKeys {
    ClusterKeys::derive(secret.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_reaches_the_service_with_its_sender_and_its_bytes() {
    let (node, recorder) = node().await;
    let client = client(SECRET);
    for kind in CallKind::ALL {
        let answer = call(&client, node.address, kind, kind.name()).await.unwrap();
        assert_eq!(answer, format!("genuine answer to {}", kind.name()));
    }
    assert_eq!(call(&client, node.address, CallKind::Swim, "").await.unwrap(), "genuine answer to ");
    let calls = recorder.calls();
    assert_eq!(calls.len(), CallKind::ALL.len() + 1);
    for (call, kind) in calls.iter().zip(CallKind::ALL) {
        assert_eq!((call.from, call.generation, call.kind), (CALLER, 3, kind));
        assert_eq!(call.body, kind.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_keeps_its_connection() {
    let (node, _) = node().await;
    let client = client(SECRET);
    for _ in 0..20 {
        call(&client, node.address, CallKind::Swim, "a").await.unwrap();
        call(&client, node.address, CallKind::Replicate, "b").await.unwrap();
    }
    // One for each of the two lanes, and the one that asks.
    let metrics = node.get("/metrics").await;
    assert!(metrics.text().contains("kvs_connections_total 3\n"), "{}", metrics.text());
    assert!(metrics.text().contains("kvs_http_requests_total{route=\"peer\",status=\"2xx\"} 40\n"));
    assert!(metrics.text().contains("kvs_http_requests_total{route=\"peer\",status=\"4xx\"} 2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_travel_both_ways() {
    let (node, recorder) = node().await;
    let body = Bytes::from(vec![7; 20 * 1024 * 1024]);
    let to = node.address.to_string();
    let answer = client(SECRET).call(&to, None, CallKind::Replicate, body.clone(), PATIENCE).await.unwrap();
    assert_eq!(answer.len(), body.len() + 18);
    assert_eq!(recorder.calls()[0].body, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_and_the_forms_of_the_configuration_are_dialled() {
    let (node, recorder) = node().await;
    let client = client(SECRET);
    let port = node.address.port();
    for to in [format!("localhost:{port}"), format!("http://127.0.0.1:{port}/")] {
        call(&client, to, CallKind::Status, "x").await.unwrap();
    }
    assert_eq!(recorder.calls().len(), 2);
    for to in ["nowhere", "https://localhost:1", "no such host.example:1"] {
        let failure = call(&client, to, CallKind::Status, "x").await.unwrap_err();
        assert!(matches!(failure, CallFailure::Unreachable(_)), "{to}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_an_error_is_the_peers_word() {
    let (node, _) = node().await;
    let client = client(SECRET);
    let refused = call(&client, node.address, CallKind::Sync, "refuse").await.unwrap_err();
    assert_eq!(refused, CallFailure::Rejected("not now, not here".to_owned()));
    // What the service must not do is not passed on, and not told.
    let failed = call(&client, node.address, CallKind::Sync, "too much").await.unwrap_err();
    assert!(matches!(&failed, CallFailure::Rejected(reason) if reason.contains("failed inside")), "{failed}");
    assert!(call(&client, node.address, CallKind::Sync, "x").await.is_ok());
    let metrics = node.get("/metrics").await;
    assert!(metrics.text().contains("kvs_connections_total 2\n"), "the connection was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_peers_itself() {
    let node = TestNode::start_with(&format!("cluster_secret: {SECRET}\n")).await;
    let client = client(SECRET);
    for kind in CallKind::ALL {
        let failure = call(&client, node.address, kind, "x").await.unwrap_err();
        let is_told = matches!(&failure, CallFailure::Rejected(reason) if !reason.contains("starting"));
        assert!(is_told, "{}: {failure}", kind.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_from_no_answer() {
    let client = client(SECRET);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    // Somebody listens and never says a word.
    let silent = client
        .call(&address.to_string(), None, CallKind::Swim, Bytes::new(), Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(matches!(&silent, CallFailure::Unreachable(reason) if reason.contains("200 ms")), "{silent}");
    drop(free);
    assert_eq!(call(&client, address, CallKind::Swim, "").await.unwrap_err(), CallFailure::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_given_up_takes_its_connection_with_it() {
    let (node, recorder) = node().await;
    let client = client(SECRET);
    let to = node.address.to_string();
    let hung = Bytes::from_static(b"hang");
    let failure = client.call(&to, None, CallKind::Replicate, hung, Duration::from_millis(300)).await;
    assert!(matches!(failure, Err(CallFailure::Unreachable(_))));
    assert_eq!(recorder.calls().len(), 1);
    assert!(call(&client, node.address, CallKind::Replicate, "x").await.is_ok());
    // The one of the call that hangs, another for the next call, and the one that asks.
    assert!(node.get("/metrics").await.text().contains("kvs_connections_total 3\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_is_reached_again_and_one_that_stopped_is_not() {
    let lines = format!("cluster_secret: {SECRET}\n");
    let (node, _) = node_with(TempDir::new().unwrap(), &lines).await;
    let client = client(SECRET);
    let before = challenge(&node).await;
    call(&client, node.address, CallKind::Swim, "x").await.unwrap();
    let stopped_at = node.address;
    let (node, recorder) = node_with(node.stop().await, &lines).await;
    assert_eq!(call(&client, stopped_at, CallKind::Swim, "x").await.unwrap_err(), CallFailure::Refused);
    let to = node.address.to_string();
    let answer = client.call(&to, Some(before.node), CallKind::Swim, Bytes::new(), PATIENCE).await;
    assert!(answer.is_ok() && recorder.calls().len() == 1);
    assert_ne!(challenge(&node).await.nonce, before.nonce);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_meant_for_one_node_does_not_reach_another() {
    let (node, recorder) = node().await;
    let to = node.address.to_string();
    let other = Some(Uuid::from_u128(9));
    let failure = client(SECRET).call(&to, other, CallKind::Replicate, Bytes::new(), PATIENCE).await;
    assert!(matches!(&failure, Err(CallFailure::Unreachable(reason)) if reason.contains("another node")));
    assert!(recorder.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_and_an_old_one_are_denied() {
    let (node, recorder) = node().await;
    for secret in ["a stranger's secret", "correct horse batterz"] {
        for kind in CallKind::ALL {
            let failure = call(&client(secret), node.address, kind, "x").await.unwrap_err();
            let denied =
                matches!(&failure, CallFailure::Denied(reason) if reason.contains("another cluster secret"));
            assert!(denied, "{failure}");
        }
    }
    assert!(recorder.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_secret_changes_old_and_new_nodes_talk_both_ways() {
    let changing = "cluster_secret: the new secret\ncluster_secret_previous: the old secret\n";
    let (changed, _) = node_with(TempDir::new().unwrap(), changing).await;
    let (old, _) = node_with(TempDir::new().unwrap(), "cluster_secret: the old secret\n").await;
    let in_change = client_of(Keyring::new(keys("the new secret"), Some(keys("the old secret"))));
    for (client, to) in [
        (&client("the old secret"), changed.address),
        (&client("the new secret"), changed.address),
        (&in_change, changed.address),
        (&in_change, old.address),
    ] {
        assert!(call(client, to, CallKind::Swim, "x").await.is_ok());
    }
    let denied = call(&client("the new secret"), old.address, CallKind::Swim, "x").await.unwrap_err();
    assert!(matches!(denied, CallFailure::Denied(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_has_no_door_for_peers() {
    let node = TestNode::start().await;
    assert_eq!(node.post("/peer/v1/swim", "").await.refusal().0, 404);
    let failure = call(&client(SECRET), node.address, CallKind::Swim, "x").await.unwrap_err();
    assert!(matches!(&failure, CallFailure::Unreachable(reason) if reason.contains("404")), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_call_is_short() {
    let (node, _) = node().await;
    let challenge = challenge(&node).await.encode();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut heads, mut read) = (Vec::new(), Vec::new());
        while heads.len() < 2 {
            assert!(socket.read_buf(&mut read).await.unwrap() > 0);
            while let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                heads.push(read.drain(..end + 4).count());
                let refusal =
                    format!("HTTP/1.1 401 No\r\nX-KVS-Challenge: {challenge}\r\nContent-Length: 0\r\n\r\n");
                socket.write_all(refusal.as_bytes()).await.unwrap();
            }
        }
        heads
    });
    let failure = call(&client(SECRET), address, CallKind::Replicate, "").await.unwrap_err();
    assert!(matches!(failure, CallFailure::Denied(_)), "{failure}");
    let heads = heads.await.unwrap();
    assert!(heads[1] <= 250, "{heads:?}");
}
