//! A data directory that says that it holds a node, and an engine that does not, or no longer: refused, never taken for a
//! new node.
#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_store::check::stopped::check;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::data_dir::DataDir;
use kvs_store::error::{ErrorKind, StoreError};
use kvs_store::observer::Silent;
use kvs_store::settings::Settings;
use kvs_store::store::Store;

/// A clock that stands still.
struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn open(dir: &FilePath) -> Result<Store, StoreError> {
    Store::open(dir, Settings::default(), Arc::new(Standing), Arc::new(Silent))
}

fn put(store: &Store, path: &str) {
    let content = store.prepare(Bytes::from_static(b"1"));
    let write = Write {
        namespace: Namespace::Data,
        path: Path::parse(path).unwrap(),
        change: Change::Put { content, lifetime: None },
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    };
    store.commit(vec![write]).unwrap();
}

/// A folder with a data directory of this many starts and a value.
fn filled(starts: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    for start in 0..starts {
        let store = open(&dir).unwrap();
        put(&store, &format!("k{start}"));
    }
    (folder, dir)
}

fn empty_journals(dir: &FilePath) {
    let mut emptied = 0;
    for found in std::fs::read_dir(dir.join("engine")).unwrap() {
        let path = found.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            std::fs::File::create(&path).unwrap();
            emptied += 1;
        }
    }
    assert!(emptied > 0);
}

#[track_caller]
fn assert_refused(dir: &FilePath) {
    let error = open(dir).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let text = error.to_string();
    for word in ["data", "lost", "backup", "IDENTITY"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn an_emptied_journal_is_no_new_node() {
    let (_folder, dir) = filled(1);
    empty_journals(&dir);
    for _ in 0..2 {
        assert_refused(&dir);
    }
    let report = check(&dir, &mut |_| {}).unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("IDENTITY")), "{:?}", report.problems);
}

#[test]
fn a_lost_engine_folder_is_no_new_node_and_is_not_made_again() {
    let (_folder, dir) = filled(1);
    std::fs::remove_dir_all(dir.join("engine")).unwrap();
    assert_refused(&dir);
    assert!(!dir.join("engine").exists());
    let error = check(&dir, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("IDENTITY"), "{error}");
}

/// The engine's folder of an earlier start under the directory of a later one.
#[test]
fn an_engine_that_was_put_back_alone_is_refused() {
    let (folder, dir) = filled(1);
    let early = folder.path().join("early");
    copy(&dir.join("engine"), &early);
    drop(open(&dir).unwrap());
    std::fs::remove_dir_all(dir.join("engine")).unwrap();
    std::fs::rename(&early, dir.join("engine")).unwrap();
    assert_refused(&dir);
}

#[test]
fn the_engine_of_another_node_is_refused() {
    let (_folder, dir) = filled(1);
    let (_other_folder, other) = filled(3);
    std::fs::remove_dir_all(dir.join("engine")).unwrap();
    copy(&other.join("engine"), &dir.join("engine"));
    assert_refused(&dir);
}

#[test]
fn a_directory_from_before_there_was_such_a_file_opens_and_gets_one() {
    let (_folder, dir) = filled(2);
    let identity = dir.join("IDENTITY");
    std::fs::remove_file(&identity).unwrap();
    let node = open(&dir).unwrap().node();
    assert!(std::fs::read_to_string(&identity).unwrap().contains(&node.to_string()));
    std::fs::remove_dir_all(dir.join("engine")).unwrap();
    assert_refused(&dir);
}

#[test]
fn a_whole_directory_may_be_moved_and_opened_again() {
    let (folder, dir) = filled(3);
    let moved = folder.path().join("moved");
    std::fs::rename(&dir, &moved).unwrap();
    drop(open(&moved).unwrap());
    assert!(check(&moved, &mut |_| {}).unwrap().is_healthy());
}

#[test]
fn a_fresh_volume_with_nothing_but_lost_and_found_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("lost+found")).unwrap();
    DataDir::check_restorable(folder.path()).unwrap();
    drop(open(folder.path()).unwrap());
    drop(open(folder.path()).unwrap());
    // A file of that name is somebody's.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("lost+found"), "text").unwrap();
    assert!(open(other.path()).is_err());
}

fn copy(from: &FilePath, to: &FilePath) {
    std::fs::create_dir(to).unwrap();
    for found in std::fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let target = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy(&found.path(), &target);
        } else {
            std::fs::copy(found.path(), &target).unwrap();
        }
    }
}
