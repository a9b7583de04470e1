//! The store against a plain model: random scripts, listings, forged cursors, and convergence of merged records.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kvs_core::digest::ContentDigest;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::version::Version;
use kvs_store::commit::write::Outcome;
use kvs_store::engine::contract::Order;
use kvs_store::engine::device::Device;
use kvs_store::limits::{PAGE_BYTES_MAX, SCAN_ROWS_MAX};
use kvs_store::read::range::{Position, RangeQuery};
use kvs_store::settings::Settings;
use kvs_store::store::Store;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use support::audit::audit;
use support::listing::{Row, everything, naive, page, paged};
use support::script::{Stage, script};
use support::{
    START_MS, delete, do_chores, eventually, fresh, merge, path, put, put_for, settings, value_at,
};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn every_script_ends_as_in_the_model(
        steps in script(1..40),
        revision_limit in select(vec![0, 1, 3, 10]),
        look_each_time in any::<bool>(),
    ) {
        let mut stage = Stage::begin(Device::new(), Settings { revision_limit, ..settings() }).unwrap();
        for step in &steps {
            stage.take(step).unwrap();
            let live = stage.model.live(stage.wall_ms);
            assert_eq!(paged(&stage.store, &everything(), stage.wall_ms).0, naive(&live, &everything()));
            for key in support::script::KEYS {
                assert_eq!(value_at(&stage.store, key, stage.wall_ms).as_ref(), live.get(key));
            }
            // Not each time, so that the changes of several steps are also audited together.
            assert!(!look_each_time || stage.check());
        }
        assert!(stage.check());
    }
}

/// The texts of listings: keys and what queries begin, end and fold with.
const TEXTS: [&str; 24] = [
    "a",
    "a/a",
    "a/a/a",
    "a/a/b",
    "a/ab",
    "a/b",
    "a/b/c/d",
    "aa",
    "ab",
    "ab/a",
    "abab",
    "abb",
    "abc/a",
    "b",
    "b/a",
    "b/ab/a",
    "ba",
    "bab",
    "c/\u{e9}",
    "c/\u{e9}/a",
    "\u{e9}",
    "\u{e9}/a",
    "\u{e9}b",
    "\u{1f9e6}/\u{1f9e6}",
];

/// Other texts that queries are made of: nothing, parts of keys, and more than any key.
const PARTS: [&str; 10] = ["", "/", "a/", "ab", "b", "/a", "a/b/", "\u{e9}", "~", "\u{10ffff}"];

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![select(&TEXTS[..]), select(&PARTS[..])]
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Ascending), Just(Order::Descending)]
}

fn query() -> impl Strategy<Value = RangeQuery> {
    let bound = || prop_oneof![2 => Just(""), 1 => text()];
    let delimiter =
        prop_oneof![Just(None), Just(Some("/")), select(vec!["", "b", "ab", "a/", "\u{e9}"]).prop_map(Some)];
    let prefix = prop_oneof![2 => Just(""), 1 => text()];
    (bound(), bound(), prefix, delimiter, order()).prop_map(|(start, end, prefix, delimiter, order)| {
        RangeQuery {
            start: bytes(start),
            end: bytes(end),
            prefix: bytes(prefix),
            delimiter: delimiter.map(bytes),
            order,
            ..everything()
        }
    })
}

/// A store in which of the texts some are live, some deleted, some expired and some never were.
fn store_of(live: &[&str], dead: &[&str]) -> (Store, BTreeMap<String, String>) {
    let (_, _, store) = fresh(settings());
    let mut model = BTreeMap::new();
    for (number, text) in dead.iter().enumerate() {
        if number % 2 == 0 {
            store.commit(vec![put(text, "0"), delete(text)]).unwrap();
        } else {
            store.commit(vec![put_for(text, "0", 5)]).unwrap();
        }
    }
    for (number, text) in live.iter().enumerate() {
        store.commit(vec![put(text, &number.to_string())]).unwrap();
        model.insert((*text).to_owned(), number.to_string());
    }
    // What is in another namespace is never listed.
    let mut elsewhere = put("a/x", "0");
    elsewhere.namespace = Namespace::Meta;
    store.commit(vec![elsewhere]).unwrap();
    (store, model)
}

