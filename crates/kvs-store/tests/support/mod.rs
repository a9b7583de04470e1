//! What the suites of the store share: a clock turned by hand, settings, writes in one line, a node on a device.
//!
//! Nothing here decides whether the store is right: that is done by `audit` and `model`.

#![allow(dead_code, reason = "every suite is a program of its own and uses a part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

pub(crate) mod audit;
pub(crate) mod listing;
pub(crate) mod model;
pub(crate) mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::{Precondition, Tags};
use kvs_core::record::Record;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Outcome, Write, Written};
use kvs_store::compression::Content;
use kvs_store::engine::device::Device;
use kvs_store::error::StoreError;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::{Observer, Silent};
use kvs_store::settings::{Durability, FirstJoined, Settings};
use kvs_store::store::Store;
use uuid::Uuid;

/// When tests begin, ms since 1970.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// How long tombstones stay in tests.
pub(crate) const GRACE_MS: u64 = 3_600_000;

/// How long a test waits for something that must come, in steps of [`POLL_STEP`].
const POLL_STEPS_MAX: u32 = 4000;
const POLL_STEP: Duration = Duration::from_millis(5);

/// A clock that moves only when told. Wall time and monotonic time move apart, so that a test can let values expire
/// without any chore of the committer coming due, and the other way round.
#[derive(Debug)]
pub(crate) struct ManualClock {
    now_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now_ms: AtomicU64::new(START_MS), monotonic_ms: AtomicU64::new(0) })
    }

    pub(crate) fn set_wall(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    pub(crate) fn advance_wall(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Time passes, as both clocks tell it; else the wall clock is one that was set.
    pub(crate) fn pass(&self, ms: u64) {
        self.advance_wall(ms);
        self.advance_monotonic(Duration::from_millis(ms));
    }

    pub(crate) fn advance_monotonic(&self, by: Duration) {
        self.monotonic_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

/// Small settings: three revisions, an hour of grace, payloads as sent.
pub(crate) fn settings() -> Settings {
    Settings {
        durability: Durability::Always,
        revision_limit: 3,
        compression_level: None,
        cache_bytes: 4 * 1024 * 1024,
        tombstone_grace_ms: GRACE_MS,
        first_joined: FirstJoined::Now,
        ..Settings::default()
    }
}

/// The randomness of a store; every opening needs its own, or versions get the uuids of earlier ones.
pub(crate) fn seed(number: u64) -> [u8; 32] {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    seed
}

pub(crate) fn open_with(
    device: &Device,
    clock: &Arc<ManualClock>,
    settings: Settings,
    seed_number: u64,
    observer: Arc<dyn Observer>,
) -> Result<Store, StoreError> {
    let medium = MemoryMedium { device: device.clone() };
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Store::open_on(Box::new(medium), settings, clock, observer, seed(seed_number), None)
}

pub(crate) fn open(
    device: &Device,
    clock: &Arc<ManualClock>,
    settings: Settings,
    seed_number: u64,
) -> Result<Store, StoreError> {
    open_with(device, clock, settings, seed_number, Arc::new(Silent))
}

/// A store on a device of its own.
pub(crate) fn fresh(settings: Settings) -> (Device, Arc<ManualClock>, Store) {
    let (device, clock) = (Device::new(), ManualClock::new());
    let store = open(&device, &clock, settings, 1).unwrap();
    (device, clock, store)
}

/// Returns when the committer has looked at its chores at least once since the call: it does so after each batch, and
/// answers a later batch only afterwards.
pub(crate) fn settle(store: &Store) {
    for _ in 0..2 {
        // Refused or not: it passed through the committer.
        drop(store.commit(Vec::new()));
    }
}

/// Turns the clock so that every chore of the committer is due, and waits until they are done.
pub(crate) fn do_chores(store: &Store, clock: &ManualClock) {
    settle(store);
    clock.advance_monotonic(Duration::from_secs(31));
    settle(store);
}

/// Waits, bounded, until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..POLL_STEPS_MAX {
        if holds() {
            return;
        }
        std::thread::sleep(POLL_STEP);
    }
    unreachable!("it never came true that {what}");
}

pub(crate) fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

pub(crate) fn content(json: &str) -> Content {
    Content::prepare(Bytes::copy_from_slice(json.as_bytes()), None)
}

pub(crate) fn write(text: &str, change: Change) -> Write {
    Write {
        namespace: Namespace::Data,
        path: path(text),
        change,
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    }
}

pub(crate) fn put(text: &str, json: &str) -> Write {
    write(text, Change::Put { content: content(json), lifetime: None })
}

pub(crate) fn put_for(text: &str, json: &str, lifetime_ms: u64) -> Write {
    let lifetime = Some(Duration::from_millis(lifetime_ms));
    write(text, Change::Put { content: content(json), lifetime })
}

pub(crate) fn delete(text: &str) -> Write {
    write(text, Change::Delete)
}

pub(crate) fn merge(text: &str, record: Record) -> Write {
    write(text, Change::Merge(Box::new(record)))
}

/// Only if the key has no live value.
pub(crate) fn if_absent(mut write: Write) -> Write {
    write.precondition = Precondition { if_match: None, if_none_match: Some(Tags::Any) };
    write
}

/// Only if this is the key's live version.
pub(crate) fn if_version(mut write: Write, uuid: Uuid) -> Write {
    write.precondition = Precondition { if_match: Some(Tags::OneOf(vec![uuid])), if_none_match: None };
    write
}

/// Only if the key has a live value.
pub(crate) fn if_present(mut write: Write) -> Write {
    write.precondition = Precondition { if_match: Some(Tags::Any), if_none_match: None };
    write
}

/// The version that a local write made.
pub(crate) fn written(outcome: &Outcome) -> Option<Written> {
    match outcome {
        Outcome::Created(written) | Outcome::Replaced(written) | Outcome::Deleted(written) => Some(*written),
        _ => None,
    }
}

/// What a reader at `now_ms` gets.
pub(crate) fn value_at(store: &Store, text: &str, now_ms: u64) -> Option<String> {
    let record = store.read(Namespace::Data, &path(text)).unwrap()?;
    record.is_live(now_ms).then(|| String::from_utf8(store.json(&record).unwrap().to_vec()).unwrap())
}

/// What a reader gets at the time that tests begin.
pub(crate) fn value(store: &Store, text: &str) -> Option<String> {
    value_at(store, text, START_MS)
}
