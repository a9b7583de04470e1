//! The check: a healthy store passes, each kind of damage is told, nothing is changed by looking.
#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use std::ops::Bound;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_store::check::report::{PROBLEMS_LISTED_MAX, Report};
use kvs_store::check::stopped::check;
use kvs_store::check::view::check_view;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::engine::contract::{Batch, Engine, Order, Sync};
use kvs_store::engine::device::Device;
use kvs_store::engine::disk::DiskEngine;
use kvs_store::engine::memory::MemoryEngine;
use kvs_store::error::StoreError;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::Silent;
use kvs_store::read::view::View;
use kvs_store::settings::Settings;
use kvs_store::store::{Store, disk_options};
use kvs_store::table::Table;

/// A clock that stands still.
struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn write(path: &str, change: Change) -> Write {
    Write {
        namespace: Namespace::Data,
        path: Path::parse(path).unwrap(),
        change,
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    }
}

fn put(store: &Store, path: &str, json: &str, lifetime: Option<Duration>) {
    let content = store.prepare(Bytes::from(json.to_owned()));
    store.commit(vec![write(path, Change::Put { content, lifetime })]).unwrap();
}

/// Values, some that expire, some compressed, tombstones, histories of one to four versions.
fn fill(store: &Store) {
    for number in 0..30 {
        let path = format!("rooms/{number}");
        for version in 0..=number % 4 {
            let lifetime = (number % 5 == 0).then_some(Duration::from_secs(3600));
            put(
                store,
                &path,
                &format!("{{\"version\":{version},\"text\":\"{}\"}}", "x".repeat(number * 20)),
                lifetime,
            );
        }
        if number % 7 == 0 {
            store.commit(vec![write(&path, Change::Delete)]).unwrap();
        }
    }
}

/// A filled store on a device, closed again.
fn filled_device() -> Device {
    let device = Device::new();
    let medium = Box::new(MemoryMedium { device: device.clone() });
    let store =
        Store::open_on(medium, Settings::default(), Arc::new(Standing), Arc::new(Silent), [7; 32], None)
            .unwrap();
    fill(&store);
    store.close();
    device
}

fn check_device(device: &Device) -> Report {
    check_view(&View::of(Arc::new(MemoryEngine::open(device))), &mut |_| {})
}

/// The rows of a table.
fn rows(device: &Device, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    MemoryEngine::open(device)
        .snapshot()
        .range(table, (Bound::Unbounded, Bound::Unbounded), Order::Ascending)
        .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
        .collect()
}

/// What a check says about a healthy store after this damage.
fn after(damage: impl FnOnce(&mut Batch, &Device)) -> Report {
    let device = filled_device();
    let mut batch = Batch::default();
    damage(&mut batch, &device);
    MemoryEngine::open(&device).commit(batch, Sync::Disk).unwrap();
    check_device(&device)
}

#[track_caller]
fn assert_told(report: &Report, words: &[&str]) {
    assert!(!report.is_healthy());
    let told = report.problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)));
    assert!(told, "{words:?} not in {:#?}", report.problems);
}

#[test]
fn a_healthy_store_passes_and_is_counted() {
    let report = check_device(&filled_device());
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.is_healthy());
    assert_eq!((report.keys, report.tombstones), (25, 5));
    assert_eq!(report.rows(Table::Records), 30);
    assert_eq!(report.rows(Table::Log), 30);
    assert_eq!(report.rows(Table::ByTime), 30);
    assert_eq!(report.rows(Table::Tombstones), 5);
    assert_eq!(report.rows(Table::Expiry), 5);
    assert_eq!(report.rows(Table::Node), 5);
    assert!(report.rows(Table::History) > 30);
    assert!(report.bytes > 5000);
    assert_eq!(
        report.tables().map(|(_, rows)| rows).sum::<u64>(),
        Table::ALL.iter().map(|t| report.rows(*t)).sum()
    );
}

#[test]
fn a_store_without_rows_passes() {
    assert!(check_device(&Device::new()).is_healthy());
}

#[test]
fn a_missing_row_is_told_for_every_table() {
    for table in [Table::History, Table::Log, Table::ByTime, Table::Expiry, Table::Tombstones] {
        for at in [0, 4] {
            let mut row_key = Vec::new();
            let report = after(|batch, device| {
                row_key.clone_from(&rows(device, table)[at].0);
                batch.remove(table, row_key.clone());
            });
            assert_told(&report, &[&format!("'{}'", table.name()), "missing"]);
            assert_eq!(report.problems_total, 1, "{:?}", report.problems);
        }
    }
}

