//! What a trail is held against: signed statements about it, the node's own and those that its peers have kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::checkpoint::{Checkpoint, PublicKey};
use crate::checkpoint_file::read;
use crate::error::AuditError;
use crate::fault::{Fault, FaultKind, Place};
use crate::files::{own_checkpoints, peer_file, peers_dir};
use crate::position::Position;

/// Who confirms an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// A statement that another node has kept.
    pub(crate) by_peer: bool,
    /// A statement that the node itself has kept.
    pub(crate) by_own: bool,
}

/// Who kept a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keeper {
    /// Another node: whoever bends the trail does not hold it.
    Peer,
    /// The node itself.
    Own,
}

/// A statement, and where it stands.
#[derive(Debug, Clone)]
struct Anchor {
    checkpoint: Checkpoint,
    keeper: Keeper,
    place: Place,
}

/// All statements about a trail, by the entry that they are about.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    by_seq: BTreeMap<u64, Vec<Anchor>>,
    /// What is wrong with the files themselves.
    pub(crate) faults: Vec<Fault>,
    /// How many statements other nodes have kept.
    pub(crate) peer_count: u64,
    /// The keys of statements, and where each stands first.
    keys: BTreeMap<PublicKey, Place>,
}

impl Anchors {
    /// Reads the statements about `node`: its own below `audit_dir`, and those in `peer_paths`, each of which is a file of
    /// checkpoints, a folder of such files named by nodes' uuids, or the data directory of another node.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or a path is not there.
    pub(crate) fn read(audit_dir: &Path, peer_paths: &[PathBuf], node: Uuid) -> Result<Self, AuditError> {
        let mut anchors = Self::default();
        anchors.add(&own_checkpoints(audit_dir), Keeper::Own, node)?;
        for path in peer_paths {
            anchors.add(&checkpoint_file(path, node)?, Keeper::Peer, node)?;
        }
        anchors.check_keys();
        Ok(anchors)
    }

    fn add(&mut self, path: &Path, keeper: Keeper, node: Uuid) -> Result<(), AuditError> {
        let file = match keeper {
            Keeper::Own => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Keeper::Peer => path.display().to_string(),
        };
        let read = read(path)?;
        for (line, why) in read.bad {
            let place = Place { file: file.clone(), line, seq: None };
            self.faults.push(Fault::at(FaultKind::BadCheckpoints, place, why));
        }
        for (line, checkpoint) in read.checkpoints.into_iter().filter(|(_, it)| it.node == node) {
            let place = Place { file: file.clone(), line, seq: None };
            self.keys.entry(checkpoint.key).or_insert_with(|| place.clone());
            self.peer_count += u64::from(keeper == Keeper::Peer);
            self.by_seq.entry(checkpoint.seq).or_default().push(Anchor { checkpoint, keeper, place });
        }
        Ok(())
    }

    fn check_keys(&mut self) {
        let mut keys = self.keys.iter();
        let Some((first, _)) = keys.next() else { return };
        for (key, place) in keys {
            let what = format!("a checkpoint is signed with the key {key}, another one with {first}");
            self.faults.push(Fault::at(FaultKind::KeyChanged, place.clone(), what));
        }
    }

    /// Whether a statement is signed with another key than `key`, and which.
    pub(crate) fn other_key(&self, key: &str) -> Option<(&PublicKey, &Place)> {
        self.keys.iter().find(|(found, _)| found.to_string() != key)
    }

    /// Holds an entry against the statements about it; says who confirms it.
    pub(crate) fn compare(&self, position: Position, place: &Place) -> Result<Confirmed, Fault> {
        let mut confirmed = Confirmed::default();
        for anchor in self.by_seq.get(&position.seq).into_iter().flatten() {
            if anchor.checkpoint.head != position.head {
                let what = format!(
                    "{} signed another hash ({}); this entry or one before it was written or hashed anew",
                    who(anchor.keeper),
                    anchor.place
                );
                return Err(Fault::at(FaultKind::Forked, place.clone(), what));
            }
            match anchor.keeper {
                Keeper::Peer => confirmed.by_peer = true,
                Keeper::Own => confirmed.by_own = true,
            }
        }
        Ok(confirmed)
    }

    /// What is wrong when a trail ends with entry `last`, if somebody has signed more.
    pub(crate) fn beyond(&self, last: u64) -> Option<Fault> {
        let (seq, anchors) = self.by_seq.last_key_value().filter(|(seq, _)| **seq > last)?;
        let anchor = anchors.iter().min_by_key(|anchor| anchor.keeper)?;
        let what = format!(
            "the trail ends with entry {last}, and {} signed {seq} entries ({}): its end was cut off, or an older copy \
             put in its place",
            who(anchor.keeper),
            anchor.place
        );
        Some(Fault::of(FaultKind::Truncated, what))
    }
}

fn who(keeper: Keeper) -> &'static str {
    match keeper {
        Keeper::Peer => "to a peer the node",
        Keeper::Own => "the node itself",
    }
}

/// The node that a trail is of, as its own last checkpoint says.
pub(crate) fn signed_node(audit_dir: &Path) -> Result<Option<Uuid>, AuditError> {
    Ok(read(&own_checkpoints(audit_dir))?.checkpoints.last().map(|(_, checkpoint)| checkpoint.node))
}

/// The file with the checkpoints of `node` that `path` means.
fn checkpoint_file(path: &Path, node: Uuid) -> Result<PathBuf, AuditError> {
    let about = path.metadata().map_err(|source| AuditError::Read { path: path.to_owned(), source })?;
    if !about.is_dir() {
        return Ok(path.to_owned());
    }
    let folders = [peers_dir(&path.join("audit")), peers_dir(path), path.to_owned()];
    let folder = folders.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| path.to_owned());
    Ok(peer_file(&folder, node))
}
