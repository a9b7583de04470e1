//! What was stamped by a clock that was ahead: it waits, is taken back, and nothing good goes with it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use kvs_core::log_position::LogPosition;
use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin, epoch_at};
use kvs_core::recall::recall_path;

use kvs_core::digest::ContentDigest;
use kvs_core::record::{Kind, Payload, Record};
use kvs_core::vector::Vector;
use kvs_core::version::Rule;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::{Change, Outcome, Transaction, Write};
use kvs_store::error::StoreError;
use kvs_store::read::log::{LogPass, PieceLimits};
use kvs_store::settings::Settings;
use kvs_store::store::Store;
use uuid::Uuid;

use support::{START_MS, delete, do_chores, fresh, merge, path, put, put_for, settings, value, write};

const HOUR_MS: u64 = 3_600_000;

/// More than the chores look at in one go.
const MANY: usize = 1_300;

fn origin() -> Origin {
    Origin { node: Uuid::from_u128(9), epoch: epoch_at(u32::try_from(START_MS / 1000).unwrap(), 5) }
}

/// A record as the peer made it.
fn record_of(store: &Store, seq: u64, ms: u64) -> Record {
    if store.read(Namespace::Data, &path("template")).unwrap().is_none() {
        store.commit(vec![put("template", "1")]).unwrap();
    }
    let mut record = store.read(Namespace::Data, &path("template")).unwrap().unwrap();
    record.dot = Dot { origin: origin(), seq };
    record.version.stamp.ms = ms;
    record.version.uuid = Uuid::from_u128(seq.into());
    record
}

fn mark(store: &Store, mark: Mark) -> Result<(), StoreError> {
    store.commit(Transaction { writes: Vec::new(), marks: vec![mark] }).map(drop)
}

#[test]
fn an_order_to_discard_is_refused_by_a_clock_that_may_itself_be_wrong() {
    let (_device, _clock, store) = fresh(settings());
    let ahead = record_of(&store, 1, START_MS + HOUR_MS);
    assert_eq!(store.commit(vec![merge("a", ahead)]).unwrap(), [Outcome::Parked]);
    store.judge_clock(ClockVerdict::Differs, Duration::MAX);
    let refused = mark(&store, Mark::Discard(vec![origin()]));
    assert!(matches!(refused, Err(StoreError::ClockUnsound)), "{refused:?}");
    assert_eq!(store.standing().recalls.until_ms(&origin()), None, "nothing is recalled");
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    assert_eq!(store.standing().recalls.until_ms(&origin()), Some(START_MS));
}

#[test]
fn a_void_record_that_comes_again_and_again_pushes_nothing_out_of_the_history() {
    let (_device, _clock, store) = fresh(settings());
    let (first, second) =
        (record_of(&store, 1, START_MS + HOUR_MS), record_of(&store, 2, START_MS + HOUR_MS));
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    for record in [&first, &second, &first, &second, &first, &second] {
        assert_eq!(store.commit(vec![merge("a", record.clone())]).unwrap(), [Outcome::Voided]);
    }
    let history = store.history(Namespace::Data, &path("a")).unwrap();
    let mut kept: Vec<Uuid> = history.iter().map(|revision| revision.record.version.uuid).collect();
    kept.sort();
    assert_eq!(kept, [first.version.uuid, second.version.uuid]);
    assert!(
        history.iter().all(|revision| revision.superseded.is_some_and(|(_, rule)| rule == Rule::Recalled))
    );
    assert_eq!(value(&store, "a"), None);
}

#[test]
fn however_many_records_are_too_far_ahead_all_of_them_wait() {
    let (_device, clock, store) = fresh(settings());
    // This clock was ahead, too.
    clock.pass(2 * HOUR_MS);
    let records = (0..MANY).map(|seq| record_of(&store, seq as u64 + 1, START_MS + HOUR_MS + seq as u64));
    let writes: Vec<_> =
        records.enumerate().map(|(index, record)| merge(&format!("k{index}"), record)).collect();
    for writes in writes.chunks(100) {
        store.commit(writes.to_vec()).unwrap();
    }
    assert_eq!(store.standing().parked, 0);
    clock.set_wall(START_MS);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    for _ in 0..6 {
        support::do_chores(&store, &clock);
    }
    assert_eq!(store.standing().parked, MANY as u64);
    assert_eq!(value(&store, "k1"), None);
    // And those that came into range are taken.
    clock.set_wall(START_MS + 2 * HOUR_MS);
    for _ in 0..6 {
        support::do_chores(&store, &clock);
    }
    assert_eq!(store.standing().parked, 0);
    assert_eq!(value(&store, "k1").as_deref(), Some("1"));
}

