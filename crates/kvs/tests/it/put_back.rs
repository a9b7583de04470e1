//! The data directory of a node is put back to an earlier copy of itself, and the node goes on.
//!
//! What it acknowledges from then on is on all nodes in the end, whether its peers could be reached or not, and nothing of it
//! is taken for deleted: judged by what clients read on every node.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::support::client::Client;
use crate::support::cluster::{Cluster, Seen};
use crate::support::wait::until_true;

/// The node whose directory is put back.
const C: usize = 2;

/// Writes one key after the other, each of which must be new.
fn write(client: &mut Client, folder: &str, count: usize, query: &str) {
    for number in 0..count {
        client.put(&format!("/kv/{folder}/{number:03}{query}"), number.to_string()).expect(201);
    }
}

/// How many keys of a folder hold what was written.
#[track_caller]
fn assert_holds(seen: &Seen, folder: &str, count: usize) {
    let missing: Vec<String> = (0..count)
        .filter(|number| {
            seen.get(&format!("{folder}/{number:03}")).is_none_or(|(_, _, value)| *value != json!(number))
        })
        .map(|number| format!("{folder}/{number:03}"))
        .collect();
    assert!(missing.is_empty(), "{} of {count} are missing: {missing:?}", missing.len());
}

/// Checks that no node took any of these keys for deleted.
#[track_caller]
fn assert_nothing_dropped(cluster: &Cluster, seen: &Seen) {
    for index in cluster.running() {
        let mut client = cluster.client(index);
        for path in seen.keys() {
            let history = client.get(&format!("/history/{path}")).expect(200);
            assert!(!history.text().contains("deleted_elsewhere"), "{path} on {index}: {}", history.shown());
        }
    }
}

/// Three nodes with data, and a copy of the directory of one of them, which wrote a little since.
fn prepared() -> (Cluster, PathBuf) {
    let mut cluster = Cluster::formed(3, &[]);
    for index in 0..3 {
        write(&mut cluster.client(index), &format!("before{index}"), 20, "?w=all&timeout=20s");
    }
    cluster.until_equal();
    cluster.stop(C);
    let copy = cluster.copied(C, "copy");
    cluster.start(C);
    cluster.until_known();
    write(&mut cluster.client(C), "since", 20, "?w=all&timeout=20s");
    cluster.stop(C);
    (cluster, copy)
}

/// Checks that all that was written is on all nodes, and that their directories are sound.
#[track_caller]
fn assert_all_is_well(mut cluster: Cluster, folders: &[(&str, usize)]) {
    cluster.until_known();
    let seen = cluster.until_equal();
    for (folder, count) in folders {
        assert_holds(&seen, folder, *count);
    }
    assert_nothing_dropped(&cluster, &seen);
    cluster.stop_and_check();
}

#[test]
fn writes_made_alone_after_it_was_put_back_reach_all_nodes() {
    let (mut cluster, copy) = prepared();
    cluster.put_back(C, &copy);
    cluster.stop(0);
    cluster.stop(1);
    cluster.start(C);
    write(&mut cluster.client(C), "alone", 200, "");
    cluster.start(0);
    cluster.start(1);
    let folders = [("before0", 20), ("before1", 20), ("before2", 20), ("since", 20), ("alone", 200)];
    assert_all_is_well(cluster, &folders);
}

#[test]
fn a_directory_put_back_again_and_again_is_let_in_at_once_and_w_all_tells_the_truth() {
    let (mut cluster, copy) = prepared();
    let mut folders = vec![("since".to_owned(), 20)];
    for round in 0..4 {
        if round > 0 {
            cluster.stop(C);
        }
        cluster.put_back(C, &copy);
        cluster.start(C);
        let pid = cluster.node(C).pid();
        // At once, whatever is known of the peers by now.
        let folder = format!("round{round}");
        let mut client = cluster.client(C);
        let mut others: Vec<Client> = (0..2).map(|index| cluster.client(index)).collect();
        let mut written = 0;
        until_true("writes to be on all nodes", || {
            let path = format!("/kv/{folder}/{written:03}");
            let answer = client.put(&format!("{path}?w=all&timeout=500ms"), written.to_string());
            match answer.status {
                200 | 201 => {
                    for other in &mut others {
                        assert_eq!(other.get(&path).expect(200).json()["data"], json!(written), "{path}");
                    }
                    written += 1;
                }
                202 => written += 1,
                // It fetches first, or does not know its cluster yet.
                _ => assert_eq!(answer.status, 503, "{}", answer.shown()),
            }
            written >= 30
        });
        folders.push((folder, written));
        cluster.until_known();
        let folder = format!("known{round}");
        write(&mut client, &folder, 20, "?w=all&timeout=20s");
        for other in &mut others {
            for number in 0..20 {
                let path = format!("/kv/{folder}/{number:03}");
                assert_eq!(other.get(&path).expect(200).json()["data"], json!(number), "{path}");
            }
        }
        folders.push((folder, 20));
        assert_eq!(cluster.node(C).pid(), pid);
    }
    let folders: Vec<(&str, usize)> = folders.iter().map(|(folder, count)| (&**folder, *count)).collect();
    assert_all_is_well(cluster, &folders);
}

#[test]
fn a_snapshot_of_a_running_node_holds_what_was_acknowledged_or_says_why_it_does_not() {
    let mut cluster = Cluster::formed(3, &[]);
    let (over, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut client = cluster.client(C);
    let (before, copy) = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                let number = acknowledged.load(Ordering::Relaxed);
                client.put(&format!("/kv/written/{number:03}"), number.to_string()).expect(201);
                acknowledged.store(number + 1, Ordering::Release);
            }
        });
        let more = |count: usize| {
            let enough = acknowledged.load(Ordering::Acquire) + count;
            until_true("more writes", || acknowledged.load(Ordering::Acquire) >= enough);
        };
        more(100);
        let before = acknowledged.load(Ordering::Acquire);
        let copy = cluster.copied(C, "copy");
        more(20);
        over.store(true, Ordering::Release);
        (before, copy)
    });
    let written = acknowledged.load(Ordering::Acquire);
    cluster.until_equal();
    for index in 0..3 {
        cluster.stop(index);
    }
    let own = cluster.copied(C, "own");
    cluster.put_back(C, &copy);
    if let Err(said) = cluster.try_start(C) {
        assert!(said.contains("ERROR") || said.contains("rror:"), "it says nothing: {said}");
        assert!(!said.contains("panicked"), "{said}");
        cluster.put_back(C, &own);
        cluster.start(C);
    }
    let mut client = cluster.client(C);
    let missing: Vec<usize> = (0..before)
        .filter(|number| client.value(&format!("written/{number:03}")) != Some(json!(number)))
        .collect();
    assert!(missing.is_empty(), "{} of {before} are missing: {missing:?}", missing.len());
    write(&mut client, "alone", 200, "");
    cluster.start(0);
    cluster.start(1);
    assert_all_is_well(cluster, &[("written", written), ("alone", 200)]);
}
