//! What a transaction changes besides keys: where the node stands, who it is, what it noted.
//!
//! Marks are made after the writes of their transaction and in the same batch, so a vector never claims a record that
//! is not on the disk.

use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;
use uuid::Uuid;

/// One change of the node's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Raises the vector: everything in it was received.
    Raise(Vector),
    /// Moves on in a peer's log, and raises the vector by what that makes true; nothing when the part of the log does
    /// not join what was read before.
    Advance {
        /// Whose log.
        peer: Uuid,
        /// The cursor that the peer went on from.
        from: Option<LogPosition>,
        /// Where the part begins in the peer's log as it is now.
        start_local_seq: u64,
        /// Where it ends.
        to: LogPosition,
        /// What was received then.
        claim: Vector,
    },
    /// Sets a cursor: the peer's log up to there was received in another way.
    SetCursor {
        /// Whose log.
        peer: Uuid,
        /// Up to where.
        to: LogPosition,
    },
    /// Sets the join time of a node that has none.
    Joined(u64),
    /// Begins a new epoch: numbers may have been forgotten.
    BeginEpoch,
    /// Notes bytes for a later process.
    Note(Note, Vec<u8>),
}

/// What a node notes for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The list of members.
    Members,
    /// How far a bootstrap is.
    Bootstrap,
    /// Which of this node's own writes some peer has.
    Acknowledged,
}

impl Note {
    /// The row of the table `node`.
    pub(crate) const fn key(self) -> &'static [u8] {
        match self {
            Self::Members => b"members",
            Self::Bootstrap => b"bootstrap",
            Self::Acknowledged => b"acknowledged",
        }
    }
}
