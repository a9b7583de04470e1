//! A full disk: writes are refused as such, reads go on, writes go on by themselves once there is room, and nothing
//! that was acknowledged is lost or half there.

mod support;

use std::sync::mpsc;
use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::Transaction;
use kvs_store::engine::device::{Device, Faults, Torn};
use kvs_store::error::{ErrorKind, StoreError};
use kvs_store::limits::{DISK_RESERVE_BYTES, RECOVER_INTERVAL};
use kvs_store::settings::{Durability, Settings};
use kvs_store::shared::State;
use kvs_store::store::Store;

use support::audit::audit;
use support::listing::{everything, paged};
use support::{
    ManualClock, START_MS, delete, eventually, fresh, open, path, put, put_for, settings, settle, value,
};

/// Writes keys `k0`, `k1`, ... until the disk is full; how many were acknowledged.
fn fill(store: &Store) -> usize {
    for number in 0.. {
        match store.commit(vec![put(&format!("k{number}"), "\"some text that takes room\"")]) {
            Ok(_) => {}
            Err(StoreError::Full) => return number,
            Err(other) => unreachable!("{other}"),
        }
    }
    unreachable!("the disk is never full")
}

fn capacity(bytes: usize) -> Faults {
    Faults { capacity_bytes: Some(bytes), ..Faults::default() }
}

fn free(bytes: u64) -> Faults {
    Faults { free_bytes: Some(bytes), ..Faults::default() }
}

/// Lets the committer look at the disk again.
fn look_again(store: &Store, clock: &ManualClock) {
    clock.advance_monotonic(RECOVER_INTERVAL);
    settle(store);
}

fn is_there(store: &Store, count: usize) {
    for number in 0..count {
        assert!(value(store, &format!("k{number}")).is_some(), "k{number} was acknowledged");
    }
    assert_eq!(value(store, &format!("k{count}")), None, "k{count} was refused");
    assert_eq!(paged(store, &everything(), START_MS).0.len(), count);
}

#[test]
fn writes_are_refused_as_full_and_reads_go_on() {
    let (device, _, store) = fresh(settings());
    device.set_faults(capacity(device.len() + 5000));
    let count = fill(&store);
    assert!(count > 3);
    assert_eq!(store.state(), State::Full);
    for write in [put("k0", "2"), delete("k0"), put_for("new", "1", 5)] {
        let error = store.commit(vec![write]).unwrap_err();
        assert!(matches!(error, StoreError::Full), "{error}");
        assert_eq!(error.kind(), ErrorKind::Full);
    }
    is_there(&store, count);
    assert_eq!(store.history(Namespace::Data, &path("k0")).unwrap().len(), 1);
    audit(&store);
}

#[test]
fn writes_go_on_by_themselves_once_there_is_room() {
    for durability in [Durability::Always, Durability::Interval, Durability::Never] {
        let (device, clock, store) = fresh(Settings { durability, ..settings() });
        device.set_faults(capacity(device.len() + 5150));
        let count = fill(&store);
        // What was left over is gone too.
        device.set_faults(capacity(device.len()));
        let epoch = store.identity().origin.epoch;
        // Still no room: it stays full, however often it looks.
        for _ in 0..3 {
            look_again(&store, &clock);
            assert_eq!(store.state(), State::Full);
            assert!(matches!(store.commit(vec![put("late", "1")]), Err(StoreError::Full)));
            is_there(&store, count);
        }
        device.set_faults(Faults::default());
        look_again(&store, &clock);
        assert_eq!(store.state(), State::Open, "{durability:?}");
        is_there(&store, count);
        store.commit(vec![put("late", "1"), delete("k0")]).unwrap();
        assert_eq!(value(&store, "late").as_deref(), Some("1"));
        assert_ne!(store.identity().origin.epoch, epoch, "the refused write's number may have been seen");
        audit(&store);
        store.close();
        device.crash(Torn::Clean);
        let store = open(&device, &clock, settings(), 2).unwrap();
        assert_eq!(value(&store, "k0"), None);
        assert!(value(&store, "k1").is_some() && value(&store, "late").is_some());
        audit(&store);
    }
}

#[test]
fn room_that_came_is_noticed_without_any_write() {
    let (device, clock, store) = fresh(settings());
    device.set_faults(capacity(device.len() + 2000));
    fill(&store);
    device.set_faults(Faults::default());
    clock.advance_monotonic(RECOVER_INTERVAL);
    eventually("the store is open", || store.state() == State::Open);
}

