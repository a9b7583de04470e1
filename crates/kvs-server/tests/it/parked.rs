//! Records that wait because they are stamped too far ahead, and those that nobody takes back.

use kvs_core::record::Record;
use kvs_protocol::call::CallKind;
use kvs_protocol::wire::replicate::ReplicateReply;
use uuid::Uuid;

use crate::peer_records::{ORIGIN, part, record};
use crate::peer_support::{CALLER, SECRET, client};
use crate::support::{PATIENCE, TestNode, eventually};

/// The year 9999, in milliseconds.
const FAR_MS: u64 = 253_402_300_799_000;

/// A part of the log of a node whose clock was ahead.
async fn send(node: &TestNode, records: &[(&str, Record)]) -> ReplicateReply {
    let to = node.address.to_string();
    let body = part(records);
    let reply = client(SECRET).call(&to, None, CallKind::Replicate, body, PATIENCE).await.unwrap();
    ReplicateReply::decode(&reply).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_node_stamped_ahead_is_listed_and_discarded_and_stays_in_the_history() {
    let node = TestNode::start_with(&format!("cluster_secret: {SECRET}\nauth_enabled: false\n")).await;
    node.put("/kv/a", "\"good\"").await;
    let reply = send(&node, &[("a", record(FAR_MS, 3, "\"far\"")), ("b", record(FAR_MS, 4, "1"))]).await;
    // What waits is not held: nobody may be told that it is here.
    assert_eq!(reply.vector.seq(&ORIGIN), 0);
    assert_eq!(node.get("/kv/a").await.json()["data"], "good");
    let shown = node.get("/cluster/parked").await.json();
    assert_eq!((&shown["count"], shown["records"].as_array().unwrap().len()), (&2.into(), 2));
    assert_eq!(shown["origins"][0]["node"], CALLER.to_string());
    assert_eq!(
        (&shown["origins"][0]["alive"], &shown["origins"][0]["latest"]),
        (&false.into(), &FAR_MS.into())
    );
    let first = node.get("/cluster/parked?limit=1").await.json();
    assert_eq!(first["records"].as_array().unwrap().len(), 1);
    let rest = format!("/cluster/parked?limit=1&after={}", first["next"].as_str().unwrap());
    assert_ne!(node.get(&rest).await.json()["records"], first["records"]);
    for bad in ["?limit=0", "?limit=1001", "?after=zz", "?other=1"] {
        assert_eq!(node.get(&format!("/cluster/parked{bad}")).await.status, 400, "{bad}");
    }

    // Nothing of a node that is there, or of which nothing is parked, can be discarded.
    for (of, status) in [("not-a-uuid".to_owned(), 400), (Uuid::from_u128(1).to_string(), 404)] {
        let order = format!("{{\"node\":\"{of}\"}}");
        assert_eq!(node.post("/cluster/parked/discard", &order).await.status, status, "{of}");
    }
    let order = format!("{{\"node\":\"{CALLER}\"}}");
    let answer = node.post("/cluster/parked/discard", &order).await;
    assert_eq!((answer.status, answer.json()["epochs"].clone()), (200, 1.into()));
    eventually("nothing is parked", async || node.get("/cluster/parked").await.json()["count"] == 0).await;
    assert_eq!(node.get("/kv/a").await.json()["data"], "good");
    assert_eq!(node.get("/kv/b").await.status, 404);
    for path in ["a", "b"] {
        let history = node.get(&format!("/history/{path}")).await.json();
        let rules: Vec<_> = history.as_array().unwrap().iter().map(|it| it["rule"].clone()).collect();
        assert!(rules.contains(&"recalled".into()), "{path}: {history}");
    }
    // It can be brought back by hand.
    let uuid = Uuid::from_u128(4);
    assert_eq!(node.post(&format!("/history/b/{uuid}/restore"), "").await.status, 201);
    assert_eq!(node.get("/kv/b").await.json()["data"], 1);
    // And whatever comes of it later is void at once.
    let late = send(&node, &[("c", record(FAR_MS, 5, "2"))]).await;
    assert_eq!(late.vector.seq(&ORIGIN), 0);
    assert_eq!(
        (node.get("/kv/c").await.status, node.get("/cluster/parked").await.json()["count"].clone()),
        (404, 0.into())
    );
}
