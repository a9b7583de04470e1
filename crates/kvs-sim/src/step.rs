//! What can happen: the steps of an agenda, and what they carry.

use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId, CallKind};
use kvs_store::engine::device::Device;
use uuid::Uuid;

use crate::ledger::Mirror;

/// How often stores look after expiry, collection and parked records.
pub(crate) const TURN_PAUSE: Duration = Duration::from_millis(250);

/// An old copy of a directory.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Whose.
    pub place: usize,
    /// The identity in it.
    pub node: Option<Uuid>,
    /// The disk.
    pub device: Device,
    /// What it holds.
    pub mirror: Mirror,
}

/// A call under way.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) caller: usize,
    pub(crate) process: u64,
    pub(crate) call: CallId,
    pub(crate) from: Uuid,
    pub(crate) node: Option<Uuid>,
    pub(crate) target: usize,
    pub(crate) kind: CallKind,
    pub(crate) body: Bytes,
}

/// What happens at a moment.
#[derive(Debug)]
pub enum Step {
    /// A machine starts its process.
    Start {
        /// The machine.
        place: usize,
    },
    /// A process that said goodbye ends.
    End {
        /// The machine.
        place: usize,
        /// Whether it is started again later.
        comes_back: bool,
    },
    /// A full disk has room again.
    FreeDisk {
        /// The machine.
        place: usize,
    },
    /// A timer of membership.
    MembershipTimer {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A timer of replication.
    ReplicationTimer {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A disk gets to work beside replication.
    Work {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// Stores do their chores.
    Turn {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A request arrives.
    Request(Box<Call>),
    /// An answer arrives.
    Answer(Box<Call>, Result<Bytes, CallFailure>),
    /// A call took too long.
    Timeout(Box<Call>),
    /// A client asks.
    Client,
    /// Something goes wrong.
    Fault,
    /// Vectors are compared with what is held.
    CheckVectors,
    /// Something happens that only some profiles have.
    Fate,
    /// A directory goes back to a copy of it.
    PutBack(Box<Copied>),
    /// A machine that was cut off can be reached again.
    Reach {
        /// The machine.
        place: usize,
    },
    /// A clock comes right.
    ClockRight {
        /// The machine.
        place: usize,
    },
    /// The others go away, and a new machine begins from one whose clock is ahead.
    FromAhead {
        /// The machine that is ahead.
        source: usize,
    },
    /// An operator has a member forgotten.
    Forget {
        /// The machine.
        place: usize,
    },
    /// A client waits no longer.
    GiveUp {
        /// Its wait.
        ticket: u64,
    },
}
