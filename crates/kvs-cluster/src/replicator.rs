//! The replicator: which peer gets what when, told by events and the time.
//!
//! It ships this node's log to every peer that can be reached, asks peers where they stand, holds a session with one
//! whose root differs, fetches everything once when the node is new, tells the store which tombstones every member has,
//! and tells writers how many nodes have their write.
//!
//! This file holds the order of things in one event. Each part has a state of its own in a file of its own: the peers
//! (`peers.rs`), the streams of the log (`streams.rs`), sessions (`repair.rs`), the bootstrap (`fetching.rs`), clocks
//! (`timekeeping.rs`), ended epochs (`lives.rs`), what every member has (`floors.rs`), and who waits for copies
//! (`acknowledgements.rs`). What takes the disk's time is done beside it (`work.rs`).
//!
//! **Invariant:** it decides nothing about records; every record ends in the store's commit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::origin::born_s;
use kvs_core::vector::Vector;
use kvs_protocol::call::{CallFailure, CallId, Now};
use kvs_protocol::mode::Mode;
use kvs_store::commit::mark::Mark;
use kvs_store::error::StoreError;
use kvs_store::store::Store;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::acknowledgements::{Acknowledgements, Ended};
use crate::context::Context;
use crate::contract::{Effect, Event};
use crate::fetching::Fetching;
use crate::floors::Floors;
use crate::lag::Moments;
use crate::limits::FOLD_INTERVAL;
use crate::lives::Lives;
use crate::outbox::{Outbox, Purpose};
use crate::peers::Peers;
use crate::repair::Repair;
use crate::settings::{ReplicatorSettings, Writing};
use crate::streams::{self, Streams};
use crate::timekeeping::Timekeeping;
use crate::work::{Done, Job, Noted, Worked};

/// The replicator of one node.
pub struct Replicator {
    pub(crate) context: Context,
    pub(crate) peers: Peers,
    pub(crate) repair: Repair,
    pub(crate) fetching: Fetching,
    pub(crate) time: Timekeeping,
    pub(crate) moments: Moments,
    outbox: Outbox,
    streams: Streams,
    lives: Lives,
    floors: Floors,
    waiting: Acknowledgements,
    /// The modes as they were last told.
    modes: Option<(Mode, Mode)>,
    /// Whether a new epoch for this node's numbers is being noted.
    is_renumbering: bool,
}

impl Replicator {
    /// The replicator of a store.
    ///
    /// # Errors
    ///
    /// The notes of an earlier process cannot be read or written.
    pub fn new(
        store: Arc<Store>,
        settings: ReplicatorSettings,
        random_seed: [u8; 32],
        now: Now,
    ) -> Result<Self, StoreError> {
        let mut replicator = Self {
            peers: Peers::default(),
            repair: Repair::new(now.monotonic + settings.sync_interval),
            fetching: Fetching::begin(&store, &settings, now)?,
            time: Timekeeping::recall(&store, now)?,
            moments: Moments::default(),
            outbox: Outbox::new(),
            streams: Streams::default(),
            lives: Lives::new(now.monotonic + FOLD_INTERVAL),
            floors: Floors::recall(&store)?,
            waiting: Acknowledgements::default(),
            modes: None,
            is_renumbering: false,
            context: Context {
                own: store.identity().origin.node,
                store,
                settings,
                random: StdRng::from_seed(random_seed),
                now,
            },
        };
        replicator.judge_peers();
        replicator.note_moment();
        replicator.time.see_epoch(&replicator.context);
        Ok(replicator)
    }

