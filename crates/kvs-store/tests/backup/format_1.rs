//! A backup that was written by the first version of format 1 must stay readable for ever.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::Kind;
use kvs_store::backup::verify::verify;
use kvs_store::observer::Silent;
use kvs_store::settings::Settings;
use kvs_store::store::Store;

use crate::node::{Hand, assert_healthy, restore_to};

/// When the backup was made: 2023-01-01T00:00:00Z.
const MADE_AT_MS: u64 = 1_672_531_200_000;

#[test]
fn the_backup_of_an_early_version_is_read_as_it_was_written() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backup-format-1.kvsb");
    let verified = verify(&file, &mut |_| {}).unwrap();
    let manifest = verified.manifest();
    assert_eq!(manifest.node_id, "node-alpha");
    assert_eq!(manifest.origin.node.to_string(), "8155c83a-ab6b-4747-995e-b084c02001a7");
    assert_eq!(
        (manifest.created_at_ms, manifest.last_local_seq, manifest.last_origin_seq),
        (MADE_AT_MS, 6, 6)
    );
    let tally = manifest.tally;
    assert_eq!((tally.keys, tally.bytes, tally.tombstones, tally.revisions), (3, 3029, 1, 2));

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    restore_to(&file, &data).unwrap();
    assert_healthy(&data);
    let clock = Arc::new(Hand(AtomicU64::new(MADE_AT_MS)));
    let store = Store::open(&data, Settings::default(), clock, Arc::new(Silent)).unwrap();
    let read = |path| store.read(Namespace::Data, &Path::parse(path).unwrap()).unwrap().unwrap();
    let socks = read("home/room/closet/socks");
    assert_eq!(store.json(&socks).unwrap(), "{\"pairs\":8}");
    assert_eq!(socks.author.as_str(), "john");
    let history = store.history(Namespace::Data, &Path::parse("home/room/closet/socks").unwrap()).unwrap();
    assert_eq!(store.json(&history[1].record).unwrap(), "{\"pairs\":7}");
    assert_eq!(read("home/room/closet/shoes").expires_at_ms, MADE_AT_MS + 3_600_000);
    assert_eq!(read("home/old").kind, Kind::Tombstone);
    assert_eq!(store.json(&read("long")).unwrap(), format!("\"{}\"", "abc".repeat(1000)));
}
