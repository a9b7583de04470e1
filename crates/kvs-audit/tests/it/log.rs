//! The log of a running node: many threads, strangers, checkpoints.

use std::ops::ControlFlow;
use std::thread;

use kvs_audit::audit_log::AuditLog;
use kvs_audit::checkpoint_file::Kept;
use kvs_audit::event::{Event, EventKind};
use kvs_audit::report::Verdict;
use kvs_audit::show::{Filter, show};
use kvs_audit::trail::Options;
use uuid::Uuid;

use crate::scene::{NODE, PEER, Scene, fill};

#[test]
fn entries_of_many_threads_form_one_chain_and_are_on_disk_when_waited_for() {
    let scene = Scene::new();
    let log = scene.log(4_000);
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for nth in 0..50 {
                    let who = format!("{thread}-{nth}");
                    let pair =
                        [Event::new(nth, EventKind::Put, &who), Event::new(nth, EventKind::Delete, &who)];
                    log.wait(log.record(&pair).unwrap()).unwrap();
                }
            });
        }
    });
    assert_eq!(log.last_seq(), 1 + 4 * 50 * 2);
    drop(log);
    let report = scene.verify_alone();
    assert_eq!((report.fault.clone(), report.entries), (None, 401), "{report:?}");
    assert!(report.segments > 10, "{report:?}");
    // The two events of one call stand together.
    let lines = scene.lines();
    for pair in lines[1..].chunks(2) {
        let who = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["who"].clone();
        assert_eq!(who(&pair[0]), who(&pair[1]));
    }
}

#[test]
fn strangers_are_noted_up_to_a_cap_and_counted_beyond() {
    let scene = Scene::new();
    let log = scene.log(1_000_000);
    for _ in 0..500 {
        log.note_public(&Event::new(5_200, EventKind::LoginFailed, "x")).unwrap();
    }
    assert_eq!(log.last_seq(), 1 + 20);
    log.checkpoint_if_due(5_900).unwrap();
    assert_eq!(log.last_seq(), 1 + 20);
    log.checkpoint_if_due(6_000).unwrap();
    assert_eq!(log.last_seq(), 1 + 20 + 1);
    log.note_public(&Event::new(6_100, EventKind::Denied, "x")).unwrap();
    drop(log);
    let lines = scene.lines();
    assert!(
        lines[21].contains(r#""event":"suppressed""#) && lines[21].contains("login_failed 480"),
        "{}",
        lines[21]
    );
    assert!(lines[22].contains(r#""event":"denied""#), "{}", lines[22]);
    assert_eq!(scene.verify_alone().fault, None);
}

#[test]
fn checkpoints_come_when_due_and_only_when_there_is_something_new() {
    let scene = Scene::new();
    let log = scene.log(1_000_000);
    let first = log.last_checkpoint().expect("signed at the start");
    assert_eq!((first.seq, first.node, first.key), (1, NODE, log.public_key()));
    fill(&log, 3);
    assert_eq!(log.checkpoint_if_due(5_999).unwrap(), None);
    let second = log.checkpoint_if_due(6_000).unwrap().expect("due");
    assert_eq!(second.seq, 4);
    assert_eq!(log.checkpoint_if_due(60_000).unwrap(), None);
    fill(&log, 1);
    assert_eq!(log.checkpoint_now(60_001).unwrap().map(|checkpoint| checkpoint.seq), Some(5));
    scene.keep(&second);
    drop(log);
    let report = scene.verify();
    assert_eq!(report.verdict(), Verdict::Anchored { up_to: 4 });
    assert_eq!((report.unanchored_since(), report.own_up_to, report.last_seq()), (5, Some(5), 5));
    let report = scene.verify_alone();
    assert_eq!((report.verdict(), report.unanchored_since()), (Verdict::Unanchored, 1));
}

#[test]
fn what_a_peer_sends_is_kept_if_it_is_its_own_and_contradictions_are_noted() {
    let scene = Scene::new();
    let log = scene.log(1_000_000);
    let other = |seed: u8, puts: u64| {
        let theirs = tempfile::tempdir().unwrap();
        let peer = AuditLog::open(theirs.path(), Options::new(PEER, [seed; 32]), 1).unwrap();
        fill(&peer, puts);
        let checkpoint = peer.checkpoint_now(2).unwrap().unwrap();
        checkpoint.encode()
    };
    let (text, changed_key) = (other(1, 3), other(2, 3));
    assert_eq!(log.keep_peer_checkpoint(PEER, text.as_bytes(), 9).unwrap(), Kept::Kept);
    assert_eq!(log.keep_peer_checkpoint(PEER, text.as_bytes(), 9).unwrap(), Kept::Known);
    assert_eq!(log.last_seq(), 1);
    assert_eq!(log.keep_peer_checkpoint(PEER, changed_key.as_bytes(), 9).unwrap(), Kept::KeptWithNewKey);
    // The same key and number, and another content.
    let theirs = tempfile::tempdir().unwrap();
    let peer = AuditLog::open(theirs.path(), Options::new(PEER, [1; 32]), 77).unwrap();
    fill(&peer, 3);
    let contradiction = peer.checkpoint_now(78).unwrap().unwrap().encode();
    assert_eq!(log.keep_peer_checkpoint(PEER, contradiction.as_bytes(), 9).unwrap(), Kept::Contradicts);
    assert!(log.keep_peer_checkpoint(Uuid::nil(), text.as_bytes(), 9).is_err());
    assert!(log.keep_peer_checkpoint(PEER, &text.as_bytes()[1..], 9).is_err());
    let own = log.last_checkpoint().unwrap().encode();
    assert!(log.keep_peer_checkpoint(NODE, own.as_bytes(), 9).is_err());
    drop(log);
    let lines = scene.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[2].contains("peer_checkpoint") && lines[2].contains("refused"), "{}", lines[2]);
}

#[test]
fn entries_are_found_by_principal_key_and_time() {
    let scene = Scene::new();
    let log = scene.log(2_000);
    fill(&log, 30);
    log.note(&[Event { path: Some("people/7/x"), ..Event::new(9_000, EventKind::Put, "al") }]).unwrap();
    drop(log);
    let count = |filter: Filter| {
        let mut seqs = Vec::new();
        let shown = show(&scene.audit(), &filter, &mut |entry, line| {
            assert!(line.starts_with(b"{\"seq\":"));
            seqs.push(entry.seq);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((shown.entries, shown.unsound), (seqs.len() as u64, 0));
        seqs
    };
    assert_eq!(count(Filter::default()).len(), 32);
    assert_eq!(count(Filter { who: Some("al".into()), ..Filter::default() }), [32]);
    assert_eq!(count(Filter { path: Some("people/7".into()), ..Filter::default() }), [8, 32]);
    assert_eq!(count(Filter { since_ms: 1_030, ..Filter::default() }), [31, 32]);
    let both = Filter { who: Some("jo".into()), path: Some("/people/7".into()), since_ms: 0 };
    assert_eq!(count(both), [8]);
}
