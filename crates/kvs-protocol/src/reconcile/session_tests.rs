//! Whole sessions between nodes in memory.

use bytes::Bytes;
use kvs_core::path::Path;
use kvs_core::record::{Kind, Record};
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

use crate::reconcile::answer::answer;
use crate::reconcile::fingerprint::Secrets;
use crate::reconcile::outcome::{Completeness, Outcome};
use crate::reconcile::reply::Reply;
use crate::reconcile::request::Request;
use crate::reconcile::session::{Session, SessionError};
use crate::reconcile::testing::{Node, hold_session, keys, origin, record};

fn path(number: u32) -> Path {
    Path::parse(&format!("users/{number:09}/profile")).unwrap()
}

/// Writes that reached neither, one or both of two nodes.
#[derive(Debug, Clone)]
struct History {
    writes: Vec<(u32, Record, [bool; 2])>,
}

fn histories(keys: u32, writes: usize) -> impl Strategy<Value = History> {
    let write = (0..keys, 0_u128..3, 1_u64..40, 0_u8..8, any::<[bool; 2]>());
    proptest::collection::vec(write, 0..writes).prop_map(|writes| {
        let mut seqs = [0_u64; 3];
        let writes = writes.into_iter().map(|(key, node, ms, what, reached)| {
            let seq = &mut seqs[usize::try_from(node).unwrap()];
            *seq += 1;
            let (kind, expires_at_ms) = match what {
                0 | 1 => (Kind::Tombstone, 0),
                2 => (Kind::Value, 9_000_000),
                3 => (Kind::Expired, 500),
                _ => (Kind::Value, 0),
            };
            (key, record(node, *seq, ms, kind, expires_at_ms), reached)
        });
        History { writes: writes.collect() }
    })
}

/// Vectors stay as they are: nothing that was received is claimed, as when an origin died.
fn nodes(history: &History) -> (Node, Node) {
    let mut nodes = (Node::new(), Node::new());
    for (key, record, [left, right]) in &history.writes {
        if *left {
            nodes.0.merge(&path(*key), record.clone());
        }
        if *right {
            nodes.1.merge(&path(*key), record.clone());
        }
    }
    nodes.0.vector = Default::default();
    nodes.1.vector = Default::default();
    nodes
}

fn winners(history: &History) -> std::collections::BTreeMap<Path, Record> {
    let mut all = Node::new();
    for (key, record, reached) in &history.writes {
        if *reached != [false, false] {
            all.merge(&path(*key), record.clone());
        }
    }
    all.records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_session_each_way_ends_with_the_winner_of_every_key_on_both(history in histories(300, 400)) {
        let (mut left, mut right) = nodes(&history);
        assert_eq!(hold_session(&mut left, &mut right, 1).completeness, Completeness::Complete);
        assert_eq!(hold_session(&mut right, &mut left, 2).completeness, Completeness::Complete);
        assert_eq!(left.records, winners(&history));
        assert_eq!(right.records, winners(&history));
        let again = hold_session(&mut left, &mut right, 3);
        assert!(again.began_equal);
        // Nobody claims anything in this world, so the tombstones, and they alone, come each time.
        let tombstones = right.records.values().filter(|record| record.kind != Kind::Value).count();
        assert_eq!((again.tally.received, again.tally.offered), (tombstones as u64, 0));
    }

    #[test]
    fn one_session_leaves_the_same_values_on_both(history in histories(60, 200)) {
        let (mut left, mut right) = nodes(&history);
        hold_session(&mut left, &mut right, 1);
        let mut again = hold_session(&mut left, &mut right, 2);
        // A tombstone of the asker's that the answerer needs goes by the first session, too.
        assert!(again.began_equal);
        again = hold_session(&mut right, &mut left, 3);
        assert!(again.began_equal);
    }

    #[test]
    fn a_claim_is_raised_to_what_the_other_had_and_is_true(history in histories(60, 200)) {
        let (mut left, mut right) = nodes(&history);
        for (_, record, [_, reached]) in &history.writes {
            if *reached {
                right.vector.raise(record.dot.origin, record.dot.seq);
            }
        }
        // The answerer's own claim must be true to begin with: it has every write up to there.
        for (key, record, _) in &history.writes {
            if right.vector.covers(&record.dot) {
                let vector = right.vector.clone();
                right.merge(&path(*key), record.clone());
                right.vector = vector;
            }
        }
        let claimed = right.vector.clone();
        let outcome = hold_session(&mut left, &mut right, 1);
        assert_eq!(outcome.raise_to, Some(claimed));
        for (key, record, _) in &history.writes {
            if left.vector.covers(&record.dot) {
                let held = left.records.get(&path(*key)).unwrap();
                assert!(held.precedence(record).is_ge());
            }
        }
    }

    #[test]
    fn no_bytes_panic_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from([&[1][..], &bytes].concat());
        drop(Request::decode(&bytes));
        drop(Reply::decode(&bytes));
    }
}