#[test]
fn a_value_and_what_is_left_of_it_wait_beside_each_other() {
    let (_device, clock, store) = fresh(settings());
    let sender = origin().node;
    let mut lives = record_of(&store, 5, START_MS + HOUR_MS);
    lives.expires_at_ms = START_MS + 2 * HOUR_MS;
    let ended = lives.expired();
    let up_to = |seq: u64| [(origin(), seq)].into_iter().collect::<Vector>();
    mark(&store, Mark::Raise(up_to(2))).unwrap();
    // The value comes in a part of its writer's log, where it stands for the numbers since what was received before; what is
    // left of it comes in a session.
    let to = LogPosition { epoch: origin().epoch, local_seq: 5 };
    let (left_out, claim) = (Vector::default(), up_to(5));
    let part = Mark::Advance { peer: sender, from: None, start_local_seq: 0, to, left_out, claim };
    store.commit(Transaction { writes: vec![merge("a", lives)], marks: vec![part] }).unwrap();
    assert_eq!(store.commit(vec![merge("a", ended)]).unwrap(), [Outcome::Parked]);
    assert_eq!(store.standing().parked, 2);
    assert_eq!(store.vector_held().seq(&origin()), 2);
    // The value comes into range, and what is left of it still waits.
    clock.set_wall(START_MS + HOUR_MS);
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    assert_eq!((store.standing().parked, store.vector_held().seq(&origin())), (1, 2));
    clock.set_wall(START_MS + 2 * HOUR_MS);
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a"), None);
    assert_eq!((store.standing().parked, store.vector_held().seq(&origin())), (0, 5));
}

#[test]
fn what_peers_said_before_the_clock_was_set_back_makes_nothing_wait() {
    let (_device, clock, store) = fresh(settings());
    let record = record_of(&store, 1, START_MS);
    store.commit(vec![merge("a", record)]).unwrap();
    clock.pass(1_000);
    store.judge_clock(ClockVerdict::Agrees, kvs_store::clock::Clock::monotonic(&*clock));
    clock.pass(1_000);
    clock.set_wall(START_MS - HOUR_MS);
    for _ in 0..3 {
        do_chores(&store, &clock);
    }
    assert_eq!(store.clock_verdict(), ClockVerdict::Differs);
    assert_eq!((store.standing().parked, value(&store, "a").as_deref()), (0, Some("1")));
    // Asked again, they say that this time is right, and go on saying it.
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    do_chores(&store, &clock);
    assert_eq!((store.standing().parked, value(&store, "a")), (1, None));
}

#[test]
fn what_was_written_over_a_stamp_that_was_ahead_lives_as_long_as_it_was_given() {
    let (_device, clock, store) = fresh(settings());
    set_clock(&store, &clock, HOUR);
    store.commit(vec![put("a", "1")]).unwrap();
    set_clock(&store, &clock, -HOUR);
    // By a right clock, but stamped over what is an hour ahead.
    store.commit(vec![put_for("a", "2", 600_000)]).unwrap();
    assert!(store.read(Namespace::Data, &path("a")).unwrap().unwrap().version.stamp.ms >= START_MS + HOUR_MS);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    let anew = store.read(Namespace::Data, &path("a")).unwrap().unwrap();
    assert_eq!((anew.kind, anew.version.stamp.ms), (Kind::Value, START_MS));
    assert_eq!(anew.expires_at_ms, START_MS + 600_000);
}

#[test]
fn what_was_deleted_elsewhere_and_what_it_had_replaced_do_not_come_back_by_a_recall() {
    let (_device, clock, store) = fresh(settings());
    let (first, second) = (record_of(&store, 1, START_MS), record_of(&store, 2, START_MS + 1_000));
    clock.pass(2 * HOUR_MS);
    store.commit(vec![merge("a", first), merge("a", second.clone())]).unwrap();
    let dropped = store.commit(vec![write("a", Change::Drop(second.version))]).unwrap();
    assert_eq!(dropped, [Outcome::Dropped]);
    // Somebody whose clock is ahead writes the key anew, and is recalled.
    let mut ahead = record_of(&store, 3, START_MS + HOUR_MS);
    ahead.dot.origin.node = Uuid::from_u128(10);
    store.commit(vec![merge("a", ahead.clone())]).unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    clock.set_wall(START_MS + 2_000);
    mark(&store, Mark::Discard(vec![ahead.dot.origin])).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a"), None);
    assert_eq!(rules(&store, "a").len(), 3, "all of it can be restored");
}

