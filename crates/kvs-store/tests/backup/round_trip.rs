//! What is backed up comes back: every row, whatever its kind, size and state.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::origin::born_s;
use kvs_core::path::Path;
use kvs_core::record::Kind;
use kvs_store::backup::create::create;
use kvs_store::backup::list::list;
use kvs_store::backup::progress::{Progress, Step};
use kvs_store::backup::restore::restore;
use kvs_store::backup::verify::verify;
use kvs_store::settings::{FirstJoined, Settings};
use kvs_store::table::Table;

use crate::node::{Hand, Node, START_MS, assert_healthy, label, names, restore_to, rows};

fn round_trip(settings: Settings) {
    let mut node = Node::new(settings);
    node.fill();
    let backup = node.back_up();
    let status = node.store().status();
    let identity = node.store().identity();
    node.close();

    let manifest = backup.manifest();
    let tally = manifest.tally;
    assert_eq!((tally.keys, tally.bytes, tally.tombstones), (status.keys, status.bytes, status.tombstones));
    assert_eq!(tally.revisions, rows(&node.data_dir(), Table::History).len() as u64);
    assert_eq!(manifest.origin, identity.origin);
    assert_eq!(manifest.last_local_seq, status.last_local_seq);
    assert_eq!(manifest.node_id, "node alpha");
    assert_eq!(manifest.program_version, "0.1.0-test");

    let target = node.folder.path().join("restored");
    let restored = restore_to(backup.path(), &target).unwrap();
    assert_eq!(restored.manifest, *manifest);
    assert_healthy(&target);
    // The digest is made again from the records.
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Tree) {
        if table != Table::Node {
            assert_eq!(rows(&target, table), rows(&node.data_dir(), table), "{table:?}");
        }
    }
}

#[test]
fn every_row_of_every_table_comes_back_with_compression() {
    round_trip(Settings::default());
}

#[test]
fn every_row_of_every_table_comes_back_without_compression() {
    round_trip(Settings { compression_level: None, ..Settings::default() });
}

#[test]
fn a_node_without_keys_can_be_backed_up_and_restored() {
    let node = Node::new(Settings::default());
    let backup = node.back_up();
    assert_eq!((backup.manifest().blocks, backup.manifest().last_local_seq), (0, 0));
    let target = node.folder.path().join("restored");
    restore_to(backup.path(), &target).unwrap();
    assert_healthy(&target);
}

#[test]
fn a_restored_node_is_a_new_one_that_goes_on_where_the_backup_stood() {
    let mut node = Node::new(Settings::default());
    node.fill();
    let backup = node.back_up();
    let old = node.store().identity();
    let target = node.folder.path().join("restored");
    let clock = Hand(AtomicU64::new(START_MS + 1_000_000));
    let settings = Settings { revision_limit: 1, ..Settings::default() };
    let restored = restore(backup.path(), &target, &settings, &clock, &mut |_| {}).unwrap();
    assert_ne!(restored.identity.origin.node, old.origin.node);
    assert_eq!(born_s(restored.identity.origin.epoch), START_MS / 1000 + 1000);
    assert_eq!(restored.identity.joined_ms, START_MS + 1_000_000);

    let path = Path::parse("rooms/3/socks").unwrap();
    let before = node.store().history(Namespace::Data, &path).unwrap();
    let status = node.store().status();
    node.close();
    std::fs::remove_dir_all(node.data_dir()).unwrap();
    std::fs::rename(&target, node.data_dir()).unwrap();
    node.clock.0.store(START_MS + 1_000_000, Ordering::SeqCst);
    node.open();
    assert_eq!(node.store().node(), restored.identity.origin.node);
    assert_eq!(node.store().history(Namespace::Data, &path).unwrap(), before);
    let now = node.store().status();
    assert_eq!(
        (now.keys, now.bytes, now.tombstones, now.last_local_seq),
        (status.keys, status.bytes, status.tombstones, status.last_local_seq)
    );

    node.put("rooms/3/socks", "4", None);
    let record = node.store().read(Namespace::Data, &path).unwrap().unwrap();
    assert_eq!((record.dot.origin, record.dot.seq), (node.store().identity().origin, 1));
    assert_eq!(node.store().status().last_local_seq, status.last_local_seq + 1);
    assert_eq!(
        node.store().history(Namespace::Data, &path).unwrap()[1],
        before[0].clone_as_superseded(&record)
    );
    let expired = node.store().read(Namespace::Data, &Path::parse("brief").unwrap()).unwrap().unwrap();
    assert_eq!(expired.kind, Kind::Expired);

    // And it can be backed up in its turn.
    let again = node.back_up();
    assert_eq!(again.manifest().origin, node.store().identity().origin);
    assert_eq!(again.manifest().last_origin_seq, 1);
    node.close();
    assert_healthy(&node.data_dir());
}