/// After the short-lived values of [`store_of`] have expired.
const LATER_MS: u64 = START_MS + 1000;

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn a_listing_equals_a_naive_one_whatever_the_query_and_the_page_size(
        live in subsequence(&TEXTS[..], 0..=TEXTS.len()),
        dead in subsequence(&TEXTS[..], 0..=TEXTS.len()),
        queries in proptest::collection::vec(query(), 12),
    ) {
        let (store, model) = store_of(&live, &dead);
        for mut query in queries {
            let wanted = naive(&model, &query);
            for limit in [1, 2, 3, 5, wanted.len().max(1), 1000] {
                query.limit = limit;
                let (found, pages) = paged(&store, &query, LATER_MS);
                assert_eq!(found, wanted, "{query:?}");
                assert_eq!(pages, wanted.len().div_ceil(limit).max(1), "no page is shorter than it must be: {query:?}");
            }
        }
    }

    #[test]
    fn a_forged_or_foreign_cursor_never_widens_the_range(
        live in subsequence(&TEXTS[..], 0..=TEXTS.len()),
        mut query in query(),
        position in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..5).prop_map(Bytes::from),
            text().prop_map(bytes),
        ],
        is_prefix in any::<bool>(),
        limit in 1..5_usize,
    ) {
        let (store, model) = store_of(&live, &[]);
        query.limit = limit;
        let wanted = naive(&model, &query);
        let after = if is_prefix { Position::Prefix(position.clone()) } else { Position::Key(position.clone()) };
        query.after = Some(after);
        let (found, _) = paged(&store, &query, LATER_MS);
        // A part of the listing, in its order, without repetition.
        let mut rest = wanted.iter();
        for row in &found {
            assert!(rest.any(|wanted| wanted == row), "{query:?}: {row:?} is too much in {found:?} of {wanted:?}");
        }
        // A position that is a key is exactly where that key's page ended.
        if !is_prefix {
            for row in &found {
                let (Row::Key(text, _) | Row::Prefix(text)) = row;
                match query.order {
                    // A prefix may begin before the position when keys behind it are folded.
                    Order::Ascending => assert!(matches!(row, Row::Prefix(_)) || text.as_bytes() > &position[..]),
                    Order::Descending => assert!(text.as_bytes() < &position[..]),
                }
            }
        }
    }
}

/// Between live keys there are far more deleted ones than one page looks at.
#[test]
fn a_page_over_many_deleted_keys_is_short_and_paging_finds_everything() {
    const DEAD: usize = SCAN_ROWS_MAX * 2 + 500;
    let (_, _, store) = fresh(Settings { revision_limit: 0, ..settings() });
    for first in (0..DEAD).step_by(1000) {
        let keys: Vec<_> = (first..(first + 1000).min(DEAD)).map(|number| format!("d/{number:06}")).collect();
        store.commit(keys.iter().map(|key| put(key, "0")).collect::<Vec<_>>()).unwrap();
        store.commit(keys.iter().map(|key| delete(key)).collect::<Vec<_>>()).unwrap();
    }
    let live = ["a", "d/000000x", "d/020000x", "d/039999x", "e/1", "e/2"];
    store.commit(live.iter().map(|key| put(key, "1")).collect::<Vec<_>>()).unwrap();
    let model = live.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect();
    for order in [Order::Ascending, Order::Descending] {
        for delimiter in [None, Some(Bytes::from_static(b"/"))] {
            for limit in [1, 2, 1000] {
                let query = RangeQuery { order, delimiter: delimiter.clone(), limit, ..everything() };
                let (rows, next) = page(&store, &query, START_MS);
                assert!(limit < 1000 || (rows.len() < live.len() && next.is_some()) || delimiter.is_some());
                assert_eq!(paged(&store, &query, START_MS).0, naive(&model, &query), "{query:?}");
            }
        }
    }
}

