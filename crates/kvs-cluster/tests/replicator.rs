//! Replicators among each other: what becomes of writes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::{Event, Needed};
use kvs_cluster::settings::Begins;
use kvs_core::namespace::Namespace;
use kvs_core::record::Kind;
use kvs_protocol::call::CallKind;
use kvs_protocol::mode::Mode;
use kvs_store::clock::Clock;
use kvs_store::commit::write::{Change, Outcome, Write};
use uuid::Uuid;

use crate::support::{GRACE_MS, World, path, write};

#[test]
fn a_write_is_on_every_node_without_any_time_passing() {
    let mut world = World::of(3);
    world.put(1, "a", "1");
    world.settle();
    world.all_have("a", Some("1"));
    world.put(2, "a", "2");
    world.commit(0, write("b", Change::Delete));
    world.settle();
    world.all_have("a", Some("2"));
    world.assert_equal_roots();
    assert_eq!(world.nodes[0].store.vector(), world.nodes[2].store.vector());
}

#[test]
fn a_node_that_has_not_met_its_cluster_collects_nothing() {
    let mut world = World::new();
    world.add(Begins::First);
    world.put(0, "a", "1");
    world.commit(0, write("a", Change::Delete));
    // As one that was restored from a backup, and waits for its seeds.
    world.start(0, Begins::Joining);
    world.nodes[0].inbox.clear();
    world.run(Duration::from_millis(3 * GRACE_MS));
    let left = |world: &World| world.nodes[0].store.read(Namespace::Data, &path("a")).unwrap();
    assert_eq!(left(&world).map(|record| record.kind), Some(Kind::Tombstone));
    world.add(Begins::Joining);
    world.tell_members();
    world.run(Duration::from_millis(GRACE_MS));
    assert_eq!(left(&world), None, "both have it, and it is old enough");
}

#[test]
fn a_disk_that_is_stuck_holds_up_no_shipping() {
    let mut world = World::of(3);
    world.nodes[0].stuck = Some(Vec::new());
    // A full session is due, and which own writes the others have is to be noted.
    world.put(0, "a", "1");
    world.run(Duration::from_secs(310));
    assert_eq!(world.nodes[0].stuck.as_ref().map(Vec::len), Some(2), "one of each sort");
    world.put(0, "a", "2");
    world.put(1, "b", "2");
    world.settle();
    world.all_have("a", Some("2"));
    world.all_have("b", Some("2"));
    let held = world.nodes[0].replicator.report().sessions.held;
    let now = world.now();
    let node = &mut world.nodes[0];
    for work in node.stuck.take().unwrap() {
        node.inbox.push(Event::Worked(work.perform(&node.store, now)));
    }
    world.run(Duration::from_secs(1));
    assert!(world.nodes[0].replicator.report().sessions.held > held, "the session goes on");
}

#[test]
fn a_peer_that_takes_no_log_is_tried_less_and_less_often_though_it_answers_otherwise() {
    let mut world = World::of(2);
    world.cut = Some(CallKind::Replicate);
    world.put(0, "a", "1");
    world.nodes[0].calls.clear();
    world.run(Duration::from_secs(20));
    let tried = world.nodes[0].calls.iter().filter(|kind| **kind == CallKind::Replicate).count();
    assert!((10..=18).contains(&tried), "tried {tried} times in 20 s");
    world.cut = None;
    world.run(Duration::from_secs(3));
    world.all_have("a", Some("1"));
}

#[test]
fn a_node_that_was_away_catches_up_from_the_logs_alone() {
    let mut world = World::of(3);
    world.stop(2);
    for number in 0..3000 {
        world.put(number % 2, &format!("k{number}"), "1");
    }
    world.settle();
    world.commit(0, write("k7", Change::Delete));
    world.run(Duration::from_millis(100));
    world.start(2, Begins::Joining);
    world.cut = Some(CallKind::Sync);
    world.run(Duration::from_secs(1));
    world.all_have("k2999", Some("1"));
    world.all_have("k7", None);
    world.assert_equal_roots();
    assert!(!world.nodes.iter().any(|node| node.calls.contains(&CallKind::Page) && node.calls.len() > 60));
}

#[test]
fn what_replaced_an_unsent_write_is_sent_in_its_place() {
    let mut world = World::of(3);
    // Node 2 hears nothing of either; node 0 has its own write replaced by node 1's before it can send it on.
    world.stop(2);
    world.put(0, "a", "0");
    world.settle();
    world.put(1, "a", "1");
    world.settle();
    world.stop(1);
    world.start(2, Begins::Joining);
    world.cut = Some(CallKind::Sync);
    world.run(Duration::from_secs(1));
    assert_eq!(world.value(2, "a").as_deref(), Some("1"), "node 0 sends what replaced its write");
}

