//! What the replicator wants done: effects in their order, and the calls under way.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallId, CallKind};
use uuid::Uuid;

use crate::contract::Effect;
use crate::peer::Peer;
use crate::work::{Job, Work};

/// What a call in flight is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A part of the log.
    Replicate,
    /// A part of the log for a branch of peers.
    Relay,
    /// Where the peer stands.
    Status,
    /// A page.
    Page,
    /// A round of a session.
    Session,
}

impl Purpose {
    const fn kind(self) -> CallKind {
        match self {
            Self::Replicate => CallKind::Replicate,
            Self::Relay => CallKind::Relay,
            Self::Status => CallKind::Status,
            Self::Page => CallKind::Page,
            Self::Session => CallKind::Sync,
        }
    }
}

/// Effects that nobody has carried out yet, and calls that nobody has answered.
pub(crate) struct Outbox {
    effects: Vec<Effect>,
    calls: BTreeMap<CallId, (Uuid, Purpose)>,
    next_call: u64,
}

impl Outbox {
    /// Nothing is wanted yet. Calls have odd numbers.
    pub(crate) const fn new() -> Self {
        Self { effects: Vec::new(), calls: BTreeMap::new(), next_call: 1 }
    }

    /// Wants an effect.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Wants work done beside the replicator.
    pub(crate) fn work(&mut self, job: Job) {
        self.push(Effect::Work(Work(job)));
    }

    /// A number for a call that may be made.
    pub(crate) const fn new_call(&mut self) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 2;
        call
    }

    /// Makes a call to a peer.
    pub(crate) fn call(
        &mut self,
        peer: &Peer,
        purpose: Purpose,
        call: CallId,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) {
        let node = peer.member.node;
        self.calls.insert(call, (node, purpose));
        let to = peer.member.address.clone();
        self.push(Effect::Call { call, node, to, kind: purpose.kind(), body: body.into(), timeout });
    }

    /// A call ended: whom it was made to and for what, if it was this replicator's.
    pub(crate) fn ended(&mut self, call: CallId) -> Option<(Uuid, Purpose)> {
        self.calls.remove(&call)
    }

    /// Everything that is wanted, in its order.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
