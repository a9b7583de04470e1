//! Parts of a log that nodes pass on to each other.

use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::wire::relay::{Outcome, RelayReply, RelayRequest, Target};
use kvs_protocol::wire::replicate::ReplicateReply;
use uuid::Uuid;

use crate::peer_records::{ORIGIN, part, record};
use crate::peer_support::{CALLER, SECRET, challenge, client};
use crate::support::{PATIENCE, TestNode};

const MS: u64 = 1_700_000_000_000;

async fn node() -> (TestNode, Target) {
    let node = TestNode::start_with(&format!("cluster_secret: {SECRET}\nauth_enabled: false\n")).await;
    let target = Target { node: challenge(&node).await.node, address: node.address.to_string() };
    (node, target)
}

async fn relay(node: &TestNode, targets: Vec<Target>, part: Bytes) -> Result<RelayReply, CallFailure> {
    let request = RelayRequest { origin: CALLER, patience: Duration::from_secs(2), targets, part };
    let (to, body) = (node.address.to_string(), request.encode().into());
    let reply = client(SECRET).call(&to, None, CallKind::Relay, body, PATIENCE).await?;
    Ok(RelayReply::decode(&reply).unwrap())
}

/// How far a node says that it has the caller's writes.
fn reached(outcome: &Outcome) -> u64 {
    ReplicateReply::decode(outcome.as_ref().unwrap()).unwrap().vector.seq(&ORIGIN)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_reaches_every_node_and_each_answers_for_itself() {
    let [(first, _), (second, second_target), (third, third_target)] =
        [node().await, node().await, node().await];
    // So many that the first branch has two nodes: the third one is reached by way of the second.
    let nobody = |number| Target { node: Uuid::from_u128(number), address: "127.0.0.1:1".to_owned() };
    let targets: Vec<_> = [second_target, third_target].into_iter().chain((1..=15).map(nobody)).collect();
    let records = [("a", record(MS, 1, "1")), ("b", record(MS, 2, "2"))];
    let reply = relay(&first, targets.clone(), part(&records)).await.unwrap();
    assert_eq!(reached(&reply.own), 2);
    let outcome = |node| &reply.others.iter().find(|(told, _)| *told == node).unwrap().1;
    for (place, target) in targets.iter().enumerate() {
        match outcome(target.node) {
            answered @ Ok(_) => assert_eq!((place < 2, reached(answered)), (true, 2)),
            Err(_) => assert!(place >= 2, "{place}"),
        }
    }
    assert_eq!(reply.others.len(), targets.len());
    for node in [&first, &second, &third] {
        assert_eq!(node.get("/kv/a").await.json()["data"], 1);
        assert_eq!(node.get("/kv/b").await.json()["data"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_at_a_target_s_address_takes_nothing() {
    let [(first, _), (second, target)] = [node().await, node().await];
    let other = Target { node: Uuid::from_u128(1), ..target };
    let reply = relay(&first, vec![other], part(&[("a", record(MS, 1, "1"))])).await.unwrap();
    assert_eq!(reached(&reply.own), 1);
    assert!(reply.others[0].1.is_err());
    assert_eq!(second.get("/kv/a").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_go_round_is_refused_and_nothing_is_taken() {
    let (node, own) = node().await;
    let records = [("a", record(MS, 1, "1"))];
    let origin = Target { node: CALLER, address: "127.0.0.1:1".to_owned() };
    for (targets, part) in
        [(own, part(&records)), (origin, part(&records))].map(|(to, part)| (vec![to], part))
    {
        let refused = relay(&node, targets, part).await.unwrap_err();
        assert!(matches!(refused, CallFailure::Rejected(_)), "{refused}");
    }
    assert!(relay(&node, Vec::new(), Bytes::from_static(b"no part")).await.is_err());
    assert_eq!(node.get("/kv/a").await.status, 404);
}