#[test]
fn writers_are_told_on_how_many_nodes_their_write_is() {
    let mut world = World::of(3);
    let Outcome::Created(written) = world.put(0, "a", "1") else { unreachable!() };
    world.nodes[0].inbox.push(Event::Await { ticket: 5, dot: written.dot, needed: Needed::All });
    world.settle();
    assert_eq!(world.nodes[0].replicated, [(5, 2)]);
    world.stop(2);
    world.settle();
    let Outcome::Replaced(written) = world.put(0, "a", "2") else { unreachable!() };
    for (ticket, needed) in [(6, Needed::All), (7, Needed::Majority)] {
        world.nodes[0].inbox.push(Event::Await { ticket, dot: written.dot, needed });
    }
    world.settle();
    assert_eq!(world.nodes[0].replicated, [(5, 2), (7, 1)]);
    world.nodes[0].inbox.push(Event::GiveUp { ticket: 6 });
    world.settle();
    assert_eq!(world.nodes[0].replicated, [(5, 2), (7, 1), (6, 1)]);
}

#[test]
fn a_new_node_fetches_everything_and_then_follows() {
    let mut world = World::of(2);
    for number in 0..9000 {
        world.put(number % 2, &format!("k{number}"), "1");
    }
    world.settle();
    world.commit(0, write("k5", Change::Delete));
    world.settle();
    let new = world.add(Begins::Joining);
    world.tell_members();
    world.run(Duration::from_secs(2));
    world.all_have("k8999", Some("1"));
    world.all_have("k5", None);
    world.assert_equal_roots();
    assert_eq!(world.nodes[new].modes, (Mode::Normal, Mode::Normal));
    assert!(world.nodes[new].calls.contains(&CallKind::Page));
    assert_eq!(world.nodes[new].store.vector(), world.nodes[0].store.vector());
    world.put(0, "after", "1");
    world.settle();
    assert_eq!(world.value(new, "after").as_deref(), Some("1"));
}

#[test]
fn a_new_node_knows_who_may_read_before_it_holds_what_is_read() {
    let mut world = World::of(1);
    // Set long ago, as metadata mostly is, and then the values.
    for (namespace, key) in
        [(Namespace::Meta, "k"), (Namespace::Auth, "revoked/x"), (Namespace::Cluster, "c")]
    {
        let content = world.nodes[0].store.prepare(Bytes::from_static(b"{}"));
        let put = Change::Put { content, lifetime: None };
        world.commit(0, Write { namespace, ..write(key, put) });
    }
    world.run(Duration::from_secs(2));
    world.clock.0.fetch_add(2 * 3600 * 1000, Ordering::SeqCst);
    for number in 0..9000 {
        world.put(0, &format!("k/{number}"), "1");
    }
    world.settle();
    let new = world.add(Begins::Joining);
    world.tell_members();
    let mut was_seen_under_way = false;
    for _ in 0..300 {
        world.run(Duration::from_millis(10));
        let node = &world.nodes[new];
        let holds = |namespace, key| node.store.read(namespace, &path(key)).unwrap().is_some();
        let fetched = node.store.keys();
        was_seen_under_way |= (4..9003).contains(&fetched);
        if holds(Namespace::Data, "k/0") {
            assert!(holds(Namespace::Meta, "k") && holds(Namespace::Auth, "revoked/x"), "{fetched} fetched");
        }
    }
    assert!(was_seen_under_way, "the values came all at once: the test shows nothing");
    assert_eq!(world.nodes[new].store.keys(), 9003);
    world.assert_equal_roots();
}

#[test]
fn a_bootstrap_goes_on_after_a_restart_and_with_another_source() {
    let mut world = World::of(2);
    for number in 0..40_000 {
        world.put(number % 2, &format!("k{number:05}"), "1");
    }
    world.settle();
    let new = world.add(Begins::Joining);
    world.tell_members();
    world.run(Duration::from_millis(200));
    assert_eq!(world.nodes[new].modes.0, Mode::Syncing);
    let fetched = world.nodes[new].store.keys();
    assert!((1..40_000).contains(&fetched), "{fetched}");
    // The source is gone, and the node itself was restarted.
    world.stop(0);
    world.start(new, Begins::Joining);
    world.nodes[new].calls.clear();
    world.run(Duration::from_secs(3));
    assert_eq!(world.nodes[new].store.keys(), 40_000);
    let pages = world.nodes[new].calls.iter().filter(|kind| **kind == CallKind::Page).count();
    assert!(pages <= 30, "{pages} pages: it began again from the start");
    assert_eq!(world.nodes[new].modes.0, Mode::Normal);
    world.start(0, Begins::First);
    world.run(Duration::from_secs(3));
    world.assert_equal_roots();
}

#[test]
fn what_no_log_brings_is_found_by_a_session() {
    let mut world = World::of(2);
    for number in 0..500 {
        world.put(number % 2, &format!("k{number}"), "1");
    }
    world.settle();
    // A version that comes from a node which nobody knows any more, and that only node 0 has.
    let mut record = world.nodes[1].store.read(Namespace::Data, &path("k3")).unwrap().unwrap();
    record.version.stamp.ms += 1;
    record.dot.origin.node = Uuid::from_u128(99);
    record.dot.seq = 7;
    world.commit(0, write("k3", Change::Merge(Box::new(record.clone()))));
    record.version.uuid = Uuid::from_u128(5);
    record.dot.seq = 8;
    world.commit(0, write("lost", Change::Merge(Box::new(record))));
    world.run(Duration::from_secs(8));
    assert!(world.value(1, "lost").is_some(), "the session brings it");
    world.assert_equal_roots();
    let report = world.nodes[1].replicator.report();
    assert_eq!(report.peers[0].equal, Some(true));
}

