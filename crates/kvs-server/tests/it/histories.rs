//! `/history`: versions, one of them, restoration.

use serde_json::json;

use crate::support::{TestNode, refused};

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_newest_first() {
    let node = TestNode::start().await;
    let first = node.put("/kv/a", "{\"v\":1}").await.uuid();
    let second = node.put("/kv/a", "22").await.uuid();
    node.delete("/kv/a").await;
    let versions = node.get("/history/a").await.json();
    let ops: Vec<_> = versions.as_array().unwrap().iter().map(|version| version["op"].clone()).collect();
    assert_eq!(ops, ["delete", "put", "put"].map(|op| json!(op)));
    assert_eq!((&versions[1]["uuid"], &versions[2]["uuid"]), (&json!(second), &json!(first)));
    assert_eq!((&versions[1]["size"], &versions[2]["size"]), (&json!(2), &json!(7)));
    assert!(versions[0].get("superseded_by").is_none());
    assert_eq!(versions[1]["superseded_by"], versions[0]["uuid"]);
    assert_eq!((&versions[2]["superseded_by"], &versions[2]["rule"]), (&json!(second), &json!("newer")));
    assert!(versions[2]["origin"].is_string());
    assert_eq!(node.get("/history/never").await.refusal(), refused(404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_version_has_its_data_and_can_be_restored() {
    let node = TestNode::start().await;
    let first = node.put("/kv/a/b", "{\"v\": 1}").await.uuid();
    node.put("/kv/a/b", "2").await;
    let version = node.get(&format!("/history/a/b/{first}")).await;
    assert!(version.text().ends_with(",\"data\":{\"v\": 1}}"), "{}", version.text());
    let restored = node.request("POST", &format!("/history/a/b/{first}/restore"), "", "").await;
    assert_eq!(restored.status, 200);
    assert!(restored.uuid() != first);
    let got = node.get("/kv/a/b").await;
    assert!(got.text().ends_with(",\"data\":{\"v\": 1}}") && got.uuid() == restored.uuid());
    assert_eq!(node.get("/history/a/b").await.json().as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_refused() {
    let node = TestNode::start().await;
    let version = node.put("/kv/a", "1").await.uuid();
    node.delete("/kv/a").await;
    let tombstone = node.get("/history/a").await.json()[0]["uuid"].as_str().unwrap().to_owned();
    let restore = async |path: &str, headers: &str| {
        node.request("POST", &format!("/history/{path}/restore"), headers, "").await
    };
    assert_eq!(restore(&format!("a/{tombstone}"), "").await.refusal(), refused(409, "no_value"));
    let unknown = "a/11111111-1111-4111-8111-111111111111";
    assert_eq!(restore(unknown, "").await.refusal(), refused(404, "not_found"));
    let stale = format!("If-Match: \"{version}\"\r\n");
    assert_eq!(restore(&format!("a/{version}"), &stale).await.refusal(), refused(412, "precondition_failed"));
    assert_eq!(restore(&format!("a/{version}"), "").await.status, 201);
    assert_eq!(restore("a/xyz", "").await.refusal(), refused(405, "method_not_allowed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_ends_in_a_uuid_has_a_history_too() {
    let node = TestNode::start().await;
    let user = "users/550e8400-e29b-41d4-a716-446655440000";
    let version = node.put(&format!("/kv/{user}"), "1").await.uuid();
    let versions = node.get(&format!("/history/{user}")).await.json();
    assert_eq!(versions[0]["uuid"], json!(version));
    assert_eq!(node.get(&format!("/history/{user}/{version}")).await.json()["data"], 1);
}

/// What expired and what it was carry one uuid; who asks for it wants what it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_value_can_be_read_and_restored_from_the_history_that_lists_it() {
    let node = TestNode::start().await;
    let version = node.put("/kv/a/b?ttl=1s", "{\"v\": 1}").await.uuid();
    let history = async || node.get("/history/a/b").await.json();
    let begun = std::time::Instant::now();
    while history().await[0]["op"] != "expire" {
        assert!(begun.elapsed() < crate::support::PATIENCE, "it never expired");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(node.get("/kv/a/b").await.status, 404);
    let versions = history().await;
    assert_eq!((&versions[0]["uuid"], &versions[1]["uuid"]), (&json!(version), &json!(version)));
    let read = node.get(&format!("/history/a/b/{version}")).await;
    assert!(read.text().ends_with(",\"data\":{\"v\": 1}}"), "{}", read.text());
    assert_eq!(read.json()["op"], "put");
    let restored = node.request("POST", &format!("/history/a/b/{version}/restore"), "", "").await;
    assert_eq!(restored.status, 201, "{}", restored.text());
    assert!(node.get("/kv/a/b").await.text().contains("{\"v\": 1}"));
}
