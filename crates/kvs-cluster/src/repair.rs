//! The replicator's part for sessions: when one is held, with whom, and what comes of it.
//!
//! One at a time. A peer whose root differs comes first: once its log stands still, or after `catchup_interval` at the
//! latest. Without any difference a full session is still held every `sync_interval`, with one peer after the other in an
//! order drawn by lot: it is also what heals vectors after an origin died, and by turns no peer is left out for long.

use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::outcome::{Completeness, Outcome};
use kvs_protocol::reconcile::session::Session;
use kvs_store::commit::mark::Mark;
use rand::RngExt;
use rand::seq::SliceRandom;
use uuid::Uuid;

use crate::context::Context;
use crate::limits::{REPAIR_TIMEOUT, SESSION_PAUSE, SESSION_PAUSE_MAX, UNEQUAL_PATIENCE};
use crate::outbox::{Outbox, Purpose};
use crate::peer::{Equality, Peer};
use crate::peers::Peers;
use crate::report::SessionReport;
use crate::work::{Job, Noted};

/// A session under way.
struct Held {
    node: Uuid,
    stage: Stage,
}

/// What a session waits for.
enum Stage {
    /// For its next round, which is due at this moment.
    Pause(Box<Session>, Duration),
    /// For the answer to a call.
    Call(Box<Session>, CallId),
    /// For the disk, which has the session.
    Disk,
}

/// Sessions.
pub(crate) struct Repair {
    held: Option<Held>,
    /// When the next full session is due.
    full_at: Duration,
    /// Whose turn for a full session is still to come, the next one last.
    turns: Vec<Uuid>,
    /// When a peer that waits for its session is looked at again.
    look_at: Option<Duration>,
    report: SessionReport,
}

impl Repair {
    /// The first full session is due at this moment.
    pub(crate) fn new(full_at: Duration) -> Self {
        Self { held: None, full_at, turns: Vec::new(), look_at: None, report: SessionReport::default() }
    }

    /// How sessions have gone.
    pub(crate) const fn report(&self) -> SessionReport {
        self.report
    }

    /// Versions were dropped at a peer's word.
    pub(crate) fn count_dropped(&mut self, dropped: usize) {
        self.report.dropped += dropped as u64;
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.held.as_ref().map(|held| &held.stage) {
            Some(Stage::Call(..) | Stage::Disk) => None,
            Some(Stage::Pause(_, until)) => Some(*until),
            None => Some(self.look_at.map_or(self.full_at, |at| at.min(self.full_at))),
        }
    }

    /// Goes on with the session under way, or begins one that is due.
    pub(crate) fn hold_sessions(&mut self, context: &mut Context, peers: &mut Peers, outbox: &mut Outbox) {
        if self.held.is_none() {
            self.choose_session(context, peers);
        }
        let now = context.now.monotonic;
        let Some(Held { node, stage: Stage::Pause(_, until) }) = &self.held else { return };
        if now < *until {
            return;
        }
        if !peers.is_reachable(node) {
            self.end_failed(peers, now, "the peer is gone");
            return;
        }
        if let Some(held) = self.held.as_mut()
            && let Stage::Pause(session, _) = std::mem::replace(&mut held.stage, Stage::Disk)
        {
            outbox.work(Job::Ask(session));
        }
    }

    fn choose_session(&mut self, context: &mut Context, peers: &Peers) {
        let now = context.now.monotonic;
        self.look_at = None;
        let mut chosen = None;
        for (node, peer) in peers.iter() {
            let Equality::Unequal(since) = peer.equality else { continue };
            if !peer.is_reachable() || peer.mode == Mode::Syncing {
                continue;
            }
            let at_the_latest =
                peer.unequal_since.map_or(since, |first| first + context.settings.catchup_interval);
            let due_at = (since + UNEQUAL_PATIENCE).min(at_the_latest).max(peer.session_at);
            if due_at <= now {
                chosen = Some(*node);
                break;
            }
            self.look_at = Some(self.look_at.map_or(due_at, |at| at.min(due_at)));
        }
        if chosen.is_none() && now >= self.full_at {
            self.full_at = now + context.settings.sync_interval;
            chosen = self.next_turn(context, peers);
        }
        if let Some(node) = chosen {
            let nonce: [u8; 16] = context.random.random();
            let session = Box::new(Session::new(&context.settings.secrets, nonce));
            self.held = Some(Held { node, stage: Stage::Pause(session, now) });
        }
    }

