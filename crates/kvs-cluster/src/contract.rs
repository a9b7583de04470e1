//! What goes into the replicator and what comes out.

use std::time::Duration;

use bytes::Bytes;
use kvs_core::origin::Dot;
use kvs_protocol::call::{CallFailure, CallId, CallKind};
use kvs_protocol::membership::member::Member;
use kvs_protocol::mode::Mode;
use uuid::Uuid;

use crate::work::{Work, Worked};

/// On how many other nodes a write must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// On so many.
    AtLeast(u32),
    /// On enough to be on more than half of the members, this one included.
    Majority,
    /// On all other members.
    All,
}

/// What happens to a node, as far as replication cares.
#[derive(Debug)]
pub enum Event {
    /// The deadline has passed.
    Timer,
    /// The log has grown.
    Committed,
    /// The members are these now.
    Members {
        /// This node included.
        members: Vec<Member>,
        /// Whether nobody can be missing.
        is_everybody: bool,
    },
    /// A call of this machine ended.
    Reply {
        /// The call.
        call: CallId,
        /// Its answer, or why there is none.
        result: Result<Bytes, CallFailure>,
    },
    /// A piece of work was done.
    Worked(Worked),
    /// Somebody waits for a write to reach other nodes.
    Await {
        /// Names the wait in the answer.
        ticket: u64,
        /// The write.
        dot: Dot,
        /// How many.
        needed: Needed,
    },
    /// Whoever waited waits no longer, and wants to know how many there are.
    GiveUp {
        /// The wait.
        ticket: u64,
    },
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Effect {
    /// Call a peer and bring the answer as [`Event::Reply`], in every case.
    Call {
        /// Names the call.
        call: CallId,
        /// Who should answer.
        node: Uuid,
        /// `host:port`.
        to: String,
        /// The kind.
        kind: CallKind,
        /// What it says.
        body: Bytes,
        /// After this time it is [`CallFailure::Unreachable`].
        timeout: Duration,
    },
    /// Do this beside the replicator, after all such work before it, and bring what came of it as [`Event::Worked`].
    Work(Work),
    /// This node's mode is this one now.
    Mode {
        /// For its clients.
        clients: Mode,
        /// For its peers: syncing as long as there is something to fetch.
        peers: Mode,
    },
    /// A wait is over: so many other nodes have the write on their disks.
    Replicated {
        /// The wait.
        ticket: u64,
        /// How many.
        count: u32,
    },
    /// Too many wait already: this wait was not taken on, and nobody will answer it.
    TooManyWait {
        /// The wait.
        ticket: u64,
    },
    /// This peer refused a connection: a hint for membership.
    PeerRefused {
        /// The peer.
        node: Uuid,
    },
    /// This peer answered: a hint for membership.
    Heard {
        /// The peer.
        node: Uuid,
    },
}
