//! The replicator's part for logs and standings: what is sent, what is asked, what is answered.

use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::answer::compared_root;
use kvs_protocol::wire::replicate::ReplicateReply;
use kvs_protocol::wire::status::{StatusReply, StatusRequest};
use kvs_store::error::StoreError;
use rand::RngExt;
use uuid::Uuid;

use crate::limits::{
    REPLICATE_TIMEOUT, STATUS_INTERVAL, STATUS_TIMEOUT, STATUS_TURN, SYNCING_STATUS_INTERVAL,
};
use crate::peer::{Equality, StatusCall};
use crate::receive;
use crate::replicator::{Purpose, Replicator};
use crate::shipping::Progress;
use crate::store_holdings::StoreHoldings;

impl Replicator {
    /// Sends each peer what it lacks of this node's log.
    pub(crate) fn ship(&mut self) {
        let nodes: Vec<Uuid> = self.peers.keys().copied().collect();
        for node in nodes {
            let call = self.new_call();
            let Some(peer) = self.peers.get_mut(&node) else { continue };
            // A peer that fetches everything anyway gets the rest afterwards.
            let may =
                peer.is_reachable() && peer.mode != Mode::Syncing && self.now.monotonic >= peer.retry_at;
            if !may {
                continue;
            }
            match peer.shipping.next(&self.store, call, self.now.monotonic, &mut self.last_piece) {
                Ok(Some(request)) => {
                    self.call(node, Purpose::Replicate, call, request.encode(), REPLICATE_TIMEOUT);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the log cannot be read");
                    peer.note_failure(self.now.monotonic);
                }
            }
        }
    }

    /// Takes what a peer answered to a part of the log.
    pub(crate) fn take_acknowledgement(
        &mut self,
        node: Uuid,
        call: CallId,
        result: Result<Bytes, CallFailure>,
    ) {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.shipping.is_of(call)) else { return };
        let reply = result
            .map_err(|failure| failure.to_string())
            .and_then(|bytes| ReplicateReply::decode(&bytes).map_err(|error| error.to_string()));
        let reply = match reply {
            Ok(reply) => reply,
            Err(reason) => {
                tracing::debug!(%node, %reason, "a part of the log did not arrive");
                peer.shipping.fail();
                peer.note_failure(self.now.monotonic);
                return;
            }
        };
        match peer.shipping.acknowledge(reply.cursor, reply.vector.clone(), &self.store) {
            Progress::Some => peer.note_success(),
            // The same part would be sent again at once, and may well be refused again.
            Progress::None => peer.note_failure(self.now.monotonic),
        }
        self.check_own_numbers(&reply.vector);
        if !reply.drops.is_empty() {
            match receive::forget(&self.store, reply.drops) {
                Ok(dropped) => self.sessions.dropped += dropped as u64,
                Err(error) => {
                    tracing::error!(%error, "versions that were deleted elsewhere could not be forgotten");
                }
            }
        }
        self.settle_waits();
    }

    /// Asks peers where they stand.
    pub(crate) fn ask_standings(&mut self) {
        let now = self.now.monotonic;
        let turns = STATUS_TURN.saturating_mul(u32::try_from(self.peers.len()).unwrap_or(u32::MAX));
        let interval = STATUS_INTERVAL.max(turns);
        let due: Vec<Uuid> = self
            .peers
            .iter()
            .filter(|(_, peer)| {
                let is_due = now >= peer.status_at || (!peer.shipping.is_told() && now >= peer.retry_at);
                peer.is_reachable() && peer.status_call.is_none() && is_due
            })
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            let call = self.new_call();
            let nonce: [u8; 16] = self.random.random();
            let Some(peer) = self.peers.get_mut(&node) else { continue };
            peer.status_at = now + interval;
            peer.status_call =
                Some(StatusCall { call, asked_at: now, asked_wall_ms: self.now.wall_ms, nonce });
            let floor_ms = kvs_core::item::floor_ms(self.now.wall_ms, self.now.wall_ms);
            let request = StatusRequest { nonce, floor_ms };
            self.call(node, Purpose::Status, call, request.encode(), STATUS_TIMEOUT);
        }
    }

    /// Takes what a peer says about where it stands.
    pub(crate) fn take_standing(&mut self, node: Uuid, call: CallId, result: Result<Bytes, CallFailure>) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(asked) = peer.status_call.take_if(|asked| asked.call == call) else { return };
        let reply = result
            .map_err(|failure| failure.to_string())
            .and_then(|bytes| StatusReply::decode(&bytes).map_err(|error| error.to_string()));
        let reply = match reply {
            Ok(reply) => reply,
            Err(reason) => {
                tracing::debug!(%node, %reason, "a peer did not say where it stands");
                peer.note_failure(self.now.monotonic);
                return;
            }
        };
        peer.note_success();
        let round_trip = self.now.monotonic.saturating_sub(asked.asked_at);
        let half_ms = u64::try_from(round_trip.as_millis() / 2).unwrap_or_default();
        let expected_ms = asked.asked_wall_ms.saturating_add(half_ms);
        peer.clock_offset_ms = Some(reply.wall_ms.cast_signed().saturating_sub(expected_ms.cast_signed()));
        peer.parked = reply.parked;
        peer.grace_ms = Some(reply.grace_ms);
        peer.parked_epochs = reply.parked_epochs;
        peer.mode = reply.mode;
        peer.shipping.note_standing(reply.cursor, reply.vector.clone(), &self.store);
        let key = self.settings.secrets.session(&asked.nonce);
        let mut holdings = StoreHoldings::new(&self.store, self.now.wall_ms);
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
                peer.unequal_since.get_or_insert(self.now.monotonic);
                // While something still arrives, a difference is the ordinary way of things.
                let is_moving = peer.compared_vector != reply.vector;
                let since = match peer.equality {
                    Equality::Unequal(since) if !is_moving => since,
                    _ => self.now.monotonic,
                };
                peer.equality = Equality::Unequal(since);
            }
            Err(error) => tracing::warn!(%error, "the digest cannot be read"),
        }
        peer.compared_vector = reply.vector.clone();
        peer.told = Some((reply.vector.clone(), reply.heard.map(|heard| heard.into_iter().collect())));
        if peer.mode == Mode::Syncing {
            // It takes the log as soon as it has everything else.
            peer.status_at = peer.status_at.min(self.now.monotonic + SYNCING_STATUS_INTERVAL);
        }
        if matches!(peer.equality, Equality::Unequal(_)) && peer.mode != Mode::Syncing {
            // Soon again: either the log brings what is missing, or a session has to.
            peer.status_at = peer.status_at.min(self.now.monotonic + UNEQUAL_STATUS_INTERVAL);
        }
        self.check_own_numbers(&reply.vector);
        self.judge_clock();
        self.compare_graces();
        self.recall_if_due();
        self.settle_waits();
    }
}

/// How soon a peer with another root is asked again.
const UNEQUAL_STATUS_INTERVAL: Duration = Duration::from_millis(400);
