//! The digest against the records: whatever happens, it is the sum of what the tables hold.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use std::ops::Bound;
use std::sync::Arc;

use kvs_core::item::{DigestKey, END, item, tree_key};
use kvs_core::namespace::Namespace;
use kvs_core::record::{Kind, Record};
use kvs_core::sum_tree::sum::Sum;
use kvs_store::check::view::check_view;
use kvs_store::commit::write::{Change, Write};
use kvs_store::engine::contract::{Batch, Engine, Order, Sync};
use kvs_store::engine::device::{Device, Torn};
use kvs_store::engine::memory::MemoryEngine;
use kvs_store::keys::read_record_key;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::Silent;
use kvs_store::read::view::View;
use kvs_store::row::Row;
use kvs_store::store::Store;
use kvs_store::table::Table;
use support::{GRACE_MS, ManualClock, do_chores, open, seed, settings};

fn open_inline(device: &Device, clock: &Arc<ManualClock>, number: u64) -> Store {
    let medium = MemoryMedium { device: device.clone() };
    let clock = Arc::<ManualClock>::clone(clock);
    Store::open_inline(Box::new(medium), settings(), clock, Arc::new(Silent), seed(number)).unwrap()
}

/// All items, straight from the records.
fn items(store: &Store) -> Vec<(Vec<u8>, u128)> {
    let view = store.view().unwrap();
    let mut items = Vec::new();
    for row in view.range(Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, value) = row.unwrap();
        let key = read_record_key(&row_key).unwrap();
        let record = Row::decode(&key, &value).unwrap().record;
        if let Some(place) = tree_key(key.namespace, &key.path, &record) {
            items.push((place, item(&DigestKey::alone(), key.namespace, &key.path, &record)));
        }
    }
    items.sort();
    items
}

/// Compares sums of many ranges with those of the records.
fn check(store: &Store) {
    let items = items(store);
    let step = (items.len() / 13).max(1);
    let mut bounds = vec![Vec::new()];
    bounds.extend(items.iter().step_by(step).skip(1).map(|(place, _)| place.clone()));
    bounds.push(END.to_vec());
    let sums = store.digest().sums(&bounds).unwrap();
    for (range, sum) in bounds.windows(2).zip(sums) {
        let within = items.iter().filter(|(place, _)| range[0] <= *place && *place < range[1]);
        let expected = within.fold(Sum::default(), |sum, (_, item)| sum.plus(Sum::of(*item)));
        assert_eq!(sum, expected, "from {} to {}", range[0].escape_ascii(), range[1].escape_ascii());
    }
    assert_eq!(store.digest().items(&[], &END, usize::MAX).unwrap(), items);
}

fn write(number: u32, change: Change) -> Write {
    Write { change, ..support::put(&format!("users/{:05}/name", number % 10_000), "1") }
}

fn record_of(store: &Store, number: u32) -> Option<Record> {
    let path = support::put(&format!("users/{number:05}/name"), "1").path;
    store.read(Namespace::Data, &path).unwrap()
}

/// Puts, deletes, values that expire, and all of them again; the same every time.
fn churn(store: &Store, rounds: u32, salt: u32) {
    for round in 0..rounds {
        let number = round.wrapping_mul(2_654_435_761).wrapping_add(salt) % 3_000;
        let put = support::put(&format!("users/{number:05}/name"), &format!("{round}"));
        let write = match round % 7 {
            0 => write(number, Change::Delete),
            1 => support::put_for(&format!("users/{number:05}/name"), "2", u64::from(round % 5 + 1) * 1_000),
            _ => put,
        };
        store.commit(vec![write]).unwrap();
    }
}

#[test]
fn it_is_the_sum_of_the_records_through_writes_expiry_collection_and_restarts() {
    let (device, clock) = (Device::new(), ManualClock::new());
    for round in 0..4 {
        let store = open(&device, &clock, settings(), 10 + round).unwrap();
        assert!(store.digest().is_ready());
        check(&store);
        churn(&store, 2_000, u32::try_from(round).unwrap() * 77);
        check(&store);
        clock.advance_wall(3_000);
        do_chores(&store, &clock);
        check(&store);
        if round == 2 {
            clock.advance_wall(GRACE_MS * 2);
            do_chores(&store, &clock);
            check(&store);
        }
        store.close();
        if round == 1 {
            device.crash(Torn::Nothing);
        }
    }
}