#[test]
fn a_clock_that_jumped_ends_no_placeholder_before_its_key_could_be_compared() {
    let (_device, clock, store) = fresh(settings());
    let old = |seq: u64| record_of(&store, seq, START_MS);
    let keys: Vec<String> = (0..MANY).map(|number| format!("gone/{number:04}")).collect();
    let seqs = 1..=u64::try_from(MANY).unwrap();
    let records: Vec<Record> = seqs.map(old).collect();
    clock.pass(2 * HOUR_MS);
    let all = || keys.iter().zip(&records);
    store.commit(all().map(|(key, record)| merge(key, record.clone())).collect::<Vec<Write>>()).unwrap();
    let drops = all().map(|(key, record)| write(key, Change::Drop(record.version)));
    let dropped = store.commit(drops.collect::<Vec<Write>>()).unwrap();
    assert!(dropped.iter().all(|outcome| *outcome == Outcome::Dropped));
    let kept = |store: &Store| keys.iter().filter(|key| !rules(store, key).is_empty()).count();
    let chores = |times: usize| {
        for _ in 0..times {
            support::settle(&store);
            clock.pass(31_000);
        }
        support::settle(&store);
    };
    clock.advance_wall(31 * 24 * HOUR_MS);
    store.commit(vec![put_for("mortal", "1", 1_000)]).unwrap();
    chores(8);
    assert_eq!(kept(&store), MANY);
    // What is due behind those that stay has its turn.
    let mortal = store.read(Namespace::Data, &path("mortal")).unwrap();
    assert_eq!(mortal.map(|record| record.kind), Some(Kind::Expired));
    clock.pass(HOUR_MS);
    chores(8);
    assert_eq!(kept(&store), 0);
}

#[test]
fn what_was_recalled_outlives_the_delete_that_is_current_by_it() {
    let (_device, clock, store) = fresh(settings());
    let mut gone = record_of(&store, 1, START_MS);
    (gone.kind, gone.payload) = (Kind::Tombstone, Payload::empty());
    gone.digest = ContentDigest::of(b"");
    clock.pass(2 * HOUR_MS);
    let mut ahead = record_of(&store, 2, START_MS + HOUR_MS);
    ahead.dot.origin.node = Uuid::from_u128(10);
    store.commit(vec![merge("a", gone.clone()), merge("a", ahead.clone())]).unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    clock.set_wall(START_MS + 2_000);
    mark(&store, Mark::Discard(vec![ahead.dot.origin])).unwrap();
    do_chores(&store, &clock);
    let current = store.read(Namespace::Data, &path("a")).unwrap();
    assert_eq!(current.map(|record| record.version), Some(gone.version));
    // Its grace is over.
    clock.pass(31 * 24 * HOUR_MS);
    store.set_collection_floor(None);
    for _ in 0..3 {
        support::settle(&store);
        clock.pass(61_000);
    }
    assert_eq!(store.read(Namespace::Data, &path("a")).unwrap(), None);
    assert!(rules(&store, "a").contains(&Rule::Recalled), "{:?}", rules(&store, "a"));
    // An hour after the clock was set the placeholder may go, and does when its own time has come.
    clock.pass(31 * 24 * HOUR_MS);
    for _ in 0..3 {
        support::settle(&store);
        clock.pass(61_000);
    }
    assert_eq!(rules(&store, "a"), []);
}

#[test]
fn what_is_void_does_not_wait_when_this_clock_comes_right_together_with_the_recall() {
    let (_device, clock, store) = fresh(settings());
    clock.pass(2 * HOUR_MS);
    let ahead = record_of(&store, 1, START_MS + HOUR_MS);
    assert_eq!(store.commit(vec![merge("a", ahead)]).unwrap(), [Outcome::Taken]);
    clock.set_wall(START_MS);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    // Both chores are due with this commit.
    clock.advance_monotonic(Duration::from_secs(60));
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    for _ in 0..4 {
        do_chores(&store, &clock);
    }
    assert_eq!(store.standing().parked, 0);
    assert_eq!(value(&store, "a"), None);
    assert!(rules(&store, "a").contains(&Rule::Recalled));
}

