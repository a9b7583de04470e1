//! Opening, crashing, rotating, removing what is old.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use kvs_audit::audit_log::AuditLog;
use kvs_audit::error::AuditError;
use kvs_audit::event::{Event, EventKind};
use kvs_audit::fault::FaultKind;
use kvs_audit::report::Verdict;
use kvs_audit::trail::{Options, Trail};

use crate::scene::{NODE, Scene, fill, options};

#[test]
fn a_trail_goes_on_where_it_ended() {
    let scene = Scene::new();
    for start in 1..=3 {
        let log = scene.log(1_000_000);
        assert_eq!((log.opening().cut_bytes, &log.opening().damage), (0, &None));
        fill(&log, 2);
        assert_eq!(log.last_seq(), start * 3);
    }
    let report = scene.verify_alone();
    assert_eq!((report.fault.clone(), report.entries, report.segments), (None, 9, 1), "{report:?}");
    assert_eq!(report.node, Some(NODE));
}

#[test]
fn folders_and_files_are_for_their_owner_alone() {
    let scene = Scene::new();
    fill(&scene.log(500), 5);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scene.audit()), 0o700);
    assert_eq!(mode(&scene.audit().join("peers")), 0o700);
    for file in fs::read_dir(scene.audit()).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
}

#[test]
fn a_line_torn_at_any_byte_is_cut_off_and_is_no_fault() {
    let scene = Scene::new();
    fill(&scene.log(1_000_000), 4);
    scene.forget_own();
    let path = scene.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let start_of_last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in start_of_last + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let torn = (end - start_of_last) as u64;
        let report = scene.verify_alone();
        assert_eq!((report.fault, report.torn_bytes, report.entries), (None, torn, 4), "{end}");
        if end % 40 != 0 {
            continue;
        }
        let (trail, opening) = Trail::open(&scene.audit(), options(1_000_000), 2_000).unwrap();
        assert_eq!((opening.cut_bytes, opening.damage), (torn, None));
        assert_eq!(trail.position().seq, 6);
        let report = scene.verify_alone();
        assert_eq!((report.fault, report.torn_bytes, report.recoveries), (None, 0, 1), "{end}");
    }
}

#[test]
fn zeros_that_a_crash_leaves_at_the_end_are_torn_too() {
    let scene = Scene::new();
    fill(&scene.log(1_000_000), 4);
    let path = scene.segments().remove(0);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0; 5_000]).unwrap();
    assert_eq!(scene.verify_alone().torn_bytes, 5_000);
    assert_eq!(scene.log(1_000_000).opening().cut_bytes, 5_000);
    assert_eq!(scene.verify_alone().fault, None);
}

#[test]
fn a_segment_that_was_only_begun_is_begun_again() {
    for torn in [&b""[..], b"{\"seq\":"] {
        let scene = Scene::new();
        fill(&scene.log(1_000_000), 4);
        fs::write(scene.audit().join("00000000000000000006.jsonl"), torn).unwrap();
        assert_eq!(scene.verify_alone().fault, None);
        let log = scene.log(1_000_000);
        assert_eq!(log.opening().cut_bytes, torn.len() as u64);
        drop(log);
        let report = scene.verify_alone();
        assert_eq!((report.fault, report.torn_bytes, report.segments), (None, 0, 1));
    }
}

