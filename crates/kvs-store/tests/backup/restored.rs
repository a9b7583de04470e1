//! A restore that fails half-way leaves a directory that no node opens and that says what to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kvs_store::backup::error::BackupError;
use kvs_store::backup::progress::{Progress, Step};
use kvs_store::backup::restore::restore;
use kvs_store::check::stopped::check;
use kvs_store::observer::Silent;
use kvs_store::settings::Settings;
use kvs_store::store::Store;

use crate::node::{Hand, Node, START_MS, restore_to};

fn clock() -> Hand {
    Hand(AtomicU64::new(START_MS))
}

/// Neither a node nor a check nor another restore takes the directory, and each says why.
#[track_caller]
pub(crate) fn assert_marked(data_dir: &Path, backup: &Path) {
    let open = Store::open(data_dir, Settings::default(), Arc::new(clock()), Arc::new(Silent)).err();
    let errors = [
        open.map(|error| error.to_string()),
        check(data_dir, &mut |_| {}).err().map(|error| error.to_string()),
        restore_to(backup, data_dir).err().map(|error| error.to_string()),
    ];
    for error in errors {
        let error = error.unwrap();
        assert!(error.contains("delete the folder and run the restore again"), "{error}");
        assert!(error.contains(data_dir.to_str().unwrap()), "{error}");
    }
}

/// Restores while the file is changed after it was verified.
fn restore_while(change: impl Fn(&Path)) -> (Node, BackupError) {
    let node = Node::new(Settings::default());
    node.fill();
    let backup = node.back_up();
    let target = node.folder.path().join("restored");
    let mut changed = false;
    let mut watcher = |progress: Progress| {
        let verified = progress.step == Step::Verify && progress.done_bytes == progress.total_bytes;
        if verified && !changed {
            changed = true;
            change(backup.path());
        }
    };
    let error = restore(backup.path(), &target, &Settings::default(), &clock(), &mut watcher).unwrap_err();
    assert!(matches!(error, BackupError::HalfWay { .. }), "{error}");
    assert!(error.to_string().contains("delete the folder"), "{error}");
    let good = node.back_up();
    assert_marked(&target, good.path());
    // As it says.
    std::fs::remove_dir_all(&target).unwrap();
    restore_to(good.path(), &target).unwrap();
    (node, error)
}

#[test]
fn a_file_that_becomes_shorter_after_it_was_verified_is_found_out() {
    let (_node, error) = restore_while(|file| {
        let len = file.metadata().unwrap().len();
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len / 2).unwrap();
    });
    assert!(error.to_string().contains("cut off"), "{error}");
}

#[test]
fn a_file_that_is_exchanged_after_it_was_verified_is_found_out() {
    let other = Node::new(Settings::default());
    other.put("a", "1", None);
    let other = other.back_up();
    let (_node, error) = restore_while(|file| {
        std::fs::copy(other.path(), file).unwrap();
    });
    assert!(error.to_string().contains("it changed while it was being restored"), "{error}");
}

#[test]
fn a_directory_that_is_being_restored_is_taken() {
    let node = Node::new(Settings::default());
    node.fill();
    let backup = node.back_up();
    let target = node.folder.path().join("restored");
    let mut met = 0;
    let mut watcher = |progress: Progress| {
        if progress.step == Step::Load {
            met += 1;
            assert!(restore_to(backup.path(), &target).is_err());
            let opened = Store::open(&target, Settings::default(), Arc::new(clock()), Arc::new(Silent));
            assert!(opened.is_err());
        }
    };
    restore(backup.path(), &target, &Settings::default(), &clock(), &mut watcher).unwrap();
    assert!(met > 0);
    assert!(Store::open(&target, Settings::default(), Arc::new(clock()), Arc::new(Silent)).is_ok());
}
