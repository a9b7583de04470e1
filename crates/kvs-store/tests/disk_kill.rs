//! The store on a real disk, in a process that is killed without warning; and the lock of its directory.
//!
//! The child is this very test program, started again with [`CHILD_DIR`] in its environment. It writes with several
//! threads and prints each write once it is acknowledged; what it printed must be there afterwards.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path as FilePath;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kvs_store::clock::Clock;
use kvs_store::error::{ErrorKind, StoreError};
use kvs_store::observer::Silent;
use kvs_store::settings::{Durability, Settings};
use kvs_store::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use support::audit::audit;
use support::{ManualClock, delete, path, put, put_for, settings, value};

const CHILD_DIR: &str = "KVS_TEST_CHILD_DIR";
const CHILD_FIRST: &str = "KVS_TEST_CHILD_FIRST";
const CHILD_DURABILITY: &str = "KVS_TEST_CHILD_DURABILITY";

const WRITERS: u64 = 4;
/// Keys of each writer; it writes them in turn.
const KEYS: u64 = 40;
/// More than a child writes before it is killed.
const WRITES_MAX: u64 = 1_000_000;

fn open(dir: &FilePath, settings: Settings) -> Result<Store, StoreError> {
    let clock: Arc<dyn Clock> = ManualClock::new();
    Store::open(dir, settings, clock, Arc::new(Silent))
}

/// The text of a write: large ones rest in files of their own.
fn text(number: u64) -> String {
    format!("\"{number}:{}\"", "x".repeat(if number.is_multiple_of(7) { 6000 } else { 20 }))
}

fn number_of(text: &str) -> u64 {
    text.trim_matches('"').split_once(':').unwrap().0.parse().unwrap()
}

/// What the child does until it is killed. An ordinary test to the test runner, which passes when it is no child.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let first: u64 = std::env::var(CHILD_FIRST).unwrap().parse().unwrap();
    let durability = match std::env::var(CHILD_DURABILITY).unwrap().as_str() {
        "always" => Durability::Always,
        _ => Durability::Never,
    };
    let clock = ManualClock::new();
    let on_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let settings = Settings { durability, ..settings() };
    let store = Store::open(FilePath::new(&dir), settings, on_clock, Arc::new(Silent)).unwrap();
    // Behind the test runner's own unfinished line.
    std::io::stdout().lock().write_all(b"\n").unwrap();
    let told = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, clock, told) = (&store, &clock, &told);
            scope.spawn(move || {
                for number in first..first + WRITES_MAX {
                    let key = number % KEYS;
                    let mut writes = vec![
                        put(&format!("w{writer}/k{key}"), &text(number)),
                        put(&format!("w{writer}/twin{key}"), &text(number)),
                    ];
                    // Something that comes and goes, and something that expires.
                    writes.push(if number.is_multiple_of(2) {
                        put(&format!("w{writer}/sometimes"), "1")
                    } else {
                        delete(&format!("w{writer}/sometimes"))
                    });
                    writes.push(put_for(&format!("w{writer}/short{key}"), "1", 20));
                    store.commit(writes).unwrap();
                    // One write for each line, so that a kill cuts between lines.
                    let line = format!("{writer} {number}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    if told.fetch_add(1, Ordering::Relaxed).is_multiple_of(16) {
                        clock.advance_wall(5);
                        clock.advance_monotonic(Duration::from_millis(200));
                    }
                }
            });
        }
    });
}

fn spawn(dir: &FilePath, first: u64, durability: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_FIRST, first.to_string())
        .env(CHILD_DURABILITY, durability)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// The writer and the number of a line.
fn acknowledged(line: &str) -> Option<(u64, u64)> {
    let (writer, number) = line.split_once(' ')?;
    Some((writer.parse().ok()?, number.parse().ok()?))
}

/// What was acknowledged.
#[derive(Default)]
struct Told {
    /// The last number of each writer and key.
    keys: BTreeMap<(u64, u64), u64>,
    /// What each writer may have had in hand when it was killed.
    next: BTreeMap<u64, u64>,
}

/// Lets the child write until it told of `lines` writes, kills it, and notes what it told.
fn write_and_kill(dir: &FilePath, first: u64, durability: &str, lines: usize, told: &mut Told) {
    let mut child = spawn(dir, first, durability);
    told.next = (0..WRITERS).map(|writer| (writer, first)).collect();
    let mut count = 0;
    // To the end of the pipe: what was acknowledged and told before the kill counts, read or not.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Some((writer, number)) = acknowledged(&line.unwrap()) else { continue };
        told.keys.insert((writer, number % KEYS), number);
        told.next.insert(writer, number + 1);
        count += 1;
        if count == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(count >= lines, "the child ended by itself after {count} writes");
}

