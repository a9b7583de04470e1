//! A backup holds one moment, however much is written meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_store::commit::write::Change;
use kvs_store::read::view::View;
use kvs_store::settings::Settings;
use kvs_store::table::Table;

use crate::node::{Node, assert_healthy, restore_to, rows, write};

/// Keys that every transaction changes together: all hold the same number, or none holds any.
const TOGETHER: [&str; 4] = ["a", "m/1", "m/2", "zz"];

#[test]
fn what_is_written_together_is_backed_up_together() {
    let node = Node::new(Settings::default());
    // Rows on all sides, so that the way from the first key to the last takes a while.
    for number in 0..600 {
        node.put(&format!("m/0/{number}"), "\"before\"", None);
        node.put(&format!("n/{number}"), "\"between\"", None);
    }
    let stop = AtomicBool::new(false);
    let backups: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let writes = TOGETHER.map(|path| {
                    let change = if number.is_multiple_of(5) {
                        Change::Delete
                    } else {
                        let content = node.store().prepare(Bytes::from(number.to_string()));
                        Change::Put { content, lifetime: None }
                    };
                    write(Namespace::Data, path, change)
                });
                node.store().commit(Vec::from(writes)).unwrap();
            }
        });
        let backups = (0..6).map(|_| node.back_up()).collect();
        stop.store(true, Ordering::Relaxed);
        backups
    });
    let mut moments = Vec::new();
    for (number, backup) in backups.iter().enumerate() {
        let target = node.folder.path().join(format!("restored-{number}"));
        restore_to(backup.path(), &target).unwrap();
        assert_healthy(&target);
        let records = rows(&target, Table::Records);
        let values = TOGETHER.map(|path| {
            let stored = records.iter().find(|(key, _)| key[1..] == *path.as_bytes());
            stored.map(|(_, value)| {
                let key = kvs_store::keys::read_record_key(&[b"\x01", path.as_bytes()].concat()).unwrap();
                kvs_store::row::Row::decode(&key, value).unwrap().record.payload
            })
        });
        assert!(values.iter().all(|value| *value == values[0]), "backup {number}: {values:?}");
        moments.push(backup.manifest().last_local_seq);
    }
    assert!(moments.is_sorted());
    assert!(moments[0] < moments[5], "nothing was written while backups were made: {moments:?}");
}

#[test]
fn a_view_taken_earlier_is_backed_up_as_it_was() {
    let node = Node::new(Settings::default());
    node.put("a", "1", None);
    let view: View = node.store().view().unwrap();
    node.put("a", "2", None);
    node.put("b", "3", None);
    let label = crate::node::label(&node.clock);
    let backup = kvs_store::backup::create::create(view, &node.backups(), &label, &mut |_| {}).unwrap();
    assert_eq!((backup.manifest().tally.keys, backup.manifest().last_local_seq), (1, 1));
}