#[test]
fn what_is_left_where_a_record_waits_is_sent_to_nobody() {
    let (_device, clock, store) = fresh(Settings { revision_limit: 0, ..settings() });
    store.commit(vec![put("a", "1")]).unwrap();
    clock.pass(2 * HOUR_MS);
    let ahead = record_of(&store, 1, START_MS + HOUR_MS);
    assert_eq!(store.commit(vec![merge("a", ahead)]).unwrap(), [Outcome::Taken]);
    clock.set_wall(START_MS);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    support::do_chores(&store, &clock);
    assert_eq!(store.standing().parked, 1);
    let pass = LogPass::begin(store.view().unwrap()).unwrap();
    let limits = PieceLimits { records: 100, bytes: 1_000_000 };
    let sent = pass.next(0, &Vector::default(), limits).unwrap().records;
    assert_eq!(sent.iter().map(|(key, _)| key.path.as_str()).collect::<Vec<_>>(), ["template"]);
}

/// What this node's history of a key names as the rules by which versions went.
fn rules(store: &Store, text: &str) -> Vec<Rule> {
    let history = store.history(Namespace::Data, &path(text)).unwrap();
    history.iter().filter_map(|revision| revision.superseded.map(|(_, rule)| rule)).collect()
}

/// Sets the clock of a store by so much, as its replicator notices it; answers the epoch that ended by it.
fn set_clock(store: &Store, clock: &support::ManualClock, by_ms: i64) -> u64 {
    let ended = store.identity().origin.epoch;
    clock.set_wall(kvs_store::clock::Clock::now_ms(clock).saturating_add_signed(by_ms));
    mark(store, Mark::ClockSet(by_ms)).unwrap();
    ended
}

const HOUR: i64 = 3_600_000;

#[test]
fn what_was_stamped_ahead_is_taken_back_although_its_time_has_come() {
    let (_device, clock, store) = fresh(settings());
    set_clock(&store, &clock, HOUR);
    store.commit(vec![put("a", "2"), put("b", "3")]).unwrap();
    // While two hours pass, another node writes, and its write comes here: it loses to the stamp that is ahead.
    clock.pass(2 * HOUR_MS);
    let later = record_of(&store, 1, START_MS + HOUR_MS / 2);
    assert_eq!(store.commit(vec![merge("a", later)]).unwrap(), [Outcome::NotNewer]);
    let ahead = set_clock(&store, &clock, -HOUR);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);

    // By how much it was ahead is not known: nothing that was stamped is ahead of now.
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a").as_deref(), Some("2"));

    mark(&store, Mark::Leads(vec![(ahead, HOUR)])).unwrap();
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a").as_deref(), Some("1"), "it was written later");
    assert_eq!(value(&store, "b").as_deref(), Some("3"));
    let anew = store.read(Namespace::Data, &path("b")).unwrap().unwrap();
    assert_eq!(anew.version.stamp.ms, START_MS, "it was written then");
    assert!(rules(&store, "b").contains(&Rule::Recalled));
}

#[test]
fn what_was_not_written_anew_as_something_newer_was_there_is_when_that_turns_out_to_be_void() {
    let (_device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "0")]).unwrap();
    clock.pass(1_000);
    set_clock(&store, &clock, HOUR);
    store.commit(vec![put("a", "2")]).unwrap();
    // Another node's clock was ahead as well, by less.
    clock.pass(2 * HOUR_MS);
    let other = record_of(&store, 1, START_MS + HOUR_MS / 2);
    assert_eq!(store.commit(vec![merge("a", other)]).unwrap(), [Outcome::NotNewer]);
    let ahead = set_clock(&store, &clock, -HOUR);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Leads(vec![(ahead, HOUR)])).unwrap();
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a").as_deref(), Some("1"), "it seems to have been written later");
    set_clock(&store, &clock, -2 * HOUR + HOUR / 4);
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a").as_deref(), Some("2"), "it is void, and so the latest is this node's");
    let anew = store.read(Namespace::Data, &path("a")).unwrap().unwrap();
    assert_eq!(anew.version.stamp.ms, START_MS + 1_000, "it was written then");
}

#[test]
fn what_an_earlier_process_stamped_ahead_is_dated_by_the_setting_and_not_by_peers_that_were_wrong() {
    let (device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "0")]).unwrap();
    clock.pass(1_000);
    set_clock(&store, &clock, HOUR);
    store.commit(vec![put("a", "1")]).unwrap();
    // Peers find it half an hour ahead, as most of them are ahead by the other half. The next process sees it set right.
    mark(&store, Mark::Leads(vec![(store.identity().origin.epoch, HOUR / 2)])).unwrap();
    drop(store);
    let store = support::open(&device, &clock, settings(), 2).unwrap();
    clock.pass(2_000);
    let ended = set_clock(&store, &clock, -HOUR);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Leads(vec![(ended, HOUR)])).unwrap();
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    let anew = store.read(Namespace::Data, &path("a")).unwrap().unwrap();
    assert_eq!((value(&store, "a").as_deref(), anew.version.stamp.ms), (Some("1"), START_MS + 1_000));
    // A later write of another node, as it should be.
    let later = record_of(&store, 1, START_MS + 2_000);
    assert_eq!(store.commit(vec![merge("a", later)]).unwrap(), [Outcome::Taken]);
}