fn twins(count: u32) -> (Node, Node) {
    let mut node = Node::new();
    for number in 0..count {
        node.merge(&path(number), record(1, u64::from(number) + 1, 10, Kind::Value, 0));
    }
    (node.clone(), node)
}

/// Holds sessions over these differences and bounds what they cost, which it prints for `cargo xtask bench cluster`.
#[expect(clippy::print_stdout, reason = "the line of JSON is a figure for whoever runs it with --nocapture")]
fn costs_of_differences(count: u32) {
    let tell = |differing: &str, outcome: &Outcome| {
        let (rounds, bytes) = (outcome.tally.rounds, outcome.tally.bytes_without_records);
        println!("{{\"session\":\"{differing}\",\"keys\":{count},\"rounds\":{rounds},\"bytes\":{bytes}}}");
    };
    let (mut left, mut right) = twins(count);
    let at = count / 3;
    right.merge(&path(at), record(2, 1, 20, Kind::Value, 0));
    let outcome = hold_session(&mut left, &mut right, 1);
    tell("one differs", &outcome);
    assert!(!outcome.began_equal && left.records == right.records);
    assert!(outcome.tally.rounds <= 4 && outcome.tally.bytes_without_records <= 2048, "{outcome:?}");

    for number in at..at + 1_000 {
        right.merge(&path(number), record(2, u64::from(number) + 2, 20, Kind::Value, 0));
    }
    let outcome = hold_session(&mut left, &mut right, 2);
    tell("1,000 adjacent ones differ", &outcome);
    assert!(left.records == right.records);
    assert!(outcome.tally.bytes_without_records <= 20_000 && outcome.tally.rounds <= 4, "{outcome:?}");

    // The newer ones on the asker's side.
    for number in at..at + 1_000 {
        left.merge(&path(number), record(3, u64::from(number) + 2, 30, Kind::Value, 0));
    }
    let outcome = hold_session(&mut left, &mut right, 3);
    tell("1,000 adjacent ones differ, the newer at the asker", &outcome);
    assert!(left.records == right.records);
    assert!(outcome.tally.bytes_without_records <= 20_000 && outcome.tally.rounds <= 4, "{outcome:?}");
}

#[test]
fn differences_of_50_000_keys_are_found_in_few_round_trips_and_bytes() {
    costs_of_differences(50_000);
}

#[test]
#[ignore = "takes a minute without optimisation"]
fn differences_of_1_000_000_keys_are_found_in_few_round_trips_and_bytes() {
    costs_of_differences(1_000_000);
}

#[test]
fn an_empty_node_gets_everything_and_a_full_one_gives_everything() {
    let (full, _) = twins(20_000);
    let mut left = Node::new();
    let outcome = hold_session(&mut left, &mut full.clone(), 1);
    assert_eq!(outcome.tally.received, 20_000);
    assert_eq!(left.records, full.records);
    assert_eq!(left.vector, full.vector);
    let mut right = Node::new();
    let outcome = hold_session(&mut full.clone(), &mut right, 2);
    assert_eq!(outcome.tally.offered, 20_000);
    assert_eq!(right.records, full.records);
}

