//! How a session ended, and what it cost.

use kvs_core::vector::Vector;

/// Whether everything was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// It was: this node has everything that the other had when the session began.
    Complete,
    /// Something could not be taken; a later session tries again.
    Partial,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether everything was resolved.
    pub completeness: Completeness,
    /// What this node may now claim to have, if it was.
    pub raise_to: Option<Vector>,
    /// Whether both held the same when the session began, apart from what is about to expire.
    pub began_equal: bool,
    /// The other node's clock at the beginning, in milliseconds since 1970.
    pub peer_now_ms: u64,
    /// What it cost and moved.
    pub tally: Tally,
}

/// What a session cost and moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Round trips.
    pub rounds: u32,
    /// Records that came, tombstones included.
    pub received: u64,
    /// Records that went.
    pub offered: u64,
    /// Versions dropped on this side.
    pub dropped: u64,
    /// Bytes of all messages without the records in them.
    pub bytes_without_records: u64,
}
