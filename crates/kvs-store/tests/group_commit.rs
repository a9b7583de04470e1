//! The committer under many writers: one answer each, later transactions of a batch see earlier ones, bounds, the
//! orderly end, and what it does when the code that it calls panics.

#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_store::commit::write::{Outcome, Reply, Write};
use kvs_store::engine::contract::Engine;
use kvs_store::engine::device::{Device, Torn};
use kvs_store::engine::memory::MemoryEngine;
use kvs_store::error::{ErrorKind, StoreError};
use kvs_store::limits::{BATCH_TRANSACTIONS_MAX, QUEUE_BYTES_MAX, QUEUE_TRANSACTIONS_MAX, SYNC_INTERVAL};
use kvs_store::observer::{BatchStats, Key, Observer};
use kvs_store::settings::{Durability, Settings};
use kvs_store::shared::State;
use kvs_store::store::Store;
use kvs_store::table::Table;

use support::audit::audit;
use support::{
    ManualClock, delete, eventually, fresh, if_absent, if_version, open, open_with, path, put, settings,
    settle, value, written,
};

type Verdict = Result<Vec<Outcome>, StoreError>;

/// Holds the committer inside a commit until it is let go, and notes what it is told.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    batches: Mutex<Vec<BatchStats>>,
    told: Mutex<Vec<(&'static str, Vec<Key>)>>,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }
}

impl Observer for Gate {
    fn committing(&self, keys: &[Key]) {
        self.told.lock().unwrap().push(("committing", keys.to_vec()));
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn committed(&self, keys: &[Key]) {
        self.told.lock().unwrap().push(("committed", keys.to_vec()));
    }

    fn batch(&self, stats: &BatchStats) {
        self.batches.lock().unwrap().push(*stats);
    }
}

/// A store whose committer waits at the gate with one transaction in hand, so that what comes next is one batch.
fn held() -> (Device, Arc<ManualClock>, Store, Arc<Gate>) {
    let (device, clock, gate) = (Device::new(), ManualClock::new(), Arc::new(Gate::default()));
    let observer: Arc<dyn Observer> = Arc::<Gate>::clone(&gate);
    let store = open_with(&device, &clock, settings(), 1, observer).unwrap();
    gate.close();
    store.submit(vec![put("first", "1")], Box::new(drop)).unwrap();
    eventually("the committer waits", || gate.waiting.load(Ordering::SeqCst) == 1);
    (device, clock, store, gate)
}

/// Whether the orderly end is noted on the device; looks at a copy, as opening an engine cuts off what is half there.
fn is_closed_in_order(device: &Device) -> bool {
    let copy = Device::new();
    copy.append(&device.read()).unwrap();
    let closed = MemoryEngine::open(&copy).get(Table::Node, b"closed").unwrap().unwrap();
    closed.starts_with(&[1])
}

/// Sends each verdict with the number of its transaction.
fn replies() -> (impl Fn(usize) -> Reply, mpsc::Receiver<(usize, Verdict)>) {
    let (sender, receiver) = mpsc::channel();
    let reply = move |number| -> Reply {
        let sender: mpsc::Sender<(usize, Verdict)> = sender.clone();
        Box::new(move |verdict| sender.send((number, verdict)).unwrap())
    };
    (reply, receiver)
}

#[test]
fn every_writer_of_many_gets_exactly_one_answer_and_its_write() {
    const WRITERS: usize = 8;
    const WRITES: usize = 200;
    let (device, clock, store) = fresh(settings());
    let (reply, receiver) = replies();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, reply) = (&store, reply.clone_for(writer));
            scope.spawn(move || {
                for number in 0..WRITES {
                    let key = format!("w{writer}/k{number}");
                    store.submit(vec![put(&key, &number.to_string())], reply(number)).unwrap();
                }
            });
        }
    });
    drop(reply);
    let mut answers = BTreeMap::new();
    for (number, verdict) in receiver {
        assert!(matches!(verdict.unwrap()[..], [Outcome::Created(_)]));
        *answers.entry(number).or_insert(0) += 1;
    }
    assert_eq!(answers.len(), WRITERS * WRITES);
    assert!(answers.values().all(|count| *count == 1));
    assert_eq!(store.status().keys, (WRITERS * WRITES) as u64);
    audit(&store);
    store.close();
    let store = open(&device, &clock, settings(), 2).unwrap();
    assert_eq!(store.status().keys, (WRITERS * WRITES) as u64);
    audit(&store);
}

