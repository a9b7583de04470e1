//! What is cut, flipped, foreign or newer is refused before anything is written.

use std::path::{Path, PathBuf};

use kvs_store::backup::error::BackupError;
use kvs_store::backup::list::list;
use kvs_store::backup::verify::verify;
use kvs_store::error::ErrorKind;
use kvs_store::settings::Settings;
use proptest::prelude::{any, proptest};

use crate::node::{Node, names, restore_to};

/// A node, and the bytes of a small backup of it: three blocks would not show more than one.
fn small() -> (Node, Vec<u8>) {
    let node = Node::new(Settings::default());
    node.put("home/socks", "{\"pairs\":7}", None);
    node.put("home/socks", "{\"pairs\":8}", None);
    node.put("home/shoes", "{\"pairs\":2}", None);
    let bytes = std::fs::read(node.back_up().path()).unwrap();
    (node, bytes)
}

/// The error of restoring these bytes, which must have left no trace.
#[track_caller]
fn refused(folder: &Path, bytes: &[u8]) -> BackupError {
    let file = folder.join("damaged.kvsb");
    std::fs::write(&file, bytes).unwrap();
    let target = folder.join("target");
    let error = restore_to(&file, &target).unwrap_err();
    assert!(!target.exists(), "{error}");
    assert!(verify(&file, &mut |_| {}).is_err());
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let (node, bytes) = small();
    for len in 0..bytes.len() {
        let error = refused(node.folder.path(), &bytes[..len]);
        assert!(matches!(error, BackupError::CutOff(_)), "{len} bytes: {error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_file_with_any_byte_changed_is_refused() {
    let (node, bytes) = small();
    for at in 0..bytes.len() {
        for change in [0x01, 0x80] {
            let mut flipped = bytes.clone();
            flipped[at] ^= change;
            refused(node.folder.path(), &flipped);
        }
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let (node, mut bytes) = small();
    let twice = [bytes.clone(), bytes.clone()].concat();
    bytes.push(0);
    for longer in [bytes, twice] {
        let error = refused(node.folder.path(), &longer);
        assert!(error.to_string().contains("bytes follow the end mark"), "{error}");
    }
}

#[test]
fn blocks_that_are_missing_doubled_or_of_another_backup_are_refused() {
    let node = Node::new(Settings { compression_level: None, ..Settings::default() });
    node.fill();
    let one = std::fs::read(node.back_up().path()).unwrap();
    node.clock.0.fetch_add(1000, std::sync::atomic::Ordering::SeqCst);
    let other = std::fs::read(node.back_up().path()).unwrap();
    let blocks = blocks(&one);
    let others = self::blocks(&other);
    assert!(blocks.len() >= 3 && blocks.len() == others.len());
    let header = &one[..73];
    let trailer = &one[blocks.last().unwrap().1..];
    let joined = |chosen: &[&[u8]]| [header, &chosen.concat(), trailer].concat();
    let slices: Vec<_> = blocks.iter().map(|(from, to)| &one[*from..*to]).collect();
    assert_eq!(joined(&slices), one);
    let mut missing = slices.clone();
    missing.remove(1);
    let mut doubled = slices.clone();
    doubled.insert(1, slices[1]);
    let mut moved = slices.clone();
    moved.swap(0, 1);
    let mut foreign = slices.clone();
    foreign[1] = &other[others[1].0..others[1].1];
    for chosen in [missing, doubled, moved, foreign] {
        refused(node.folder.path(), &joined(&chosen));
    }
    let without_last = joined(&slices[..slices.len() - 1]);
    let error = refused(node.folder.path(), &without_last);
    assert!(error.to_string().contains("the manifest does not match"), "{error}");
}

/// Where each block begins and ends.
fn blocks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut at = 73;
    let mut blocks = Vec::new();
    while bytes[at] == 1 {
        let len = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        let end = at + 9 + len + 32;
        blocks.push((at, end));
        at = end;
    }
    blocks
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (node, mut bytes) = small();
    bytes[8] = 3;
    let error = refused(node.folder.path(), &bytes);
    assert!(matches!(error, BackupError::NewerFormat { found: 3, .. }), "{error}");
    assert!(error.to_string().contains("format 3") && error.to_string().contains("up to 2"), "{error}");
    // Whatever else a newer format does differently.
    let error = refused(node.folder.path(), &bytes[..9]);
    assert!(matches!(error, BackupError::NewerFormat { found: 3, .. }), "{error}");
}

#[test]
fn what_is_no_backup_is_refused() {
    let (node, _) = small();
    for bytes in [&b"PK\x03\x04 a zip archive"[..], b"{\"path\":\"a\"}\n", b"\x89PNG\r\n\x1a\n"] {
        let error = refused(node.folder.path(), bytes);
        assert!(matches!(error, BackupError::NotABackup(_)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
    let target = node.folder.path().join("target");
    for file in [node.folder.path().join("absent.kvsb"), node.folder.path().to_owned()] {
        assert!(restore_to(&file, &target).is_err());
        assert!(!target.exists());
    }
}

#[test]
fn a_listing_tells_cut_and_flipped_manifests() {
    let (node, bytes) = small();
    let file: PathBuf = node.backups().join("kvs-copy.kvsb");
    let is_good = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let listed = list(&node.backups()).unwrap();
        assert_eq!(listed.len(), 2);
        listed.iter().find(|listed| listed.path == file).unwrap().manifest.is_ok()
    };
    assert!(is_good(&bytes));
    for len in 0..bytes.len() {
        assert!(!is_good(&bytes[..len]), "{len}");
    }
    let trailer = blocks(&bytes).last().unwrap().1;
    for at in (0..73).chain(trailer..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        assert!(!is_good(&flipped), "{at}");
    }
}

#[test]
fn a_folder_that_holds_anything_is_no_target() {
    let (node, bytes) = small();
    let file = node.folder.path().join("good.kvsb");
    std::fs::write(&file, bytes).unwrap();
    let target = node.folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("thesis.txt"), "years of work").unwrap();
    let error = restore_to(&file, &target).unwrap_err();
    assert!(matches!(error, BackupError::Target(_)), "{error}");
    assert_eq!(names(&target), ["thesis.txt"]);
    // Neither is the data directory of a node, running or not.
    for _ in 0..2 {
        let before = names(&node.data_dir());
        assert!(matches!(restore_to(&file, &node.data_dir()), Err(BackupError::Target(_))));
        assert_eq!(names(&node.data_dir()), before);
    }
    // An empty folder is.
    std::fs::remove_file(target.join("thesis.txt")).unwrap();
    restore_to(&file, &target).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400), keep in 0..100_usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut with_magic = b"\x89KVSB\r\n\x1a\x01".to_vec();
        with_magic.truncate(keep);
        with_magic.extend(&bytes);
        for bytes in [&bytes, &with_magic] {
            refused(folder.path(), bytes);
            std::fs::write(folder.path().join("listed.kvsb"), bytes).unwrap();
            assert!(list(folder.path()).unwrap().iter().all(|listed| listed.manifest.is_err()));
        }
    }
}
