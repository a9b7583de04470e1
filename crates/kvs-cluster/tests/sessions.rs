//! Sessions between two stores that no log connects: they end with the same records on both.

#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::store_holdings::StoreHoldings;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::item::DigestKey;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::version::Rule;
use kvs_protocol::reconcile::answer::answer;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_protocol::reconcile::outcome::{Completeness, Outcome};
use kvs_protocol::reconcile::request::Request;
use kvs_protocol::reconcile::session::Session;
use kvs_store::clock::Clock;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::{Change, Outcome as WriteOutcome, Transaction, Write};
use kvs_store::engine::device::Device;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::Silent;
use kvs_store::settings::Settings;
use kvs_store::store::Store;
use uuid::Uuid;

const START_MS: u64 = 1_800_000_000_000;
const GRACE_MS: u64 = 24 * 3_600_000;

#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now_ms(&self) -> u64 {
        START_MS + self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Pair {
    clock: Arc<Ticks>,
    left: Store,
    right: Store,
}

fn keys() -> ClusterKeys {
    ClusterKeys::derive(b"test")
}

fn store(clock: &Arc<Ticks>, number: u8) -> Store {
    store_that_allows(clock, number, Settings::default().clock_skew_ms_max)
}

fn store_that_allows(clock: &Arc<Ticks>, number: u8, clock_skew_ms_max: u64) -> Store {
    let settings = Settings {
        digest_key: DigestKey::of(&keys()),
        compression_level: None,
        clock_skew_ms_max,
        ..Settings::default()
    };
    let medium = MemoryMedium { device: Device::new() };
    let clock = Arc::<Ticks>::clone(clock);
    Store::open_inline(Box::new(medium), settings, clock, Arc::new(Silent), [number; 32]).unwrap()
}

