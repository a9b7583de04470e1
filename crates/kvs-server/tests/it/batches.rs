//! `_batch`: all or nothing.

use serde_json::json;

use crate::support::{TestNode, refused};

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_carried_out_in_their_order() {
    let node = TestNode::start().await;
    node.put("/kv/old", "1").await;
    let answer = node
        .post(
            "/kv/_batch",
            "{\"ops\":[{\"op\":\"put\",\"path\":\"new\",\"data\": { \"x\":1.0 } },\
             {\"op\":\"put\",\"path\":\"old\",\"data\":null,\"ttl\":\"1h\"},\
             {\"op\":\"delete\",\"path\":\"new\"},\
             {\"op\":\"put\",\"path\":\"new\",\"data\":{\"data\":1,\"ttl\":2},\"if_none_match\":\"*\"},\
             {\"op\":\"delete\",\"path\":\"never\"}]}",
        )
        .await;
    assert_eq!(answer.status, 200);
    let results = answer.json()["results"].clone();
    let statuses: Vec<_> =
        results.as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [201, 200, 204, 201, 404].map(|status| json!(status)));
    assert!(results[1]["expires_at"].as_u64() > results[1]["timestamp"].as_u64());
    // An envelope is not opened within a batch: the operation has a ttl of its own.
    assert!(node.get("/kv/new").await.text().ends_with("\"data\":{\"data\":1,\"ttl\":2}}"));
    assert_eq!(node.get("/kv/old").await.uuid(), results[1]["uuid"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_condition_fails_all_and_is_named() {
    let node = TestNode::start().await;
    let version = node.put("/kv/a", "1").await.uuid();
    let ops = |condition: &str| {
        format!(
            "{{\"ops\":[{{\"op\":\"put\",\"path\":\"b\",\"data\":1}},\
             {{\"op\":\"put\",\"path\":\"a\",\"data\":2,\"if_match\":\"{condition}\"}},\
             {{\"op\":\"delete\",\"path\":\"c\"}}]}}"
        )
    };
    let failed = node.post("/kv/_batch", &ops("11111111-1111-4111-8111-111111111111")).await;
    assert_eq!(failed.refusal(), refused(412, "precondition_failed"));
    assert_eq!(failed.json()["index"], 1);
    assert_eq!((node.get("/kv/b").await.status, node.get("/kv/a").await.uuid()), (404, version.clone()));
    assert_eq!(node.post("/kv/_batch", &ops(&version)).await.status, 200);
    assert_eq!(
        (node.get("/kv/b").await.status, node.get("/kv/a").await.json()["data"].clone()),
        (200, json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_not_well_formed_fails_all_and_is_named() {
    let node = TestNode::start_with("max_json_size: 1000\n").await;
    let large = format!("{{\"op\":\"put\",\"path\":\"a\",\"data\":\"{}\"}}", "x".repeat(1000));
    let deep = format!("{{\"op\":\"put\",\"path\":\"a\",\"data\":{}{}}}", "[".repeat(129), "]".repeat(129));
    for (operation, status, code) in [
        ("{\"op\":\"put\",\"path\":\"a//b\",\"data\":1}", 400, "bad_path"),
        ("{\"op\":\"put\",\"path\":\"_a\",\"data\":1}", 400, "bad_path"),
        ("{\"op\":\"put\",\"path\":\"a\"}", 400, "bad_json"),
        ("{\"op\":\"get\",\"path\":\"a\"}", 400, "bad_json"),
        ("{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"tttl\":1}", 400, "bad_json"),
        ("{\"op\":\"put\",\"path\":\"a\",\"data\":1e999}", 400, "bad_json"),
        ("{\"op\":\"put\",\"path\":\"a\",\"data\":\"\\ud800\"}", 400, "bad_json"),
        ("{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"ttl\":\"x\"}", 400, "bad_ttl"),
        ("{\"op\":\"delete\",\"path\":\"a\",\"data\":1}", 400, "bad_json"),
        ("{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"if_match\":\"v1\"}", 400, "bad_condition"),
        ("7", 400, "bad_json"),
        (&large, 413, "too_large"),
        (&deep, 400, "bad_json"),
    ] {
        let body = format!("{{\"ops\":[{{\"op\":\"put\",\"path\":\"first\",\"data\":1}},{operation}]}}");
        let answer = node.post("/kv/_batch", &body).await;
        assert_eq!(answer.refusal(), refused(status, code), "{operation}");
        assert_eq!(answer.json()["index"], 1, "{operation}");
    }
    assert_eq!(node.get("/kv/first").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_bounded() {
    let node = TestNode::start().await;
    let ops = |count: usize| {
        let op = "{\"op\":\"put\",\"path\":\"a\",\"data\":1}";
        format!("{{\"ops\":[{}]}}", vec![op; count].join(","))
    };
    assert_eq!(node.post("/kv/_batch", &ops(1000)).await.status, 200);
    assert_eq!(node.post("/kv/_batch", &ops(1001)).await.refusal(), refused(400, "bad_json"));
    assert_eq!(node.post("/kv/_batch", &ops(0)).await.text(), "{\"results\":[]}");
    let mut client = node.connect().await;
    let head = "POST /kv/_batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    client.send(format!("{head}Content-Length: 16777217\r\n\r\n")).await;
    assert_eq!(client.answer().await.refusal(), refused(413, "too_large"));
}
