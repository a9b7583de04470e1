//! Rights inside the commit: what a warrant refuses is not written, and what clients do is told before and after.

#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

mod support;

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::record::{Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_store::commit::asker::{Asker, Intent, Judgement, Refusal, Sight, Warrant};
use kvs_store::commit::write::{Outcome, Write};
use kvs_store::engine::contract::Order;
use kvs_store::engine::device::Device;
use kvs_store::error::StoreError;
use kvs_store::observer::{Act, BatchStats, Deed, Key, Observer, RecordedEnd};
use kvs_store::read::range::{self, PageRow, RangeQuery};
use kvs_store::shared::State;
use kvs_store::store::Store;
use support::{
    ManualClock, START_MS, delete, fresh, if_absent, if_present, merge, open_with, path, put, settings,
    written,
};

/// Allows a write only where `ground` has a value as the transaction sees it.
#[derive(Debug)]
struct OnGround {
    ground: &'static str,
    otherwise: Judgement,
}

impl Warrant for OnGround {
    fn judge(&self, intent: &Intent<'_>, sight: &dyn Sight) -> Result<Judgement, StoreError> {
        let found = sight.record(Namespace::Data, &path(self.ground))?;
        let is_there = found.is_some_and(|record| record.is_live(intent.now_ms));
        Ok(if is_there { Judgement::Allowed } else { self.otherwise })
    }
}

fn on_ground(write: Write, ground: &'static str, otherwise: Judgement) -> Write {
    let warrant: Arc<dyn Warrant> = Arc::new(OnGround { ground, otherwise });
    Write { asker: Asker { warrant: Some(warrant), ..Asker::nobody() }, ..write }
}

fn value(store: &Store, text: &str) -> Option<Record> {
    store.read(Namespace::Data, &path(text)).unwrap().filter(|record| record.is_live(START_MS))
}

#[test]
fn a_refused_write_fails_its_whole_transaction() {
    let (_device, _clock, store) = fresh(settings());
    let refused = on_ground(put("b", "2"), "nowhere", Judgement::Refused(Refusal::Forbidden));
    let verdict = store.commit(vec![put("a", "1"), refused]);
    assert!(
        matches!(verdict, Err(StoreError::Refused { index: 1, refusal: Refusal::Forbidden })),
        "{verdict:?}"
    );
    assert_eq!((value(&store, "a"), value(&store, "b")), (None, None));
    assert_eq!(store.last_local_seq(), 0);
}

#[test]
fn a_warrant_sees_what_its_transaction_has_written_and_deleted() {
    let (_device, _clock, store) = fresh(settings());
    let refusal = Judgement::Refused(Refusal::Hidden);
    assert!(store.commit(vec![put("ground", "1"), on_ground(put("a", "1"), "ground", refusal)]).is_ok());
    let verdict = store.commit(vec![delete("ground"), on_ground(put("b", "1"), "ground", refusal)]);
    assert!(matches!(verdict, Err(StoreError::Refused { index: 1, .. })));
    assert!(value(&store, "ground").is_some(), "the delete was taken back with the rest");
    assert!(store.commit(vec![on_ground(put("b", "1"), "ground", refusal)]).is_ok());
}

#[test]
fn a_key_that_is_passed_over_is_as_if_it_were_not_there() {
    let (_device, _clock, store) = fresh(settings());
    store.commit(vec![put("a", "1"), put("b", "1")]).unwrap();
    let hidden = || on_ground(delete("a"), "nowhere", Judgement::PassedOver);
    let outcomes = store.commit(vec![hidden(), delete("b")]).unwrap();
    assert_eq!(outcomes[0], Outcome::Absent);
    assert!(matches!(outcomes[1], Outcome::Deleted(_)));
    assert!(value(&store, "a").is_some());
    // Its conditions hold as they would for no key.
    assert!(matches!(store.commit(vec![if_present(hidden())]), Err(StoreError::Precondition { index: 0 })));
    assert_eq!(store.commit(vec![if_absent(hidden())]).unwrap(), [Outcome::Absent]);
}

/// Keeps what it is told; refuses or loses it when told to.
#[derive(Debug, Default)]
struct Witness {
    acts: Mutex<Vec<Act>>,
    ends: Mutex<Vec<RecordedEnd>>,
    refuses: AtomicBool,
    loses: AtomicBool,
}

impl Observer for Witness {
    fn recording(&self, acts: &[Act]) -> Result<(), String> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err("no room".into());
        }
        self.acts.lock().unwrap().extend_from_slice(acts);
        Ok(())
    }

    fn recorded(&self, end: RecordedEnd) -> Result<(), String> {
        self.ends.lock().unwrap().push(end);
        if self.loses.load(Ordering::SeqCst) { Err("the disk failed".into()) } else { Ok(()) }
    }

    fn committing(&self, _: &[Key]) {}

    fn committed(&self, _: &[Key]) {}

    fn batch(&self, _: &BatchStats) {}
}

fn by(name: &str, write: Write) -> Write {
    let asker =
        Asker { name: Principal::named(name).unwrap(), request: Some(Arc::from("r1")), ..Asker::nobody() };
    Write { asker, ..write }
}

