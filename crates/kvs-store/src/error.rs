//! Why the store refused or failed, and what state it is in afterwards.

use std::path::PathBuf;

use kvs_core::record_codec::CodecError;

use crate::commit::refusal::Refusal;
use crate::engine::contract::EngineError;
use crate::medium::Room;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request was at fault; asking again gives the same answer.
    Refused,
    /// Nothing was at fault; ask again later.
    Retry,
    /// The disk has no room; free some.
    Full,
    /// Stored bytes are damaged.
    Corrupt,
    /// Writes are refused until the store is opened again.
    Poisoned,
    /// The data directory or its settings are at fault.
    Config,
}

/// Why the store refused or failed. Unless a variant says otherwise, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A write's condition did not hold; no write of its transaction was made.
    #[error("the condition of write {index} does not hold")]
    Precondition {
        /// Which write of the transaction, from 0.
        index: usize,
    },
    /// A write is not allowed; no write of its transaction was made.
    #[error("write {index} is not allowed")]
    Refused {
        /// Which write of the transaction, from 0.
        index: usize,
        /// How it was refused.
        refusal: Refusal,
    },
    /// What was asked for could not be written down first, as it must be.
    #[error("the audit trail cannot be written ({0}); no write is made without it")]
    Unrecorded(String),
    /// The stored version carries the greatest stamp there is.
    #[error("write {index}: the stored version cannot be overwritten, its stamp is the greatest there is")]
    StampExhausted {
        /// Which write of the transaction, from 0.
        index: usize,
    },
    /// Too much is waiting for the committer.
    #[error("too many writes are waiting")]
    QueueFull,
    /// Too many records from peers are stamped too far ahead of this node's clock.
    #[error(
        "too many records wait that are stamped ahead of this node's clock; check the clocks of the cluster"
    )]
    TooManyParked,
    /// This node's clock differs from most of its peers', or was never set.
    #[error(
        "this node's clock differs from its peers' or was never set; set it, or ask a node whose clock is right"
    )]
    ClockUnsound,
    /// The store is closing or closed.
    #[error("the store is closed")]
    Closed,
    /// The digest is still being read in, as for a while after a start.
    #[error("the digest is still being read in")]
    DigestUnread,
    /// The disk has no room left.
    #[error("the disk is full; free some space, writes go on by themselves")]
    Full,
    /// The same, with where and how much is missing.
    #[error("the disk of {} is full: {room}; free some space", .path.display())]
    NoRoom {
        /// A folder on the disk.
        path: PathBuf,
        /// How much room there is.
        room: Room,
    },
    /// A write or sync failed earlier. The write that failed may or may not be found after opening again.
    #[error("the store refuses writes since a disk failure ({0}); check the disk, then restart the node")]
    Poisoned(String),
    /// The data directory is in use by another process.
    #[error("the data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The data directory was written by another format, or is no data directory of KVS.
    #[error("{}: {reason}", .dir.display())]
    Format {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file operation on the data directory failed.
    #[error("cannot {operation} {}: {source}", .path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A stored row cannot be read.
    #[error("damaged row in table '{table}' under key {key}: {reason}")]
    Corrupt {
        /// The table's name.
        table: &'static str,
        /// The key, printable.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl StoreError {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Precondition { .. } | Self::StampExhausted { .. } | Self::Refused { .. } => {
                ErrorKind::Refused
            }
            Self::QueueFull
            | Self::Closed
            | Self::TooManyParked
            | Self::ClockUnsound
            | Self::DigestUnread
            | Self::Unrecorded(_) => ErrorKind::Retry,
            Self::Full | Self::NoRoom { .. } | Self::Engine(EngineError::Full) => ErrorKind::Full,
            Self::Poisoned(_) | Self::Engine(EngineError::Poisoned | EngineError::Io { .. }) => {
                ErrorKind::Poisoned
            }
            Self::InUse(_) | Self::Format { .. } | Self::File { .. } | Self::Engine(EngineError::Locked) => {
                ErrorKind::Config
            }
            Self::Corrupt { .. } | Self::Engine(EngineError::Corrupt(_)) => ErrorKind::Corrupt,
        }
    }

    /// A row that the record codec refuses.
    #[must_use]
    pub fn codec(table: &'static str, key: &[u8], error: CodecError) -> Self {
        Self::corrupt(table, key, error.to_string())
    }

    /// A row that cannot be read for this reason.
    #[must_use]
    pub fn corrupt(table: &'static str, key: &[u8], reason: impl Into<String>) -> Self {
        Self::Corrupt { table, key: printable(key), reason: reason.into() }
    }

    /// A copy for each of the transactions that one failed batch held; sources are told as text.
    #[must_use]
    pub fn for_each_waiting(&self) -> Self {
        match self {
            Self::Precondition { index } => Self::Precondition { index: *index },
            Self::Refused { index, refusal } => Self::Refused { index: *index, refusal: *refusal },
            Self::Unrecorded(reason) => Self::Unrecorded(reason.clone()),
            Self::StampExhausted { index } => Self::StampExhausted { index: *index },
            Self::QueueFull => Self::QueueFull,
            Self::TooManyParked => Self::TooManyParked,
            Self::Closed => Self::Closed,
            Self::Full | Self::NoRoom { .. } | Self::Engine(EngineError::Full) => Self::Full,
            Self::Poisoned(reason) => Self::Poisoned(reason.clone()),
            other => Self::Poisoned(other.to_string()),
        }
    }
}

/// A stored key as printable text: what is not graphic ASCII is escaped.
#[must_use]
pub fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
