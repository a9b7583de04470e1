//! What a node can tell about how its cluster converges.

use kvs_protocol::membership::member::Status;
use kvs_protocol::mode::Mode;
use uuid::Uuid;

/// How one peer stands to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerReport {
    /// The peer.
    pub node: Uuid,
    /// Its name.
    pub node_id: String,
    /// Where it is reached.
    pub address: String,
    /// How it stands.
    pub status: Status,
    /// Its mode when it last said so.
    pub mode: Mode,
    /// Whether the last comparison found the same root; `None` before the first.
    pub equal: Option<bool>,
    /// For how long this node has held a change that the peer has not acknowledged; `None` when where it is is not known.
    pub lag_ms: Option<u64>,
    /// Rows of this node's log that the peer has not acknowledged; `None` when where it is is not known.
    pub lag_records: Option<u64>,
    /// The peer's clock minus this node's.
    pub clock_offset_ms: Option<i64>,
    /// Records that the peer has parked.
    pub parked: u64,
    /// How long tombstones stay there at least, in milliseconds.
    pub grace_ms: Option<u64>,
}

/// How far a bootstrap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootstrapReport {
    /// Records fetched so far.
    pub fetched: u64,
    /// Keys that the source holds.
    pub total: u64,
}

/// How sessions have gone since the node was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionReport {
    /// Sessions held to their end.
    pub held: u64,
    /// Of these, sessions that found something to repair.
    pub repaired: u64,
    /// Sessions given up.
    pub failed: u64,
    /// Records received by them.
    pub records: u64,
    /// Versions dropped at a peer's word.
    pub dropped: u64,
}

/// How the cluster converges, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The peers, by uuid.
    pub peers: Vec<PeerReport>,
    /// The bootstrap, while there is one.
    pub bootstrap: Option<BootstrapReport>,
    /// Sessions.
    pub sessions: SessionReport,
}

/// A member that keeps tombstones from being collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The member.
    pub node: Uuid,
    /// Its name.
    pub node_id: String,
    /// How it stands.
    pub status: Status,
    /// How many of the tombstones looked at it is not known to have.
    pub tombstones: u64,
}

/// The tombstones of a node and why they are still there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TombstoneReport {
    /// The stamp of the oldest one looked at, ms since 1970.
    pub oldest_ms: Option<u64>,
    /// How many were looked at; a bound keeps it from being all.
    pub looked_at: u64,
    /// Who blocks.
    pub blocked_by: Vec<Blocker>,
}
