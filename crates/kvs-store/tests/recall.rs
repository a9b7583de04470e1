//! What was stamped by a clock that was ahead: it waits, is taken back, and nothing good goes with it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin, epoch_at};
use kvs_core::record::Record;
use kvs_core::vector::Vector;
use kvs_core::version::Rule;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::{Outcome, Transaction};
use kvs_store::error::StoreError;
use kvs_store::read::log::{LogPass, PieceLimits};
use kvs_store::settings::Settings;
use kvs_store::shared::ClockVerdict;
use kvs_store::store::Store;
use uuid::Uuid;

use support::{START_MS, fresh, merge, path, put, settings, value};

const HOUR_MS: u64 = 3_600_000;

/// More than the chores look at in one go.
const MANY: usize = 1_300;

fn origin() -> Origin {
    Origin { node: Uuid::from_u128(9), epoch: epoch_at(u32::try_from(START_MS / 1000).unwrap(), 5) }
}

/// A record as the peer made it.
fn record_of(store: &Store, seq: u64, ms: u64) -> Record {
    if store.read(Namespace::Data, &path("template")).unwrap().is_none() {
        store.commit(vec![put("template", "1")]).unwrap();
    }
    let mut record = store.read(Namespace::Data, &path("template")).unwrap().unwrap();
    record.dot = Dot { origin: origin(), seq };
    record.version.stamp.ms = ms;
    record.version.uuid = Uuid::from_u128(seq.into());
    record
}

fn mark(store: &Store, mark: Mark) -> Result<(), StoreError> {
    store.commit(Transaction { writes: Vec::new(), marks: vec![mark] }).map(drop)
}

#[test]
fn an_order_to_discard_is_refused_by_a_clock_that_may_itself_be_wrong() {
    let (_device, _clock, store) = fresh(settings());
    let ahead = record_of(&store, 1, START_MS + HOUR_MS);
    assert_eq!(store.commit(vec![merge("a", ahead)]).unwrap(), [Outcome::Parked]);
    store.set_clock_verdict(ClockVerdict::Differs);
    let refused = mark(&store, Mark::Discard(vec![origin()]));
    assert!(matches!(refused, Err(StoreError::ClockUnsound)), "{refused:?}");
    assert_eq!(store.standing().recalls.until_ms(&origin()), None, "nothing is recalled");
    store.set_clock_verdict(ClockVerdict::Agrees);
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    assert_eq!(store.standing().recalls.until_ms(&origin()), Some(START_MS));
}

#[test]
fn a_void_record_that_comes_again_and_again_pushes_nothing_out_of_the_history() {
    let (_device, _clock, store) = fresh(settings());
    let (first, second) =
        (record_of(&store, 1, START_MS + HOUR_MS), record_of(&store, 2, START_MS + HOUR_MS));
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    for record in [&first, &second, &first, &second, &first, &second] {
        assert_eq!(store.commit(vec![merge("a", record.clone())]).unwrap(), [Outcome::Voided]);
    }
    let history = store.history(Namespace::Data, &path("a")).unwrap();
    let mut kept: Vec<Uuid> = history.iter().map(|revision| revision.record.version.uuid).collect();
    kept.sort();
    assert_eq!(kept, [first.version.uuid, second.version.uuid]);
    assert!(
        history.iter().all(|revision| revision.superseded.is_some_and(|(_, rule)| rule == Rule::Recalled))
    );
    assert_eq!(value(&store, "a"), None);
}

#[test]
fn however_many_records_are_too_far_ahead_all_of_them_wait() {
    let (_device, clock, store) = fresh(settings());
    // This clock was ahead, too.
    clock.advance_wall(2 * HOUR_MS);
    let records = (0..MANY).map(|seq| record_of(&store, seq as u64 + 1, START_MS + HOUR_MS + seq as u64));
    let writes: Vec<_> =
        records.enumerate().map(|(index, record)| merge(&format!("k{index}"), record)).collect();
    for writes in writes.chunks(100) {
        store.commit(writes.to_vec()).unwrap();
    }
    assert_eq!(store.standing().parked, 0);
    clock.set_wall(START_MS);
    store.set_clock_verdict(ClockVerdict::Agrees);
    for _ in 0..6 {
        support::do_chores(&store, &clock);
    }
    assert_eq!(store.standing().parked, MANY as u64);
    assert_eq!(value(&store, "k1"), None);
    // And those that came into range are taken.
    clock.set_wall(START_MS + 2 * HOUR_MS);
    for _ in 0..6 {
        support::do_chores(&store, &clock);
    }
    assert_eq!(store.standing().parked, 0);
    assert_eq!(value(&store, "k1").as_deref(), Some("1"));
}

#[test]
fn what_is_left_where_a_record_waits_is_sent_to_nobody() {
    let (_device, clock, store) = fresh(Settings { revision_limit: 0, ..settings() });
    store.commit(vec![put("a", "1")]).unwrap();
    clock.advance_wall(2 * HOUR_MS);
    let ahead = record_of(&store, 1, START_MS + HOUR_MS);
    assert_eq!(store.commit(vec![merge("a", ahead)]).unwrap(), [Outcome::Taken]);
    clock.set_wall(START_MS);
    store.set_clock_verdict(ClockVerdict::Agrees);
    support::do_chores(&store, &clock);
    assert_eq!(store.standing().parked, 1);
    let pass = LogPass::begin(store.view().unwrap()).unwrap();
    let limits = PieceLimits { records: 100, bytes: 1_000_000 };
    let sent = pass.next(0, &Vector::default(), limits).unwrap().records;
    assert_eq!(sent.iter().map(|(key, _)| key.path.as_str()).collect::<Vec<_>>(), ["template"]);
}