#[test]
fn a_missing_record_leaves_orphans_in_every_table_that_follows_from_it() {
    let report = after(|batch, _| batch.remove(Table::Records, b"\x01rooms/15".to_vec()));
    assert_told(&report, &["'history'", "rooms/15", "no record"]);
    assert_told(&report, &["'log'", "no record of rooms/15"]);
    assert_told(&report, &["'by_time'", "no record of rooms/15"]);
    assert_told(&report, &["'expiry'", "no record of rooms/15"]);
    assert_told(&report, &["counter of keys is 25, counted were 24"]);
    assert_told(&report, &["counter of bytes"]);
    // Three revisions, three index rows, two counters.
    assert_eq!(report.problems_total, 8, "{:?}", report.problems);
}

#[test]
fn a_flipped_byte_is_told_wherever_it_is() {
    for table in [Table::Records, Table::History] {
        let device = filled_device();
        let (row_key, value) = rows(&device, table).into_iter().nth(11).unwrap();
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 0x10;
            let mut batch = Batch::default();
            batch.put(table, row_key.clone(), flipped);
            let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::open(&device));
            engine.commit(batch, Sync::System).unwrap();
            let report = check_view(&View::of(Arc::clone(&engine)), &mut |_| {});
            // The first bytes of a revision name the version it lost to; any uuid is one.
            let says_nothing = table == Table::History && at < 16;
            assert_eq!(report.is_healthy(), says_nothing, "{table:?} byte {at}");
            let mut repair = Batch::default();
            repair.put(table, row_key.clone(), value.clone());
            engine.commit(repair, Sync::System).unwrap();
        }
        assert!(check_device(&device).is_healthy());
    }
}

#[test]
fn a_payload_that_is_not_what_its_digest_says_is_told_though_its_checksum_holds() {
    let report = after(|batch, device| {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::open(device));
        let path = Path::parse("rooms/1").unwrap();
        let key = kvs_store::observer::Key { namespace: Namespace::Data, path: path.clone() };
        let mut row = View::of(engine).row(Namespace::Data, &path).unwrap().unwrap();
        let len = row.record.payload.raw_len();
        row.record.payload = kvs_core::record::Payload::Raw(Bytes::from(vec![b'1'; len]));
        batch.put(Table::Records, b"\x01rooms/1".to_vec(), row.encode(&key));
    });
    assert_told(&report, &["'records'", "rooms/1", "digest"]);
    assert_eq!(report.problems_total, 1);
}

#[test]
fn an_orphan_is_told_for_every_table() {
    let report = after(|batch, _| {
        batch.put(
            Table::History,
            b"\x01rooms/3\x00\x00\x00\x00\x00\x00\x00\x00\x09".to_vec(),
            b"junk".to_vec(),
        );
        batch.put(
            Table::History,
            b"\x01zebra\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(),
            b"junk".to_vec(),
        );
        batch.put(Table::Log, 9999_u64.to_be_bytes().to_vec(), b"\x01rooms/3".to_vec());
        batch.put(Table::ByTime, b"\x00\x00\x00\x00\x00\x00\x00\x09\x01rooms/3".to_vec(), Vec::new());
        batch.put(Table::Expiry, b"\x00\x00\x00\x00\x00\x00\x00\x09\x01nobody".to_vec(), Vec::new());
        batch.put(Table::Tombstones, vec![3; 28], b"junk".to_vec());
    });
    assert_told(&report, &["'history'", "rooms/3", "revision 9 is none of its record's"]);
    assert_told(&report, &["'history'", "zebra", "no record"]);
    assert_told(&report, &["'log'", "the record of rooms/3 does not ask for it"]);
    assert_told(&report, &["'by_time'", "the record of rooms/3 does not ask for it"]);
    assert_told(&report, &["'expiry'", "no record of nobody"]);
    assert_told(&report, &["'tombstones'", "names no key"]);
}

#[test]
fn a_wrong_index_row_is_told() {
    let report = after(|batch, device| {
        let (row_key, _) = rows(device, Table::Log).remove(3);
        batch.put(Table::Log, row_key, b"\x01rooms/29".to_vec());
    });
    assert_told(&report, &["'log'", "does not say what the record"]);
}

