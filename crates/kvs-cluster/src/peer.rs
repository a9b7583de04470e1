//! One peer, as replication sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;
use kvs_protocol::call::CallId;
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;

use crate::backoff::Backoff;
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

/// Where the logs between this node and a peer stood at one moment: while any of it moves, a difference of roots is the ordinary way
/// of things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// What the peer had received.
    pub(crate) vector: Vector,
    /// How far it had read this node's log, which it may claim only in the end.
    pub(crate) cursor: Option<LogPosition>,
    /// The last change of this node, its own or one received.
    pub(crate) last_local_seq: u64,
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) member: Member,
    pub(crate) shipping: Shipping,
    pub(crate) status_call: Option<StatusCall>,
    pub(crate) status_at: Duration,
    /// Parts of the log that did not get it any further. Whether it answers other calls says nothing of that.
    pub(crate) shipping_pause: Backoff,
    /// Parts of the log that were to reach it by way of others and did not, as far as anybody knows.
    pub(crate) relay_pause: Backoff,
    /// Other calls that it did not answer.
    pub(crate) calling_pause: Backoff,
    /// Whether versions are being forgotten at its word; until then it is sent nothing.
    pub(crate) is_being_obeyed: bool,
    pub(crate) equality: Equality,
    /// Since when its root has been another one, whether or not its log moved meanwhile.
    pub(crate) unequal_since: Option<Duration>,
    /// What it last said to this process that it holds, and the highest numbers of this node's epochs that it heard of beyond
    /// that, if it could tell them all; `None` until it said so.
    pub(crate) told: Option<(Vector, Option<BTreeMap<u64, u64>>)>,
    /// Where both logs stood when roots were last compared.
    pub(crate) compared: Compared,
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
            shipping_pause: Backoff::default(),
            relay_pause: Backoff::default(),
            calling_pause: Backoff::default(),
            is_being_obeyed: false,
            equality: Equality::Unknown,
            unequal_since: None,
            told: None,
            compared: Compared::default(),
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

    /// How it stands among the members changed.
    pub(crate) fn become_member(&mut self, member: Member) {
        let was_reachable = self.is_reachable();
        let is_restarted = self.member.generation != member.generation;
        self.member = member;
        if is_restarted || (self.is_reachable() && !was_reachable) {
            // It may stand elsewhere than it did, and have another clock.
            self.shipping.lose();
            self.clock_offset_ms = None;
            self.told = None;
            self.shipping_pause = Backoff::default();
            self.relay_pause = Backoff::default();
            self.calling_pause = Backoff::default();
            self.status_at = Duration::ZERO;
        }
    }

    /// Whether a part of the log may be sent now. A peer that fetches everything anyway gets the rest afterwards.
    pub(crate) fn takes_log(&self, now: Duration) -> bool {
        self.is_reachable()
            && self.mode != Mode::Syncing
            && !self.is_being_obeyed
            && now >= self.shipping_pause.until()
    }

    /// A part of the log did not get it any further.
    pub(crate) fn note_unshipped(&mut self, now: Duration) {
        self.shipping_pause.fail(now);
        self.status_at = self.shipping_pause.until();
    }

    /// Another call failed.
    pub(crate) fn note_unanswered(&mut self, now: Duration) {
        self.calling_pause.fail(now);
        self.status_at = self.calling_pause.until();
    }
}
