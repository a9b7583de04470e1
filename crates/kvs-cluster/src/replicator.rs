//! The replicator: which peer gets what when, told by events and the time.
//!
//! It ships this node's log to every peer that can be reached, asks peers where they stand, holds a session with one
//! whose root differs, fetches everything once when the node is new, tells the store which tombstones every member has,
//! and tells writers how many nodes have their write.
//!
//! **Invariant:** it decides nothing about records; every record ends in the store's commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::origin::born_s;
use kvs_core::vector::Vector;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::call::{CallFailure, CallId, CallKind, Now};
use kvs_protocol::membership::member::Member;
use kvs_protocol::mode::Mode;
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use kvs_store::error::StoreError;
use kvs_store::store::Store;
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::acknowledgements::Acknowledgements;
use crate::bootstrap::Bootstrap;
use crate::clock_watch::{ClockWatch, noted_grace_ms};
use crate::contract::{Effect, Event};
use crate::folding::Adopting;
use crate::held_session::Repair;
use crate::limits::{ACKNOWLEDGED_INTERVAL, ALONE_PATIENCE, FLOOR_INTERVAL, FOLD_INTERVAL, MOMENTS_MAX};
use crate::peer::Peer;
use crate::report::SessionReport;
use crate::settings::{Begins, ReplicatorSettings, Writing};
use crate::shipping::LastPiece;

/// What a call in flight is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A part of the log.
    Replicate,
    /// Where the peer stands.
    Status,
    /// A page.
    Page,
    /// A round of a session.
    Session,
}

/// The end of the log at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) local_seq: u64,
    pub(crate) at: Duration,
}

/// The replicator of one node.
pub struct Replicator {
    pub(crate) store: Arc<Store>,
    pub(crate) settings: ReplicatorSettings,
    pub(crate) random: StdRng,
    pub(crate) own: Uuid,
    pub(crate) peers: BTreeMap<Uuid, Peer>,
    pub(crate) bootstrap: Option<Bootstrap>,
    pub(crate) repair: Repair,
    pub(crate) sessions: SessionReport,
    pub(crate) waiting: Acknowledgements,
    pub(crate) effects: Vec<Effect>,
    pub(crate) calls: BTreeMap<CallId, (Uuid, Purpose)>,
    pub(crate) moments: VecDeque<Moment>,
    pub(crate) last_piece: LastPiece,
    /// Since when every peer that answers is itself fetching.
    pub(crate) syncing_since: Option<Duration>,
    next_call: u64,
    modes: Option<(Mode, Mode)>,
    /// This node's name, as its members list says.
    own_name: String,
    /// Whether it began with nothing, or with a part of what its cluster holds.
    is_empty: bool,
    /// Until when a node that is empty waits for somebody to fetch from.
    alone_until: Duration,
    /// What peers' clocks say of this node's.
    pub(crate) clock: ClockWatch,
    /// The shortest grace of tombstones that is known of any member, as noted.
    pub(crate) shortest_grace_ms: u64,
    floor_at: Duration,
    pub(crate) fold_at: Duration,
    /// Who gave everything since it is known what is missing of this node's lost lives.
    pub(crate) adopting: Adopting,
    /// Which own writes some peer has, as noted, and when that may be noted again.
    acknowledged: Vector,
    acknowledged_at: Duration,
    pub(crate) now: Now,
}