/// Numbers the replies of one writer apart from those of the others.
trait CloneFor {
    fn clone_for(&self, writer: usize) -> impl Fn(usize) -> Reply + Send;
}

impl<F: Fn(usize) -> Reply> CloneFor for F {
    fn clone_for(&self, writer: usize) -> impl Fn(usize) -> Reply + Send {
        let (sender, receiver) = mpsc::channel::<Reply>();
        for number in 0..200 {
            sender.send(self(writer * 200 + number)).unwrap();
        }
        move |_| receiver.recv().unwrap()
    }
}

#[test]
fn later_transactions_of_a_batch_see_earlier_ones() {
    let (_device, _clock, store, gate) = held();
    let (reply, receiver) = replies();
    let transactions: Vec<Vec<Write>> = vec![
        vec![if_absent(put("k", "1"))],
        vec![if_absent(put("k", "2"))],
        vec![put("k", "3")],
        vec![delete("k"), delete("k")],
        vec![put("other", "1"), if_absent(put("first", "2"))],
        vec![if_absent(put("k", "4")), if_absent(put("other", "2"))],
    ];
    for (number, writes) in transactions.into_iter().enumerate() {
        store.submit(writes, reply(number)).unwrap();
    }
    gate.open();
    let answers: BTreeMap<_, _> = (0..6).map(|_| receiver.recv().unwrap()).collect();
    assert!(matches!(answers[&0].as_deref(), Ok([Outcome::Created(_)])));
    assert!(matches!(answers[&1], Err(StoreError::Precondition { index: 0 })));
    assert!(matches!(answers[&2].as_deref(), Ok([Outcome::Replaced(_)])));
    assert!(matches!(answers[&3].as_deref(), Ok([Outcome::Deleted(_), Outcome::Absent])));
    assert!(matches!(answers[&4], Err(StoreError::Precondition { index: 1 })));
    assert!(matches!(answers[&5].as_deref(), Ok([Outcome::Created(_), Outcome::Created(_)])));
    settle(&store);
    let batches = gate.batches.lock().unwrap().clone();
    assert_eq!(batches.iter().map(|batch| batch.transactions).collect::<Vec<_>>(), [1, 6], "one batch");
    assert_eq!(batches[1].keys, 2, "the key of the refused transaction did not change");
    assert_eq!(value(&store, "k").as_deref(), Some("4"));
    assert_eq!(value(&store, "other").as_deref(), Some("2"));
    let stamps: Vec<_> = store.history(Namespace::Data, &path("k")).unwrap();
    assert_eq!(stamps.len(), 4);
    assert!(stamps.is_sorted_by(|newer, older| newer.record.version.stamp > older.record.version.stamp));
    audit(&store);
}

#[test]
fn of_two_that_create_one_key_exactly_one_wins() {
    const ROUNDS: usize = 200;
    let (_, _, store) = fresh(settings());
    let barrier = std::sync::Barrier::new(2);
    let wins = [(); 2].map(|()| Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for (creator, wins) in wins.iter().enumerate() {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    barrier.wait();
                    match store.commit(vec![if_absent(put(&format!("k{round}"), &creator.to_string()))]) {
                        Ok(_) => wins.lock().unwrap().push(round),
                        Err(StoreError::Precondition { index: 0 }) => {}
                        Err(other) => unreachable!("{other}"),
                    }
                }
            });
        }
    });
    let [one, other] = wins.map(|wins| wins.into_inner().unwrap());
    assert_eq!(one.len() + other.len(), ROUNDS);
    for (creator, wins) in [one, other].into_iter().enumerate() {
        for round in wins {
            assert_eq!(value(&store, &format!("k{round}")), Some(creator.to_string()));
        }
    }
}