#[test]
fn a_transaction_that_does_not_fit_leaves_nothing_behind() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "1"), put("b", "1")]).unwrap();
    let before = store.status();
    device.set_faults(capacity(device.len() + 200));
    let many =
        || vec![put("a", "2"), delete("b"), put("c", "3"), put("d", &format!("\"{}\"", "x".repeat(400)))];
    assert!(matches!(store.commit(many()), Err(StoreError::Full)));
    let unchanged = |store: &Store| {
        assert_eq!(value(store, "a").as_deref(), Some("1"));
        assert_eq!(value(store, "b").as_deref(), Some("1"));
        assert_eq!((value(store, "c"), value(store, "d")), (None, None));
        assert_eq!(
            (store.status().keys, store.status().bytes, store.status().last_local_seq),
            (before.keys, before.bytes, before.last_local_seq)
        );
        audit(store);
    };
    unchanged(&store);
    store.close();
    device.crash(Torn::Nothing);
    let store = open(&device, &clock, settings(), 2).unwrap();
    unchanged(&store);
    store.commit(many()).unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("2"));
    audit(&store);
}

#[test]
fn a_nearly_full_disk_is_noticed_before_it_is_full_and_not_left_too_early() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("k0", "1")]).unwrap();
    let (epoch, bytes) = (store.identity().origin.epoch, device.len());
    device.set_faults(free(DISK_RESERVE_BYTES - 1));
    assert!(matches!(store.commit(vec![put("k1", "1")]), Err(StoreError::Full)));
    assert_eq!(device.len(), bytes, "nothing was tried");
    // A little room is not enough, or it would be full again at once.
    device.set_faults(free(DISK_RESERVE_BYTES + 1));
    look_again(&store, &clock);
    assert_eq!(store.state(), State::Full);
    is_there(&store, 1);
    device.set_faults(free(DISK_RESERVE_BYTES * 2));
    look_again(&store, &clock);
    assert_eq!(store.state(), State::Open);
    store.commit(vec![put("k1", "1")]).unwrap();
    assert_eq!(store.identity().origin.epoch, epoch, "no number was given out in vain");
    audit(&store);
}

/// A backup or an export reads from a view while the disk is full: the engine cannot be opened again under it.
#[test]
fn a_held_view_delays_the_recovery_but_neither_reads_nor_the_truth() {
    let (device, clock, store) = fresh(settings());
    let view = store.view().unwrap();
    device.set_faults(capacity(device.len() + 3000));
    let count = fill(&store);
    device.set_faults(Faults::default());
    let held = store.view().unwrap();
    for _ in 0..3 {
        look_again(&store, &clock);
        assert_eq!(store.state(), State::Full, "the engine is in use");
        is_there(&store, count);
        assert!(matches!(store.commit(vec![put("late", "1")]), Err(StoreError::Full)));
    }
    assert!(view.row(Namespace::Data, &path("k0")).unwrap().is_none());
    assert!(held.row(Namespace::Data, &path("k0")).unwrap().is_some());
    drop(view);
    drop(held);
    look_again(&store, &clock);
    assert_eq!(store.state(), State::Open);
    store.commit(vec![put("late", "1")]).unwrap();
    audit(&store);
}

/// Writes that were answered before their sync are still due for it when the disk fills up.
#[test]
fn an_interval_sync_that_comes_due_on_a_full_disk_does_not_poison_the_store() {
    let (device, clock, store) = fresh(Settings { durability: Durability::Interval, ..settings() });
    device.set_faults(capacity(device.len() + 5000));
    let count = fill(&store);
    clock.advance_monotonic(Duration::from_millis(150));
    settle(&store);
    assert_eq!(store.state(), State::Full);
    device.set_faults(Faults::default());
    look_again(&store, &clock);
    assert_eq!(store.state(), State::Open);
    is_there(&store, count);
}

/// A disk that is nearly full still takes what was acknowledged.
#[test]
fn what_was_answered_early_is_synced_when_a_nearly_full_store_is_closed() {
    for durability in [Durability::Interval, Durability::Never] {
        let settings = Settings { durability, ..settings() };
        let (device, clock, store) = fresh(settings);
        store.commit(vec![put("k0", "1")]).unwrap();
        device.set_faults(free(1));
        assert!(matches!(store.commit(vec![put("k1", "1")]), Err(StoreError::Full)));
        store.close();
        device.crash(Torn::Clean);
        let store = open(&device, &clock, settings, 2).unwrap();
        is_there(&store, 1);
    }
}