#[test]
fn wrong_counters_are_told_each_by_name() {
    for (at, name) in [(16, "keys"), (24, "bytes"), (32, "tombstones")] {
        let report = after(|batch, device| {
            let stored = rows(device, Table::Node).into_iter().find(|(row_key, _)| row_key == b"counters");
            let (row_key, mut value) = stored.unwrap();
            value[at] ^= 1;
            batch.put(Table::Node, row_key, value);
        });
        assert_told(&report, &[&format!("counter of {name}")]);
        assert_eq!(report.problems_total, 1);
    }
    for (at, words) in [(0, "local number"), (8, "write number")] {
        let report = after(|batch, device| {
            let stored = rows(device, Table::Node).into_iter().find(|(row_key, _)| row_key == b"counters");
            let (row_key, mut value) = stored.unwrap();
            value[at..at + 8].copy_from_slice(&20_u64.to_be_bytes());
            batch.put(Table::Node, row_key, value);
        });
        assert_told(&report, &[words, "was never given out, the next one is 20"]);
    }
    let report = after(|batch, _| batch.remove(Table::Node, b"identity".to_vec()));
    assert_told(&report, &["'node'", "who this node is"]);
}

#[test]
fn two_keys_with_one_write_number_are_told() {
    let report = after(|batch, device| {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::open(device));
        let view = View::of(engine);
        let path = Path::parse("rooms/1").unwrap();
        let other = view.row(Namespace::Data, &Path::parse("rooms/2").unwrap()).unwrap().unwrap();
        let mut row = view.row(Namespace::Data, &path).unwrap().unwrap();
        row.record.dot = other.record.dot;
        let key = kvs_store::observer::Key { namespace: Namespace::Data, path };
        batch.put(Table::Records, b"\x01rooms/1".to_vec(), row.encode(&key));
    });
    assert_told(&report, &["1 writes have the number of another one"]);
}

#[test]
fn the_list_of_problems_is_bounded_and_their_number_is_not() {
    let report = after(|batch, _| {
        for number in 0..500_u64 {
            batch.put(Table::Log, (1_000_000 + number).to_be_bytes().to_vec(), b"\x01nobody\n".to_vec());
        }
    });
    assert_eq!(report.problems.len(), PROBLEMS_LISTED_MAX);
    assert_eq!(report.problems_total, 500);
    assert!(report.problems.iter().all(|problem| !problem.contains(char::is_control)));
}

fn open(dir: &FilePath) -> Store {
    Store::open(dir, Settings::default(), Arc::new(Standing), Arc::new(Silent)).unwrap()
}

#[test]
fn a_stopped_node_is_checked_on_disk_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = open(&data);
    fill(&store);
    assert!(matches!(check(&data, &mut |_| {}), Err(StoreError::InUse(_))));
    let identity = store.identity();
    drop(store);

    let node_rows = || {
        let engine = DiskEngine::open(&data.join("engine"), &disk_options(&Settings::default())).unwrap();
        let rows: Vec<_> = engine
            .snapshot()
            .range(Table::Node, (Bound::Unbounded, Bound::Unbounded), Order::Ascending)
            .map(Result::unwrap)
            .collect();
        rows
    };
    let before = node_rows();
    let mut told = Vec::new();
    let report = check(&data, &mut |rows| told.push(rows)).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(
        told.last().copied(),
        Some(report.tables().map(|(_, rows)| rows).sum::<u64>() - report.rows(Table::Node))
    );
    assert_eq!(node_rows(), before);

    let mut batch = Batch::default();
    batch.remove(Table::ByTime, {
        let engine = DiskEngine::open(&data.join("engine"), &disk_options(&Settings::default())).unwrap();
        let snapshot = engine.snapshot();
        let first =
            snapshot.range(Table::ByTime, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).next();
        first.expect("there are rows").unwrap().0.to_vec()
    });
    let engine = DiskEngine::open(&data.join("engine"), &disk_options(&Settings::default())).unwrap();
    engine.commit(batch, Sync::Disk).unwrap();
    drop(engine);
    assert_told(&check(&data, &mut |_| {}).unwrap(), &["'by_time'", "missing"]);
    assert_eq!(open(&data).identity().origin.node, identity.origin.node);
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(check(dir.path(), &mut |_| {}), Err(StoreError::Format { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let absent = dir.path().join("absent");
    assert!(check(&absent, &mut |_| {}).is_err());
    assert!(!absent.exists());
}
