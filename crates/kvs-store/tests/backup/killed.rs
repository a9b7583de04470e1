//! A process that is killed while it makes or restores a backup leaves the old or the new, never half.
//!
//! The process is this test program again, told by its environment what to do; it ends itself in the middle of the work
//! by a kill, or is killed from outside.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kvs_store::backup::create::create;
use kvs_store::backup::list::list;
use kvs_store::backup::progress::{Progress, Step};
use kvs_store::backup::restore::restore;
use kvs_store::backup::verify::verify;
use kvs_store::observer::Silent;
use kvs_store::settings::Settings;
use kvs_store::store::Store;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::node::{Hand, Node, START_MS, assert_healthy, label, names, noise, restore_to};
use crate::restored::assert_marked;

const CHILD_FOLDER: &str = "KVS_TEST_KILLED_FOLDER";
const CHILD_DIES_AT: &str = "KVS_TEST_KILLED_DIES_AT";

/// How long the parent waits for what must come, in steps.
const POLL_STEPS_MAX: u32 = 12_000;
const POLL_STEP: Duration = Duration::from_millis(5);

/// A stopped node with about nine blocks of noise.
fn stopped_node() -> Node {
    let mut node = Node::new(Settings::default());
    let mut random = StdRng::seed_from_u64(11);
    for number in 0..60 {
        node.put(&format!("noise/{number}"), noise(&mut random, 200_000), None);
    }
    node.put("noise/1", "\"again\"", None);
    node.close();
    node
}

fn child(test: &str, folder: &Path, dies_at: Option<(Step, usize)>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD_FOLDER, folder);
    if let Some((step, times)) = dies_at {
        command.env(CHILD_DIES_AT, format!("{step:?} {times}"));
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(test: &str, folder: &Path, step: Step, times: usize) -> ExitStatus {
    child(test, folder, Some((step, times))).status().unwrap()
}

/// In the child: the folder, and a watcher that kills the process at the step it was told.
fn told() -> Option<(PathBuf, impl FnMut(Progress))> {
    let folder = PathBuf::from(std::env::var_os(CHILD_FOLDER)?);
    let dies_at = std::env::var(CHILD_DIES_AT).unwrap_or_default();
    let mut times = 0;
    Some((folder, move |progress: Progress| {
        let step = format!("{:?} ", progress.step);
        if let Some(wanted) = dies_at.strip_prefix(&step) {
            times += 1;
            if times == wanted.parse::<usize>().unwrap() {
                let us = rustix::process::getpid();
                rustix::process::kill_process(us, rustix::process::Signal::KILL).unwrap();
            }
        }
    }))
}

#[test]
#[ignore = "the process that other tests start and kill"]
fn makes_backups_until_it_dies() {
    let Some((folder, mut watcher)) = told() else { return };
    let clock = Arc::new(Hand(AtomicU64::new(START_MS)));
    let label = label(&clock);
    let store = Store::open(&folder.join("data"), Settings::default(), clock, Arc::new(Silent)).unwrap();
    for _ in 0..10_000 {
        create(store.view().unwrap(), &folder.join("backups"), &label, &mut watcher).unwrap();
    }
}

#[test]
#[ignore = "the process that other tests start and kill"]
fn restores_until_it_dies() {
    let Some((folder, mut watcher)) = told() else { return };
    let clock = Hand(AtomicU64::new(START_MS));
    let file = folder.join("good.kvsb");
    restore(&file, &folder.join("restored"), &Settings::default(), &clock, &mut watcher).unwrap();
}

/// Every file with a backup's name is a whole one, and the next backup clears away what is not.
#[track_caller]
fn assert_old_or_new(node: &mut Node, least: usize) {
    let listed = list(&node.backups()).unwrap();
    assert!(listed.len() >= least, "{listed:?}");
    for listed in &listed {
        verify(&listed.path, &mut |_| {}).unwrap();
    }
    node.open();
    node.back_up();
    node.close();
    let names = names(&node.backups());
    assert!(names.iter().all(|name| name.starts_with("kvs-node_alpha-")), "{names:?}");
    assert_eq!(names.len(), listed.len() + 1);
    // One is enough for the next round to lose.
    for listed in &listed {
        std::fs::remove_file(&listed.path).unwrap();
    }
}

#[test]
fn a_backup_that_dies_leaves_no_file_that_looks_like_one() {
    let mut node = stopped_node();
    let folder = node.folder.path().to_owned();
    let deaths =
        [(Step::Write, 1), (Step::Verify, 1), (Step::Verify, 5), (Step::Verify, 12), (Step::Write, 3)];
    for (round, (step, times)) in deaths.into_iter().enumerate() {
        let status = run("killed::makes_backups_until_it_dies", &folder, step, times);
        assert!(!status.success());
        let temporary = names(&node.backups()).iter().filter(|name| name.ends_with(".tmp")).count();
        assert_eq!(temporary, 1, "{step:?} {times}");
        assert_old_or_new(&mut node, round.min(1));
    }
}

#[test]
fn a_backup_that_is_killed_leaves_the_old_or_the_new() {
    let mut node = stopped_node();
    let folder = node.folder.path().to_owned();
    for round in 0..8_u64 {
        let before = list(&node.backups()).unwrap().len();
        let mut child = child("killed::makes_backups_until_it_dies", &folder, None).spawn().unwrap();
        // Kill it when its file has grown so far, or after it has made so many.
        let reached = |found: &[(String, u64)]| {
            let sizes =
                |suffix| found.iter().filter(move |(name, _)| name.ends_with(suffix)).map(|(_, len)| *len);
            match round % 4 {
                0 => sizes(".tmp").any(|len| len > 0),
                1 => sizes(".tmp").any(|len| len > round * 900_000),
                2 => sizes(".kvsb").count() > before,
                _ => sizes(".kvsb").count() > before + 1,
            }
        };
        let mut steps = 0;
        while !reached(&names_and_sizes(&node.backups())) {
            steps += 1;
            assert!(steps < POLL_STEPS_MAX, "round {round}: no backup comes");
            std::thread::sleep(POLL_STEP);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_old_or_new(&mut node, before);
    }
}

/// The files of a folder that is being written to.
fn names_and_sizes(folder: &Path) -> Vec<(String, u64)> {
    let listing = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |found: &std::fs::DirEntry| found.metadata().map_or(0, |metadata| metadata.len());
    listing.map(|found| (found.file_name().to_string_lossy().into_owned(), size(&found))).collect()
}

#[test]
fn a_restore_that_dies_leaves_a_directory_that_nobody_takes_for_a_node() {
    let mut node = stopped_node();
    node.open();
    let backup = node.back_up();
    let folder = node.folder.path().to_owned();
    let good = folder.join("good.kvsb");
    std::fs::copy(backup.path(), &good).unwrap();
    let target = folder.join("restored");
    // Before the target is touched.
    assert!(!run("killed::restores_until_it_dies", &folder, Step::Verify, 3).success());
    assert!(!target.exists());
    // Records, then history.
    for times in [1, 4, 9, 14] {
        let status = run("killed::restores_until_it_dies", &folder, Step::Load, times);
        assert!(!status.success(), "{times}");
        assert_marked(&target, &good);
        std::fs::remove_dir_all(&target).unwrap();
    }
    restore_to(&good, &target).unwrap();
    assert_healthy(&target);
}
