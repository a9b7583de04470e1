//! One peer, as replication sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_core::vector::Vector;
use kvs_protocol::call::CallId;
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;

use crate::limits::{RETRY_PAUSE, RETRY_PAUSE_MAX};
use crate::shipping::Shipping;

/// Whether the last comparison found the same root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Equality {
    /// Not compared yet.
    Unknown,
    /// The same.
    Equal,
    /// Another one, since this moment.
    Unequal(Duration),
}

/// A question for the peer's standing, and when it was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusCall {
    pub(crate) call: CallId,
    pub(crate) asked_at: Duration,
    pub(crate) asked_wall_ms: u64,
    pub(crate) nonce: [u8; 16],
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) member: Member,
    pub(crate) shipping: Shipping,
    pub(crate) status_call: Option<StatusCall>,
    pub(crate) status_at: Duration,
    pub(crate) retry_at: Duration,
    failures: u32,
    pub(crate) equality: Equality,
    /// Since when its root has been another one, whether or not its log moved meanwhile.
    pub(crate) unequal_since: Option<Duration>,
    /// What it last said to this process that it holds, and the highest numbers of this node's epochs that it heard of beyond
    /// that, if it could tell them all; `None` until it said so.
    pub(crate) told: Option<(Vector, Option<BTreeMap<u64, u64>>)>,
    /// What it had received when it was last compared.
    pub(crate) compared_vector: Vector,
    /// Its clock minus this node's, in milliseconds.
    pub(crate) clock_offset_ms: Option<i64>,
    pub(crate) parked: u64,
    /// How long tombstones stay there, in milliseconds.
    pub(crate) grace_ms: Option<u64>,
    /// Epochs of this node of which it has something parked, with the latest stamps.
    pub(crate) parked_epochs: Vec<(u64, u64)>,
    pub(crate) mode: Mode,
    /// When a session with it may be held again.
    pub(crate) session_at: Duration,
    /// Sessions in a row that did not make the roots equal.
    pub(crate) session_failures: u32,
}

impl Peer {
    pub(crate) fn new(member: Member) -> Self {
        let mode = member.mode;
        Self {
            member,
            shipping: Shipping::default(),
            status_call: None,
            status_at: Duration::ZERO,
            retry_at: Duration::ZERO,
            failures: 0,
            equality: Equality::Unknown,
            unequal_since: None,
            told: None,
            compared_vector: Vector::default(),
            clock_offset_ms: None,
            parked: 0,
            grace_ms: None,
            parked_epochs: Vec::new(),
            mode,
            session_at: Duration::ZERO,
            session_failures: 0,
        }
    }

    /// Whether it is worth calling.
    pub(crate) fn is_reachable(&self) -> bool {
        matches!(self.member.status, Status::Alive | Status::Suspect)
    }

    /// Whether it counts where every member must have something.
    pub(crate) fn counts(&self) -> bool {
        !self.member.is_forgotten && self.member.status != Status::Left
    }

    /// Whether a write that it has received is shown there: where a clock is ahead, an earlier write may win for now.
    pub(crate) fn shows_what_it_holds(&self, skew_ms: u64) -> bool {
        self.clock_offset_ms.is_some_and(|offset_ms| offset_ms.unsigned_abs() <= skew_ms)
    }

    /// A call failed: pause, longer each time.
    pub(crate) fn note_failure(&mut self, now: Duration) {
        let pause = RETRY_PAUSE.saturating_mul(1 << self.failures.min(6)).min(RETRY_PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + pause;
        self.status_at = self.retry_at;
    }

    /// A call succeeded.
    pub(crate) fn note_success(&mut self) {
        self.failures = 0;
    }
}