#[test]
fn a_store_that_is_opened_on_a_full_disk_says_so() {
    let device = Device::new();
    device.set_faults(capacity(10));
    let error = open(&device, &ManualClock::new(), settings(), 1).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
}

/// Everyone who waits is told, also those whose transactions were in the batch that did not fit.
#[test]
fn every_waiting_writer_is_told_that_the_disk_is_full() {
    let (device, clock, store) = fresh(settings());
    device.set_faults(capacity(device.len() + 2000));
    let (sender, receiver) = mpsc::channel();
    for number in 0..100 {
        let sender = sender.clone();
        let reply = Box::new(move |verdict: Result<Vec<_>, StoreError>| {
            sender.send((number, verdict.is_ok())).unwrap()
        });
        store.submit(vec![put(&format!("w{number}"), "1")], reply).unwrap();
    }
    drop(sender);
    let answers: Vec<_> = receiver.iter().collect();
    assert_eq!(answers.len(), 100);
    assert_eq!(store.state(), State::Full);
    device.set_faults(Faults::default());
    look_again(&store, &clock);
    for (number, acknowledged) in answers {
        assert_eq!(value(&store, &format!("w{number}")).is_some(), acknowledged);
    }
    audit(&store);
}

/// A store with a value, closed in this way, on a device that has these faults from now on.
#[expect(clippy::unwrap_used, reason = "a failing step must fail the test")]
fn closed_store(durability: Durability, crashed: bool) -> (Device, std::sync::Arc<ManualClock>, u32) {
    let (device, clock, store) = fresh(Settings { durability, ..settings() });
    store.commit(vec![put("k0", "1")]).unwrap();
    let generation = store.generation();
    if crashed {
        // What the process does at its end does not reach the disk.
        let bytes = device.len();
        store.close();
        device.truncate(bytes);
    } else {
        store.close();
    }
    (device, clock, generation)
}

#[test]
fn a_store_that_is_opened_without_room_serves_reads_and_begins_once_there_is_room() {
    for (durability, crashed) in [
        (Durability::Always, false),
        (Durability::Always, true),
        (Durability::Interval, true),
        (Durability::Never, true),
    ] {
        for nothing_fits in [false, true] {
            let (device, clock, generation) = closed_store(durability, crashed);
            let bytes = device.len();
            let faults = if nothing_fits { capacity(bytes) } else { free(DISK_RESERVE_BYTES - 1) };
            device.set_faults(faults);
            let settings = Settings { durability, ..settings() };
            let store = open(&device, &clock, settings, 2).unwrap();
            assert_eq!(store.state(), State::Full, "{durability:?} {crashed} {nothing_fits}");
            let before = store.identity().origin.epoch;
            is_there(&store, 1);
            for _ in 0..3 {
                assert!(matches!(store.commit(vec![put("k1", "1")]), Err(StoreError::Full)));
                look_again(&store, &clock);
                assert_eq!(store.state(), State::Full);
                is_there(&store, 1);
            }
            assert_eq!(device.len(), bytes, "something was written without room");
            device.set_faults(Faults::default());
            look_again(&store, &clock);
            assert_eq!(store.state(), State::Open, "{durability:?} {crashed} {nothing_fits}");
            store.commit(vec![put("k1", "1")]).unwrap();
            assert!(store.generation() > generation);
            audit(&store);
            // What the start had to write is there: after a crash its numbers are not used again.
            let (epoch, generation) = (store.identity().origin.epoch, store.generation());
            assert_ne!(epoch, before, "a start begins an epoch before it takes a write");
            store.close();
            device.crash(Torn::Clean);
            let store = open(&device, &clock, settings, 3).unwrap();
            is_there(&store, 2);
            assert!(store.generation() > generation);
            audit(&store);
        }
    }
}

