//! What the chain cannot show and a peer's checkpoints do: truncation, an old copy, a fork, a chain hashed anew, another key.

use std::fs;

use kvs_audit::audit_log::AuditLog;
use kvs_audit::fault::FaultKind;
use kvs_audit::report::Verdict;
use kvs_audit::trail::Options;
use kvs_audit::verify::{Against, verify};
use uuid::Uuid;

use crate::scene::{NODE, Scene, copy_folder, fill, options};

/// A trail of 21 entries, of which a peer has confirmed the first 11 and the first 21.
fn confirmed() -> Scene {
    let scene = Scene::new();
    let log = scene.log(2_000);
    fill(&log, 10);
    scene.keep(&log.checkpoint_now(3_000).unwrap().unwrap());
    fill(&log, 10);
    scene.keep(&log.checkpoint_now(4_000).unwrap().unwrap());
    drop(log);
    assert_eq!(scene.verify().verdict(), Verdict::Anchored { up_to: 21 });
    scene
}

#[test]
fn an_end_that_was_cut_off_is_told_by_a_peer_alone() {
    for keep in [0, 1, 5, 11, 20] {
        let scene = confirmed();
        scene.forget_own();
        let lines = scene.lines();
        for path in scene.segments() {
            let first: usize = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let kept: String = lines
                .iter()
                .enumerate()
                .skip(first - 1)
                .take_while(|(at, _)| *at < keep)
                .map(|(_, line)| format!("{line}\n"))
                .collect();
            let bytes = fs::read(&path).unwrap();
            if kept.is_empty() {
                fs::remove_file(&path).unwrap();
            } else if kept.len() < bytes.len() {
                fs::write(&path, kept).unwrap();
            }
        }
        if keep > 0 {
            assert_eq!(scene.verify_alone().verdict(), Verdict::Unanchored, "{keep}");
        }
        let peers = [scene.peer()];
        let report =
            verify(&scene.audit(), Against { peer_paths: &peers, node: Some(NODE) }, &mut |_| {}).unwrap();
        let fault = report.fault.unwrap();
        let expected = if keep == 0 { FaultKind::SegmentMissing } else { FaultKind::Truncated };
        assert_eq!(fault.kind, expected, "{keep}: {fault}");
        assert_eq!(report.anchored_up_to, (keep >= 11).then_some(11), "{keep}");
    }
}

#[test]
fn an_older_copy_is_told_before_and_after_the_node_went_on_with_it() {
    let scene = Scene::new();
    let log = scene.log(2_000);
    fill(&log, 5);
    drop(log);
    let copy = scene.peer().join("copy");
    copy_folder(&scene.audit(), &copy);
    let log = scene.log(2_000);
    fill(&log, 10);
    scene.keep(&log.checkpoint_now(9_000).unwrap().unwrap());
    drop(log);
    fs::remove_dir_all(scene.audit()).unwrap();
    copy_folder(&copy, &scene.audit());
    assert_eq!(scene.verify_alone().verdict(), Verdict::Unanchored);
    assert_eq!(scene.verify().fault.unwrap().kind, FaultKind::Truncated);
    let log = AuditLog::open(&scene.audit(), options(2_000), 20_000).unwrap();
    fill(&log, 30);
    drop(log);
    assert_eq!(scene.verify_alone().verdict(), Verdict::Unanchored);
    let fault = scene.verify().fault.unwrap();
    assert_eq!((fault.kind, fault.place.unwrap().seq), (FaultKind::Forked, Some(17)));
}

#[test]
fn a_trail_written_anew_with_the_node_s_own_key_is_told() {
    let scene = confirmed();
    fs::rename(scene.audit(), scene.peer().join("aside")).unwrap();
    let log = AuditLog::open(&scene.audit(), options(2_000), 1_001).unwrap();
    fill(&log, 40);
    drop(log);
    assert_eq!(scene.verify_alone().verdict(), Verdict::Unanchored);
    let fault = scene.verify().fault.unwrap();
    assert_eq!((fault.kind, fault.place.unwrap().seq), (FaultKind::Forked, Some(11)), "{}", fault.what);
}

#[test]
fn another_key_is_told_even_when_nothing_else_is_wrong() {
    let scene = confirmed();
    fs::remove_file(scene.audit().join("node.key")).unwrap();
    let other = Options { key_seed: [9; 32], ..options(2_000) };
    drop(AuditLog::open(&scene.audit(), other, 8_000).unwrap());
    assert_eq!(scene.verify().fault.unwrap().kind, FaultKind::KeyChanged);
}

#[test]
fn a_trail_that_passes_for_another_node_s_is_not_confirmed() {
    let scene = confirmed();
    fs::remove_dir_all(scene.audit()).unwrap();
    let other = Options { node: Uuid::from_u128(0x33), ..options(2_000) };
    let log = AuditLog::open(&scene.audit(), other, 8_000).unwrap();
    fill(&log, 40);
    drop(log);
    let report = scene.verify();
    assert_eq!((report.verdict(), report.peer_checkpoints), (Verdict::Unanchored, 0));
    let peers = [scene.peer()];
    let asked = Against { peer_paths: &peers, node: Some(NODE) };
    assert_eq!(verify(&scene.audit(), asked, &mut |_| {}).unwrap().verdict(), Verdict::Bad);
}

#[test]
fn own_checkpoints_tell_a_chain_that_was_hashed_anew_without_the_key() {
    let scene = confirmed();
    // The same trail with another beginning, in the place of the signed one.
    let other = Scene::new();
    let log = AuditLog::open(&other.audit(), options(2_000), 2).unwrap();
    fill(&log, 40);
    drop(log);
    for path in scene.segments() {
        fs::remove_file(path).unwrap();
    }
    for path in other.segments() {
        fs::copy(&path, scene.audit().join(path.file_name().unwrap())).unwrap();
    }
    let fault = scene.verify_alone().fault.unwrap();
    assert_eq!((fault.kind, fault.place.unwrap().seq), (FaultKind::Forked, Some(1)));
}

#[test]
fn a_changed_file_of_checkpoints_is_told() {
    let scene = confirmed();
    let path = scene.peer().join(format!("audit/peers/{NODE}.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"seq\":11", "\"seq\":12")).unwrap();
    let report = scene.verify();
    assert_eq!(report.fault.clone().unwrap().kind, FaultKind::BadCheckpoints);
    assert_eq!(report.anchored_up_to, Some(21));
    // The file itself, its folder and the data directory mean the same.
    fs::write(&path, text).unwrap();
    for place in [path.clone(), path.parent().unwrap().to_owned(), scene.peer().join("audit"), scene.peer()] {
        let peers = [place];
        let report = verify(&scene.audit(), Against { peer_paths: &peers, node: None }, &mut |_| {}).unwrap();
        assert_eq!(report.verdict(), Verdict::Anchored { up_to: 21 }, "{peers:?}");
    }
}

#[test]
fn where_there_is_no_trail_there_is_nothing_good_to_say() {
    let scene = Scene::new();
    fs::create_dir_all(scene.audit()).unwrap();
    assert_eq!(scene.verify_alone().verdict(), Verdict::Bad);
    assert!(verify(&scene.peer().join("nothing"), Against::default(), &mut |_| {}).is_err());
}
