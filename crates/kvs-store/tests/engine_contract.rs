//! The contract of an engine, run over the disk engine and the engine in memory.
//!
//! Source: the trait `Engine`. Whatever the store builds on must hold for both.

#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use kvs_store::engine::contract::{Batch, Engine, KeyRange, Order, Snapshot, Sync};
use kvs_store::engine::device::Device;
use kvs_store::engine::disk::{Blocks, DiskEngine, DiskOptions};
use kvs_store::engine::memory::MemoryEngine;
use kvs_store::table::Table;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

/// Where an engine's files are; opens it as often as asked.
trait Bed {
    fn make() -> Self;
    fn open(&self) -> Arc<dyn Engine>;
}

struct OnDisk(TempDir);

impl Bed for OnDisk {
    fn make() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn Engine> {
        let options = DiskOptions { cache_bytes: 1024 * 1024, blocks: Blocks::Compressed };
        Arc::new(DiskEngine::open(&self.0.path().join("engine"), &options).unwrap())
    }
}

struct InMemory(Device);

impl Bed for InMemory {
    fn make() -> Self {
        Self(Device::new())
    }

    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::open(&self.0))
    }
}

macro_rules! contract {
    ($($name:ident)*) => {
        mod disk_engine {
            $(#[test] fn $name() { super::$name::<super::OnDisk>(); })*
        }
        mod memory_engine {
            $(#[test] fn $name() { super::$name::<super::InMemory>(); })*
        }
    };
}

contract! {
    a_new_engine_holds_nothing
    what_is_put_is_read_back_and_what_is_removed_is_gone
    tables_are_apart
    a_batch_changes_many_tables_at_once
    a_batch_is_seen_whole_or_not_at_all_by_every_snapshot
    a_snapshot_sees_no_later_commit
    a_snapshot_outlives_flushes_of_what_it_sees
    ranges_go_both_ways_with_every_kind_of_bound
    empty_and_turned_round_ranges_have_no_rows
    ranges_skip_what_was_removed
    a_range_can_be_left_half_way
    values_of_every_size_come_back_byte_for_byte
    synced_commits_are_there_after_opening_again
    unsynced_commits_are_there_after_an_orderly_end
    flushed_rows_stay_as_they_were
    removed_rows_stay_removed_after_flush_and_opening_again
    ingested_rows_are_read_like_any_other
    ingested_rows_can_be_changed_afterwards
    an_empty_batch_changes_nothing
    it_says_how_many_bytes_it_takes
}

/// A table, a key, and a value or `None` to remove it.
type Row<'a> = (Table, &'a [u8], Option<&'a [u8]>);

/// Bytes that do not compress, the same for the same size.
fn noise(size: usize) -> Vec<u8> {
    let mut noise = vec![0; size];
    StdRng::seed_from_u64(size as u64).fill_bytes(&mut noise);
    noise
}

fn commit(engine: &dyn Engine, changes: &[Row<'_>]) {
    engine.commit(batch(changes), Sync::Disk).unwrap();
}

fn batch(changes: &[Row<'_>]) -> Batch {
    let mut batch = Batch::default();
    for (table, key, value) in changes {
        match value {
            Some(value) => batch.put(*table, key.to_vec(), value.to_vec()),
            None => batch.remove(*table, key.to_vec()),
        }
    }
    batch
}

fn fill(engine: &dyn Engine, table: Table, keys: &[&str]) {
    let changes: Vec<_> = keys.iter().map(|key| (table, key.as_bytes(), Some(key.as_bytes()))).collect();
    commit(engine, &changes);
}

const ALL: KeyRange = (Bound::Unbounded, Bound::Unbounded);

fn rows(snapshot: &dyn Snapshot, table: Table, range: KeyRange, order: Order) -> Vec<(Bytes, Bytes)> {
    snapshot.range(table, range, order).map(Result::unwrap).collect()
}

fn keys(engine: &dyn Engine, table: Table, range: KeyRange, order: Order) -> Vec<String> {
    let snapshot = engine.snapshot();
    let rows = rows(&*snapshot, table, range, order);
    rows.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn get(engine: &dyn Engine, table: Table, key: &str) -> Option<Vec<u8>> {
    engine.get(table, key.as_bytes()).unwrap().map(|value| value.to_vec())
}

fn a_new_engine_holds_nothing<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    for table in Table::ALL {
        assert_eq!(get(&*engine, table, "a"), None);
        assert!(rows(&*engine.snapshot(), table, ALL, Order::Ascending).is_empty());
    }
}

fn what_is_put_is_read_back_and_what_is_removed_is_gone<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    commit(&*engine, &[(Table::Records, b"a", Some(b"1")), (Table::Records, b"b", Some(b"2"))]);
    commit(&*engine, &[(Table::Records, b"a", Some(b"3")), (Table::Records, b"absent", None)]);
    assert_eq!(get(&*engine, Table::Records, "a"), Some(b"3".to_vec()));
    commit(&*engine, &[(Table::Records, b"a", None)]);
    assert_eq!(get(&*engine, Table::Records, "a"), None);
    assert_eq!(get(&*engine, Table::Records, "b"), Some(b"2".to_vec()));
    assert_eq!(engine.snapshot().get(Table::Records, b"a").unwrap(), None);
    assert_eq!(engine.snapshot().get(Table::Records, b"b").unwrap(), Some(Bytes::from_static(b"2")));
}

fn tables_are_apart<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    for table in Table::ALL {
        commit(&*engine, &[(table, b"key", Some(table.name().as_bytes()))]);
    }
    commit(&*engine, &[(Table::Log, b"key", None)]);
    for table in Table::ALL {
        let wanted = (table != Table::Log).then(|| table.name().as_bytes().to_vec());
        assert_eq!(get(&*engine, table, "key"), wanted);
    }
}

fn a_batch_changes_many_tables_at_once<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    let changes: Vec<_> =
        Table::ALL.into_iter().map(|table| (table, &b"key"[..], Some(&b"value"[..]))).collect();
    commit(&*engine, &changes);
    drop(engine);
    let engine = bed.open();
    for table in Table::ALL {
        assert_eq!(get(&*engine, table, "key"), Some(b"value".to_vec()));
    }
}

/// A writer moves one mark from key to key; every snapshot must find exactly one.
fn a_batch_is_seen_whole_or_not_at_all_by_every_snapshot<B: Bed>() {
    const MOVES: u32 = 200;
    let bed = B::make();
    let engine = bed.open();
    commit(&*engine, &[(Table::Records, &0_u32.to_be_bytes(), Some(b"mark"))]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..MOVES {
                let mut batch = Batch::default();
                // Across tables, too: even marks rest in one table, odd ones in another.
                let table =
                    |number: u32| if number.is_multiple_of(2) { Table::Records } else { Table::History };
                batch.remove(table(number), number.to_be_bytes().to_vec());
                batch.put(table(number + 1), (number + 1).to_be_bytes().to_vec(), b"mark".to_vec());
                engine.commit(batch, Sync::System).unwrap();
            }
        });
        while !writer.is_finished() {
            let snapshot = engine.snapshot();
            let marks = rows(&*snapshot, Table::Records, ALL, Order::Ascending).len()
                + rows(&*snapshot, Table::History, ALL, Order::Descending).len();
            assert_eq!(marks, 1);
        }
        writer.join().unwrap();
    });
}

