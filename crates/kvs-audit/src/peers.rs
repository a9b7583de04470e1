//! Other nodes' checkpoints, kept so that what they signed can be held against their trails.
//!
//! One file per node, named by its uuid. The key of a node's first checkpoint is the one that it is known by; a checkpoint
//! with another key is kept too, and told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::checkpoint_file::{CheckpointFile, Kept};
use crate::error::AuditError;
use crate::files::{make_private_dir, peer_file, peers_dir, sync_dir};
use crate::limits::PEERS_MAX;

/// The checkpoints of all other nodes.
#[derive(Debug)]
pub struct PeerCheckpoints {
    dir: PathBuf,
    own: Uuid,
    files: BTreeMap<Uuid, CheckpointFile>,
}

impl PeerCheckpoints {
    /// Opens the folder in `audit_dir`, or makes it, for the node `own`. Files are read when their nodes are heard of.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn open(audit_dir: &Path, own: Uuid) -> Result<Self, AuditError> {
        let dir = peers_dir(audit_dir);
        make_private_dir(&dir)?;
        Ok(Self { dir, own, files: BTreeMap::new() })
    }

    /// Keeps a checkpoint, whose signature is right because it is of that type, if it says something new; it is on disk
    /// afterwards. That it came from its node is the caller's to know.
    ///
    /// # Errors
    ///
    /// It is about this node, there is no room, or the disk fails; nothing was kept.
    pub fn keep(&mut self, checkpoint: &Checkpoint) -> Result<Kept, AuditError> {
        if checkpoint.node == self.own {
            return Err(AuditError::OwnCheckpoint);
        }
        if let Some(file) = self.files.get_mut(&checkpoint.node) {
            return file.keep(checkpoint);
        }
        let path = peer_file(&self.dir, checkpoint.node);
        let is_new = !path.exists();
        if is_new && self.count()? >= PEERS_MAX {
            return Err(AuditError::CheckpointsFull("there are too many nodes"));
        }
        let mut file = CheckpointFile::open(path, checkpoint.node)?;
        let kept = file.keep(checkpoint)?;
        if is_new {
            sync_dir(&self.dir)?;
        }
        self.files.insert(checkpoint.node, file);
        Ok(kept)
    }

    fn count(&self) -> Result<usize, AuditError> {
        let failed = |source| AuditError::Read { path: self.dir.clone(), source };
        Ok(fs::read_dir(&self.dir).map_err(failed)?.take(PEERS_MAX).count())
    }
}

#[cfg(test)]
mod tests {
    use super::PeerCheckpoints;
    use crate::checkpoint::Checkpoint;
    use crate::checkpoint_file::{Kept, read};
    use crate::files::{peer_file, peers_dir};
    use crate::hash::EntryHash;
    use crate::node_key::NodeKey;
    use uuid::Uuid;

    #[test]
    fn every_node_has_its_file_and_this_one_has_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let (own, one, other) = (Uuid::nil(), Uuid::max(), Uuid::from_u128(7));
        let mut peers = PeerCheckpoints::open(dir.path(), own).expect("opened");
        let signed =
            |node, seq| Checkpoint::sign(&NodeKey::from_seed(&[1; 32]), node, seq, EntryHash::of(b"x"), 1);
        assert!(peers.keep(&signed(own, 1)).is_err());
        assert_eq!(peers.keep(&signed(one, 1)).expect("kept"), Kept::Kept);
        assert_eq!(peers.keep(&signed(other, 5)).expect("kept"), Kept::Kept);
        assert_eq!(peers.keep(&signed(one, 2)).expect("kept"), Kept::Kept);
        let count = |node| read(&peer_file(&peers_dir(dir.path()), node)).expect("read").checkpoints.len();
        assert_eq!((count(one), count(other), count(own)), (2, 1, 0));
    }
}
