//! Markers in the store: they last, what they cover counts as received, and nothing else does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use kvs_core::log_position::LogPosition;
use kvs_core::origin::{Dot, Origin, born_s, epoch_at};
use kvs_core::record::Record;
use kvs_core::vector::{EVERYTHING, Vector};
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::{Outcome, Transaction};
use kvs_store::read::log::LogPass;
use kvs_store::store::Store;
use uuid::Uuid;

use support::{GRACE_MS, START_MS, delete, fresh, merge, open, path, put, settings, value};

const PEER: Uuid = Uuid::from_u128(9);
const HOUR_MS: u64 = 3_600_000;

fn mark(store: &Store, mark: Mark) {
    store.commit(Transaction { writes: Vec::new(), marks: vec![mark] }).unwrap();
}

/// The second of the start of these tests, and so many after it.
fn second(after: u64) -> u64 {
    START_MS / 1000 + after
}

fn of_peer(born: u64) -> Origin {
    Origin { node: PEER, epoch: epoch_at(u32::try_from(born).unwrap(), 5) }
}

/// A record as another one, of this origin.
fn record_of(store: &Store, origin: Origin, seq: u64, ms: u64) -> Record {
    store.commit(vec![put("template", "1")]).unwrap();
    let mut record = store.read(kvs_core::namespace::Namespace::Data, &path("template")).unwrap().unwrap();
    record.dot = Dot { origin, seq };
    record.version.stamp.ms = ms;
    record.version.uuid = Uuid::from_u128(ms.into());
    record
}

#[test]
fn folded_epochs_are_gone_after_a_start_and_the_marker_is_not() {
    let (device, clock, mut store) = fresh(settings());
    let first = store.identity().origin;
    for start in 2..12 {
        store.commit(vec![put(&format!("k{start}"), "1")]).unwrap();
        store.close();
        clock.advance_wall(10_000);
        store = open(&device, &clock, settings(), start).unwrap();
    }
    assert_eq!((store.vector().len(), store.standing().epochs.len()), (10, 11));
    let own = store.identity().origin;
    let at = store.standing().resume(Some(LogPosition { epoch: first.epoch, local_seq: 3 }));
    assert_eq!(at, 1, "the second epoch began behind the first write");
    // Up to the last but one that gave numbers out.
    let marker_s = born_s(own.epoch) - 10;
    mark(&store, Mark::Fold(marker_s));
    let check = |store: &Store| {
        let vector = store.vector();
        assert_eq!((vector.marker(own.node), vector.len()), (marker_s, 1));
        assert_eq!(vector.seq(&first), EVERYTHING);
        assert_eq!(vector.seq(&Origin { epoch: epoch_at(u32::try_from(marker_s).unwrap(), 77), ..own }), 0);
        // Whoever last read in an epoch that is gone reads from the beginning.
        assert_eq!(store.standing().resume(Some(LogPosition { epoch: first.epoch, local_seq: 3 })), 0);
        assert_eq!(value(store, "k2").as_deref(), Some("1"));
    };
    check(&store);
    assert_eq!(store.standing().epochs.len(), 2);
    // Never back, and never past the current epoch.
    mark(&store, Mark::Fold(marker_s - 5));
    mark(&store, Mark::Fold(born_s(own.epoch) + 1));
    check(&store);
    store.close();
    // However far the clock is behind.
    clock.set_wall(1_000_000);
    let store = open(&device, &clock, settings(), 99).unwrap();
    check(&store);
    assert!(born_s(store.identity().origin.epoch) > marker_s);
}

#[test]
fn a_log_claims_what_it_holds_and_no_marker() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "1")]).unwrap();
    store.close();
    clock.advance_wall(10_000);
    let store = open(&device, &clock, settings(), 2).unwrap();
    let own = store.identity().origin;
    let mut session = Vector::default();
    // A life that this directory knows nothing of.
    let lost = Origin { epoch: own.epoch - 1, ..own };
    session.raise(lost, 7);
    mark(&store, Mark::Raise(session));
    store.commit(vec![put("b", "1")]).unwrap();
    mark(&store, Mark::Fold(born_s(own.epoch)));
    assert_eq!(store.vector().seq(&lost), 7, "it began in the same second, so it stays");
    let pass = LogPass::begin(store.view().unwrap()).unwrap();
    assert_eq!(pass.claim().iter().collect::<Vec<_>>(), [(&own, 1)]);
    assert_eq!(pass.claim().markers().count(), 0);
    // And nobody believes one that came so.
    let mut claim = Vector::default();
    claim.fold(PEER, second(50));
    claim.raise(of_peer(second(60)), 3);
    let to = LogPosition { epoch: of_peer(second(60)).epoch, local_seq: 3 };
    mark(
        &store,
        Mark::Advance { peer: PEER, from: None, start_local_seq: 0, to, left_out: Vector::default(), claim },
    );
    assert_eq!((store.vector().marker(PEER), store.vector().seq(&of_peer(second(60)))), (0, 3));
}