impl Pair {
    fn new() -> Self {
        let clock = Arc::new(Ticks::default());
        Self { left: store(&clock, 1), right: store(&clock, 2), clock }
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn tick(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn session(&self, asker: &Store, answerer: &Store, nonce: u8) -> Outcome {
        let secrets = Secrets::of(&keys());
        let mut session = Session::new(&secrets, [nonce; 16]);
        let mut asker = StoreHoldings::new(asker, self.now_ms());
        let mut answerer = StoreHoldings::new(answerer, self.now_ms());
        while let Some(request) = session.ask(&mut asker).unwrap() {
            let request = Request::decode(&Bytes::from(request)).unwrap();
            let reply = answer(&mut answerer, &secrets, request).unwrap();
            session.take_reply(&mut asker, &Bytes::from(reply.encode())).unwrap();
        }
        session.outcome().unwrap()
    }

    fn assert_equal(&self, numbers: u32) {
        assert_eq!(self.left.digest().lasting().unwrap(), self.right.digest().lasting().unwrap());
        for number in 0..numbers {
            let path = path(number);
            let read = |store: &Store| store.read(Namespace::Data, &path).unwrap();
            assert_eq!(read(&self.left), read(&self.right), "{path}");
        }
    }
}

fn path(number: u32) -> Path {
    Path::parse(&format!("users/{number:06}/name")).unwrap()
}

fn write(number: u32, change: Change) -> Write {
    Write {
        namespace: Namespace::Data,
        path: path(number),
        change,
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    }
}

fn put(store: &Store, number: u32, json: &str) {
    let content = store.prepare(Bytes::from(json.to_owned()));
    store.commit(vec![write(number, Change::Put { content, lifetime: None })]).unwrap();
}

/// The same records on both, as if the log had brought them.
fn copy_all(pair: &Pair, count: u32) {
    for number in 0..count {
        put(&pair.left, number, "1");
        let record = pair.left.read(Namespace::Data, &path(number)).unwrap().unwrap();
        pair.right.commit(vec![write(number, Change::Merge(Box::new(record)))]).unwrap();
    }
}

#[test]
fn what_each_wrote_alone_ends_on_both_with_the_later_write_of_each_key() {
    let pair = Pair::new();
    copy_all(&pair, 2_000);
    pair.assert_equal(2_000);
    for number in 0..300 {
        pair.tick(1);
        put(&pair.right, number * 3, "\"right\"");
        pair.tick(1);
        put(&pair.left, number * 5, "\"left\"");
    }
    for number in 0..50 {
        pair.tick(1);
        pair.left.commit(vec![write(number * 7, Change::Delete)]).unwrap();
        pair.right.commit(vec![write(number * 11, Change::Delete)]).unwrap();
    }
    let first = pair.session(&pair.left, &pair.right, 1);
    assert_eq!(first.completeness, Completeness::Complete);
    assert!(!first.began_equal);
    pair.session(&pair.right, &pair.left, 2);
    pair.assert_equal(2_000);
    let again = pair.session(&pair.left, &pair.right, 3);
    assert!(again.began_equal);
    assert_eq!(again.tally.offered, 0);
}

#[test]
fn one_difference_costs_four_round_trips_and_two_kibibytes_at_most() {
    let pair = Pair::new();
    copy_all(&pair, 20_000);
    pair.tick(5);
    put(&pair.right, 7_777, "\"other\"");
    let outcome = pair.session(&pair.left, &pair.right, 1);
    assert!(outcome.tally.rounds <= 4 && outcome.tally.bytes_without_records <= 2_048, "{outcome:?}");
    assert_eq!(outcome.tally.received, 1);
    pair.assert_equal(20_000);
}

/// Makes the left store forget a value that both have, as if it had been deleted and the delete collected there.
fn forget_on_the_left(pair: &Pair, number: u32) {
    let record = pair.right.read(Namespace::Data, &path(number)).unwrap().unwrap();
    pair.left.commit(vec![write(number, Change::Drop(record.version))]).unwrap();
}

#[test]
fn a_value_that_was_received_and_is_gone_is_dropped_where_it_is_still_held_and_stays_in_its_history() {
    let pair = Pair::new();
    copy_all(&pair, 100);
    pair.tick(GRACE_MS);
    // The writer of a value covers it, so that one it no longer holds was deleted and collected there.
    forget_on_the_left(&pair, 5);
    let outcome = pair.session(&pair.right, &pair.left, 1);
    assert_eq!(outcome.completeness, Completeness::Complete);
    assert_eq!(outcome.tally.dropped, 1);
    assert_eq!(pair.right.read(Namespace::Data, &path(5)).unwrap(), None);
    pair.assert_equal(100);
    let history = pair.right.history(Namespace::Data, &path(5)).unwrap();
    let [gone] = history.as_slice() else { unreachable!("{history:?}") };
    assert_eq!(gone.superseded, Some((Uuid::nil(), Rule::DeletedElsewhere)));
    assert!(!pair.right.json(&gone.record).unwrap().is_empty(), "it can be restored");
    // Offered again from a third place it is still known to be deleted, and written anew it is there.
    put(&pair.right, 5, "\"anew\"");
    pair.session(&pair.right, &pair.left, 2);
    assert!(pair.left.read(Namespace::Data, &path(5)).unwrap().is_some());
    pair.assert_equal(100);
}

#[test]
fn a_value_that_is_younger_than_the_grace_is_taken_back_and_never_dropped() {
    let pair = Pair::new();
    copy_all(&pair, 100);
    pair.tick(GRACE_MS - Settings::default().clock_skew_ms_max - 2_000);
    forget_on_the_left(&pair, 5);
    let outcome = pair.session(&pair.right, &pair.left, 1);
    assert_eq!(outcome.tally.dropped, 0);
    assert!(pair.left.read(Namespace::Data, &path(5)).unwrap().is_some());
    pair.assert_equal(100);
}

#[test]
fn a_node_whose_clock_disagrees_neither_drops_nor_takes_back_and_claims_nothing() {
    let pair = Pair::new();
    copy_all(&pair, 100);
    pair.tick(GRACE_MS);
    forget_on_the_left(&pair, 5);
    pair.left.judge_clock(ClockVerdict::Differs, Duration::MAX);
    let outcome = pair.session(&pair.right, &pair.left, 1);
    assert_eq!(outcome.tally.dropped, 0);
    assert!(pair.right.read(Namespace::Data, &path(5)).unwrap().is_some());
    assert_eq!(pair.left.read(Namespace::Data, &path(5)).unwrap(), None);
    // The one that asks and cannot judge claims nothing.
    let asked = pair.session(&pair.left, &pair.right, 2);
    assert_eq!((asked.completeness, asked.raise_to), (Completeness::Partial, None));
    pair.left.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    assert_eq!(pair.session(&pair.right, &pair.left, 3).tally.dropped, 1);
    pair.assert_equal(100);
}

#[test]
fn a_session_in_which_something_had_to_wait_claims_nothing() {
    let mut pair = Pair::new();
    pair.right = store_that_allows(&pair.clock, 2, 120_000);
    copy_all(&pair, 20);
    let mut record = pair.right.read(Namespace::Data, &path(5)).unwrap().unwrap();
    record.version.stamp.ms = pair.now_ms() + 90_000;
    record.version.uuid = Uuid::from_u128(5);
    record.dot.origin.node = Uuid::from_u128(9);
    let offered = || vec![write(5, Change::Merge(Box::new(record.clone())))];
    assert_eq!(pair.right.commit(offered()).unwrap(), [WriteOutcome::Taken]);
    let outcome = pair.session(&pair.left, &pair.right, 1);
    assert_eq!(pair.left.standing().parked, 1);
    assert_eq!((outcome.completeness, outcome.raise_to), (Completeness::Partial, None));
    // So it is when it was recalled.
    pair.left
        .commit(Transaction { marks: vec![Mark::Discard(vec![record.dot.origin])], ..Transaction::default() })
        .unwrap();
    pair.left.turn();
    pair.left.turn();
    assert_eq!(pair.left.standing().parked, 0);
    let outcome = pair.session(&pair.left, &pair.right, 2);
    assert_eq!(outcome.raise_to, None);
    // The recall has come to the other by that session, and both hold what was there before.
    pair.right.turn();
    pair.right.turn();
    pair.assert_equal(20);
    let rules: Vec<_> = pair.left.history(Namespace::Data, &path(5)).unwrap();
    assert!(
        rules.iter().any(|it| it.superseded.is_some_and(|(_, rule)| rule == Rule::Recalled)),
        "{rules:?}"
    );
}