#[test]
fn a_start_after_a_crash_is_caught_up_from_the_log() {
    let (device, clock) = (Device::new(), ManualClock::new());
    let store = open_inline(&device, &clock, 1);
    churn(&store, 3_000, 1);
    store.close();
    let store = open_inline(&device, &clock, 2);
    churn(&store, 100, 5);
    let expected = store.digest().lasting().unwrap();
    // The process dies: what it did since the checkpoint stands in the log alone.
    std::mem::forget(store);
    device.crash(Torn::Nothing);
    let store = open_inline(&device, &clock, 3);
    assert!(store.digest().is_ready());
    assert_eq!(store.digest().lasting().unwrap(), expected);
    check(&store);
}

#[test]
fn a_value_dropped_after_a_checkpoint_is_not_found_again_with_it() {
    let (device, clock) = (Device::new(), ManualClock::new());
    let store = open_inline(&device, &clock, 1);
    churn(&store, 500, 1);
    store.close();
    let store = open_inline(&device, &clock, 2);
    let (number, version) = (0..3_000)
        .find_map(|number| {
            let record = record_of(&store, number).filter(|record| record.kind == Kind::Value)?;
            Some((number, record.version))
        })
        .unwrap();
    assert!(store.view().unwrap().get(Table::Tree, &[0]).unwrap().is_some());
    store.commit(vec![write(number, Change::Drop(version))]).unwrap();
    // Its history keeps its place, so the log tells the checkpoint what changed.
    assert!(store.view().unwrap().get(Table::Tree, &[0]).unwrap().is_some());
    check(&store);
    std::mem::forget(store);
    device.crash(Torn::Nothing);
    check(&open_inline(&device, &clock, 3));
}

#[test]
fn a_large_store_without_a_checkpoint_is_read_in_while_writes_go_on() {
    let (device, clock) = (Device::new(), ManualClock::new());
    let store = open_inline(&device, &clock, 1);
    for number in 0..20 {
        let writes = (0..1_000)
            .map(|key| support::put(&format!("k/{:06}", number * 1_000 + key), "1"))
            .collect::<Vec<_>>();
        store.commit(writes).unwrap();
    }
    std::mem::forget(store);
    device.crash(Torn::Nothing);
    let store = open_inline(&device, &clock, 2);
    assert!(!store.digest().is_ready());
    assert!(store.digest().lasting().is_err());
    for round in 0.. {
        if store.digest().is_ready() {
            break;
        }
        assert!(round < 100, "it is never read in");
        store.commit(vec![support::put(&format!("k/{:06}", round * 997 % 20_000), "2")]).unwrap();
        store.commit(vec![support::put(&format!("j/{round:06}"), "3")]).unwrap();
    }
    check(&store);
}

#[test]
fn the_check_tells_a_checkpoint_that_cannot_be_read_and_the_next_start_does_without_it() {
    let (device, clock) = (Device::new(), ManualClock::new());
    let store = open_inline(&device, &clock, 1);
    churn(&store, 500, 1);
    store.close();
    let engine = MemoryEngine::open(&device);
    let problems = |engine: MemoryEngine| {
        let report = check_view(&View::of(Arc::new(engine)), &mut |_| {});
        assert!(report.rows(Table::Tree) > 0);
        report.problems_total
    };
    assert_eq!(problems(engine), 0);
    let engine = MemoryEngine::open(&device);
    let mut batch = Batch::default();
    batch.put(Table::Tree, vec![1, 0, 0, 0, 0], b"no chunk".to_vec());
    engine.commit(batch, Sync::Disk).unwrap();
    assert_eq!(problems(engine), 1);
    check(&open_inline(&device, &clock, 2));
}

#[test]
fn a_prefix_has_the_sum_of_its_own_keys() {
    let (_, _, store) = support::fresh(settings());
    for number in 0..500 {
        store
            .commit(vec![
                support::put(&format!("a/{number}"), "1"),
                support::put(&format!("b/{number}"), "1"),
            ])
            .unwrap();
    }
    let digest = store.digest();
    let (a, b) =
        (digest.prefix(Namespace::Data, b"a/").unwrap(), digest.prefix(Namespace::Data, b"b/").unwrap());
    assert_eq!((a.count, b.count), (500, 500));
    assert_eq!(a.plus(b), digest.lasting().unwrap());
    assert_eq!(digest.prefix(Namespace::Data, b"c").unwrap(), Sum::default());
}