/// Read, change, write if nobody was faster, else again: no change is lost.
#[test]
fn counting_by_conditional_writes_counts_every_time() {
    const WRITERS: u64 = 4;
    const TIMES: u64 = 50;
    let (_, _, store) = fresh(settings());
    store.commit(vec![put("count", "0")]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut counted = 0;
                while counted < TIMES {
                    let record = store.read(Namespace::Data, &path("count")).unwrap().unwrap();
                    let json = store.json(&record).unwrap();
                    let number: u64 = std::str::from_utf8(&json).unwrap().parse().unwrap();
                    let next = put("count", &(number + 1).to_string());
                    match store.commit(vec![if_version(next, record.version.uuid)]) {
                        Ok(_) => counted += 1,
                        Err(StoreError::Precondition { .. }) => {}
                        Err(other) => unreachable!("{other}"),
                    }
                }
            });
        }
    });
    assert_eq!(value(&store, "count"), Some((WRITERS * TIMES).to_string()));
}

#[test]
fn a_write_is_readable_when_it_is_answered() {
    let (_, _, store) = fresh(settings());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..200 {
                    let key = format!("w{writer}");
                    let outcomes = store.commit(vec![put(&key, &number.to_string())]).unwrap();
                    let record = store.read(Namespace::Data, &path(&key)).unwrap().unwrap();
                    assert_eq!(Some(record.version), written(&outcomes[0]).map(|written| written.version));
                    assert_eq!(value(store, &key), Some(number.to_string()));
                }
            });
        }
    });
}

#[test]
fn more_than_the_queue_holds_is_refused_and_the_rest_is_written_in_bounded_batches() {
    let (_device, _clock, store, gate) = held();
    let (reply, receiver) = replies();
    for number in 0..QUEUE_TRANSACTIONS_MAX {
        store.submit(vec![put(&format!("k{number}"), "1")], reply(number)).unwrap();
    }
    assert_eq!(store.status().queue_len, QUEUE_TRANSACTIONS_MAX);
    let refused = store.submit(vec![put("late", "1")], reply(usize::MAX)).unwrap_err();
    assert!(matches!(refused, StoreError::QueueFull));
    assert_eq!(refused.kind(), ErrorKind::Retry);
    gate.open();
    let answered: Vec<_> = (0..QUEUE_TRANSACTIONS_MAX).map(|_| receiver.recv().unwrap()).collect();
    assert!(answered.iter().map(|(number, _)| *number).eq(0..QUEUE_TRANSACTIONS_MAX), "in order");
    assert!(answered.iter().all(|(_, verdict)| verdict.is_ok()));
    assert!(receiver.try_recv().is_err(), "a refused transaction is answered by the refusal alone");
    settle(&store);
    let batches = gate.batches.lock().unwrap();
    assert!(batches.iter().all(|batch| batch.transactions <= BATCH_TRANSACTIONS_MAX));
    assert_eq!(value(&store, "late"), None);
}

/// Deletes bring no payload, and yet a queue full of them must not take all memory.
#[test]
fn the_queue_is_bounded_in_bytes_whatever_the_writes_are() {
    let (_device, _clock, store, gate) = held();
    let key = "k".repeat(1000);
    let transaction: Vec<_> = (0..1000).map(|_| delete(&key)).collect();
    let mut accepted = 0;
    let refused = loop {
        match store.submit(transaction.clone(), Box::new(drop)) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted * 1_000_000 <= QUEUE_BYTES_MAX, "{accepted} transactions of a megabyte each");
    };
    assert!(matches!(refused, StoreError::QueueFull));
    // A small one has to wait as well, and is taken once there is room.
    gate.open();
    eventually("there is room", || store.commit(vec![put("late", "1")]).is_ok());
}