fn watched() -> (Device, Arc<Witness>, Store) {
    let (device, witness) = (Device::new(), Arc::new(Witness::default()));
    let observer: Arc<dyn Observer> = Arc::<Witness>::clone(&witness);
    let store = open_with(&device, &ManualClock::new(), settings(), 1, observer).unwrap();
    (device, witness, store)
}

#[test]
fn what_clients_do_is_told_with_its_versions_and_nothing_else_is() {
    let (_device, witness, store) = watched();
    store.commit(vec![put("own", "1")]).unwrap();
    let outcomes = store
        .commit(vec![
            by("ann", put("a", "1")),
            by("bob", put("a", "2")),
            by("ann", delete("a")),
            by("eve", delete("x")),
        ])
        .unwrap();
    let acts = witness.acts.lock().unwrap();
    let told: Vec<_> =
        acts.iter().map(|act| (act.author.as_str(), act.deed, act.key.path.as_str())).collect();
    assert_eq!(told, [("ann", Deed::Create, "a"), ("bob", Deed::Replace, "a"), ("ann", Deed::Delete, "a")]);
    for (act, outcome) in acts.iter().zip(&outcomes) {
        assert_eq!(Some(act.written), written(outcome));
        assert_eq!(&*act.request, "r1");
    }
    assert_eq!(*witness.ends.lock().unwrap(), [RecordedEnd::Committed]);
}

#[test]
fn a_transaction_that_fails_is_not_told() {
    let (_device, witness, store) = watched();
    store.commit(vec![by("ann", put("a", "1")), by("ann", if_absent(put("a", "2")))]).unwrap_err();
    assert!(witness.acts.lock().unwrap().is_empty());
}

#[test]
fn nothing_is_written_that_cannot_be_told_first() {
    let (_device, witness, store) = watched();
    witness.refuses.store(true, Ordering::SeqCst);
    let verdict = store.commit(vec![by("ann", put("a", "1"))]);
    assert!(matches!(verdict, Err(StoreError::Unrecorded(_))), "{verdict:?}");
    assert_eq!(value(&store, "a"), None);
    // What nobody asked for goes on, and so does everything once there is room.
    store.commit(vec![put("own", "1")]).unwrap();
    witness.refuses.store(false, Ordering::SeqCst);
    store.commit(vec![by("ann", put("a", "1"))]).unwrap();
    assert!(value(&store, "a").is_some());
}

#[test]
fn nobody_is_answered_when_the_telling_is_lost() {
    let (_device, witness, store) = watched();
    witness.loses.store(true, Ordering::SeqCst);
    assert!(matches!(store.commit(vec![by("ann", put("a", "1"))]), Err(StoreError::Poisoned(_))));
    assert!(matches!(store.state(), State::Poisoned(_)));
    witness.loses.store(false, Ordering::SeqCst);
    assert!(matches!(store.commit(vec![put("b", "1")]), Err(StoreError::Poisoned(_))));
}

#[test]
fn a_record_of_accounts_does_not_wait_for_a_clock() {
    let (_device, _clock, store) = fresh(settings());
    store.commit(vec![put("a", "1")]).unwrap();
    let mut ahead = value(&store, "a").unwrap();
    ahead.version.stamp = Stamp::at(START_MS + 365 * 24 * 3_600_000);
    ahead.version.uuid = uuid::Uuid::from_u128(9);
    ahead.dot.origin.node = uuid::Uuid::from_u128(77);
    let of_accounts = Write { namespace: Namespace::Auth, ..merge("revoked/x", ahead.clone()) };
    let outcomes = store.commit(vec![merge("parked", ahead), of_accounts]).unwrap();
    assert_eq!(outcomes, [Outcome::Parked, Outcome::Taken]);
    assert!(store.read(Namespace::Auth, &path("revoked/x")).unwrap().is_some());
}

#[test]
fn a_listing_leaves_out_what_is_not_to_be_seen_before_it_counts() {
    let (_device, _clock, store) = fresh(settings());
    let keys = ["a/hidden", "b", "c/hidden", "c/seen", "d/hidden/x", "e"];
    store.commit(keys.iter().map(|key| put(key, "1")).collect::<Vec<_>>()).unwrap();
    let query = |delimiter: Option<&'static [u8]>, limit| RangeQuery {
        namespace: Namespace::Data,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::new(),
        delimiter: delimiter.map(Bytes::from_static),
        limit,
        order: Order::Ascending,
        after: None,
    };
    let listed = |query: &RangeQuery| -> Vec<String> {
        let view = store.view().unwrap();
        let is_seen = &mut |path: &kvs_core::path::Path, _: &Record| Ok(!path.as_str().contains("hidden"));
        let page = range::page_of(&view, query, START_MS, is_seen).unwrap();
        let text = |row: &PageRow| match row {
            PageRow::Key(path, _) => path.as_str().to_owned(),
            PageRow::Prefix(prefix) => String::from_utf8_lossy(prefix).into_owned(),
        };
        page.rows.iter().map(text).collect()
    };
    assert_eq!(listed(&query(None, 100)), ["b", "c/seen", "e"]);
    assert_eq!(listed(&query(None, 2)), ["b", "c/seen"]);
    assert_eq!(listed(&query(Some(b"/"), 100)), ["b", "c/", "e"]);
    assert_eq!(
        store
            .view()
            .unwrap()
            .range(kvs_store::table::Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending)
            .count(),
        6
    );
}
