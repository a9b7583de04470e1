//! Crashes of the store on the engine in memory: at every sync in turn, with every kind of torn tail, then opened
//! again and compared with the model.
//!
//! What must hold: every acknowledged write is there, nothing is there that was never asked for, all tables agree, no
//! write is acknowledged after a failed sync, and no dot ever stands for two writes.

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvs_store::engine::device::{Device, Faults, Torn};
use kvs_store::error::StoreError;
use kvs_store::settings::{Durability, Settings};
use kvs_store::shared::State;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use support::audit::{DotNumber, Dotted, audit};
use support::script::{Draft, Stage, Step, When, script};
use support::{GRACE_MS, ManualClock, open, put, settings, value};

const TORN: [Torn; 12] = [
    Torn::Clean,
    Torn::After(1),
    Torn::After(7),
    Torn::After(9),
    Torn::After(200),
    Torn::After(usize::MAX),
    Torn::Garbled(1),
    Torn::Garbled(8),
    Torn::Garbled(9),
    Torn::Garbled(200),
    Torn::Garbled(usize::MAX),
    Torn::Nothing,
];

fn put_draft(key: usize, json: u8) -> Draft {
    Draft::Put { key, json, lifetime_ms: None, when: When::Always }
}

fn put_when(key: usize, json: u8, when: When) -> Draft {
    Draft::Put { key, json, lifetime_ms: None, when }
}

fn put_for(key: usize, json: u8, lifetime_ms: u64) -> Draft {
    Draft::Put { key, json, lifetime_ms: Some(lifetime_ms), when: When::Always }
}

fn delete(key: usize) -> Draft {
    Draft::Delete { key, when: When::Always }
}

/// Everything that a node does: puts, overwrites beyond the limit of the history, deletes, conditions that hold and
/// that do not, expiry, collection, foreign records that win, lose, tie and come twice, an orderly end in between.
fn workload() -> Vec<Step> {
    let mut steps = vec![
        Step::Transact(vec![put_draft(0, 1)]),
        Step::Transact(vec![put_draft(1, 2), put_draft(2, 3), put_for(3, 4, 400)]),
        Step::Transact(vec![put_when(4, 5, When::Absent), put_when(0, 6, When::Current)]),
        Step::Transact(vec![put_draft(5, 7), put_when(0, 8, When::Stale), put_draft(1, 9)]),
        Step::Transact(vec![delete(1), put_draft(1, 10), delete(1), delete(5)]),
        Step::Transact((0..6).map(Draft::Merge).collect()),
        Step::Wall(400),
        Step::Chores,
        Step::Transact(vec![Draft::Merge(6), Draft::Merge(0), Draft::Merge(12), put_draft(0, 11)]),
        Step::Transact(vec![Draft::Merge(3), Draft::Merge(9), Draft::Merge(15)]),
        Step::Reopen,
    ];
    // A history at its limit, by writes of one transaction and of several.
    steps.extend((20..26).map(|json| Step::Transact(vec![put_draft(0, json), put_draft(2, json)])));
    steps.push(Step::Transact((30..36).map(|json| put_draft(4, json)).collect()));
    steps.extend([
        Step::Transact((0..12).map(Draft::Merge).collect()),
        Step::Transact(vec![put_for(4, 40, 300), put_for(5, 41, 1200), delete(2)]),
        Step::Wall(1200),
        Step::Transact(vec![put_when(4, 42, When::Absent)]),
        Step::Chores,
        Step::Wall(GRACE_MS + 1),
        Step::Transact(vec![put_draft(2, 43)]),
        Step::Chores,
        Step::Transact((12..24).map(Draft::Merge).collect()),
        Step::WallBack,
        Step::Transact(vec![put_draft(0, 44), delete(1), put_draft(1, 45)]),
        Step::Chores,
    ]);
    steps
}

/// Takes the steps in turn until one is refused.
fn take_all(stage: &mut Stage, steps: &[Step]) -> Result<(), StoreError> {
    steps.iter().try_for_each(|step| stage.take(step))
}

fn note_dots(known: &mut BTreeMap<DotNumber, Dotted>, stage: &Stage) {
    for (dot, thing) in audit(&stage.store).dots() {
        if let Some(other) = known.insert(dot, thing.clone()) {
            assert_eq!(other, thing, "the dot {dot:?} was used twice");
        }
    }
}

/// After a failed sync: reads show what was acknowledged, and no write is taken any more.
fn check_poisoned(stage: &mut Stage) {
    assert!(matches!(stage.store.state(), State::Poisoned(_)));
    for number in 0..3 {
        let refused = stage.store.commit(vec![put("late", &number.to_string())]);
        assert!(matches!(refused, Err(StoreError::Poisoned(_))), "{refused:?}");
    }
    stage.check_visible();
}