#[test]
fn a_write_after_the_clock_was_set_back_is_the_latest_though_nobody_noticed_yet() {
    let (_device, clock, store) = fresh(settings());
    set_clock(&store, &clock, HOUR);
    store.commit(vec![put("a", "1")]).unwrap();
    mark(&store, Mark::Leads(vec![(store.identity().origin.epoch, HOUR)])).unwrap();
    // It is set right, and the next write comes before anybody has looked at it.
    clock.set_wall(START_MS + 1000);
    store.commit(vec![put("a", "2")]).unwrap();
    // Another node wrote between the two.
    let between = record_of(&store, 1, START_MS + 500);
    assert_eq!(store.commit(vec![merge("a", between)]).unwrap(), [Outcome::NotNewer]);
    mark(&store, Mark::ClockSet(-HOUR + 1000)).unwrap();
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a").as_deref(), Some("2"), "it was written last");
    // The setting was noted once: before, ahead, after, and since the recall.
    assert_eq!(store.standing().epochs.len(), 4);
}

#[test]
fn a_clock_that_drifted_for_long_makes_nothing_void_whose_time_has_come() {
    let (_device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "2")]).unwrap();
    // In a year a clock may well be wrong by an hour, and most of what it stamped is right.
    clock.pass(365 * 24 * HOUR_MS);
    let ahead = set_clock(&store, &clock, -HOUR);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Leads(vec![(ahead, HOUR)])).unwrap();
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(rules(&store, "a"), []);
    assert!(store.standing().recalls.is_empty());
}

#[test]
fn a_clock_that_was_found_ahead_and_was_behind_makes_nothing_void() {
    let (_device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "2")]).unwrap();
    let epoch = store.identity().origin.epoch;
    mark(&store, Mark::Leads(vec![(epoch, HOUR)])).unwrap();
    // Those who said so were further behind.
    set_clock(&store, &clock, HOUR);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Leads(vec![(epoch, -HOUR)])).unwrap();
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(rules(&store, "a"), []);
    assert!(store.standing().recalls.is_empty());
}

#[test]
fn a_clock_that_was_found_ahead_and_was_not_set_right_by_it_makes_nothing_void() {
    let (_device, clock, store) = fresh(settings());
    store.commit(vec![put("a", "2")]).unwrap();
    let epoch = store.identity().origin.epoch;
    mark(&store, Mark::Leads(vec![(epoch, HOUR)])).unwrap();
    // It is set to another time than they said, and the process ends before it is right again.
    set_clock(&store, &clock, -20 * HOUR);
    clock.pass(20 * HOUR_MS);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(rules(&store, "a"), []);
    assert!(store.standing().recalls.is_empty());
}

#[test]
fn what_expired_and_is_taken_back_leaves_a_delete_behind() {
    let (_device, clock, store) = fresh(Settings { tombstone_grace_ms: 1_000 * HOUR_MS, ..settings() });
    store.commit(vec![put("a", "1")]).unwrap();
    set_clock(&store, &clock, HOUR);
    store.commit(vec![put_for("a", "2", 1_000), put_for("b", "3", 5_400_000)]).unwrap();
    clock.pass(2 * HOUR_MS);
    do_chores(&store, &clock);
    clock.set_wall(START_MS + 1_800_000 + HOUR_MS);
    let ahead = set_clock(&store, &clock, -HOUR);
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Leads(vec![(ahead, HOUR)])).unwrap();
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert_eq!(value(&store, "a"), None, "what it was written over does not come back");
    assert_eq!(store.read(Namespace::Data, &path("a")).unwrap().unwrap().kind, Kind::Tombstone);
    // The other one lives for ninety minutes, of which thirty have passed.
    assert_eq!(value(&store, "b").as_deref(), Some("3"));
    let anew = store.read(Namespace::Data, &path("b")).unwrap().unwrap();
    assert_eq!(anew.expires_at_ms, START_MS + 5_400_000);
}