#[test]
fn full_sessions_are_held_with_every_peer_by_turns() {
    let mut world = World::of(5);
    world.nodes[0].asked.clear();
    for round in 1..=3 {
        world.run(Duration::from_secs(4 * 300));
        let mut asked = std::mem::take(&mut world.nodes[0].asked);
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 4, "in round {round} somebody was left out");
    }
}

#[test]
fn a_tombstone_is_collected_once_every_member_has_it_and_nothing_comes_back() {
    let mut world = World::of(3);
    world.put(0, "a", "1");
    world.settle();
    world.stop(2);
    world.commit(0, write("a", Change::Delete));
    world.settle();
    world.run(Duration::from_millis(GRACE_MS + 60_000));
    assert_eq!(world.nodes[0].store.tombstones(), 1, "node 2 does not have it");
    let blockers = world.nodes[0].replicator.tombstones().unwrap().blocked_by;
    assert_eq!(blockers.iter().map(|it| it.node_id.as_str()).collect::<Vec<_>>(), ["node2"]);
    world.start(2, Begins::Joining);
    world.run(Duration::from_secs(60));
    world.all_have("a", None);
    assert!(world.nodes.iter().all(|node| node.store.tombstones() == 0), "everybody has it now");
}

#[test]
fn a_record_from_far_ahead_is_parked_and_an_ordinary_write_wins() {
    let mut world = World::of(2);
    world.put(0, "a", "1");
    world.settle();
    let mut record = world.nodes[0].store.read(Namespace::Data, &path("a")).unwrap().unwrap();
    record.dot.origin.node = Uuid::from_u128(99);
    for (seq, ms) in [(1, 253_402_300_799_000), (2, u64::MAX), (3, u64::MAX - 5)] {
        (record.dot.seq, record.version.stamp.ms) = (seq, ms);
        assert_eq!(world.commit(1, write("a", Change::Merge(Box::new(record.clone())))), Outcome::Parked);
    }
    assert_eq!(world.nodes[1].store.standing().parked, 3);
    world.put(1, "a", "2");
    world.run(Duration::from_secs(5));
    world.all_have("a", Some("2"));
    assert_eq!(world.nodes[0].replicator.report().peers[0].parked, 3);
    // One that is a little ahead comes in when its time has come.
    (record.dot.seq, record.version.stamp.ms) = (4, world.clock.now_ms() + 90_000);
    let offered = Change::Merge(Box::new(record.clone()));
    assert_eq!(world.commit(1, write("b", offered)), Outcome::Parked);
    let claim = [(record.dot.origin, 4)].into_iter().collect();
    let marks = vec![kvs_store::commit::mark::Mark::Raise(claim)];
    let raised = kvs_store::commit::write::Transaction { writes: Vec::new(), marks };
    world.nodes[1].store.commit(raised).unwrap();
    world.run(Duration::from_secs(29));
    // In range now, and not admitted yet: whoever has it too must not be told that it was deleted.
    world.clock.0.fetch_add(1_990, Ordering::SeqCst);
    let outcome = world.commit(1, write("b", Change::Merge(Box::new(record))));
    assert!(matches!(outcome, Outcome::Taken | Outcome::NotNewer), "{outcome:?}");
    world.run(Duration::from_secs(10));
    assert!(world.value(1, "b").is_some());
    assert_eq!(world.nodes[1].store.standing().parked, 3);
}

#[test]
fn a_node_that_forgot_its_last_writes_begins_a_new_epoch() {
    let mut world = World::of(2);
    world.put(0, "a", "1");
    world.settle();
    let epoch = world.nodes[0].store.identity().origin.epoch;
    // Node 1 has a write of node 0 that node 0 does not know: as after a disk went back to an earlier state.
    let mut record = world.nodes[0].store.read(Namespace::Data, &path("a")).unwrap().unwrap();
    record.dot.seq += 5;
    record.version.stamp.ms += 1;
    world.commit(1, write("a", Change::Merge(Box::new(record.clone()))));
    let claim = [(record.dot.origin, record.dot.seq)].into_iter().collect();
    let marks = vec![kvs_store::commit::mark::Mark::Raise(claim)];
    let raised = kvs_store::commit::write::Transaction { writes: Vec::new(), marks };
    world.nodes[1].store.commit(raised).unwrap();
    world.run(Duration::from_secs(3));
    assert!(world.nodes[0].store.identity().origin.epoch > epoch);
    let Outcome::Created(written) = world.put(0, "b", "1") else { unreachable!() };
    assert!(written.dot.origin.epoch > epoch);
    world.run(Duration::from_secs(8));
    world.all_have("b", Some("1"));
    world.assert_equal_roots();
}