impl Replicator {
    /// The replicator of a store. Its calls have odd numbers.
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
        let recent_ms = u64::try_from(settings.bootstrap_recent.as_millis()).unwrap_or(u64::MAX);
        let bootstrap = match settings.begins {
            Begins::Joining => Bootstrap::recall(&store, now.wall_ms.saturating_sub(recent_ms))?,
            Begins::First => {
                store.commit(Transaction { writes: Vec::new(), marks: vec![Bootstrap::done_note()] })?;
                None
            }
        };
        let own = store.identity().origin.node;
        let acknowledged = acknowledged(&store)?;
        // A part of what the cluster holds is as good as nothing to whoever reads here.
        let is_empty =
            bootstrap.as_ref().is_some_and(|bootstrap| store.last_local_seq() == 0 || bootstrap.is_begun());
        let clock = ClockWatch::new(now);
        let shortest_grace_ms = noted_grace_ms(&store)?;
        let mut replicator = Self {
            store,
            settings,
            random: StdRng::from_seed(random_seed),
            own,
            peers: BTreeMap::new(),
            bootstrap,
            repair: Repair::default(),
            sessions: SessionReport::default(),
            waiting: Acknowledgements::default(),
            effects: Vec::new(),
            calls: BTreeMap::new(),
            moments: VecDeque::new(),
            last_piece: LastPiece::default(),
            syncing_since: None,
            next_call: 1,
            modes: None,
            own_name: String::new(),
            is_empty,
            alone_until: now.monotonic + ALONE_PATIENCE,
            clock,
            shortest_grace_ms,
            floor_at: Duration::ZERO,
            fold_at: now.monotonic + FOLD_INTERVAL,
            adopting: Adopting::default(),
            acknowledged,
            acknowledged_at: Duration::ZERO,
            now,
        };
        replicator.repair.begin(now.monotonic, replicator.settings.sync_interval);
        replicator.judge_clock();
        replicator.compare_graces();
        replicator.note_moment();
        Ok(replicator)
    }

    /// Takes an event in; answers what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = now;
        self.watch_clock();
        match event {
            Event::Timer | Event::Committed => {}
            Event::Members(members) => self.take_members(members),
            Event::Reply { call, result } => self.take_reply(call, result),
            Event::Await { ticket, dot, needed } => {
                let refused = self.waiting.add(ticket, dot, needed);
                self.effects.extend(refused);
                self.settle_waits();
            }
            Event::GiveUp { ticket } => {
                let vectors = copies(&self.peers, self.store.clock_skew_ms_max());
                let told = self.waiting.give_up(ticket, vectors, &self.store.standing().recalls);
                self.effects.extend(told);
            }
        }
        self.note_moment();
        self.pump();
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Timer`] is due, on the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let statuses = self.peers.values().filter(|peer| peer.is_reachable() && peer.status_call.is_none());
        let statuses = statuses.map(|peer| peer.status_at);
        let behind = self.peers.values().filter(|peer| {
            peer.is_reachable()
                && peer.shipping.is_told()
                && !peer.shipping.is_busy()
                && peer.retry_at > self.now.monotonic
        });
        let retries = behind.map(|peer| peer.retry_at);
        let page = self.bootstrap.as_ref().filter(|bootstrap| bootstrap.in_flight.is_none());
        let page =
            page.map(|bootstrap| bootstrap.next_at.max(self.now.monotonic + Duration::from_millis(10)));
        // While everything is fetched no session is held, however long one is due.
        let repair = self.repair.deadline().filter(|_| self.bootstrap.is_none());
        let alone = Some(self.alone_until).filter(|_| self.waits_for_source());
        let times = statuses.chain(retries).chain(page).chain(repair).chain(alone);
        times.chain([self.floor_at, self.fold_at]).chain(self.clock.due_at()).min()
    }

    /// Brings what can be done now under way.
    fn pump(&mut self) {
        self.tell_modes();
        self.ship();
        self.ask_standings();
        self.fetch();
        self.hold_sessions();
        self.set_floors();
        self.fold();
        self.tell_modes();
    }

    /// Notes how far the log is now, so that it can be told how late a peer is.
    fn note_moment(&mut self) {
        let local_seq = self.store.last_local_seq();
        if self.moments.back().is_none_or(|last| last.local_seq < local_seq) {
            if self.moments.len() == MOMENTS_MAX {
                // Every other one is forgotten: what is old is told less exactly.
                let mut keep = false;
                self.moments.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
            self.moments.push_back(Moment { local_seq, at: self.now.monotonic });
        }
    }

    fn take_members(&mut self, members: Vec<Member>) {
        if let Some(own) = members.iter().find(|member| member.node == self.own) {
            self.own_name.clone_from(&own.node_id);
        }
        let members: BTreeMap<Uuid, Member> = members
            .into_iter()
            .filter(|member| member.node != self.own)
            .map(|member| (member.node, member))
            .collect();
        self.peers.retain(|node, _| members.contains_key(node));
        for (node, member) in members {
            let peer = self.peers.entry(node).or_insert_with(|| Peer::new(member.clone()));
            let was_reachable = peer.is_reachable();
            let is_restarted = peer.member.generation != member.generation;
            peer.member = member;
            if is_restarted || (peer.is_reachable() && !was_reachable) {
                // It may stand elsewhere than it did, and have another clock.
                peer.shipping.lose();
                peer.clock_offset_ms = None;
                peer.told = None;
                peer.retry_at = Duration::ZERO;
                peer.status_at = Duration::ZERO;
            }
        }
        self.floor_at = Duration::ZERO;
        self.judge_clock();
        self.compare_graces();
        self.settle_waits();
    }

    fn take_reply(&mut self, call: CallId, result: Result<Bytes, CallFailure>) {
        let Some((node, purpose)) = self.calls.remove(&call) else { return };
        match &result {
            Ok(_) => self.effects.push(Effect::Heard { node }),
            Err(CallFailure::Refused) => self.effects.push(Effect::PeerRefused { node }),
            Err(CallFailure::Denied(reason) | CallFailure::Rejected(reason)) => {
                tracing::debug!(%node, %reason, ?purpose, "a peer refused a call");
            }
            Err(CallFailure::Unreachable(reason)) => {
                tracing::debug!(%node, %reason, ?purpose, "a peer did not answer");
            }
        }
        match purpose {
            Purpose::Replicate => self.take_acknowledgement(node, call, result),
            Purpose::Status => self.take_standing(node, call, result),
            Purpose::Page => self.take_page(node, call, result),
            Purpose::Session => self.take_round(node, call, result),
        }
    }

    /// Makes a call.
    pub(crate) fn call(
        &mut self,
        node: Uuid,
        purpose: Purpose,
        call: CallId,
        body: Vec<u8>,
        timeout: Duration,
    ) {
        let Some(peer) = self.peers.get(&node) else { return };
        let kind = match purpose {
            Purpose::Replicate => CallKind::Replicate,
            Purpose::Status => CallKind::Status,
            Purpose::Page => CallKind::Page,
            Purpose::Session => CallKind::Sync,
        };
        self.calls.insert(call, (node, purpose));
        let to = peer.member.address.clone();
        self.effects.push(Effect::Call { call, node, to, kind, body: body.into(), timeout });
    }

    pub(crate) const fn new_call(&mut self) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 2;
        call
    }

    /// Answers the waits that have what they wait for.
    pub(crate) fn settle_waits(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let others = self.others_by_name();
        let vectors = copies(&self.peers, self.store.clock_skew_ms_max());
        self.waiting.settle(others, vectors, &self.store.standing().recalls, &mut self.effects);
    }

    /// How many other members a writer may wait for: all that live, and the dead whose names nobody that lives has. A machine
    /// that was replaced is one member, not two.
    fn others_by_name(&self) -> u32 {
        let counting = || self.peers.values().filter(|peer| peer.counts());
        let living = counting().filter(|peer| peer.is_reachable());
        let names: BTreeSet<&str> =
            living.clone().map(|peer| peer.member.node_id.as_str()).chain([self.own_name.as_str()]).collect();
        let dead = counting().filter(|peer| !peer.is_reachable()).map(|peer| peer.member.node_id.as_str());
        let missing: BTreeSet<&str> = dead.filter(|name| !names.contains(name)).collect();
        u32::try_from(living.count() + missing.len()).unwrap_or(u32::MAX)
    }

    /// Whether this node has nothing to serve yet and waits for somebody to fetch it from. One that was admitted and knows of
    /// nobody else is the first of its cluster.
    fn waits_for_source(&self) -> bool {
        let is_first = self.peers.is_empty() && self.store.identity().joined_ms != JOINED_YOUNGEST_MS;
        self.is_empty && !is_first && self.now.monotonic < self.alone_until
    }

    /// A peer knows writes of this node's epoch that this node does not remember: their numbers must not be given out again. Or
    /// it takes the epoch for one that ended long ago: then its writes must be given other numbers.
    pub(crate) fn check_own_numbers(&self, theirs: &Vector) {
        let own = self.store.identity().origin;
        let held = self.store.vector();
        let folded_before_s = theirs.marker(own.node);
        // Of epochs of other lives they may well know more.
        let mark = if folded_before_s > born_s(own.epoch) {
            Some(Mark::Renew(folded_before_s))
        } else {
            (theirs.entry(&own) > held.entry(&own)).then_some(Mark::BeginEpoch)
        };
        if let Some(mark) = mark {
            tracing::warn!(
                ?mark,
                "a peer knows writes of this node that it does not remember: a new epoch begins"
            );
            let begun = self.store.commit(Transaction { writes: Vec::new(), marks: vec![mark] });
            if let Err(error) = begun {
                tracing::error!(%error, "the new epoch could not be noted");
            }
        }
    }

    /// Tells the store which tombstones every member has, so that they may go.
    fn set_floors(&mut self) {
        let counting = || self.peers.values().filter(|peer| peer.counts());
        if self.now.monotonic < self.floor_at {
            return;
        }
        self.floor_at = self.now.monotonic + FLOOR_INTERVAL;
        let mut floor: Option<Vector> = None;
        for peer in counting() {
            let received = peer.shipping.received();
            floor = Some(floor.map_or_else(|| received.clone(), |floor| floor.meet(received)));
        }
        if self.now.monotonic >= self.acknowledged_at {
            self.note_acknowledged();
        }
        // What this node has not received itself it cannot judge.
        let own = self.store.vector_held();
        self.store.set_collection_floor(floor.map(|floor| floor.meet(&own)));
    }

    /// Notes which of this node's own writes some peer has, if that changed: should the cluster forget this node, only
    /// the others have to be saved.
    pub fn note_acknowledged(&mut self) {
        self.acknowledged_at = self.now.monotonic + ACKNOWLEDGED_INTERVAL;
        let mut known = self.acknowledged.clone();
        for peer in self.peers.values() {
            known.join(&peer.shipping.received().of_node(self.own));
        }
        if known == self.acknowledged {
            return;
        }
        let mut bytes = Vec::new();
        known.encode_into(&mut bytes);
        let marks = vec![Mark::Note(Note::Acknowledged, bytes)];
        match self.store.commit(Transaction { writes: Vec::new(), marks }) {
            Ok(_) => self.acknowledged = known,
            Err(error) => tracing::warn!(%error, "what peers acknowledged could not be noted"),
        }
    }

    /// The mode that clients and peers see; peers are told at once that a node still has everything to fetch, so that
    /// they do not send it their logs from the beginning.
    #[must_use]
    pub fn modes(&self) -> (Mode, Mode) {
        let configured = match self.settings.writing {
            Writing::Allowed => Mode::Normal,
            Writing::ReadOnly => Mode::ReadOnly,
        };
        let clients = match configured {
            Mode::Normal if self.clock.judgement.is_ahead => Mode::ClockAhead,
            mode => mode,
        };
        match &self.bootstrap {
            None => (clients, configured),
            Some(bootstrap) if bootstrap.source().is_some() || self.waits_for_source() => {
                (Mode::Syncing, Mode::Syncing)
            }
            Some(_) => (clients, Mode::Syncing),
        }
    }

    fn tell_modes(&mut self) {
        let modes = self.modes();
        if self.modes != Some(modes) {
            self.modes = Some(modes);
            let (clients, peers) = modes;
            self.effects.push(Effect::Mode { clients, peers });
        }
    }
}

/// What the peers hold whose clocks let them show it.
fn copies(peers: &BTreeMap<Uuid, Peer>, skew_ms: u64) -> impl Iterator<Item = &Vector> + Clone {
    let shown = peers.values().filter(move |peer| peer.counts() && peer.shows_what_it_holds(skew_ms));
    shown.map(|peer| peer.shipping.received())
}

/// Which of a node's own writes some peer is known to have, as an earlier process or this one noted.
///
/// # Errors
///
/// The note cannot be read; one that makes no sense counts as none.
pub fn acknowledged(store: &Store) -> Result<Vector, StoreError> {
    let note = store.note(Note::Acknowledged)?;
    Ok(note.and_then(|bytes| Vector::decode(&mut Cursor::new(&bytes)).ok()).unwrap_or_default())
}
