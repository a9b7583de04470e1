//! A node's audit folder with a trail in it, a peer's folder beside it, and ways to look at both.

use std::fs;
use std::path::{Path, PathBuf};

use kvs_audit::audit_log::AuditLog;
use kvs_audit::checkpoint::Checkpoint;
use kvs_audit::event::{Event, EventKind, Outcome};
use kvs_audit::peers::PeerCheckpoints;
use kvs_audit::report::Report;
use kvs_audit::segment::list;
use kvs_audit::trail::Options;
use kvs_audit::verify::{Against, verify};
use tempfile::TempDir;
use uuid::Uuid;

/// The node whose trail it is.
pub(crate) const NODE: Uuid = Uuid::from_u128(0x11);

/// The node that keeps its checkpoints.
pub(crate) const PEER: Uuid = Uuid::from_u128(0x22);

/// Two data directories.
pub(crate) struct Scene {
    root: TempDir,
}

impl Scene {
    /// Two empty ones.
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// The audit folder of the node.
    pub(crate) fn audit(&self) -> PathBuf {
        self.root.path().join("node/audit")
    }

    /// The data directory of the peer.
    pub(crate) fn peer(&self) -> PathBuf {
        self.root.path().join("peer")
    }

    /// Opens the log with small segments.
    pub(crate) fn log(&self, segment_bytes_max: u64) -> AuditLog {
        AuditLog::open(&self.audit(), options(segment_bytes_max), 1_000).unwrap()
    }

    /// Has the peer keep a checkpoint.
    pub(crate) fn keep(&self, checkpoint: &Checkpoint) {
        PeerCheckpoints::open(&self.peer().join("audit"), PEER).unwrap().keep(checkpoint).unwrap();
    }

    /// Verifies the trail by itself.
    pub(crate) fn verify_alone(&self) -> Report {
        verify(&self.audit(), Against::default(), &mut |_| {}).unwrap()
    }

    /// Verifies the trail against what the peer has kept.
    pub(crate) fn verify(&self) -> Report {
        let peers = [self.peer()];
        verify(&self.audit(), Against { peer_paths: &peers, node: None }, &mut |_| {}).unwrap()
    }

    /// The segments' files.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        list(&self.audit()).unwrap().into_iter().map(|segment| segment.path).collect()
    }

    /// All lines of all segments.
    pub(crate) fn lines(&self) -> Vec<String> {
        let texts = self.segments().into_iter().map(|path| fs::read_to_string(path).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// Takes the node's own checkpoints away, as somebody does who bends the trail and thinks of it.
    pub(crate) fn forget_own(&self) {
        fs::remove_file(self.audit().join("checkpoints.jsonl")).unwrap();
    }
}

/// Bounds with small segments.
pub(crate) fn options(segment_bytes_max: u64) -> Options {
    Options { segment_bytes_max, ..Options::new(NODE, [5; 32]) }
}

/// Appends so many different events, each in a call of its own; the last one has the time `1000 + count`.
pub(crate) fn fill(log: &AuditLog, count: u64) {
    for nth in 1..=count {
        let (path, id) = (format!("people/{nth}/ä\"\\"), format!("request-{nth}"));
        let outcome = if nth % 5 == 0 { Outcome::Refused("not yours") } else { Outcome::Done };
        let event = Event {
            path: Some(&path),
            outcome,
            request_id: Some(&id),
            version: Some(Uuid::from_u128(u128::from(nth))),
            origin_seq: Some(nth),
            ..Event::new(1_000 + nth, if nth % 3 == 0 { EventKind::Delete } else { EventKind::Put }, "jo")
        };
        let ticket = log.record(&[event]).unwrap();
        log.wait(ticket).unwrap();
    }
}

/// Copies a folder with all that is in it; the target must not be there.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