#[test]
fn what_was_deleted_and_collected_here_is_dropped_there_and_what_was_there_is_dropped_here() {
    let (mut left, mut right) = twins(1_000);
    // Each has deleted and collected a key, and so covers its write.
    left.set(&path(7), None);
    right.set(&path(8), None);
    let outcome = hold_session(&mut left, &mut right, 1);
    assert_eq!(outcome.completeness, Completeness::Complete);
    for node in [&left, &right] {
        assert!(!node.records.contains_key(&path(7)) && !node.records.contains_key(&path(8)));
        assert_eq!(node.records.len(), 998);
    }
}

#[test]
fn clocks_that_differ_do_not_spread_an_expiry_nor_count_as_a_difference() {
    let (mut left, mut right) = twins(100);
    let value = record(2, 1, 20, Kind::Value, 50_000);
    left.merge(&path(3), value.clone());
    right.merge(&path(3), value.clone());
    left.now_ms = 60_000;
    left.merge(&path(3), value.expired());
    for (asker, answerer, nonce) in [(0, 1, 1), (1, 0, 2)] {
        let mut nodes = [left.clone(), right.clone()];
        let [first, second] = &mut nodes;
        let outcome = if asker < answerer {
            hold_session(first, second, nonce)
        } else {
            hold_session(second, first, nonce)
        };
        assert!(outcome.began_equal);
        assert_eq!(outcome.completeness, Completeness::Complete);
        assert_eq!(nodes[0].records[&path(3)].kind, Kind::Expired);
    }
}

#[test]
fn records_larger_than_a_message_come_one_by_one() {
    let mut right = Node::new();
    for number in 0..5_u32 {
        let mut big = record(1, u64::from(number) + 1, 10, Kind::Value, 0);
        big.payload = kvs_core::record::Payload::Raw(Bytes::from(vec![b'1'; 1_500_000]));
        right.merge(&path(number), big);
    }
    let mut left = Node::new();
    let outcome = hold_session(&mut left, &mut right, 1);
    assert_eq!(left.records, right.records);
    assert_eq!(outcome.tally.rounds, 6);
}

#[test]
fn more_tombstones_than_a_reply_holds_come_in_pages_and_then_are_covered() {
    let (mut left, mut right) = (Node::new(), Node::new());
    for number in 0..3_000 {
        right.merge(&path(number), record(1, u64::from(number) + 1, 10, Kind::Tombstone, 0));
    }
    let outcome = hold_session(&mut left, &mut right, 1);
    assert_eq!(outcome.tally.received, 3_000);
    assert_eq!(left.records, right.records);
    assert_eq!(left.vector.seq(&origin(1)), 3_000);
    assert_eq!(hold_session(&mut left, &mut right, 2).tally.received, 0);
}

#[test]
fn nodes_with_different_keys_do_not_exchange_anything() {
    let (mut left, mut right) = twins(10);
    let other = Secrets::of(&kvs_core::cluster_keys::ClusterKeys::derive(b"other"));
    let mut session = Session::new(&Secrets::of(&keys()), [1; 16]);
    let Ok(Some(request)) = session.ask(&mut left) else { panic!("it asks") };
    let Ok(reply) = answer(&mut right, &other, Request::decode(&Bytes::from(request)).unwrap());
    let taken = session.take_reply(&mut left, &Bytes::from(reply.encode()));
    assert!(matches!(taken, Err(SessionError::OtherKey)));
    assert_eq!(session.outcome(), None);
}

#[test]
fn a_reply_about_something_else_ends_the_session() {
    let (mut left, _) = twins(1_000);
    let secrets = Secrets::of(&keys());
    let mut session = Session::new(&secrets, [1; 16]);
    assert!(matches!(session.ask(&mut left), Ok(Some(_))));
    let no_opening = Bytes::from(Reply::default().encode());
    assert!(matches!(session.take_reply(&mut left, &no_opening), Err(SessionError::Unfit(_))));
}

