//! Which backups are removed, when, and which never.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvs_store::backup::retain::{BACKUPS_KEPT_MIN, retain};
use kvs_store::backup::verify::{Verified, verify};
use kvs_store::settings::Settings;

use crate::node::{Node, names};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: u64 = 86_400_000;

/// A node with a backup of each of ten days, oldest first.
fn ten_days() -> (Node, Vec<Verified>) {
    let node = Node::new(Settings::default());
    let mut backups = Vec::new();
    for day in 0..10 {
        node.put("day", day.to_string(), None);
        backups.push(node.back_up());
        if day < 9 {
            node.clock.0.fetch_add(DAY_MS, Ordering::SeqCst);
        }
    }
    (node, backups)
}

fn paths(backups: &[Verified]) -> Vec<PathBuf> {
    let mut paths: Vec<_> = backups.iter().map(|backup| backup.path().to_owned()).collect();
    paths.sort();
    paths
}

#[test]
fn what_is_older_than_the_retention_goes_and_the_rest_stays() {
    let (node, backups) = ten_days();
    let retained = retain(&backups[9], DAY * 7).unwrap();
    let mut removed = retained.removed;
    removed.sort();
    // Of nine days ago and of eight; the one of seven days ago to the second is not older.
    assert_eq!(removed, paths(&backups[..2]));
    assert!(retained.failed.is_empty());
    assert_eq!(names(&node.backups()).len(), 8);
}

#[test]
fn the_newest_good_ones_stay_however_old_they_are() {
    let (_node, backups) = ten_days();
    assert_eq!(retain(&backups[9], Duration::ZERO).unwrap().removed.len(), 10 - BACKUPS_KEPT_MIN);
    assert_eq!(retain(&backups[9], Duration::ZERO).unwrap().removed.len(), 0);
    for kept in &backups[10 - BACKUPS_KEPT_MIN..] {
        assert!(verify(kept.path(), &mut |_| {}).is_ok());
    }
}

#[test]
fn nothing_newer_than_the_verified_one_goes() {
    let (_node, backups) = ten_days();
    let mut removed = retain(&backups[4], Duration::ZERO).unwrap().removed;
    removed.sort();
    assert_eq!(removed, paths(&backups[..2]));
}

#[test]
fn nothing_goes_when_the_verified_one_is_gone_or_another() {
    let (node, backups) = ten_days();
    std::fs::copy(backups[3].path(), backups[9].path()).unwrap();
    assert!(retain(&backups[9], DAY).unwrap().removed.is_empty());
    std::fs::remove_file(backups[9].path()).unwrap();
    assert!(retain(&backups[9], DAY).unwrap().removed.is_empty());
    assert_eq!(names(&node.backups()).len(), 9);
}

#[test]
fn an_old_one_goes_only_once_a_newer_one_was_verified() {
    let (_node, backups) = ten_days();
    let newest = backups[9].path();
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, &bytes).unwrap();
    // The proof that retention asks for cannot be had of a damaged file.
    assert!(verify(newest, &mut |_| {}).is_err());
    let proof = verify(backups[8].path(), &mut |_| {}).unwrap();
    assert_eq!(retain(&proof, DAY).unwrap().removed.len(), 6);
    assert!(backups[8].path().exists());
}

#[test]
fn what_is_not_this_nodes_stays() {
    let (node, backups) = ten_days();
    let other = Node::new(Settings::default());
    let foreign = other.back_up();
    for (from, name) in
        [(foreign.path(), "kvs-other-20200101T000000Z.kvsb"), (backups[0].path(), "my-own-copy.kvsb")]
    {
        std::fs::copy(from, node.backups().join(name)).unwrap();
    }
    std::fs::write(node.backups().join("kvs-notes.kvsb"), "no backup").unwrap();
    std::fs::write(node.backups().join("kvs-node_alpha.txt"), "no backup").unwrap();
    let mut cut = std::fs::read(backups[1].path()).unwrap();
    cut.truncate(cut.len() - 1);
    std::fs::write(backups[1].path(), cut).unwrap();
    assert_eq!(retain(&backups[9], DAY).unwrap().removed.len(), 6);
    let mut left: Vec<_> = names(&node.backups());
    left.retain(|name| !name.starts_with("kvs-node_alpha-"));
    assert_eq!(
        left,
        ["kvs-node_alpha.txt", "kvs-notes.kvsb", "kvs-other-20200101T000000Z.kvsb", "my-own-copy.kvsb"]
    );
    assert!(backups[1].path().exists());
}

/// A clock that leaps and comes back: the backup made meanwhile counts as one and ages nothing.
#[test]
fn a_leap_of_the_clock_removes_no_good_backup() {
    let node = Node::new(Settings::default());
    let mut backups = Vec::new();
    let mut day = |ahead_ms: u64| {
        node.put("day", backups.len().to_string(), None);
        node.clock.0.fetch_add(ahead_ms, Ordering::SeqCst);
        let made = node.back_up();
        let retained = retain(&made, DAY * 7).unwrap();
        assert!(retained.failed.is_empty());
        node.clock.0.fetch_sub(ahead_ms, Ordering::SeqCst);
        node.clock.0.fetch_add(DAY_MS, Ordering::SeqCst);
        backups.push(made);
        retained.removed.len()
    };
    for _ in 0..7 {
        assert_eq!(day(0), 0);
    }
    assert_eq!(day(40 * DAY_MS), 0, "good backups were removed on the word of a clock that leapt");
    for _ in 0..12 {
        // What the leap made is as old as the backup after it.
        assert!(day(0) <= 2);
    }
    // Those of seven days stay, and what the leap made is gone with its age.
    assert_eq!(names(&node.backups()).len(), 8);
}

/// One that is damaged is none of those that must stay, and is left for whoever can make use of it.
#[test]
fn a_damaged_backup_does_not_count_among_those_that_stay() {
    let (node, backups) = ten_days();
    for damaged in [7, 8] {
        let mut bytes = std::fs::read(backups[damaged].path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(backups[damaged].path(), bytes).unwrap();
    }
    let retained = retain(&backups[9], DAY).unwrap();
    assert_eq!(retained.failed.len(), 2, "the damaged ones are told");
    let mut removed = retained.removed;
    removed.sort();
    assert_eq!(removed, paths(&backups[..5]));
    for kept in [5, 6, 9] {
        assert!(verify(backups[kept].path(), &mut |_| {}).is_ok());
    }
    assert_eq!(names(&node.backups()).len(), 5);
}
