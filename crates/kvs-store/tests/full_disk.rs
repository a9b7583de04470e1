//! A full disk: writes are refused as such, reads go on, writes go on by themselves once there is room, and nothing
//! that was acknowledged is lost or half there.

mod support;

use std::sync::mpsc;
use std::time::Duration;

use kvs_core::namespace::Namespace;
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