fn a_snapshot_sees_no_later_commit<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b", "c"]);
    let snapshot = engine.snapshot();
    commit(
        &*engine,
        &[
            (Table::Records, b"a", Some(b"changed")),
            (Table::Records, b"b", None),
            (Table::Records, b"bb", Some(b"new")),
        ],
    );
    assert_eq!(snapshot.get(Table::Records, b"a").unwrap(), Some(Bytes::from_static(b"a")));
    assert_eq!(snapshot.get(Table::Records, b"b").unwrap(), Some(Bytes::from_static(b"b")));
    assert_eq!(snapshot.get(Table::Records, b"bb").unwrap(), None);
    for order in [Order::Ascending, Order::Descending] {
        let mut found = rows(&*snapshot, Table::Records, ALL, order);
        found.sort();
        let same = |text: &'static str| (Bytes::from(text), Bytes::from(text));
        assert_eq!(found, [same("a"), same("b"), same("c")]);
    }
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["a", "bb", "c"]);
}

fn a_snapshot_outlives_flushes_of_what_it_sees<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b"]);
    let snapshot = engine.snapshot();
    for round in 0..4_u8 {
        commit(&*engine, &[(Table::Records, b"a", Some(&[round])), (Table::Records, b"b", None)]);
        engine.flush().unwrap();
    }
    assert_eq!(snapshot.get(Table::Records, b"a").unwrap(), Some(Bytes::from_static(b"a")));
    assert_eq!(rows(&*snapshot, Table::Records, ALL, Order::Ascending).len(), 2);
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["a"]);
}

