//! Why the audit trail refused or failed, and what state it is in afterwards.

use std::io;
use std::path::PathBuf;

/// Why the audit trail refused or failed. Unless a variant says otherwise, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A folder or file could not be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder or file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written; what was written of it was taken back.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk has no room left; what was written was taken back, and the next call may succeed.
    #[error("the disk is full: cannot write {}", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// A write or sync failed in a way that leaves the file's content unknown. Nothing is accepted until the trail is
    /// opened again.
    #[error(
        "the audit trail accepts nothing since a disk failure ({0}); check the disk, then restart the node"
    )]
    Poisoned(String),
    /// A file is open to others, no regular file, or does not hold what it should.
    #[error("{} is not usable: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The folder has more segments than anybody makes.
    #[error("{} holds more segments than this version reads", dir.display())]
    TooManySegments {
        /// The folder.
        dir: PathBuf,
    },
    /// An entry could not be encoded.
    #[error("cannot encode an entry")]
    Encode(#[from] serde_json::Error),
    /// The thread that syncs could not be started.
    #[error("cannot start the thread of the audit trail")]
    Thread(#[source] io::Error),
    /// Bytes that should be a checkpoint are none.
    #[error("this is no checkpoint: {0}")]
    CheckpointFormat(&'static str),
    /// A checkpoint's signature is not that of the key that it names.
    #[error("the checkpoint's signature is wrong")]
    CheckpointSignature,
    /// A checkpoint of this very node came from another one.
    #[error("the checkpoint is about this node itself")]
    OwnCheckpoint,
    /// Checkpoints of too many nodes, or with too many keys of one node, are kept already.
    #[error("no room for the checkpoint: {0}")]
    CheckpointsFull(&'static str),
}
