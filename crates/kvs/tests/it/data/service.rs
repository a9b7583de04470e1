//! What a node says about itself: health, readiness, metrics.

use std::collections::BTreeMap;

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

#[test]
fn health_tells_who_and_how_the_node_is() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("node_id", "node-alpha")]);
    let health = node.client().get("/health").expect(200).json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["mode"], "normal");
    assert_eq!(health["member_count"], 1);
    assert_eq!(health["node_id"], "node-alpha");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["joined_timestamp"].as_u64().is_some_and(|at| at > 1_577_836_800_000), "{health}");
    assert!(
        health.get("reasons").is_none_or(|reasons| reasons.as_array().is_some_and(Vec::is_empty)),
        "{health}"
    );
    node.client().get("/ready").expect(200);
}

#[test]
fn the_time_of_joining_never_changes() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let joined = |node: &Node| node.client().get("/health").expect(200).json()["joined_timestamp"].clone();
    let node = Node::start(&sandbox, &config);
    let first = joined(&node);
    node.kill();
    let node = Node::start(&sandbox, &config);
    assert_eq!(joined(&node), first);
}

/// The samples of a Prometheus text, by name with labels; every line must be well-formed.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "{name} comes twice");
    }
    samples
}

fn sum_of(samples: &BTreeMap<String, f64>, start: &str) -> f64 {
    samples.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_are_prometheus_text_and_count_what_happens() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let read = |client: &mut crate::support::client::Client| {
        let answer = client.get("/metrics").expect(200);
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{}", answer.shown());
        samples(answer.text())
    };
    let before = read(&mut client);
    for number in 0..7 {
        client.put(&format!("/kv/{number}"), "\"value\"").expect(201);
    }
    client.get("/kv/1").expect(200);
    client.get("/kv/none").expect(404);
    let after = read(&mut client);
    // What the design asks for: requests, latencies, sizes of commits, their time with the sync, keys, bytes, uptime.
    for part in ["request", "seconds_bucket", "batch", "commit_duration", "keys", "bytes", "uptime"] {
        assert!(after.keys().any(|name| name.contains(part)), "nothing about {part}: {:?}", after.keys());
    }
    let requests = |samples: &BTreeMap<String, f64>| sum_of(samples, "kvs_http_requests_total");
    assert!(requests(&after) - requests(&before) >= 9.0, "{} then {}", requests(&before), requests(&after));
    let keys: Vec<(&String, &f64)> = after.iter().filter(|(name, _)| *name == "kvs_keys").collect();
    assert_eq!(keys, [(&"kvs_keys".to_owned(), &7.0)]);
    client.delete("/kv/1").expect(204);
    assert_eq!(read(&mut client)["kvs_keys"].to_bits(), 6.0_f64.to_bits());
}
