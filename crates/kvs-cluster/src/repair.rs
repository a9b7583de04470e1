//! The replicator's part for sessions: when one is held, with whom, and what comes of it.
//!
//! One at a time. A peer whose root differs comes first: once its log stands still, or after `catchup_interval` at the
//! latest. Without any difference a full session is still held every `sync_interval`, with a peer drawn by lot: it is also
//! what heals vectors after an origin died.

use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::outcome::{Completeness, Outcome};
use kvs_protocol::reconcile::session::Session;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::Transaction;
use rand::RngExt;
use uuid::Uuid;

use crate::held_session::Held;
use crate::limits::{REPAIR_TIMEOUT, SESSION_PAUSE, SESSION_PAUSE_MAX, UNEQUAL_PATIENCE};
use crate::peer::Equality;
use crate::replicator::{Purpose, Replicator};
use crate::store_holdings::StoreHoldings;

impl Replicator {
    /// Goes on with the session under way, or begins one that is due.
    pub(crate) fn hold_sessions(&mut self) {
        if self.repair.held.is_none() {
            self.choose_session();
        }
        self.ask_round();
    }

    fn choose_session(&mut self) {
        let now = self.now.monotonic;
        self.repair.look_at = None;
        if self.bootstrap.is_some() {
            // Everything is being fetched: there is nothing to compare yet.
            return;
        }
        let mut chosen = None;
        let mut look_at: Option<Duration> = None;
        for (node, peer) in &self.peers {
            let Equality::Unequal(since) = peer.equality else { continue };
            if !peer.is_reachable() || peer.mode == Mode::Syncing {
                continue;
            }
            let at_the_latest =
                peer.unequal_since.map_or(since, |first| first + self.settings.catchup_interval);
            let due_at = (since + UNEQUAL_PATIENCE).min(at_the_latest).max(peer.session_at);
            if due_at <= now {
                chosen = Some(*node);
                break;
            }
            look_at = Some(look_at.map_or(due_at, |at| at.min(due_at)));
        }
        self.repair.look_at = look_at;
        if chosen.is_none() && now >= self.repair.full_at {
            self.repair.full_at = now + self.settings.sync_interval;
            let reachable: Vec<Uuid> = self
                .peers
                .iter()
                .filter(|(_, peer)| peer.is_reachable() && peer.mode != Mode::Syncing)
                .map(|(node, _)| *node)
                .collect();
            if !reachable.is_empty() {
                chosen = reachable.get(self.random.random_range(0..reachable.len())).copied();
            }
        }
        if let Some(node) = chosen {
            let nonce: [u8; 16] = self.random.random();
            let session = Session::new(&self.settings.secrets, nonce);
            self.repair.held = Some(Held { node, session, in_flight: None, next_at: now });
        }
    }

    fn ask_round(&mut self) {
        let now = self.now.monotonic;
        let Some(held) = self.repair.held.as_mut() else { return };
        if held.in_flight.is_some() || now < held.next_at {
            return;
        }
        if !self.peers.get(&held.node).is_some_and(crate::peer::Peer::is_reachable) {
            self.end_failed("the peer is gone");
            return;
        }
        let mut holdings = StoreHoldings::new(&self.store, self.now.wall_ms);
        match held.session.ask(&mut holdings) {
            Ok(Some(body)) => {
                let node = held.node;
                let call = self.new_call();
                if let Some(held) = self.repair.held.as_mut() {
                    held.in_flight = Some(call);
                }
                self.call(node, Purpose::Session, call, body, REPAIR_TIMEOUT);
            }
            Ok(None) => self.end(),
            Err(error) => {
                let reason = error.to_string();
                self.end_failed(&reason);
            }
        }
    }

    /// Takes what a peer answered to a round.
    pub(crate) fn take_round(&mut self, node: Uuid, call: CallId, result: Result<Bytes, CallFailure>) {
        let (now, throttle) = (self.now.monotonic, self.settings.throttle_delay);
        let Some(held) = self.repair.held.as_mut().filter(|held| held.in_flight == Some(call)) else {
            return;
        };
        debug_assert_eq!(held.node, node, "a call is answered by whom it was made to");
        held.in_flight = None;
        held.next_at = now + throttle;
        let mut holdings = StoreHoldings::new(&self.store, self.now.wall_ms);
        let taken = result.map_err(|failure| failure.to_string()).and_then(|bytes| {
            held.session.take_reply(&mut holdings, &bytes).map_err(|error| error.to_string())
        });
        if let Err(reason) = taken {
            self.end_failed(&reason);
        }
    }

    fn end(&mut self) {
        let Some(held) = self.repair.held.take() else { return };
        let now = self.now.monotonic;
        let Some(Outcome { completeness, raise_to, began_equal, tally, .. }) = held.session.outcome() else {
            return;
        };
        self.sessions.held += 1;
        self.sessions.records += tally.received;
        self.sessions.dropped += tally.dropped;
        let found = tally.received + tally.offered + tally.dropped;
        // Tombstones and late changes come again and again where nothing differs.
        if found > 0 && (!began_equal || tally.dropped > 0) {
            self.sessions.repaired += 1;
            tracing::info!(
                node = %held.node, rounds = tally.rounds, received = tally.received, offered = tally.offered,
                dropped = tally.dropped, is_complete = completeness == Completeness::Complete,
                "a session repaired differences"
            );
        }
        if let Some(vector) = raise_to {
            let marks = vec![Mark::Raise(vector)];
            match self.store.commit(Transaction { writes: Vec::new(), marks }) {
                Ok(_) => self.adopt(held.node),
                Err(error) => tracing::error!(%error, "what a session found could not be noted"),
            }
        }
        let Some(peer) = self.peers.get_mut(&held.node) else { return };
        // Its root is asked for at once: the session says what was, not what is.
        peer.status_at = now;
        if !began_equal {
            // Once should be enough; whatever keeps the roots apart (a record that is parked) may do so for long.
            peer.session_failures = peer.session_failures.saturating_add(1);
        }
        peer.session_at = now + session_pause(peer.session_failures);
        peer.equality = Equality::Unknown;
    }

    fn end_failed(&mut self, reason: &str) {
        let Some(held) = self.repair.held.take() else { return };
        self.sessions.failed += 1;
        tracing::info!(node = %held.node, reason, "a session was given up");
        if let Some(peer) = self.peers.get_mut(&held.node) {
            peer.session_failures = peer.session_failures.saturating_add(1);
            let pause = session_pause(peer.session_failures.max(2));
            peer.session_at = self.now.monotonic + pause;
        }
    }
}

/// The pause after so many sessions in a row that did not make the roots equal.
fn session_pause(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(more) => SESSION_PAUSE.saturating_mul(1 << more.min(6)).min(SESSION_PAUSE_MAX),
    }
}