/// A start that was never written leaves the directory as it found it.
#[test]
fn a_store_that_is_closed_before_there_was_room_is_as_it_was() {
    let (device, clock, generation) = closed_store(Durability::Interval, true);
    let bytes = device.read();
    device.set_faults(free(1));
    let store = open(&device, &clock, settings(), 2).unwrap();
    is_there(&store, 1);
    store.close();
    assert_eq!(device.read(), bytes);
    device.set_faults(Faults::default());
    let store = open(&device, &clock, settings(), 3).unwrap();
    is_there(&store, 1);
    assert_eq!(store.generation(), generation + 1);
    assert!(store.identity().origin.epoch > 1, "numbers that may have been seen were given out again");
}

/// A new node has nothing to serve; where its identity fits it starts, and says that the disk is nearly full.
#[test]
fn a_new_store_on_a_nearly_full_disk_has_an_identity_and_takes_no_writes() {
    let (device, clock) = (Device::new(), ManualClock::new());
    device.set_faults(free(DISK_RESERVE_BYTES - 1));
    let store = open(&device, &clock, settings(), 1).unwrap();
    assert_eq!(store.state(), State::Full);
    assert!(matches!(store.commit(vec![put("k0", "1")]), Err(StoreError::Full)));
    let node = store.node();
    device.set_faults(Faults::default());
    look_again(&store, &clock);
    store.commit(vec![put("k0", "1")]).unwrap();
    assert_eq!(store.node(), node);
}

/// A flush in the background runs out of room and closes the engine; somebody makes room before any write notices.
#[test]
fn an_engine_that_closed_itself_for_want_of_room_is_opened_again_though_there_is_room_by_now() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("k0", "1")]).unwrap();
    let epoch = store.identity().origin.epoch;
    device.set_faults(free(DISK_RESERVE_BYTES + 1));
    settle(&store);
    device.set_faults(Faults { background_fails: true, ..free(DISK_RESERVE_BYTES * 20) });
    let error = store.commit(vec![put("k1", "1")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    is_there(&store, 1);
    device.set_faults(Faults::default());
    look_again(&store, &clock);
    assert_eq!(store.state(), State::Open);
    store.commit(vec![put("k1", "1")]).unwrap();
    assert!(store.identity().origin.epoch > epoch);
    audit(&store);
}

/// Where the disk was never short of room, an engine that closed itself is a failure of the disk.
#[test]
fn an_engine_that_closed_itself_with_room_to_spare_poisons_the_store() {
    let (device, clock, store) = fresh(settings());
    device.set_faults(Faults { background_fails: true, ..free(DISK_RESERVE_BYTES * 20) });
    let error = store.commit(vec![put("k0", "1")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    device.set_faults(Faults::default());
    look_again(&store, &clock);
    assert!(matches!(store.state(), State::Poisoned(_)));
}

#[test]
fn a_clock_that_is_set_while_the_disk_is_full_ends_the_epoch_before_anything_else_is_written() {
    // The disk is found short of room before a write, or within one, so that the engine is opened again.
    for is_cut_short in [false, true] {
        let (device, clock, store) = fresh(settings());
        store.commit(vec![put("before", "1")]).unwrap();
        if is_cut_short {
            device.set_faults(capacity(device.len()));
        } else {
            device.set_faults(free(DISK_RESERVE_BYTES / 2));
            look_again(&store, &clock);
        }
        assert!(matches!(store.commit(vec![put("late", "1")]), Err(StoreError::Full)));
        let ended = store.identity().origin.epoch;
        for set_by_ms in [40_000, -10_000] {
            clock.advance_wall(40_000);
            let marks = vec![Mark::ClockSet(set_by_ms)];
            let refused = store.commit(Transaction { writes: Vec::new(), marks });
            assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        }
        device.set_faults(Faults::default());
        look_again(&store, &clock);
        assert_eq!(store.state(), State::Open);
        store.commit(vec![put("after", "1")]).unwrap();
        let dot = |text: &str| store.read(Namespace::Data, &path(text)).unwrap().unwrap().dot;
        assert_eq!(dot("before").origin.epoch, ended);
        assert_ne!(dot("after").origin.epoch, ended);
        let starts = &store.standing().epochs;
        let start = starts.iter().find(|start| start.epoch == ended).unwrap();
        assert_eq!(start.ended_ms, START_MS + 80_000 - 30_000, "what the clock would read had nobody set it");
        assert_eq!(starts.len(), 2);
        store.commit(vec![put("after", "2")]).unwrap();
        assert_eq!(store.standing().epochs.len(), 2, "it was set once");
    }
}