#[test]
fn only_what_the_other_claims_at_both_ends_of_a_session_is_claimed() {
    let (mut left, right) = twins(1_000);
    let mut before = right.clone();
    before.vector.raise(origin(7), 9);
    left.set(&path(3), None);
    // It goes back to an earlier copy of itself after its first answer.
    let mut lives = vec![right, before];
    let secrets = Secrets::of(&keys());
    let mut session = Session::new(&secrets, [1; 16]);
    while let Ok(Some(request)) = session.ask(&mut left) {
        let request = Request::decode(&Bytes::from(request)).unwrap();
        let mut life = if lives.len() > 1 { lives.pop().unwrap() } else { lives[0].clone() };
        let Ok(reply) = answer(&mut life, &secrets, request);
        session.take_reply(&mut left, &Bytes::from(reply.encode())).unwrap();
    }
    let claimed = session.outcome().unwrap().raise_to.unwrap();
    assert_eq!(claimed.seq(&origin(7)), 0);
    assert_eq!(claimed, lives[0].vector);
}

/// A session in which the other node changes between the round trips, by the number of those that were made.
fn session_with(left: &mut Node, right: &mut Node, mut change: impl FnMut(&mut Node, u32)) -> Outcome {
    let secrets = Secrets::of(&keys());
    let mut session = Session::new(&secrets, [1; 16]);
    let mut rounds = 0;
    while let Ok(Some(request)) = session.ask(left) {
        let Ok(reply) = answer(right, &secrets, Request::decode(&Bytes::from(request)).unwrap());
        session.take_reply(left, &Bytes::from(reply.encode())).unwrap();
        rounds += 1;
        change(right, rounds);
    }
    session.outcome().unwrap()
}

#[test]
fn a_key_that_is_deleted_and_written_again_during_a_session_is_not_missed() {
    // Above all: a value when ranges are compared, a tombstone when it would be listed, a value when tombstones are asked for.
    for (deleted_at, written_at) in (1..6).flat_map(|first| (first..7).map(move |then| (first, then))) {
        let (mut left, mut right) = twins(2_000);
        right.merge(&path(5_000), record(5, 1, 20, Kind::Value, 0));
        right.merge(&path(900), record(5, 2, 20, Kind::Value, 0));
        let outcome = session_with(&mut left, &mut right, |right, rounds| {
            if rounds == deleted_at {
                right.merge(&path(5_000), record(5, 3, 30, Kind::Tombstone, 0));
            }
            if rounds == written_at {
                right.merge(&path(5_000), record(5, 4, 40, Kind::Value, 0));
            }
        });
        let claimed = outcome.raise_to.expect("it is complete");
        assert_eq!(claimed.seq(&origin(5)), 2, "what the session began with");
        let held = left.records.get(&path(5_000)).expect("it is held, or something newer is");
        assert_eq!(held.dot.origin, origin(5), "deleted after {deleted_at}, written after {written_at}");
    }
}

#[test]
fn what_changes_faster_than_it_is_told_is_not_claimed_and_what_stops_changing_is() {
    let (mut left, mut right) = twins(100);
    right.merge(&path(7), record(5, 1, 20, Kind::Value, 0));
    // A page of changes and a half, in the middle.
    let outcome = session_with(&mut left, &mut right, |right, rounds| {
        if rounds == 1 {
            for number in 0..1_500 {
                right.merge(&path(10_000 + number), record(6, u64::from(number) + 1, 30, Kind::Value, 0));
            }
        }
    });
    assert_eq!(outcome.completeness, Completeness::Complete);
    assert_eq!(left.records, right.records);
    // Its log begins again.
    let mut again = Node::new();
    let outcome = session_with(&mut again, &mut right, |right, _| right.epoch = 2);
    assert_eq!(outcome.completeness, Completeness::Partial);
    assert_eq!(outcome.raise_to, None);
}
