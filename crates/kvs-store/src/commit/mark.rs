//! What a transaction changes besides keys: where the node stands, who it is, what it noted.
//!
//! Marks are made after the writes of their transaction and in the same batch, so a vector never claims a record that
//! is not on the disk.

use kvs_core::log_position::LogPosition;
use kvs_core::origin::Origin;
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::standing::Sweep;

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
        /// What the peer left out, as this node had told that it has it: nothing changes where it has not, as after its
        /// directory went back.
        left_out: Vector,
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
    /// This start counts as this one.
    Generation(u32),
    /// Begins a new epoch: numbers may have been forgotten.
    BeginEpoch,
    /// Folds the epochs of this node away that began before this second since 1970: every member covers them, as far as anybody
    /// has heard of them.
    Fold(u64),
    /// Ends the current epoch, should it have begun before this second since 1970, and writes what was written in it anew: members
    /// have folded it away already.
    Renew(u64),
    /// Takes back what this node stamped later than the commit's clock says, and all of the epochs of which it is known that the
    /// clock was ahead in them; begins a new epoch.
    Recall {
        /// Epochs of this node that it does not remember and of which a peer has something parked.
        forgotten: Vec<u64>,
    },
    /// This node's clock was set by so much (ms), so that a new epoch begins: in each the clock is wrong by one amount.
    ClockSet(i64),
    /// The clock was set after these epochs of this node, which ended for another reason in the same process, and not between
    /// them.
    EndedByClock(Vec<u64>),
    /// By how much (ms) this node's clock was or is ahead in these epochs of its own; less than 0 where it was behind.
    Leads(Vec<(u64, i64)>),
    /// Takes back what these epochs of other nodes stamped later than the commit's clock says, at an operator's word. None of
    /// them may be one that still gives out numbers.
    Discard(Vec<Origin>),
    /// Everything was looked through for recalled records.
    Swept(Sweep),
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
    /// The shortest grace of tombstones that a member has, ms (8).
    ShortestGrace,
}

impl Note {
    /// The row of the table `node`.
    pub(crate) const fn key(self) -> &'static [u8] {
        match self {
            Self::Members => b"members",
            Self::Bootstrap => b"bootstrap",
            Self::Acknowledged => b"acknowledged",
            Self::ShortestGrace => b"shortest_grace",
        }
    }
}