fn compare(store: &Store, told: &Told) {
    for ((writer, key), number) in &told.keys {
        let found = value(store, &format!("w{writer}/k{key}")).unwrap();
        let found_number = number_of(&found);
        assert_eq!(found, text(found_number), "a value is whole");
        assert!(
            found_number == *number || found_number == told.next[writer],
            "writer {writer}: {number} was acknowledged, {found_number} is there"
        );
        assert_eq!(
            value(store, &format!("w{writer}/twin{key}")),
            Some(found),
            "both of a transaction or none"
        );
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut random = StdRng::seed_from_u64(8);
    let mut told = Told::default();
    let (mut node, mut epochs) = (None, Vec::new());
    for round in 0..8 {
        let first = round * WRITES_MAX;
        write_and_kill(&dir, first, "always", random.random_range(1..400), &mut told);
        let store = open(&dir, settings()).unwrap();
        compare(&store, &told);
        audit(&store);
        let identity = store.identity();
        assert_eq!(*node.get_or_insert(identity.origin.node), identity.origin.node, "the same node");
        assert!(!epochs.contains(&identity.origin.epoch), "in another epoch");
        epochs.push(identity.origin.epoch);
    }
}

/// The process dies, the machine goes on: what was answered is with the operating system.
#[test]
fn a_kill_loses_nothing_even_without_syncs_but_begins_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut told = Told::default();
    write_and_kill(&dir, 0, "never", 300, &mut told);
    let store = open(&dir, settings()).unwrap();
    compare(&store, &told);
    audit(&store);
    let own = store.identity().origin;
    assert!(store.vector().iter().any(|(origin, _)| origin.node == own.node && origin.epoch != own.epoch));
}

#[test]
fn a_directory_in_use_is_refused_to_others_until_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut child = spawn(&dir, 0, "always");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| acknowledged(&line.unwrap()).is_some()), "the child writes");
    let refused = open(&dir, settings()).err().unwrap();
    assert!(matches!(&refused, StoreError::InUse(path) if *path == dir), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Config);
    child.kill().unwrap();
    child.wait().unwrap();
    let store = open(&dir, settings()).unwrap();
    assert!(matches!(open(&dir, settings()), Err(StoreError::InUse(_))), "also within one process");
    assert!(store.commit(vec![put("a", "1")]).is_ok());
    drop(store);
    assert_eq!(value(&open(&dir, settings()).unwrap(), "a").as_deref(), Some("1"));
}

/// Two starts at once, on a directory that neither has seen.
#[test]
fn of_many_that_open_a_new_directory_at_once_exactly_one_has_it() {
    const OPENERS: usize = 6;
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep").join("data");
        let barrier = std::sync::Barrier::new(OPENERS);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let openers: Vec<_> = (0..OPENERS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        open(&dir, settings())
                    })
                })
                .collect();
            openers.into_iter().map(|opener| opener.join().unwrap()).collect()
        });
        let refused: Vec<_> = opened.iter().filter_map(|opened| opened.as_ref().err()).collect();
        assert_eq!(refused.len(), OPENERS - 1);
        assert!(refused.iter().all(|error| matches!(error, StoreError::InUse(_))), "{refused:?}");
    }
}

#[test]
fn the_store_on_a_disk_reads_back_what_it_wrote_with_and_without_compression() {
    for compression_level in [None, Some(3)] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        let settings = Settings { compression_level, ..settings() };
        let sizes = [1_usize, 191, 192, 4096, 70_000, 1 << 20];
        let json_of = |size: usize| format!("\"{}\"", "lorem ipsum ".repeat(size / 12 + 1));
        {
            let store = open(&dir, settings).unwrap();
            for size in sizes {
                let mut write = put(&format!("k{size}"), "1");
                let content = store.prepare(json_of(size).into());
                write.change = kvs_store::commit::write::Change::Put { content, lifetime: None };
                store.commit(vec![write]).unwrap();
            }
        }
        let store = open(&dir, settings).unwrap();
        for size in sizes {
            assert!(value(&store, &format!("k{size}")) == Some(json_of(size)), "{size}");
        }
        assert_eq!(store.status().bytes, sizes.map(|size| json_of(size).len() as u64).iter().sum::<u64>());
        assert_eq!(store.history(kvs_core::namespace::Namespace::Data, &path("k1")).unwrap().len(), 1);
        audit(&store);
    }
}