    /// Takes an event in; answers what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.context.now = now;
        self.time.watch_clock(&self.context, &mut self.peers);
        match event {
            Event::Timer | Event::Committed => {}
            Event::Members { members, is_everybody } => {
                self.peers.update(members, is_everybody, self.context.own);
                self.floors.compute_soon();
                self.judge_peers();
                self.settle_waits();
            }
            Event::Reply { call, result } => self.take_reply(call, result),
            Event::Worked(worked) => self.take_worked(worked),
            Event::Await { ticket, dot, needed } => {
                if !self.waiting.add(ticket, dot, needed) {
                    self.outbox.push(Effect::TooManyWait { ticket });
                }
                self.settle_waits();
            }
            Event::GiveUp { ticket } => {
                let vectors = self.peers.copies(self.context.store.clock_skew_ms_max());
                let ended = self.waiting.give_up(ticket, vectors, &self.context.store.standing().recalls);
                self.tell_ended(ended);
            }
        }
        self.note_moment();
        self.pump();
        // Before the next event the store may begin another, as it notices itself that the clock was set.
        self.time.see_epoch(&self.context);
        self.outbox.take()
    }

    /// When [`Event::Timer`] is due, on the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        // While everything is fetched no session is held and nothing is folded, however long it is due.
        let idle = [self.repair.deadline(), Some(self.lives.deadline())];
        let idle = idle.into_iter().flatten().filter(|_| !self.fetching.is_under_way());
        let streams = self.streams.deadline(&self.peers, self.context.now.monotonic);
        let fetching = self.fetching.deadline(&self.context, &self.peers);
        let times = idle.chain(streams).chain(fetching).chain(self.time.due_at());
        times.chain([self.floors.deadline()]).min()
    }

    /// Brings what can be done now under way.
    fn pump(&mut self) {
        self.tell_modes();
        let Self { context, peers, outbox, .. } = self;
        self.streams.ship(context, peers, outbox);
        streams::ask_standings(context, peers, outbox);
        self.fetching.fetch(context, peers, outbox);
        self.floors.set(context, peers, &self.fetching, outbox);
        if !self.fetching.is_under_way() {
            // While everything is being fetched there is nothing to compare yet.
            self.repair.hold_sessions(context, peers, outbox);
            self.lives.fold(context, peers, outbox);
        }
        self.tell_modes();
    }

    /// Notes how far the log is now, so that it can be told how late a peer is.
    fn note_moment(&mut self) {
        self.moments.note(self.context.store.last_local_seq(), self.context.now.monotonic);
    }

    /// What the peers say of this node's clock, and of their graces.
    fn judge_peers(&mut self) {
        self.time.judge_clock(&self.context, &self.peers);
        self.time.compare_graces(&self.context, &self.peers, &mut self.outbox);
    }

    fn take_reply(&mut self, call: CallId, result: Result<Bytes, CallFailure>) {
        let Some((node, purpose)) = self.outbox.ended(call) else { return };
        match &result {
            Ok(_) => self.outbox.push(Effect::Heard { node }),
            Err(CallFailure::Refused) => self.outbox.push(Effect::PeerRefused { node }),
            Err(CallFailure::Denied(reason) | CallFailure::Rejected(reason)) => {
                tracing::debug!(%node, %reason, ?purpose, "a peer refused a call");
            }
            Err(CallFailure::Unreachable(reason)) => {
                tracing::debug!(%node, %reason, ?purpose, "a peer did not answer");
            }
        }
        let Self { context, peers, outbox, .. } = self;
        match purpose {
            Purpose::Replicate => {
                let Some(peer) = peers.get_mut(&node) else { return };
                let vector = self.streams.take_acknowledgement(context, peer, outbox, call, result);
                if let Some(vector) = vector {
                    self.check_own_numbers(&vector);
                    self.settle_waits();
                }
            }
            Purpose::Relay => {
                for vector in self.streams.take_relayed(context, peers, outbox, call, result) {
                    self.check_own_numbers(&vector);
                }
                self.settle_waits();
            }
            Purpose::Status => {
                let Some(peer) = peers.get_mut(&node) else { return };
                if let Some(vector) = streams::take_standing(context, peer, call, result) {
                    self.check_own_numbers(&vector);
                    self.judge_peers();
                    self.time.recall_if_due(&self.context, &self.peers);
                    self.settle_waits();
                }
            }
            Purpose::Page => self.fetching.take_reply(context, peers, outbox, (node, call), result),
            Purpose::Session => self.repair.take_reply(context, peers, outbox, call, result),
        }
    }

    fn take_worked(&mut self, worked: Worked) {
        let Self { context, peers, outbox, .. } = self;
        match worked.0 {
            Done::Noted(noted, result) => self.take_noted(noted, result),
            Done::Forgot { node, dropped } => {
                self.streams.take_forgot(peers, outbox, node);
                match dropped {
                    Ok(dropped) => self.repair.count_dropped(dropped),
                    Err(error) => {
                        tracing::error!(%error, "versions that were deleted elsewhere could not be forgotten");
                    }
                }
            }
            Done::Asked(session, asked) => self.repair.take_asked(context, peers, outbox, session, asked),
            Done::Taken(session, taken) => self.repair.take_taken(context, peers, session, taken),
            Done::Page(bootstrap, step) => self.fetching.take_back(context, peers, bootstrap, step),
        }
    }

    fn take_noted(&mut self, noted: Noted, result: Result<(), StoreError>) {
        if let Err(error) = &result {
            tracing::warn!(%error, what = noted.name(), "something could not be noted");
        }
        let is_noted = result.is_ok();
        match noted {
            Noted::Acknowledged(known) => self.floors.noted(known, is_noted),
            Noted::Grace(shortest_ms) => self.time.grace_noted(shortest_ms, is_noted),
            Noted::Fold(marker_s) => self.lives.folded(marker_s, is_noted),
            Noted::OwnNumbers => self.is_renumbering = false,
            Noted::Claim(from) if is_noted && !self.fetching.is_under_way() => {
                self.lives.adopt(&self.context, &self.peers, &mut self.outbox, from);
            }
            Noted::Claim(_) | Noted::Adopted => {}
        }
    }

    /// Answers the waits that have what they wait for.
    fn settle_waits(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let others = self.peers.others_by_name();
        let vectors = self.peers.copies(self.context.store.clock_skew_ms_max());
        let ended = self.waiting.settle(others, vectors, &self.context.store.standing().recalls);
        self.tell_ended(ended);
    }

    fn tell_ended(&mut self, ended: impl IntoIterator<Item = Ended>) {
        for Ended { ticket, count } in ended {
            self.outbox.push(Effect::Replicated { ticket, count });
        }
    }

    /// A peer knows writes of this node's epoch that this node does not remember: their numbers must not be given out again. Or
    /// it takes the epoch for one that ended long ago: then its writes must be given other numbers.
    fn check_own_numbers(&mut self, theirs: &Vector) {
        let own = self.context.store.identity().origin;
        let held = self.context.store.vector();
        let folded_before_s = theirs.marker(own.node);
        // Of epochs of other lives they may well know more.
        let mark = if folded_before_s > born_s(own.epoch) {
            Some(Mark::Renew(folded_before_s))
        } else {
            (theirs.entry(&own) > held.entry(&own)).then_some(Mark::BeginEpoch)
        };
        if let Some(mark) = mark.filter(|_| !self.is_renumbering) {
            tracing::warn!(
                ?mark,
                "a peer knows writes of this node that it does not remember: a new epoch begins"
            );
            self.is_renumbering = true;
            self.outbox.work(Job::Note(Noted::OwnNumbers, vec![mark]));
        }
    }

    /// Notes which of this node's own writes some peer has, if that changed: should the cluster forget this node, only
    /// the others have to be saved. Blocks; for a node that stops.
    pub fn note_acknowledged(&mut self) {
        self.floors.note_acknowledged(&self.context, &self.peers);
    }

    /// The mode that clients and peers see; peers are told at once that a node still has everything to fetch, so that
    /// they do not send it their logs from the beginning.
    #[must_use]
    pub fn modes(&self) -> (Mode, Mode) {
        let configured = match self.context.settings.writing {
            Writing::Allowed => Mode::Normal,
            Writing::ReadOnly => Mode::ReadOnly,
        };
        let clients = match configured {
            Mode::Normal if self.time.judgement().is_ahead => Mode::ClockAhead,
            mode => mode,
        };
        if !self.fetching.is_under_way() {
            return (clients, configured);
        }
        let waits = self.fetching.has_source() || self.fetching.waits_for_source(&self.context, &self.peers);
        (if waits { Mode::Syncing } else { clients }, Mode::Syncing)
    }

    fn tell_modes(&mut self) {
        let modes = self.modes();
        if self.modes != Some(modes) {
            self.modes = Some(modes);
            let (clients, peers) = modes;
            self.outbox.push(Effect::Mode { clients, peers });
        }
    }
}
