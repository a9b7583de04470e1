//! The replicator's part for logs and standings: what is sent, what is asked, what is answered.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::vector::Vector;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::answer::compared_root;
use kvs_protocol::wire::keyed_record::KeyedVersion;
use kvs_protocol::wire::replicate::ReplicateReply;
use kvs_protocol::wire::status::{StatusReply, StatusRequest};
use kvs_store::error::StoreError;
use rand::RngExt;
use uuid::Uuid;

use crate::clocks::offset_ms;
use crate::context::Context;
use crate::limits::{
    RELAY_PAUSE, RELAY_PAUSE_MAX, REPLICATE_TIMEOUT, STATUS_INTERVAL, STATUS_TIMEOUT, STATUS_TURN,
    SYNCING_STATUS_INTERVAL, UNEQUAL_STATUS_INTERVAL,
};
use crate::outbox::{Outbox, Purpose};
use crate::peer::{Compared, Equality, Peer, StatusCall};
use crate::peers::Peers;
use crate::shipping::{LastPiece, Progress};
use crate::store_holdings::StoreHoldings;
use crate::trees::{Answer, Part, Trees};
use crate::work::Job;

/// The streams of this node's log to its peers.
#[derive(Default)]
pub(crate) struct Streams {
    last_piece: LastPiece,
    trees: Trees,
    /// What is to be forgotten at which peer's word, once the disk has done the same for another one. None of these peers is sent
    /// anything meanwhile, so there is one message of each at the most.
    to_forget: VecDeque<(Uuid, Vec<KeyedVersion>)>,
    is_forgetting: bool,
}

impl Streams {
    /// Sends each peer what it lacks of this node's log.
    pub(crate) fn ship(&mut self, context: &Context, peers: &mut Peers, outbox: &mut Outbox) {
        let now = context.now.monotonic;
        let has_tree = peers.len() > context.settings.tree.above;
        let waits_for_round = has_tree && self.trees.round_ends_at(peers, now).is_some();
        let mut round = Vec::new();
        for (node, peer) in peers.iter_mut() {
            let is_carried = has_tree && Trees::may_carry(peer, now);
            if !peer.takes_log(now) || (is_carried && waits_for_round) {
                continue;
            }
            let call = outbox.new_call();
            match peer.shipping.next(&context.store, call, now, &mut self.last_piece) {
                Ok(Some(bytes)) if is_carried => round.push(Part { node: *node, call, bytes }),
                Ok(Some(part)) => {
                    outbox.call(peer, Purpose::Replicate, call, part, REPLICATE_TIMEOUT);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the log cannot be read");
                    peer.note_unshipped(now);
                }
            }
        }
        self.trees.send(context, peers, outbox, round);
    }

    /// Takes what a peer answered to a part of the log; answers what it says that it has of this node's writes.
    pub(crate) fn take_acknowledgement(
        &mut self,
        context: &Context,
        peer: &mut Peer,
        outbox: &mut Outbox,
        call: CallId,
        result: Result<Bytes, CallFailure>,
    ) -> Option<Vector> {
        if !peer.shipping.is_of(call) {
            return None;
        }
        let (node, now) = (peer.member.node, context.now.monotonic);
        let reply = result
            .map_err(|failure| failure.to_string())
            .and_then(|bytes| ReplicateReply::decode(&bytes).map_err(|error| error.to_string()));
        let reply = match reply {
            Ok(reply) => reply,
            Err(reason) => {
                tracing::debug!(%node, %reason, "a part of the log did not arrive");
                peer.shipping.fail();
                peer.note_unshipped(now);
                return None;
            }
        };
        match peer.shipping.acknowledge(reply.cursor, reply.vector.clone(), &context.store) {
            Progress::Some => peer.shipping_pause.succeed(),
            // The same part would be sent again at once, and may well be refused again.
            Progress::None => peer.note_unshipped(now),
        }
        if !reply.drops.is_empty() {
            peer.is_being_obeyed = true;
            self.to_forget.push_back((node, reply.drops));
            self.forget_next(outbox);
        }
        Some(reply.vector)
    }

    /// Takes what the nodes of a branch answered to a part of the log; answers what each says that it has of this node's writes.
    pub(crate) fn take_relayed(
        &mut self,
        context: &Context,
        peers: &mut Peers,
        outbox: &mut Outbox,
        call: CallId,
        result: Result<Bytes, CallFailure>,
    ) -> Vec<Vector> {
        let mut vectors = Vec::new();
        for Answer { node, call, result } in self.trees.land(call, result) {
            let Some(peer) = peers.get_mut(&node).filter(|peer| peer.shipping.is_of(call)) else { continue };
            match &result {
                Ok(_) => peer.relay_pause.succeed(),
                Err(_) => peer.relay_pause.fail_for(RELAY_PAUSE..=RELAY_PAUSE_MAX, context.now.monotonic),
            }
            vectors.extend(self.take_acknowledgement(context, peer, outbox, call, result));
        }
        vectors
    }

    /// What was to be forgotten at a peer's word is.
    pub(crate) fn take_forgot(&mut self, peers: &mut Peers, outbox: &mut Outbox, node: Uuid) {
        if let Some(peer) = peers.get_mut(&node) {
            peer.is_being_obeyed = false;
        }
        self.is_forgetting = false;
        self.forget_next(outbox);
    }