#[test]
fn what_waits_when_the_store_closes_is_written_and_what_comes_later_is_refused() {
    let (device, clock, store, gate) = held();
    let (reply, receiver) = replies();
    for number in 0..500 {
        store.submit(vec![put(&format!("k{number}"), "1")], reply(number)).unwrap();
    }
    std::thread::scope(|scope| {
        // Two at once, as a signal and the end of a scope do it: both return when all is done.
        let closers = [(); 2].map(|()| {
            scope.spawn(|| {
                store.close();
                assert!(matches!(store.view(), Err(StoreError::Closed)));
                // Nobody lets go of the files before everything is in them.
                assert_eq!(store.status().queue_len, 0);
                assert!(is_closed_in_order(&device));
            })
        });
        eventually("it takes no more", || {
            // Until it is closed this is taken, and changes nothing.
            matches!(store.submit(vec![delete("late")], Box::new(drop)), Err(StoreError::Closed))
        });
        gate.open();
        for closer in closers {
            closer.join().unwrap();
        }
    });
    assert_eq!(StoreError::Closed.kind(), ErrorKind::Retry);
    assert!(matches!(store.commit(vec![put("late", "1")]), Err(StoreError::Closed)));
    let answers: Vec<_> = receiver.try_iter().collect();
    assert_eq!(answers.len(), 500);
    assert!(answers.iter().all(|(_, verdict)| verdict.is_ok()));
    device.crash(Torn::Clean);
    let store = open(&device, &clock, settings(), 2).unwrap();
    assert_eq!(store.status().keys, 501);
    assert_eq!(value(&store, "late"), None);
    audit(&store);
}

#[test]
fn an_interval_brings_unsynced_writes_to_the_disk() {
    let settings = Settings { durability: Durability::Interval, ..settings() };
    let (device, clock, store) = fresh(settings);
    settle(&store);
    let begun = device.syncs();
    store.commit(vec![put("a", "1")]).unwrap();
    store.commit(vec![put("b", "1")]).unwrap();
    assert_eq!(device.syncs(), begun, "answered before any sync");
    clock.advance_monotonic(SYNC_INTERVAL);
    // No write wakes it.
    eventually("it syncs by itself", || device.syncs() == begun + 1);
    settle(&store);
    clock.advance_monotonic(SYNC_INTERVAL);
    settle(&store);
    assert_eq!(device.syncs(), begun + 1, "nothing new, nothing to sync");
}

#[test]
fn without_durability_nothing_is_synced_until_the_end() {
    let settings = Settings { durability: Durability::Never, ..settings() };
    let (device, clock, store) = fresh(settings);
    settle(&store);
    let begun = device.syncs();
    for number in 0..20 {
        store.commit(vec![put(&format!("k{number}"), "1")]).unwrap();
        clock.advance_monotonic(SYNC_INTERVAL);
    }
    settle(&store);
    assert_eq!(device.syncs(), begun);
    store.close();
    device.crash(Torn::Clean);
    let store = open(&device, &clock, settings, 2).unwrap();
    assert_eq!(store.status().keys, 20);
}

#[test]
fn with_durability_each_batch_is_synced_once() {
    let (device, _clock, store, gate) = held();
    let begun = device.syncs();
    let (reply, receiver) = replies();
    for number in 0..100 {
        store.submit(vec![put(&format!("k{number}"), "1")], reply(number)).unwrap();
    }
    gate.open();
    for _ in 0..100 {
        receiver.recv().unwrap().1.unwrap();
    }
    assert_eq!(device.syncs(), begun + 2, "one for the transaction at the gate, one for the hundred");
    // What changes nothing writes nothing.
    store.commit(vec![delete("absent")]).unwrap();
    assert!(store.commit(vec![if_absent(put("k1", "2"))]).is_err());
    assert_eq!(device.syncs(), begun + 2);
}