/// A page of large values ends before it holds more than it may, and paging goes on behind it.
#[test]
fn a_page_of_large_values_is_bounded_in_bytes() {
    let (_, _, store) = fresh(settings());
    let json = format!("\"{}\"", "x".repeat(PAGE_BYTES_MAX / 4));
    let keys: Vec<_> = (0..10).map(|number| format!("k{number}")).collect();
    for key in &keys {
        store.commit(vec![put(key, &json)]).unwrap();
    }
    // One value beyond the bound comes alone rather than never.
    store.commit(vec![put("k5", &format!("\"{}\"", "y".repeat(PAGE_BYTES_MAX)))]).unwrap();
    for order in [Order::Ascending, Order::Descending] {
        let mut query = RangeQuery { order, ..everything() };
        let mut found = Vec::new();
        loop {
            let (rows, next) = page(&store, &query, START_MS);
            let sizes = rows.iter().map(|row| if let Row::Key(_, json) = row { json.len() } else { 0 });
            assert!(rows.len() == 1 || sizes.sum::<usize>() <= PAGE_BYTES_MAX);
            found.extend(
                rows.into_iter().map(|row| if let Row::Key(key, _) = row { key } else { String::new() }),
            );
            match next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        if order == Order::Descending {
            found.reverse();
        }
        assert_eq!(found, keys);
    }
}

/// More expire at once than one round of the committer takes; nobody writes meanwhile.
#[test]
fn many_values_that_expire_together_are_all_tombstones_soon() {
    const KEYS: u64 = 40_000;
    let (_, clock, store) = fresh(Settings { revision_limit: 0, ..settings() });
    for first in (0..KEYS).step_by(1000) {
        let writes =
            (first..first + 1000).map(|number| put_for(&format!("k{number}"), "1", 500)).collect::<Vec<_>>();
        store.commit(writes).unwrap();
    }
    assert_eq!(store.status().keys, KEYS);
    clock.advance_wall(500);
    clock.advance_monotonic(std::time::Duration::from_secs(1));
    eventually("all are tombstones", || store.status().tombstones == KEYS);
    assert_eq!((store.status().keys, store.status().bytes), (0, 0));
    audit(&store);
}

#[test]
fn tombstones_are_forgotten_with_their_history_once_the_grace_is_over() {
    let (_, clock, store) = fresh(settings());
    store.commit(vec![put("a", "1"), put("b", "1"), put("c", "1"), put_for("d", "1", 10)]).unwrap();
    store.commit(vec![put("a", "2"), delete("a"), delete("b")]).unwrap();
    clock.advance_wall(settings().tombstone_grace_ms - 1);
    do_chores(&store, &clock);
    assert_eq!(store.status().tombstones, 3);
    assert_eq!(store.history(Namespace::Data, &path("a")).unwrap().len(), 3);
    // A tombstone that was overwritten is none any more, and an expired value is one since its expiry.
    store.commit(vec![put("b", "2")]).unwrap();
    clock.advance_wall(1);
    do_chores(&store, &clock);
    assert_eq!((store.status().keys, store.status().tombstones), (2, 1));
    clock.advance_wall(10);
    do_chores(&store, &clock);
    assert_eq!((store.status().keys, store.status().tombstones), (2, 0));
    assert!(store.history(Namespace::Data, &path("a")).unwrap().is_empty());
    assert_eq!(store.read(Namespace::Data, &path("a")).unwrap(), None);
    assert_eq!(value_at(&store, "b", START_MS).as_deref(), Some("2"));
    audit(&store);
}

/// Records of few keys, with ties in every field that orders them.
fn records() -> impl Strategy<Value = Vec<(usize, Record)>> {
    let kind = prop_oneof![3 => Just(Kind::Value), 1 => Just(Kind::Tombstone), 1 => Just(Kind::Expired)];
    let expiry = prop_oneof![Just(0), Just(START_MS + 5)];
    let record = (0..3_usize, 0..3_u64, 0..2_u16, 1..3_u64, 0..6_u128, kind, expiry, 0..3_u8);
    proptest::collection::vec(record, 1..25).prop_map(|drawn| {
        let records = drawn.into_iter().enumerate();
        let records = records.map(|(number, (key, ms, counter, joined, uuid, kind, expires_at_ms, json))| {
            let json = if kind == Kind::Value { json.to_string() } else { String::new() };
            let record = Record {
                version: Version {
                    stamp: Stamp { ms: START_MS + ms, counter },
                    origin_joined_ms: joined,
                    uuid: Uuid::from_u128(uuid),
                },
                dot: Dot { origin: Origin { node: Uuid::from_u128(9), epoch: 1 }, seq: number as u64 + 1 },
                kind,
                expires_at_ms,
                author: Principal::nobody(),
                owner: Principal::nobody(),
                digest: ContentDigest::of(json.as_bytes()),
                payload: Payload::Raw(Bytes::from(json)),
            };
            (key, record)
        });
        records.collect()
    })
}

const MERGED_KEYS: [&str; 3] = ["x", "y", "z"];

/// Merges these records in this order, some transactions long, some short, some sent twice.
fn merged(records: &[(usize, Record)], lengths: &[usize]) -> Store {
    let (_, _, store) = fresh(Settings { revision_limit: 100, ..settings() });
    let mut rest = records;
    for length in lengths.iter().cycle() {
        let (now, later) = rest.split_at((*length).min(rest.len()));
        let writes =
            || now.iter().map(|(key, record)| merge(MERGED_KEYS[*key], record.clone())).collect::<Vec<_>>();
        store.commit(writes()).unwrap();
        if length % 2 == 0 {
            let again = store.commit(writes()).unwrap();
            assert!(again.iter().all(|outcome| *outcome == Outcome::NotNewer), "{again:?}");
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    audit(&store);
    store
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn records_merged_in_any_order_end_the_same_and_none_is_lost(
        (one, other) in records().prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle())),
        lengths in proptest::collection::vec(1..6_usize, 1..8),
        other_lengths in proptest::collection::vec(1..6_usize, 1..8),
    ) {
        let stores = [merged(&one, &lengths), merged(&other, &other_lengths)];
        for (key, text) in MERGED_KEYS.into_iter().enumerate() {
            let current = stores.each_ref().map(|store| store.read(Namespace::Data, &path(text)).unwrap());
            assert_eq!(current[0], current[1]);
            let all: BTreeSet<_> = one.iter().filter(|(of, _)| *of == key).map(|(_, record)| record.dot).collect();
            for store in &stores {
                let history = store.history(Namespace::Data, &path(text)).unwrap();
                let kept: Vec<_> = history.iter().map(|revision| revision.record.dot).collect();
                assert_eq!(kept.len(), all.len(), "each once");
                assert_eq!(kept.into_iter().collect::<BTreeSet<_>>(), all);
                assert!(history.is_sorted_by(|newer, older| newer.record.precedence(&older.record).is_gt()));
                assert!(history.iter().skip(1).all(|revision| revision.superseded.is_some()));
            }
        }
    }
}