/// A revision as the history tells it once another version has won over it.
trait Superseded {
    fn clone_as_superseded(&self, by: &kvs_core::record::Record) -> Self;
}

impl Superseded for kvs_store::read::history::Revision {
    fn clone_as_superseded(&self, by: &kvs_core::record::Record) -> Self {
        let rule = by.version.rule_against(&self.record.version).unwrap();
        Self { record: self.record.clone(), superseded: Some((by.version.uuid, rule)) }
    }
}

#[test]
fn a_node_that_waits_for_its_cluster_is_restored_as_the_youngest() {
    let node = Node::new(Settings::default());
    let backup = node.back_up();
    let settings = Settings { first_joined: FirstJoined::Youngest, ..Settings::default() };
    let clock = Hand(AtomicU64::new(START_MS));
    let target = node.folder.path().join("restored");
    let restored = restore(backup.path(), &target, &settings, &clock, &mut |_| {}).unwrap();
    assert_eq!(restored.identity.joined_ms, kvs_core::version::JOINED_YOUNGEST_MS);
}

#[test]
fn files_are_private_and_named_by_node_and_second() {
    let node = Node::new(Settings::default());
    let first = node.back_up();
    let second = node.back_up();
    let backups = node.backups();
    assert_eq!(first.path(), backups.join("kvs-node_alpha-20270115T080000Z.kvsb"));
    assert_eq!(second.path(), backups.join("kvs-node_alpha-20270115T080000Z-2.kvsb"));
    assert_eq!(backups.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for backup in [&first, &second] {
        assert_eq!(backup.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(backup.path().metadata().unwrap().len(), backup.size_bytes());
    }
    assert_eq!(names(&backups).len(), 2);
}

#[test]
fn a_listing_tells_the_newest_first_and_what_is_no_good_last() {
    let node = Node::new(Settings::default());
    assert_eq!(list(&node.backups()).unwrap().len(), 0);
    let first = node.back_up();
    node.clock.0.fetch_add(60_000, Ordering::SeqCst);
    node.put("a", "1", None);
    let second = node.back_up();
    std::fs::write(node.backups().join("kvs-foreign.kvsb"), "a picture").unwrap();
    std::fs::write(node.backups().join("notes.txt"), "no backup").unwrap();
    std::fs::create_dir(node.backups().join("folder.kvsb")).unwrap();
    let listed = list(&node.backups()).unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (listed[0].path.as_path(), listed[0].manifest.as_ref().ok()),
        (second.path(), Some(second.manifest()))
    );
    assert_eq!(
        (listed[1].path.as_path(), listed[1].manifest.as_ref().ok()),
        (first.path(), Some(first.manifest()))
    );
    assert_eq!(listed[1].size_bytes, first.size_bytes());
    assert!(listed[2].manifest.is_err());
}

#[test]
fn the_watcher_sees_each_step_come_to_its_end() {
    let node = Node::new(Settings::default());
    node.fill();
    let mut seen: Vec<Progress> = Vec::new();
    let view = node.store().view().unwrap();
    let backup =
        create(view, &node.backups(), &label(&node.clock), &mut |progress| seen.push(progress)).unwrap();
    let target = node.folder.path().join("restored");
    let clock = Hand(AtomicU64::new(START_MS));
    restore(backup.path(), &target, &Settings::default(), &clock, &mut |progress| seen.push(progress))
        .unwrap();
    let steps: Vec<_> = seen.iter().map(|progress| progress.step).collect();
    let mut order = steps.clone();
    order.dedup();
    assert_eq!(order, [Step::Write, Step::Verify, Step::Load, Step::Index]);
    for step in order {
        let last = seen.iter().rev().find(|progress| progress.step == step).unwrap();
        assert_eq!(last.done_bytes, last.total_bytes, "{step:?}");
    }
    assert!(seen.iter().all(|progress| progress.done_bytes <= progress.total_bytes));
    assert!(steps.iter().filter(|step| **step == Step::Load).count() > 2);
}

#[test]
fn the_largest_record_fits_into_a_block() {
    let node = Node::new(Settings { compression_level: None, ..Settings::default() });
    let largest = Bytes::from(vec![b'7'; kvs_core::limits::PAYLOAD_BYTES_MAX]);
    node.put("large", largest, None);
    node.put("small", "1", Some(Duration::from_secs(1)));
    let backup = node.back_up();
    assert_eq!(verify(backup.path(), &mut |_| {}).unwrap(), backup);
    let target = node.folder.path().join("restored");
    restore_to(backup.path(), &target).unwrap();
    assert_healthy(&target);
}