#[test]
fn the_observer_is_told_which_keys_change_before_and_after_and_before_any_answer() {
    let (_device, _clock, store, gate) = held();
    gate.open();
    settle(&store);
    gate.told.lock().unwrap().clear();
    let (sender, receiver) = mpsc::channel();
    let watched = Arc::clone(&gate);
    let reply: Reply = Box::new(move |_| sender.send(watched.told.lock().unwrap().clone()).unwrap());
    let writes = vec![put("a", "1"), delete("absent"), put("b", "1"), put("a", "2")];
    store.submit(writes, reply).unwrap();
    let told = receiver.recv().unwrap();
    let keys = |names: &[&str]| -> Vec<Key> {
        names.iter().map(|name| Key { namespace: Namespace::Data, path: path(name) }).collect()
    };
    assert_eq!(told, [("committing", keys(&["a", "b"])), ("committed", keys(&["a", "b"]))]);
}

/// A key that is written again and again within one batch.
#[test]
fn a_batch_of_writes_to_one_key_keeps_its_last_versions() {
    let (_device, _clock, store, gate) = held();
    let (reply, receiver) = replies();
    for number in 0..BATCH_TRANSACTIONS_MAX {
        store.submit(vec![put("hot", &number.to_string())], reply(number)).unwrap();
    }
    gate.open();
    for _ in 0..BATCH_TRANSACTIONS_MAX {
        receiver.recv().unwrap().1.unwrap();
    }
    let history = store.history(Namespace::Data, &path("hot")).unwrap();
    let texts: Vec<_> = history.iter().map(|revision| store.json(&revision.record).unwrap()).collect();
    let last: Vec<_> = (0..4).map(|back| (BATCH_TRANSACTIONS_MAX - 1 - back).to_string()).collect();
    assert_eq!(texts, last);
    settle(&store);
    let batches = gate.batches.lock().unwrap();
    assert!(batches.iter().all(|batch| batch.keys <= 1 && batch.bytes < 4096), "{batches:?}");
    drop(batches);
    audit(&store);
}

/// A reply that panics is a bug of the caller, but it must not leave others waiting for ever.
#[test]
fn a_panic_on_the_committers_thread_poisons_the_store_and_leaves_nobody_waiting() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "1")]).unwrap();
    store.submit(vec![put("b", "1")], Box::new(|_| std::panic::resume_unwind(Box::new("a bug")))).unwrap();
    eventually("it is noticed", || matches!(store.state(), State::Poisoned(_)));
    for _ in 0..3 {
        assert!(matches!(store.commit(vec![put("c", "1")]), Err(StoreError::Poisoned(_))));
    }
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    store.close();
    let store = open(&device, &clock, settings(), 2).unwrap();
    assert_eq!(value(&store, "b").as_deref(), Some("1"));
    assert_eq!(value(&store, "c"), None);
    audit(&store);
}

/// The last owner of a store may be a reply.
#[test]
fn a_store_dropped_by_a_reply_ends_in_order() {
    let (device, clock, store) = fresh(settings());
    let store = Arc::new(store);
    let (sender, receiver) = mpsc::sync_channel(0);
    let last = Arc::clone(&store);
    let reply: Reply = Box::new(move |_| {
        let _told: () = receiver.recv().unwrap();
        drop(last);
    });
    store.submit(vec![put("a", "1")], reply).unwrap();
    drop(store);
    sender.send(()).unwrap();
    eventually("the orderly end is noted", || is_closed_in_order(&device));
    let store = open(&device, &clock, settings(), 2).unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

/// A long wait of one writer is not a long wait of readers.
#[test]
fn reads_go_on_while_the_committer_is_held() {
    let (_device, clock, store, gate) = held();
    let before = store.view().unwrap();
    for _ in 0..100 {
        assert_eq!(value(&store, "first"), None, "not durable, not visible");
    }
    clock.advance_monotonic(Duration::from_secs(60));
    gate.open();
    settle(&store);
    assert_eq!(value(&store, "first").as_deref(), Some("1"));
    assert!(before.row(Namespace::Data, &path("first")).unwrap().is_none());
}