fn ranges_go_both_ways_with_every_kind_of_bound<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    let all = ["a", "b", "ba", "c", "d"];
    fill(&*engine, Table::Records, &all);
    fill(&*engine, Table::History, &["b", "bb"]);
    let bound_kinds = |text: &str| {
        [Bound::Unbounded, Bound::Included(text.into()), Bound::Excluded(text.into())] as [Bound<Vec<u8>>; 3]
    };
    // Bounds on keys that are there, between them, and outside of all.
    for from in ["", "a", "b", "bZ", "ba", "d", "e"] {
        for to in ["", "a", "b", "bZ", "ba", "d", "e"] {
            for (lower, upper) in bound_kinds(from)
                .into_iter()
                .flat_map(|lower| bound_kinds(to).map(|upper| (lower.clone(), upper)))
            {
                let mut wanted: Vec<&str> = all
                    .into_iter()
                    .filter(|key| match &lower {
                        Bound::Included(from) => key.as_bytes() >= &from[..],
                        Bound::Excluded(from) => key.as_bytes() > &from[..],
                        Bound::Unbounded => true,
                    })
                    .filter(|key| match &upper {
                        Bound::Included(to) => key.as_bytes() <= &to[..],
                        Bound::Excluded(to) => key.as_bytes() < &to[..],
                        Bound::Unbounded => true,
                    })
                    .collect();
                let range = (lower, upper);
                assert_eq!(
                    keys(&*engine, Table::Records, range.clone(), Order::Ascending),
                    wanted,
                    "{range:?}"
                );
                wanted.reverse();
                assert_eq!(
                    keys(&*engine, Table::Records, range.clone(), Order::Descending),
                    wanted,
                    "{range:?}"
                );
            }
        }
    }
}

fn empty_and_turned_round_ranges_have_no_rows<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b", "c"]);
    let key = |text: &str| text.as_bytes().to_vec();
    for range in [
        (Bound::Included(key("b")), Bound::Excluded(key("b"))),
        (Bound::Excluded(key("b")), Bound::Excluded(key("b"))),
        (Bound::Excluded(key("b")), Bound::Included(key("b"))),
        (Bound::Included(key("c")), Bound::Included(key("a"))),
        (Bound::Excluded(key("c")), Bound::Excluded(key("a"))),
        (Bound::Included(key("x")), Bound::Included(key("z"))),
        (Bound::Unbounded, Bound::Excluded(key(""))),
    ] {
        for order in [Order::Ascending, Order::Descending] {
            assert!(keys(&*engine, Table::Records, range.clone(), order).is_empty(), "{range:?}");
        }
    }
    let only_b = (Bound::Included(key("b")), Bound::Included(key("b")));
    assert_eq!(keys(&*engine, Table::Records, only_b, Order::Ascending), ["b"]);
}

fn ranges_skip_what_was_removed<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b", "c", "d"]);
    engine.flush().unwrap();
    commit(
        &*engine,
        &[(Table::Records, b"a", None), (Table::Records, b"c", None), (Table::Records, b"cc", Some(b""))],
    );
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["b", "cc", "d"]);
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Descending), ["d", "cc", "b"]);
}

fn a_range_can_be_left_half_way<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b", "c"]);
    let snapshot = engine.snapshot();
    let first = snapshot.range(Table::Records, ALL, Order::Descending).next().unwrap().unwrap();
    assert_eq!(first.0, Bytes::from_static(b"c"));
    drop(snapshot);
    fill(&*engine, Table::Records, &["d"]);
    assert_eq!(get(&*engine, Table::Records, "d"), Some(b"d".to_vec()));
}

fn values_of_every_size_come_back_byte_for_byte<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    // Around the size from which payloads rest in files of their own, and up to the default `max_json_size`.
    let sizes = [0, 1, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 1 << 20];
    for table in [Table::Records, Table::History, Table::Log] {
        for size in sizes {
            commit(&*engine, &[(table, format!("{size:08}").as_bytes(), Some(&noise(size)))]);
        }
    }
    let long_key = vec![b'k'; 1100];
    commit(&*engine, &[(Table::Records, &long_key, Some(b"long key"))]);
    let compare = |engine: &dyn Engine| {
        for table in [Table::Records, Table::History, Table::Log] {
            for size in sizes {
                assert!(get(engine, table, &format!("{size:08}")) == Some(noise(size)), "{size} bytes");
            }
            let rows = rows(&*engine.snapshot(), table, ALL, Order::Ascending);
            assert!(rows.iter().zip(sizes).all(|((_, value), size)| *value == noise(size)));
        }
        assert_eq!(engine.get(Table::Records, &long_key).unwrap(), Some(Bytes::from_static(b"long key")));
    };
    compare(&*engine);
    engine.flush().unwrap();
    compare(&*engine);
    drop(engine);
    compare(&*bed.open());
}