#[test]
fn a_workload_without_faults_ends_as_the_model_does() {
    let mut stage = Stage::begin(Device::new(), settings()).unwrap();
    for step in workload() {
        stage.take(&step).unwrap();
        assert!(stage.check());
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_crash_at_any_sync() {
    let steps = workload();
    let mut whole = Stage::begin(Device::new(), settings()).unwrap();
    take_all(&mut whole, &steps).unwrap();
    let syncs = whole.device.syncs();
    assert!(syncs > 25, "the workload syncs often: {syncs}");
    let (mut lost, mut found) = (0, 0);
    for fails_at in 2..=syncs {
        for torn in TORN {
            let device = Device::new();
            device.set_faults(Faults { sync_fails_from: Some(fails_at), ..Faults::default() });
            let mut stage = Stage::begin(device, settings()).unwrap();
            let stopped = take_all(&mut stage, &steps);
            let opened = !matches!(&stopped, Err(StoreError::Engine(_)));
            if stopped.is_ok() {
                // Transactions handed in together may share a sync or not.
                assert!(fails_at + 4 > syncs, "sync {fails_at} of {syncs} failed unnoticed");
                continue;
            }
            let mut dots = BTreeMap::new();
            if opened {
                check_poisoned(&mut stage);
                note_dots(&mut dots, &stage);
            }
            let epoch = stage.store.identity().origin.epoch;

            stage.store.close();
            stage.device.crash(torn);
            stage.reopen().unwrap();

            if stage.check() {
                lost += 1
            } else {
                found += 1
            }
            assert_ne!(stage.store.identity().origin.epoch, epoch, "each start begins an epoch");
            note_dots(&mut dots, &stage);
            take_all(&mut stage, &steps[..6]).unwrap();
            assert!(stage.check());
            note_dots(&mut dots, &stage);
        }
    }
    // Both ends of a write that was cut short were met.
    assert!(lost > 20 && found > 20, "{lost} {found}");
}

#[test]
fn a_node_that_never_began_begins_after_the_crash() {
    for torn in TORN {
        let device = Device::new();
        device.set_faults(Faults { sync_fails_from: Some(1), ..Faults::default() });
        assert!(Stage::begin(device.clone(), settings()).is_err());
        device.crash(torn);
        let mut stage = Stage::begin(device, settings()).unwrap();
        take_all(&mut stage, &workload()).unwrap();
        assert!(stage.check());
    }
}

#[test]
fn crashes_while_recovering_lose_nothing_either() {
    let steps = workload();
    for fails_at in (2..40).step_by(3) {
        for during_recovery in 1..=4 {
            for torn in [Torn::Clean, Torn::After(30), Torn::Garbled(30), Torn::Nothing] {
                let device = Device::new();
                device.set_faults(Faults { sync_fails_from: Some(fails_at), ..Faults::default() });
                let mut stage = Stage::begin(device, settings()).unwrap();
                if take_all(&mut stage, &steps).is_ok() {
                    continue;
                }
                stage.store.close();
                stage.device.crash(torn);
                let next = stage.device.syncs() + during_recovery;
                stage.device.set_faults(Faults { sync_fails_from: Some(next), ..Faults::default() });
                // Whether it opens depends on which sync fails.
                drop(stage.reopen());
                stage.store.close();
                stage.device.crash(torn);
                stage.reopen().unwrap();
                stage.check();
                take_all(&mut stage, &steps[..6]).unwrap();
                assert!(stage.check());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_workloads_survive_a_crash_at_a_random_sync(
        steps in script(5..40),
        again in script(1..10),
        fails_at in 2..40_u64,
        torn in 0..TORN.len(),
        kept in any::<u16>(),
    ) {
        let device = Device::new();
        device.set_faults(Faults { sync_fails_from: Some(fails_at), ..Faults::default() });
        let mut stage = Stage::begin(device, settings()).unwrap();
        let stopped = take_all(&mut stage, &steps);
        let mut dots = BTreeMap::new();
        if stopped.is_ok() || matches!(stopped, Err(StoreError::Poisoned(_))) {
            stage.check_visible();
            note_dots(&mut dots, &stage);
        }
        stage.store.close();
        let torn = match TORN[torn] {
            Torn::After(_) => Torn::After(usize::from(kept)),
            Torn::Garbled(_) => Torn::Garbled(usize::from(kept)),
            other => other,
        };
        stage.device.crash(torn);
        stage.reopen().unwrap();
        stage.check();
        note_dots(&mut dots, &stage);
        prop_assert_eq!(take_all(&mut stage, &again).map_err(|error| error.to_string()), Ok(()));
        prop_assert_eq!(stage.check(), true);
        note_dots(&mut dots, &stage);
    }
}

/// Writes that were answered before their sync may be lost by a crash, but only the last ones, and their numbers are
/// never given out again.
#[test]
fn without_a_sync_a_crash_loses_only_the_last_writes_and_no_number_is_used_twice() {
    for durability in [Durability::Interval, Durability::Never] {
        let settings = Settings { durability, ..settings() };
        // Without the orderly end, which would sync everything.
        let steps: Vec<_> = workload().into_iter().filter(|step| *step != Step::Reopen).collect();
        for kept in (0..12_000).step_by(211) {
            let mut stage = Stage::begin(Device::new(), settings).unwrap();
            let mut states = vec![stage.model.clone()];
            let mut synced = 0;
            for step in &steps {
                let syncs = stage.device.syncs();
                // The halves of the chores are commits of their own.
                if *step == Step::Chores {
                    let mut expired = stage.model.clone();
                    expired.expire(stage.wall_ms);
                    states.push(expired);
                }
                stage.take(step).unwrap();
                if stage.device.syncs() > syncs {
                    synced = states.len() - 1;
                }
                states.push(stage.model.clone());
            }
            match durability {
                Durability::Interval => assert!(synced > 0, "the chores came long after the interval"),
                _ => assert_eq!(synced, 0, "nobody asked for a sync"),
            }
            let mut dots = BTreeMap::new();
            note_dots(&mut dots, &stage);
            let epoch = stage.store.identity().origin.epoch;

            stage.abandon_after_crash(if kept % 2 == 0 { Torn::After(kept) } else { Torn::Garbled(kept) });
            stage.model = states.remove(synced.saturating_sub(1));
            stage.possible = states.split_off(synced.saturating_sub(1));
            stage.reopen().unwrap();
            stage.check();
            assert_ne!(stage.store.identity().origin.epoch, epoch);
            note_dots(&mut dots, &stage);
            take_all(&mut stage, &steps[..6]).unwrap();
            assert!(stage.check());
            note_dots(&mut dots, &stage);
        }
    }
}

#[test]
fn an_orderly_end_keeps_everything_and_yet_a_new_epoch_begins_whatever_the_durability() {
    for durability in [Durability::Always, Durability::Interval, Durability::Never] {
        let mut stage = Stage::begin(Device::new(), Settings { durability, ..settings() }).unwrap();
        take_all(&mut stage, &workload()).unwrap();
        let identity = stage.store.identity();
        stage.store.close();
        // The machine stops right after: the end was on the disk.
        stage.device.crash(Torn::Clean);
        stage.reopen().unwrap();
        assert!(stage.check());
        let begun = stage.store.identity();
        // The directory might as well have been put back to this moment: another life may have gone on from it.
        assert_ne!(begun.origin.epoch, identity.origin.epoch);
        assert_eq!((begun.origin.node, begun.joined_ms), (identity.origin.node, identity.joined_ms));
    }
}

/// Several writers, each with keys of its own; a sync fails under them.
#[test]
fn no_writer_of_many_is_answered_ok_after_a_failed_sync() {
    const WRITERS: usize = 4;
    for fails_at in 2..22 {
        let (device, clock) = (Device::new(), ManualClock::new());
        device.set_faults(Faults { sync_fails_from: Some(fails_at), ..Faults::default() });
        let store = open(&device, &clock, settings(), 1).unwrap();
        let failed = AtomicBool::new(false);
        let acknowledged = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (store, failed, acknowledged) = (&store, &failed, &acknowledged);
                scope.spawn(move || {
                    let mut refusals = 0;
                    for number in 0.. {
                        // A failure seen before this write was handed in: it must not be taken.
                        let after_failure = failed.load(Ordering::SeqCst);
                        let key = format!("w{writer}/k{number}");
                        match store.commit(vec![
                            put(&key, "1"),
                            put(&format!("w{writer}/last"), &number.to_string()),
                        ]) {
                            Ok(_) => {
                                assert!(!after_failure, "a write was acknowledged after a failed sync");
                                acknowledged.lock().unwrap().push((key, writer, number));
                            }
                            Err(StoreError::Poisoned(_)) => {
                                failed.store(true, Ordering::SeqCst);
                                refusals += 1;
                            }
                            Err(other) => unreachable!("{other}"),
                        }
                        if refusals == 3 {
                            break;
                        }
                    }
                });
            }
        });
        store.close();
        device.crash(if fails_at % 2 == 0 { Torn::Clean } else { Torn::After(400) });
        let store = open(&device, &clock, settings(), 2).unwrap();
        let mut last = [None; WRITERS];
        for (key, writer, number) in acknowledged.into_inner().unwrap() {
            assert_eq!(value(&store, &key).as_deref(), Some("1"), "{key} was acknowledged");
            last[writer] = last[writer].max(Some(number));
        }
        for (writer, last) in last.into_iter().enumerate() {
            let found = value(&store, &format!("w{writer}/last")).map(|text| text.parse::<u64>().unwrap());
            assert!(found == last || found == Some(last.map_or(0, |last| last + 1)), "{found:?} {last:?}");
        }
        audit(&store);
    }
}

#[test]
fn a_failing_sync_in_the_background_poisons_the_store() {
    let mut stage =
        Stage::begin(Device::new(), Settings { durability: Durability::Interval, ..settings() }).unwrap();
    take_all(&mut stage, &workload()[..2]).unwrap();
    let next = stage.device.syncs() + 1;
    stage.device.set_faults(Faults { sync_fails_from: Some(next), ..Faults::default() });
    stage.clock.advance_monotonic(Duration::from_millis(150));
    support::settle(&stage.store);
    check_poisoned(&mut stage);
    let epoch = stage.store.identity().origin.epoch;
    stage.abandon_after_crash(Torn::Clean);
    stage.reopen().unwrap();
    assert_ne!(stage.store.identity().origin.epoch, epoch);
}
