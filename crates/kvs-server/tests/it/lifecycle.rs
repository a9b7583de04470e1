//! Start, stop, and clients that are slow on purpose.

use kvs_server::error::ServerError;
use kvs_server::node::run;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{JSON, PATIENCE, TestNode, config, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_restart() {
    let node = TestNode::start().await;
    let version = node.put("/kv/a", "[1]").await.uuid();
    let node = TestNode::start_in(node.stop().await, "").await;
    assert_eq!(node.get("/kv/a").await.uuid(), version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_requests_in_flight_and_ends_idle_connections() {
    let node = TestNode::start().await;
    let mut idle = node.connect().await;
    idle.request("GET", "/health", "", "").await;
    let mut silent = node.connect().await;
    let mut busy = node.connect().await;
    busy.send(format!("PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 3\r\n\r\n[")).await;
    // The head has arrived once the connection is counted as open with the others.
    eventually("three connections are open", async || {
        node.get("/metrics").await.text().contains("kvs_connections_open 4")
    })
    .await;
    let (running, dir) = node.begin_stop();
    assert!(idle.is_closed().await);
    assert!(silent.is_closed().await);
    busy.send("1]").await;
    let put = busy.answer().await;
    assert_eq!((put.status, put.header("connection")), (201, Some("close")));
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    let node = TestNode::start_in(dir, "").await;
    assert_eq!(node.get("/kv/a").await.uuid(), put.uuid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_data_is_refused() {
    let node = TestNode::start().await;
    let dir = TempDir::new().unwrap();
    // The folder is the lock holder's; the second configuration points to it.
    let version = node.put("/kv/a", "1").await.uuid();
    let held = node.stop().await;
    let lines = format!("data_dir: {}\n", held.path().join("data").display());
    let node = TestNode::start_in(held, "").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = run(&config(&dir, &lines), listener, std::future::pending(), |_| {}).await;
    assert!(matches!(refused, Err(ServerError::OpenStore(_))), "{refused:?}");
    assert_eq!(node.get("/kv/a").await.uuid(), version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_schedule_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = kvs_config::config::parse(
        "backup_schedule: \"every day\"\n",
        dir.path().join("config.yaml"),
        &|_| None,
        "host",
    )
    .unwrap();
    let refused = run(&config, listener, std::future::pending(), |_| {}).await;
    assert!(matches!(refused, Err(ServerError::Schedule { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_are_cut_off_while_others_are_served() {
    let node = TestNode::start().await;
    node.put("/kv/a", "1").await;
    let mut silent = node.connect().await;
    let mut slow = node.connect().await;
    slow.send("GET /kv/a HT").await;
    let mut good = node.connect().await;
    // Idle crowds cost nobody anything.
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(node.connect().await);
    }
    let dripping = tokio::spawn(async move {
        for byte in ["T", "P", "/", "1", ".", "1"] {
            slow.send(byte).await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        slow.is_closed().await
    });
    let waiting = tokio::spawn(async move { silent.is_closed().await });
    while !dripping.is_finished() || !waiting.is_finished() {
        assert_eq!(good.request("GET", "/kv/a", "", "").await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(dripping.await.unwrap());
    assert!(waiting.await.unwrap());
    eventually("the timed out connections are counted", async || {
        node.get("/metrics").await.text().contains("kvs_connections_timed_out_total 302")
    })
    .await;
}
