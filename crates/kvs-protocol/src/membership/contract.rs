//! The contract of membership: what goes in, what comes out, and what may be asked.
//!
//! The driver routes calls and replies, keeps the time and persists; the machine decides. One trait, so that the rest
//! of the node never learns which detector runs behind it.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::call::{CallFailure, CallId, CallKind, Now};
use crate::membership::member::Member;
use crate::mode::Mode;

/// What happens to a node, as far as membership cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The node listens; first of all events.
    Start,
    /// The deadline has passed.
    Timer,
    /// An authenticated call of a peer; answered by one [`Effect::Respond`], perhaps later.
    Request {
        /// Names the call in the answer.
        reply_to: u64,
        /// [`CallKind::Swim`] or [`CallKind::Members`].
        kind: CallKind,
        /// What it says.
        body: Bytes,
        /// Who calls, as authenticated.
        from: Uuid,
    },
    /// A call of this machine ended.
    Reply {
        /// The call.
        call: CallId,
        /// Its answer, or why there is none.
        result: Result<Bytes, CallFailure>,
    },
    /// A connection to this node was refused, or an open one was closed: a hint, to be verified.
    PeerRefused {
        /// The peer.
        node: Uuid,
    },
    /// An authenticated message of this node came on another lane.
    Heard {
        /// The peer.
        node: Uuid,
    },
    /// This node goes for good or for long: say goodbye.
    Leave,
    /// This node's mode changed.
    Mode(Mode),
    /// An operator says that this node will not come back.
    Forget(Uuid),
    /// An operator says that a node of the cluster is at this address.
    Join(String),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Call a peer and bring the answer as [`Event::Reply`], in every case.
    Call {
        /// Names the call.
        call: CallId,
        /// `host:port`.
        to: String,
        /// Who should answer; not known of a seed.
        node: Option<Uuid>,
        /// The kind.
        kind: CallKind,
        /// What it says.
        body: Bytes,
        /// After this time it is [`CallFailure::Unreachable`].
        timeout: Duration,
    },
    /// Answer a call.
    Respond {
        /// As given in the request.
        reply_to: u64,
        /// The answer.
        body: Bytes,
    },
    /// [`Membership::members`] or [`Membership::knows_everybody`] reads differently now.
    MembersChanged,
    /// This node was admitted: keep this number, stamp with it.
    Admitted {
        /// Milliseconds since 1970.
        joined_ms: u64,
    },
    /// Keep the member list and hand it back at the next start; losing it costs nothing but seconds.
    Persist(Bytes),
    /// This start counts as this one: the data directory was put back, and the cluster knows later ones. Keep the number.
    Generation(u32),
    /// The cluster has forgotten this node: it may come back only empty and under a new identity. The machine has
    /// stopped.
    Forgotten,
    /// This process must not go on. The machine has stopped.
    Stop {
        /// A sentence for the operator.
        reason: String,
    },
}

/// An address that this node tries until it answers: a seed, or one that an operator named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedReport {
    /// `host:port`.
    pub address: String,
    /// Whether it is this node's own, or that of a member that lives.
    pub is_reached: bool,
    /// Why the last attempt failed; `None` before the first and after one that did not.
    pub failure: Option<String>,
}

/// Who is in the cluster.
pub trait Membership {
    /// Takes an event in; answers what is to be done, in this order.
    fn handle(&mut self, event: Event, now: Now) -> Vec<Effect>;

    /// When [`Event::Timer`] is due, on the monotonic clock.
    fn deadline(&self) -> Option<Duration>;

    /// Everyone known, this node first, forgotten ones included; as of the last event.
    fn members(&self) -> Vec<Member>;

    /// Whether everybody is in [`Membership::members`]: since this process began a member gave it his whole list or had the same one,
    /// or there is nobody whom it could ask. Until then a cluster may be larger than it looks: a directory that was put back, or
    /// a node that is new, knows at first only those who call it. As of the last event.
    fn knows_everybody(&self) -> bool;

    /// The addresses that this node tries until they answer, those of its settings first; as of the last event.
    fn seeds(&self) -> Vec<SeedReport>;

    /// What users are shown: members heard of in the last ten minutes, this node included.
    fn visible_members(&self, now: Now) -> Vec<Member>;
}