#[test]
fn an_old_value_of_a_folded_epoch_is_dropped_and_one_that_nobody_heard_of_is_merged() {
    let (device, clock, store) = fresh(settings());
    clock.advance_wall(48 * HOUR_MS);
    let mut claim = Vector::default();
    claim.fold(PEER, second(24 * 3600));
    claim.raise(of_peer(second(24 * 3600)), 3);
    mark(&store, Mark::Raise(claim));
    store.close();
    let store = open(&device, &clock, settings(), 2).unwrap();
    assert_eq!(store.vector().marker(PEER), second(24 * 3600));
    let old_ms = START_MS + 30 * HOUR_MS;
    assert!(old_ms + GRACE_MS < START_MS + 48 * HOUR_MS);
    let offer = |store: &Store, key: &str, origin, seq| {
        let record = record_of(store, origin, seq, old_ms);
        store.commit(vec![merge(key, record)]).unwrap()[0]
    };
    // A directory that was put back offers what was deleted and collected meanwhile.
    assert_eq!(offer(&store, "stale", of_peer(second(3600)), 900), Outcome::Outlived);
    assert_eq!(offer(&store, "covered", of_peer(second(24 * 3600)), 3), Outcome::Outlived);
    // A life of which nobody has heard: it began after the marker.
    let unheard = of_peer(second(24 * 3600 + 1));
    assert_eq!(offer(&store, "new", unheard, 900), Outcome::Taken);
    assert_eq!(offer(&store, "beyond", of_peer(second(24 * 3600)), 4), Outcome::Taken);
    let heard = store.standing().heard_of(PEER).unwrap();
    let expected = [(of_peer(second(24 * 3600)).epoch, 4), (unheard.epoch, 900)];
    assert_eq!(heard.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!((store.vector().seq(&unheard), store.vector().seq(&of_peer(second(24 * 3600)))), (0, 3));
    store.close();
    let store = open(&device, &clock, settings(), 3).unwrap();
    assert_eq!(store.standing().heard.iter().count(), 2);
    // What is covered needs not be heard of.
    let claim = [(unheard, 900)].into_iter().collect();
    mark(&store, Mark::Raise(claim));
    assert_eq!(store.standing().heard_of(PEER).unwrap().len(), 1);
    let mut claim = Vector::default();
    claim.fold(PEER, second(24 * 3600 + 2));
    mark(&store, Mark::Raise(claim));
    assert!(store.standing().heard.iter().next().is_none());
    store.close();
    let store = open(&device, &clock, settings(), 4).unwrap();
    assert!(store.standing().heard.iter().next().is_none());
    assert_eq!((store.vector().marker(PEER), store.vector().of_node(PEER).len()), (second(24 * 3600 + 2), 0));
}

#[test]
fn a_claim_that_the_current_epoch_ended_long_ago_begins_another_and_writes_everything_anew() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "1"), put("b", "1")]).unwrap();
    store.commit(vec![delete("b")]).unwrap();
    let bad = store.identity().origin;
    let mut claim = Vector::default();
    claim.fold(bad.node, born_s(bad.epoch) + 100);
    mark(&store, Mark::Raise(claim));
    let own = store.identity().origin;
    assert!(born_s(own.epoch) > born_s(bad.epoch) + 100);
    assert_eq!(store.vector().marker(own.node), born_s(bad.epoch) + 100);
    support::do_chores(&store, &clock);
    support::eventually("everything is written anew", || store.standing().sweep.is_none());
    for key in ["a", "b"] {
        let record = store.read(kvs_core::namespace::Namespace::Data, &path(key)).unwrap().unwrap();
        assert_eq!(record.dot.origin, own, "{key}");
        assert_eq!(record.version.stamp.ms, START_MS, "{key}: as if it had been written when it was");
        assert_eq!(record.is_live(START_MS), key == "a");
    }
    // Once is enough.
    mark(&store, Mark::Renew(born_s(bad.epoch) + 100));
    assert_eq!(store.identity().origin, own);
    store.close();
    let store = open(&device, &clock, settings(), 2).unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn a_part_of_a_log_that_left_out_what_was_not_received_claims_nothing() {
    let (_device, _clock, store) = fresh(settings());
    let log = of_peer(second(10));
    let up_to = |seq: u64| -> Vector { [(log, seq)].into_iter().collect() };
    let to = LogPosition { epoch: log.epoch, local_seq: 5 };
    // As this node had told that it has the first three, and was put back since.
    let part = || {
        let (left_out, claim) = (up_to(3), up_to(5));
        Mark::Advance { peer: PEER, from: None, start_local_seq: 0, to, left_out, claim }
    };
    mark(&store, part());
    assert_eq!(store.vector().seq(&log), 0);
    assert_eq!(store.standing().cursors.get(&PEER), None, "it is sent again from where this node is");
    mark(&store, Mark::Raise(up_to(3)));
    mark(&store, part());
    assert_eq!(store.vector().seq(&log), 5);
    assert_eq!(store.standing().cursors.get(&PEER), Some(&to));
}