#[test]
fn what_was_written_while_the_clock_stood_in_1970_is_not_dated_back_to_it() {
    let (_device, clock, store) = fresh(Settings { revision_limit: 0, ..settings() });
    let (year, decades) = (365 * 24 * HOUR, 57 * 365 * 24 * HOUR);
    set_clock(&store, &clock, year);
    store.commit(vec![put("a", "1")]).unwrap();
    clock.pass(20_000);
    // The battery is empty: what is stamped is stamped over what was ahead.
    set_clock(&store, &clock, -year - decades);
    store.commit(vec![delete("a")]).unwrap();
    set_clock(&store, &clock, decades);
    // By how much the clock was wrong the process did not live to hear.
    store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
    mark(&store, Mark::Recall { forgotten: Vec::new() }).unwrap();
    do_chores(&store, &clock);
    assert!(rules(&store, "a").contains(&Rule::Recalled));
    // Another node has what the delete was written over, before all that.
    let before = record_of(&store, 1, START_MS + 1_000);
    store.commit(vec![merge("a", before)]).unwrap();
    assert_eq!(value(&store, "a"), None);
}

#[test]
fn a_recall_is_obeyed_whatever_its_own_stamp_is() {
    let (_device, _clock, store) = fresh(settings());
    let recall = |seq: u64, ms: u64, until_ms: u64| {
        let gone = Origin { node: Uuid::from_u128(77), epoch: seq };
        let to = recall_path(&gone, until_ms).unwrap();
        let write = merge("recall", record_of(&store, seq, ms));
        (gone, Write { namespace: Namespace::Cluster, path: to, ..write })
    };
    let (first, write) = recall(1, START_MS + HOUR_MS, 5);
    assert_eq!(store.commit(vec![write]).unwrap(), [Outcome::Taken], "it does not wait");
    assert_eq!(store.standing().recalls.until_ms(&first), Some(5));
    mark(&store, Mark::Discard(vec![origin()])).unwrap();
    let (second, write) = recall(2, START_MS + HOUR_MS, 6);
    assert_eq!(store.commit(vec![write]).unwrap(), [Outcome::Taken], "it is not void");
    assert_eq!(store.standing().recalls.until_ms(&second), Some(6));
}

#[test]
fn what_loses_while_the_clock_differs_is_kept_however_few_revisions_are_wanted() {
    let (_device, clock, store) = fresh(Settings { revision_limit: 0, ..settings() });
    clock.pass(2 * HOUR_MS);
    for (verdict, expected) in [(ClockVerdict::Agrees, 0), (ClockVerdict::Differs, 1)] {
        store.judge_clock(verdict, Duration::MAX);
        let key = format!("{verdict:?}");
        let ahead = record_of(&store, expected as u64 + 1, START_MS + HOUR_MS);
        assert_eq!(store.commit(vec![merge(&key, ahead)]).unwrap(), [Outcome::Taken]);
        store.commit(vec![put(&key, "2")]).unwrap();
        assert_eq!(rules(&store, &key).len(), expected, "{key}");
    }
}

#[test]
fn a_value_that_expired_here_before_its_time_comes_back_when_it_is_offered() {
    let (_device, clock, store) = fresh(Settings { tombstone_grace_ms: 1_000 * HOUR_MS, ..settings() });
    let mut mortal = record_of(&store, 1, START_MS);
    mortal.expires_at_ms = START_MS + HOUR_MS;
    for (namespace, key) in [(Namespace::Data, "a"), (Namespace::Auth, "b")] {
        let offered = || Write { namespace, ..merge(key, mortal.clone()) };
        store.commit(vec![offered()]).unwrap();
        clock.set_wall(START_MS + 2 * HOUR_MS);
        do_chores(&store, &clock);
        let held = || store.read(namespace, &path(key)).unwrap().unwrap().kind;
        assert_eq!(held(), Kind::Expired);
        clock.set_wall(START_MS);
        store.judge_clock(ClockVerdict::Agrees, Duration::MAX);
        assert_eq!(store.commit(vec![offered()]).unwrap(), [Outcome::Taken]);
        assert_eq!(held(), Kind::Value);
    }
    // And it does not end at the word of one whose clock is ahead.
    let early = Write { namespace: Namespace::Auth, ..merge("b", mortal.expired()) };
    assert_eq!(store.commit(vec![early]).unwrap(), [Outcome::NotNewer]);
    assert_eq!(store.read(Namespace::Auth, &path("b")).unwrap().unwrap().kind, Kind::Value);
}