fn synced_commits_are_there_after_opening_again<B: Bed>() {
    let bed = B::make();
    for round in 0..3_u8 {
        let engine = bed.open();
        for earlier in 0..round {
            assert_eq!(
                engine.get(Table::Records, &[earlier]).unwrap(),
                Some(Bytes::copy_from_slice(&[earlier]))
            );
        }
        commit(
            &*engine,
            &[(Table::Records, &[round], Some(&[round])), (Table::Log, b"last", Some(&[round]))],
        );
    }
    assert_eq!(get(&*bed.open(), Table::Log, "last"), Some(vec![2]));
}

fn unsynced_commits_are_there_after_an_orderly_end<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    engine.commit(batch(&[(Table::Records, b"a", Some(b"1"))]), Sync::System).unwrap();
    assert_eq!(get(&*engine, Table::Records, "a"), Some(b"1".to_vec()));
    engine.sync().unwrap();
    engine.commit(batch(&[(Table::Records, b"b", Some(b"2"))]), Sync::System).unwrap();
    drop(engine);
    let engine = bed.open();
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["a", "b"]);
}

fn flushed_rows_stay_as_they_were<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b"]);
    engine.flush().unwrap();
    engine.flush().unwrap();
    fill(&*engine, Table::Records, &["c"]);
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["a", "b", "c"]);
    drop(engine);
    assert_eq!(keys(&*bed.open(), Table::Records, ALL, Order::Ascending), ["a", "b", "c"]);
}

fn removed_rows_stay_removed_after_flush_and_opening_again<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a", "b"]);
    engine.flush().unwrap();
    commit(&*engine, &[(Table::Records, b"a", None)]);
    engine.flush().unwrap();
    drop(engine);
    let engine = bed.open();
    assert_eq!(get(&*engine, Table::Records, "a"), None);
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["b"]);
}

fn ingested_rows_are_read_like_any_other<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    let row = |number: u32| {
        (number.to_be_bytes().to_vec(), number.to_string().repeat(1 + number as usize % 700).into_bytes())
    };
    engine.ingest(Table::Records, &mut (0..3000).map(row)).unwrap();
    engine.ingest(Table::Log, &mut std::iter::empty()).unwrap();
    let compare = |engine: &dyn Engine| {
        let found = rows(&*engine.snapshot(), Table::Records, ALL, Order::Ascending);
        assert!(found.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).eq((0..3000).map(row)));
        assert_eq!(engine.get(Table::Records, &7_u32.to_be_bytes()).unwrap(), Some(Bytes::from(row(7).1)));
        assert!(rows(&*engine.snapshot(), Table::Log, ALL, Order::Ascending).is_empty());
    };
    compare(&*engine);
    engine.sync().unwrap();
    drop(engine);
    compare(&*bed.open());
}

fn ingested_rows_can_be_changed_afterwards<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    let mut ingested = ["a", "b", "c"].map(|key| (key.as_bytes().to_vec(), b"ingested".to_vec())).into_iter();
    engine.ingest(Table::Records, &mut ingested).unwrap();
    commit(&*engine, &[(Table::Records, b"a", Some(b"changed")), (Table::Records, b"b", None)]);
    assert_eq!(get(&*engine, Table::Records, "a"), Some(b"changed".to_vec()));
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["a", "c"]);
}

fn an_empty_batch_changes_nothing<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a"]);
    engine.commit(Batch::default(), Sync::Disk).unwrap();
    assert_eq!(keys(&*engine, Table::Records, ALL, Order::Ascending), ["a"]);
}

fn it_says_how_many_bytes_it_takes<B: Bed>() {
    let bed = B::make();
    let engine = bed.open();
    commit(&*engine, &[(Table::Records, b"a", Some(&noise(1_000_000)))]);
    engine.flush().unwrap();
    assert!(engine.stats().disk_bytes >= 500_000, "{}", engine.stats().disk_bytes);
}

/// The store flushes when it opens after a crash and when it goes on after a full disk: a flush that waited for ever
/// for a file that cannot be written would hang the node.
#[test]
fn a_flush_that_cannot_be_done_fails_and_closes_the_engine_for_writes() {
    let bed = OnDisk::make();
    let engine = bed.open();
    fill(&*engine, Table::Records, &["a"]);
    std::fs::remove_dir_all(bed.0.path().join("engine").join("keyspaces")).unwrap();
    assert!(engine.flush().is_err());
    assert!(engine.commit(batch(&[(Table::Records, b"b", Some(b""))]), Sync::Disk).is_err());
    assert_eq!(get(&*engine, Table::Records, "a"), Some(b"a".to_vec()));
}
