//! Health, metrics, backups.

use crate::support::{TestNode, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_node_says_so() {
    let node = TestNode::start().await;
    let health = node.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["mode"], &health["node_id"]),
        (&"ok".into(), &"normal".into(), &"tester".into())
    );
    assert_eq!((&health["member_count"], &health["version"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(health["joined_timestamp"].as_u64() > Some(1_600_000_000_000));
    assert_eq!(node.get("/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted() {
    let node = TestNode::start().await;
    node.put("/kv/a", "[1,2]").await;
    for _ in 0..20 {
        node.get("/kv/a").await;
    }
    node.get("/kv/none").await;
    node.get("/nowhere").await;
    node.put("/kv/b", "1").await;
    node.delete("/kv/b").await;
    let answer = node.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let sample = |name: &str| {
        let line =
            answer.text().lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        line.unwrap_or_else(|| panic!("{name} is missing:\n{}", answer.text()))
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(sample("kvs_http_requests_total{route=\"kv_put\",status=\"2xx\"}"), "2");
    assert_eq!(sample("kvs_http_requests_total{route=\"kv_get\",status=\"2xx\"}"), "20");
    assert_eq!(sample("kvs_http_requests_total{route=\"kv_get\",status=\"4xx\"}"), "1");
    assert_eq!(sample("kvs_http_requests_total{route=\"unrouted\",status=\"4xx\"}"), "1");
    assert_eq!(sample("kvs_http_request_duration_seconds_count{route=\"kv_put\"}"), "2");
    assert_eq!(
        (sample("kvs_keys"), sample("kvs_bytes"), sample("kvs_tombstones")),
        ("1".into(), "5".into(), "1".into())
    );
    assert_eq!((sample("kvs_cache_hits_total"), sample("kvs_cache_misses_total")), ("19".into(), "2".into()));
    assert_eq!(sample("kvs_commit_batch_transactions_count"), "3");
    assert_eq!(sample("kvs_connections_open"), "1");
    assert!(sample("kvs_uptime_seconds").parse::<f64>().unwrap() > 0.0);
    // Every family is announced once, before its samples.
    let mut families: Vec<_> =
        answer.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_on_request_listed_and_told() {
    let node = TestNode::start().await;
    node.put("/kv/a", "[1]").await;
    assert_eq!(node.get("/backup").await.text(), "[]");
    assert!(node.get("/health").await.json()["backup"]["last_success"].is_null());
    let made = node.request("POST", "/backup", "", "").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let backup = made.json();
    assert_eq!(
        (&backup["keys"], &backup["bytes"], &backup["node_id"]),
        (&1.into(), &3.into(), &"tester".into())
    );
    assert!(std::path::Path::new(backup["file"].as_str().unwrap()).is_file());
    assert_eq!(node.get("/backup").await.json()[0], backup);
    let health = node.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["backup"]["last_success"]),
        (&"ok".into(), &backup["created_at_ms"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_is_told_without_its_reason() {
    let node = TestNode::start_with("backup_path: ./config.yaml/backups\n").await;
    let dir = node.stop().await;
    std::fs::write(dir.path().join("config.yaml"), "x").unwrap();
    let node = TestNode::start_in(dir, "backup_path: ./config.yaml/backups\n").await;
    let failed = node.request("POST", "/backup", "", "").await;
    assert_eq!(failed.refusal(), refused(500, "backup_failed"));
    assert!(!failed.text().contains("config.yaml"));
    let health = node.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["reasons"]),
        (&"degraded".into(), &serde_json::json!(["backup_failed"]))
    );
    assert_eq!(node.get("/ready").await.status, 200);
}