    /// The peer whose turn for a full session it is: each once, in an order drawn by lot, before any has its turn again.
    fn next_turn(&mut self, context: &mut Context, peers: &Peers) -> Option<Uuid> {
        let can = |peer: &Peer| peer.is_reachable() && peer.mode != Mode::Syncing;
        while let Some(node) = self.turns.pop() {
            if peers.get(&node).is_some_and(can) {
                return Some(node);
            }
        }
        self.turns = peers.iter().filter(|(_, peer)| can(peer)).map(|(node, _)| *node).collect();
        self.turns.shuffle(&mut context.random);
        self.turns.pop()
    }

    /// The session says what it asks next.
    pub(crate) fn take_asked(
        &mut self,
        context: &Context,
        peers: &mut Peers,
        outbox: &mut Outbox,
        session: Box<Session>,
        asked: Result<Option<Vec<u8>>, String>,
    ) {
        let Some(held) = self.held.as_mut() else { return };
        match asked {
            Ok(Some(body)) => match peers.get(&held.node).filter(|peer| peer.is_reachable()) {
                Some(peer) => {
                    let call = outbox.new_call();
                    held.stage = Stage::Call(session, call);
                    outbox.call(peer, Purpose::Session, call, body, REPAIR_TIMEOUT);
                }
                None => self.end_failed(peers, context.now.monotonic, "the peer is gone"),
            },
            Ok(None) => self.end(context, peers, outbox, &session),
            Err(reason) => self.end_failed(peers, context.now.monotonic, &reason),
        }
    }

    /// Takes what a peer answered to a round.
    pub(crate) fn take_reply(
        &mut self,
        context: &Context,
        peers: &mut Peers,
        outbox: &mut Outbox,
        call: CallId,
        result: Result<Bytes, CallFailure>,
    ) {
        let Some(held) = self.held.as_mut() else { return };
        match std::mem::replace(&mut held.stage, Stage::Disk) {
            Stage::Call(session, asked) if asked == call => match result {
                Ok(bytes) => outbox.work(Job::Take(session, bytes)),
                Err(failure) => self.end_failed(peers, context.now.monotonic, &failure.to_string()),
            },
            // An answer to an earlier session.
            other => held.stage = other,
        }
    }

    /// What a peer answered was taken, or could not be.
    pub(crate) fn take_taken(
        &mut self,
        context: &Context,
        peers: &mut Peers,
        session: Box<Session>,
        taken: Result<(), String>,
    ) {
        let now = context.now.monotonic;
        match (taken, self.held.as_mut()) {
            (Ok(()), Some(held)) => {
                held.stage = Stage::Pause(session, now + context.settings.throttle_delay);
            }
            (Err(reason), Some(_)) => self.end_failed(peers, now, &reason),
            (_, None) => {}
        }
    }

    fn end(&mut self, context: &Context, peers: &mut Peers, outbox: &mut Outbox, session: &Session) {
        let Some(Held { node, .. }) = self.held.take() else { return };
        let now = context.now.monotonic;
        let Some(Outcome { completeness, raise_to, began_equal, tally, .. }) = session.outcome() else {
            return;
        };
        self.report.held += 1;
        self.report.records += tally.received;
        self.report.dropped += tally.dropped;
        let found = tally.received + tally.offered + tally.dropped;
        // Tombstones and late changes come again and again where nothing differs.
        if found > 0 && (!began_equal || tally.dropped > 0) {
            self.report.repaired += 1;
            tracing::info!(
                %node, rounds = tally.rounds, received = tally.received, offered = tally.offered,
                dropped = tally.dropped, is_complete = completeness == Completeness::Complete,
                "a session repaired differences"
            );
        }
        if let Some(vector) = raise_to {
            outbox.work(Job::Note(Noted::Claim(node), vec![Mark::Raise(vector)]));
        }
        let Some(peer) = peers.get_mut(&node) else { return };
        // Its root is asked for at once: the session says what was, not what is.
        peer.status_at = now;
        if !began_equal {
            // Once should be enough; whatever keeps the roots apart (a record that is parked) may do so for long.
            peer.session_failures = peer.session_failures.saturating_add(1);
        }
        peer.session_at = now + session_pause(peer.session_failures);
        peer.equality = Equality::Unknown;
    }

    fn end_failed(&mut self, peers: &mut Peers, now: Duration, reason: &str) {
        let Some(Held { node, .. }) = self.held.take() else { return };
        self.report.failed += 1;
        tracing::info!(%node, reason, "a session was given up");
        if let Some(peer) = peers.get_mut(&node) {
            peer.session_failures = peer.session_failures.saturating_add(1);
            let pause = session_pause(peer.session_failures.max(2));
            peer.session_at = now + pause;
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