    fn forget_next(&mut self, outbox: &mut Outbox) {
        if !self.is_forgetting
            && let Some((node, versions)) = self.to_forget.pop_front()
        {
            self.is_forgetting = true;
            outbox.work(Job::Forget { node, versions });
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self, peers: &Peers, now: Duration) -> Option<Duration> {
        calls_due_at(peers, now).into_iter().chain(self.trees.round_ends_at(peers, now)).min()
    }
}

fn calls_due_at(peers: &Peers, now: Duration) -> Option<Duration> {
    let reachable = || peers.values().filter(|peer| peer.is_reachable());
    let statuses = reachable().filter(|peer| peer.status_call.is_none()).map(|peer| peer.status_at);
    let waiting = reachable().filter(|peer| peer.shipping.is_told() && !peer.shipping.is_busy());
    let retries = waiting.map(|peer| peer.shipping_pause.until()).filter(|at| *at > now);
    statuses.chain(retries).min()
}

/// Asks peers where they stand.
pub(crate) fn ask_standings(context: &mut Context, peers: &mut Peers, outbox: &mut Outbox) {
    let now = context.now.monotonic;
    let turns = STATUS_TURN.saturating_mul(u32::try_from(peers.len()).unwrap_or(u32::MAX));
    let interval = STATUS_INTERVAL.max(turns);
    for (_, peer) in peers.iter_mut() {
        let may_be_asked_again = now >= peer.shipping_pause.until() && now >= peer.calling_pause.until();
        let is_due = now >= peer.status_at || (!peer.shipping.is_told() && may_be_asked_again);
        if !peer.is_reachable() || peer.status_call.is_some() || !is_due {
            continue;
        }
        let call = outbox.new_call();
        let nonce: [u8; 16] = context.random.random();
        peer.status_at = now + interval;
        peer.status_call =
            Some(StatusCall { call, asked_at: now, asked_wall_ms: context.now.wall_ms, nonce });
        let floor_ms = kvs_core::item::floor_ms(context.now.wall_ms, context.now.wall_ms);
        let request = StatusRequest { nonce, floor_ms };
        outbox.call(peer, Purpose::Status, call, request.encode(), STATUS_TIMEOUT);
    }
}

/// Takes what a peer says about where it stands; answers its vector.
pub(crate) fn take_standing(
    context: &Context,
    peer: &mut Peer,
    call: CallId,
    result: Result<Bytes, CallFailure>,
) -> Option<Vector> {
    let asked = peer.status_call.take_if(|asked| asked.call == call)?;
    let (node, now) = (peer.member.node, context.now.monotonic);
    let reply = result
        .map_err(|failure| failure.to_string())
        .and_then(|bytes| StatusReply::decode(&bytes).map_err(|error| error.to_string()));
    let reply = match reply {
        Ok(reply) => reply,
        Err(reason) => {
            tracing::debug!(%node, %reason, "a peer did not say where it stands");
            peer.note_unanswered(now);
            return None;
        }
    };
    peer.calling_pause.succeed();
    let round_trip = now.saturating_sub(asked.asked_at);
    let skew_ms = context.store.clock_skew_ms_max();
    peer.clock_offset_ms = Some(offset_ms(asked.asked_wall_ms, reply.wall_ms, round_trip, skew_ms));
    peer.parked = reply.parked;
    peer.grace_ms = Some(reply.grace_ms);
    peer.parked_epochs.clone_from(&reply.parked_epochs);
    peer.mode = reply.mode;
    peer.shipping.note_standing(reply.cursor, reply.vector.clone(), &context.store);
    compare_root(context, peer, &asked, &reply);
    peer.told = Some((reply.vector.clone(), reply.heard.map(|heard| heard.into_iter().collect())));
    if peer.mode == Mode::Syncing {
        // It takes the log as soon as it has everything else.
        peer.status_at = peer.status_at.min(now + SYNCING_STATUS_INTERVAL);
    } else if matches!(peer.equality, Equality::Unequal(_)) {
        // Soon again: either the log brings what is missing, or a session has to.
        peer.status_at = peer.status_at.min(now + UNEQUAL_STATUS_INTERVAL);
    }
    Some(reply.vector)
}

/// Whether a peer holds the same as this node, by the root that it answered.
fn compare_root(context: &Context, peer: &mut Peer, asked: &StatusCall, reply: &StatusReply) {
    let now = context.now.monotonic;
    let key = context.settings.secrets.session(&asked.nonce);
    let mut holdings = StoreHoldings::new(&context.store, context.now.wall_ms);
    let compared = Compared {
        vector: reply.vector.clone(),
        cursor: reply.cursor,
        last_local_seq: context.store.last_local_seq(),
    };
    let roots = match reply.root {
        Some(theirs) => compared_root(&mut holdings, &key, reply.floor_ms).map(|own| Some((own, theirs))),
        None => Ok(None),
    };
    match roots {
        Ok(None) | Err(StoreError::DigestUnread) => peer.equality = Equality::Unknown,
        Ok(Some((own, theirs))) if own == theirs => {
            peer.equality = Equality::Equal;
            peer.unequal_since = None;
            peer.session_failures = 0;
        }
        Ok(Some(_)) => {
            peer.unequal_since.get_or_insert(now);
            // While something still arrives, a difference is the ordinary way of things.
            let is_moving = peer.compared != compared;
            let since = match peer.equality {
                Equality::Unequal(since) if !is_moving => since,
                _ => now,
            };
            peer.equality = Equality::Unequal(since);
        }
        Err(error) => tracing::warn!(%error, "the digest cannot be read"),
    }
    peer.compared = compared;
}