#[test]
fn a_damaged_end_is_left_as_it_is_and_named_and_the_trail_goes_on_behind_it() {
    let scene = Scene::new();
    fill(&scene.log(1_000_000), 4);
    let path = scene.segments().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 300;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let log = scene.log(1_000_000);
    assert!(log.opening().damage.as_ref().unwrap().contains("line 5"), "{:?}", log.opening());
    fill(&log, 2);
    drop(log);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let report = scene.verify_alone();
    let fault = report.fault.unwrap();
    assert_eq!(fault.place.unwrap().line, 5);
    assert!(scene.lines().iter().any(|line| line.contains(r#""event":"damaged""#)));
}

#[test]
fn a_trail_that_lost_its_end_while_the_node_was_down_says_so_itself() {
    let scene = Scene::new();
    fill(&scene.log(1_000_000), 4);
    let log = scene.log(1_000_000);
    log.checkpoint_now(9).unwrap();
    drop(log);
    let path = scene.segments().remove(0);
    let lines = scene.lines();
    fs::write(&path, lines[..3].iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let log = scene.log(1_000_000);
    assert!(log.opening().damage.as_ref().unwrap().contains("entry 6 was signed"), "{:?}", log.opening());
    drop(log);
    let fault = scene.verify_alone().fault.unwrap();
    assert_eq!(fault.kind, FaultKind::SegmentMissing, "{fault}");
    assert!(fault.what.contains("entries 4 to 6"), "{fault}");
}

#[test]
fn the_oldest_segments_are_removed_and_what_stays_is_verifiable() {
    let scene = Scene::new();
    let bounds = Options { segment_bytes_max: 2_000, trail_bytes_max: 10_000, ..Options::new(NODE, [5; 32]) };
    let log = AuditLog::open(&scene.audit(), bounds, 1_000).unwrap();
    fill(&log, 100);
    scene.keep(&log.checkpoint_now(5_000).unwrap().unwrap());
    fill(&log, 10);
    drop(log);
    let size: u64 = scene.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size <= 14_000, "{size}");
    let report = scene.verify();
    assert_eq!(report.fault, None);
    assert!(report.first_seq > 50 && report.last_seq() > 110, "{report:?}");
    assert!(matches!(report.verdict(), Verdict::Anchored { up_to } if up_to > 100));
    // Without the statement, or with less than it says, the beginning is missing.
    let statement = scene.audit().join("retired.json");
    let text = fs::read(&statement).unwrap();
    fs::remove_file(&statement).unwrap();
    assert_eq!(scene.verify_alone().fault.unwrap().kind, FaultKind::SegmentMissing);
    fs::write(&statement, b"{}").unwrap();
    assert_eq!(scene.verify_alone().fault.unwrap().kind, FaultKind::BadCheckpoints);
    fs::write(&statement, &text).unwrap();
    assert_eq!(scene.verify_alone().fault, None);
    fs::remove_file(scene.segments().remove(0)).unwrap();
    assert_eq!(scene.verify_alone().fault.unwrap().kind, FaultKind::SegmentMissing);
}

#[test]
fn a_removal_that_a_crash_interrupted_is_no_fault_and_is_finished() {
    let scene = Scene::new();
    let bounds = Options { segment_bytes_max: 2_000, trail_bytes_max: 10_000, ..Options::new(NODE, [5; 32]) };
    let log = AuditLog::open(&scene.audit(), bounds, 1_000).unwrap();
    let mut removed = Vec::new();
    for _ in 0..100 {
        let before: Vec<_> =
            scene.segments().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        fill(&log, 1);
        removed = before.into_iter().filter(|(path, _)| !path.exists()).collect();
        if !removed.is_empty() {
            break;
        }
    }
    drop(log);
    let (path, bytes) = removed.pop().expect("something was removed");
    fs::write(&path, bytes).unwrap();
    let report = scene.verify_alone();
    assert_eq!(report.fault, None);
    drop(AuditLog::open(&scene.audit(), bounds, 1_000).unwrap());
    assert!(!path.exists());
    assert_eq!(scene.verify_alone().fault, None);
}

/// A log whose next segment is a device.
fn log_before(device: &str) -> (Scene, AuditLog) {
    let scene = Scene::new();
    let log = scene.log(1_000);
    fill(&log, 1);
    let next = scene.audit().join(format!("{:020}.jsonl", log.last_seq() + 1));
    std::os::unix::fs::symlink(device, next).unwrap();
    (scene, log)
}

#[test]
fn a_write_that_cannot_be_taken_back_ends_the_log() {
    let (scene, log) = log_before("/dev/full");
    let long = "x".repeat(900);
    let event = Event { detail: Some(&long), ..Event::new(5, EventKind::Put, "jo") };
    for _ in 0..2 {
        assert!(matches!(log.record(&[event]), Err(AuditError::Poisoned(_))));
    }
    assert_eq!(log.last_seq(), 2);
    drop(log);
    // The device itself has no end to read.
    assert_eq!(fs::read_to_string(scene.segments().remove(0)).unwrap().lines().count(), 2);
}

#[test]
fn a_failed_sync_reaches_whoever_waits_and_ends_the_log() {
    let (_scene, log) = log_before("/dev/null");
    let long = "x".repeat(900);
    let event = Event { detail: Some(&long), ..Event::new(5, EventKind::Put, "jo") };
    let ticket = log.record(&[event]).unwrap();
    assert!(matches!(log.wait(ticket), Err(AuditError::Poisoned(_))));
    assert!(matches!(log.record(&[event]), Err(AuditError::Poisoned(_))));
    assert!(log.checkpoint_if_due(90_000).is_err());
    assert_eq!(log.last_checkpoint().map(|checkpoint| checkpoint.seq), Some(1));
}

#[test]
fn a_removal_that_is_signed_and_not_noted_in_the_trail_is_told() {
    let scene = Scene::new();
    let bounds = Options { segment_bytes_max: 2_000, trail_bytes_max: 10_000, ..Options::new(NODE, [5; 32]) };
    let log = AuditLog::open(&scene.audit(), bounds, 1_000).unwrap();
    fill(&log, 60);
    drop(log);
    assert_eq!(scene.verify_alone().fault, None);
    // A statement of the same node with the same key, made where there is another trail of the same entries.
    let other = Scene::new();
    let log = AuditLog::open(&other.audit(), bounds, 1_000).unwrap();
    let statement = other.audit().join("retired.json");
    while !statement.exists() {
        fill(&log, 1);
    }
    drop(log);
    assert_ne!(fs::read(&statement).unwrap(), fs::read(scene.audit().join("retired.json")).unwrap());
    fs::copy(&statement, scene.audit().join("retired.json")).unwrap();
    assert_eq!(scene.verify_alone().fault.unwrap().kind, FaultKind::SegmentMissing);
}

#[test]
fn a_node_starts_in_spite_of_a_spoilt_statement_and_says_so() {
    let scene = Scene::new();
    fill(&scene.log(1_000_000), 3);
    fs::write(scene.audit().join("retired.json"), "{}").unwrap();
    let log = scene.log(1_000_000);
    assert!(log.opening().damage.as_ref().unwrap().contains("retired.json"), "{:?}", log.opening());
    drop(log);
    assert_eq!(scene.verify_alone().fault.unwrap().kind, FaultKind::BadCheckpoints);
}
