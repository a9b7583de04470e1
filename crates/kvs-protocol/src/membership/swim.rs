//! The membership machine: foca as failure detector, and around it lists, admission, hints and patience.
//!
//! This file holds the state and the order of things in one event: what came is handled, then the registry mirrors
//! what the detector thinks, then the list's hash is taken, and whatever changed goes out. What is handled how stands
//! in `detector.rs` (frames, suspicion), `exchange.rs` (lists), `admission.rs` (who may be in), `hint.rs` (refused
//! connections) and `reprobe.rs` (seeds and the dead).
//!
//! **Invariant:** every request is answered exactly once; after [`Effect::Stop`] or [`Effect::Forgotten`] nothing is
//! called or decided any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast};
use kvs_core::version::JOINED_YOUNGEST_MS;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::call::{CallFailure, CallId, CallKind, Now};
use crate::membership::alarm::Alarm;
use crate::membership::contract::{Effect, Event, Membership, SeedReport};
use crate::membership::detector_config::detector_config;
use crate::membership::errand::{Carried, Reason, Target};
use crate::membership::frame::FrameCodec;
use crate::membership::hint_state::Hint;
use crate::membership::lateness::Lateness;
use crate::membership::life::Life;
use crate::membership::member::{Member, Status};
use crate::membership::pace::Pace;
use crate::membership::probe::Probe;
use crate::membership::purpose::Purpose;
use crate::membership::record::{Record, Row, Standing};
use crate::membership::registry::{Peer, Registry, digest};
use crate::membership::rumors::Rumors;
use crate::membership::schedule::Schedule;
use crate::membership::seed::{Attempt, Seed};
use crate::membership::settings::{
    ADMISSION_PAUSE, AGE_PERIOD, CALLS_MAX, HIDDEN_AFTER, MembershipSettings, PERSIST_PAUSE,
    PERSIST_PAUSE_EACH, RUMOR_PAUSE_EACH, RUMOR_PAUSE_MS,
};
use crate::membership::view::{member, own_member};

/// How far this machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    Running,
    Left,
    Stopped,
}

/// Membership by SWIM.
pub struct Swim {
    pub(crate) own: Record,
    pub(crate) seeds: Vec<Seed>,
    pub(crate) gossip_interval: RangeInclusive<Duration>,
    pub(crate) forget_after: Duration,
    pub(crate) foca: Foca<Life, FrameCodec, StdRng, NoCustomBroadcast>,
    pub(crate) runtime: AccumulatingRuntime<Life>,
    pub(crate) incarnation: u16,
    /// This node's life as it was last seen.
    pub(crate) own_life: Life,
    /// Whom the detector may see otherwise than the registry.
    pub(crate) touched: BTreeSet<Uuid>,
    pub(crate) registry: Registry,
    pub(crate) attempts: BTreeMap<Target, Attempt>,
    pub(crate) hints: BTreeMap<Uuid, Hint>,
    pub(crate) alarms: Schedule<Alarm>,
    pub(crate) calls: BTreeMap<CallId, Purpose>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) rng: StdRng,
    pub(crate) now: Now,
    pub(crate) started: Duration,
    pub(crate) phase: Phase,
    pub(crate) hash: u64,
    /// The digest of this node's own row.
    own_digest: u64,
    /// This node's own health, 0 is best.
    pub(crate) health: u32,
    pub(crate) lateness: Lateness,
    /// The detector's probe that is under way, or was last.
    pub(crate) probe: Option<Probe>,
    pub(crate) joined_max_ms: u64,
    persisted: Option<Vec<u8>>,
    next_call: u64,
    rumor_is_set: bool,
    pub(crate) rumors: Rumors,
    pub(crate) pace: Pace,
    persist_is_set: bool,
    /// Whether everybody was known when that was last looked at.
    knew_everybody: bool,
    pub(crate) statuses: Vec<Status>,
}

impl Swim {
    /// A machine that waits for [`Event::Start`]. `persisted` is what [`Effect::Persist`] last gave; bytes that cannot
    /// be read are as good as none. All randomness comes from `random_seed`.
    #[must_use]
    pub fn new(settings: MembershipSettings, persisted: Option<&[u8]>, random_seed: u64) -> Self {
        let life = Life { node: settings.node, generation: settings.generation, rejoins: 0 };
        let detector_rng = StdRng::seed_from_u64(random_seed.rotate_left(32) ^ 0x5357_494d);
        let own = Record::first(&settings);
        let seeds = settings.seeds.into_iter().map(|address| Seed::new(address, &settings.address)).collect();
        Self {
            own,
            seeds,
            gossip_interval: settings.gossip_interval,
            forget_after: settings.forget_after,
            foca: Foca::new(life, detector_config(), detector_rng, FrameCodec),
            runtime: AccumulatingRuntime::new(),
            incarnation: 0,
            own_life: life,
            touched: BTreeSet::new(),
            registry: Registry::default(),
            attempts: BTreeMap::new(),
            hints: BTreeMap::new(),
            alarms: Schedule::new(),
            calls: BTreeMap::new(),
            effects: Vec::new(),
            rng: StdRng::seed_from_u64(random_seed),
            now: Now { monotonic: Duration::ZERO, wall_ms: 0 },
            started: Duration::ZERO,
            phase: Phase::Created,
            hash: 0,
            own_digest: 0,
            health: 0,
            lateness: Lateness::new(),
            probe: None,
            joined_max_ms: 0,
            persisted: persisted.map(<[u8]>::to_vec),
            next_call: settings.first_call,
            rumor_is_set: false,
            rumors: Rumors::new(),
            pace: Pace::new(),
            persist_is_set: false,
            knew_everybody: false,
            statuses: Vec::new(),
        }
    }

    /// How often others have suspected this node since its life began; it said each time that it lives.
    #[must_use]
    pub const fn suspected(&self) -> u16 {
        self.incarnation
    }

    /// How often this process was taken for dead and began another life.
    #[must_use]
    pub fn rejoined(&self) -> u32 {
        self.foca.identity().rejoins
    }

    /// How long this process takes part.
    pub(crate) const fn uptime(&self) -> Duration {
        self.now.monotonic.saturating_sub(self.started)
    }

    pub(crate) fn uptime_ms(&self) -> u64 {
        u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn is_admitted(&self) -> bool {
        self.own.joined_ms != JOINED_YOUNGEST_MS
    }

    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// This node's row in its own list.
    pub(crate) fn own_row(&self) -> Row {
        Row {
            record: Arc::new(self.own.clone()),
            rejoins: self.foca.identity().rejoins,
            incarnation: self.incarnation,
            standing: if self.own.has_left { Standing::Down } else { Standing::Alive },
            is_forgotten: false,
            age_s: 0,
        }
    }

    /// The digest of that row.
    pub(crate) fn own_digest_now(&self) -> u64 {
        let standing = if self.own.has_left { Standing::Down } else { Standing::Alive };
        digest(&self.own, self.foca.identity().rejoins, self.incarnation, standing, false)
    }

    /// Whether one more call may be under way.
    pub(crate) fn may_call(&self) -> bool {
        self.calls.len() < CALLS_MAX
    }

    /// Makes a call.
    pub(crate) fn call(
        &mut self,
        (node, to): (Option<Uuid>, String),
        kind: CallKind,
        body: Bytes,
        timeout: Duration,
        purpose: Purpose,
    ) {
        if !self.may_call() {
            tracing::warn!(to, "too many calls are under way; one was left out");
            return;
        }
        let call = CallId(self.next_call);
        self.next_call = self.next_call.wrapping_add(2);
        self.calls.insert(call, purpose);
        self.effects.push(Effect::Call { call, to, node, kind, body, timeout });
    }

    pub(crate) fn respond(&mut self, reply_to: u64, body: Bytes) {
        self.effects.push(Effect::Respond { reply_to, body });
    }

    /// Nothing is decided any more.
    pub(crate) fn stop(&mut self, last: Effect) {
        if self.phase != Phase::Stopped {
            self.phase = Phase::Stopped;
            self.effects.push(last);
        }
    }

    pub(crate) fn alarm_in(&mut self, pause: Duration, alarm: Alarm) {
        self.alarms.set(self.now.monotonic + pause, alarm);
    }

    /// A random pause from milliseconds.
    pub(crate) fn pause_of(&mut self, range_ms: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range_ms))
    }

    /// A change is on its way to the others.
    pub(crate) fn tell_soon(&mut self) {
        if !self.rumor_is_set && self.is_running() {
            self.rumor_is_set = true;
            let members = u32::try_from(self.registry.len()).unwrap_or(u32::MAX);
            let many = RUMOR_PAUSE_EACH * members * self.rng.random_range(50..=150) / 100;
            let pause = self.pause_of(RUMOR_PAUSE_MS).max(many);
            self.alarm_in(pause, Alarm::Rumor);
        }
    }

    /// The registry takes over what the detector thinks, and the hash is taken.
    pub(crate) fn take_stock(&mut self) {
        self.mirror_detector();
        self.joined_max_ms = self.joined_max_ms.max(self.registry.joined_max_ms());
        if self.is_admitted() {
            self.joined_max_ms = self.joined_max_ms.max(self.own.joined_ms);
        }
        let own_digest = self.own_digest_now();
        let hash = self.registry.hash(own_digest);
        if hash == self.hash {
            return;
        }
        let changed = self.registry.take_changed();
        for node in &changed {
            self.rumors.note(*node);
        }
        if own_digest != self.own_digest {
            self.own_digest = own_digest;
            self.rumors.note(self.own.node);
        }
        self.hash = hash;
        self.pace.note_members(self.registry.len());
        self.tell_soon();
        self.refresh_attempts_of(&changed);
        self.effects.push(Effect::MembersChanged);
        if !self.persist_is_set {
            self.persist_is_set = true;
            let members = u32::try_from(self.registry.len()).unwrap_or(u32::MAX);
            self.alarm_in(PERSIST_PAUSE.max(PERSIST_PAUSE_EACH * members), Alarm::Persist);
        }
        self.check_name_of(&changed);
    }

    fn start(&mut self) {
        if self.phase != Phase::Created {
            return;
        }
        self.phase = Phase::Running;
        self.started = self.now.monotonic;
        if let Some(persisted) = self.persisted.take() {
            match Registry::restored(&persisted, self.own.node, self.now) {
                Ok(registry) => self.registry = registry,
                Err(error) => tracing::warn!(%error, "the kept member list cannot be read; seeds will tell"),
            }
        }
        self.alarm_in(AGE_PERIOD, Alarm::Age);
        self.set_gossip();
        if !self.is_admitted() {
            self.alarm_in(ADMISSION_PAUSE, Alarm::Admission);
        }
        self.refresh_attempts();
    }

    pub(crate) fn set_gossip(&mut self) {
        let pause = self.rng.random_range(self.gossip_interval.clone());
        self.alarm_in(pause.max(Duration::from_secs(1)), Alarm::Gossip);
    }

    fn on_timer(&mut self) {
        if let Some(first) = self.alarms.first()
            && let Some(late) = self.lateness.note_alarms(first, self.now.monotonic)
        {
            tracing::debug!(?late, "this process stood still");
            self.worsen_health();
        }
        while let Some(alarm) = self.alarms.due(self.now.monotonic) {
            if self.is_running() {
                self.on_alarm(alarm);
            } else if matches!(alarm, Alarm::Persist) {
                self.persist();
            }
        }
        if self.is_running() {
            self.run_attempts();
        }
    }

    fn on_alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Foca { timer, since, credit } => self.on_detector_timer(timer, since, credit),
            Alarm::Rumor => {
                self.rumor_is_set = false;
                self.on_rumor();
            }
            Alarm::Gossip => {
                self.on_gossip();
                self.set_gossip();
            }
            Alarm::Persist => self.persist(),
            Alarm::Age => self.on_age(),
            Alarm::Admission => self.on_admission_alarm(),
            Alarm::Reconnect(node) => self.reconnect(node),
            Alarm::Condemn { life, incarnation, since } => self.end_short_suspicion(life, incarnation, since),
        }
    }

    /// What [`Effect::Persist`] would give now, for a process that is about to end with a change not handed out yet;
    /// `None` when there is none, or this node has left or was told to stop.
    #[must_use]
    pub fn unkept(&self) -> Option<Bytes> {
        (self.persist_is_set && self.is_running()).then(|| self.registry.persisted(self.now))
    }

    pub(crate) fn persist(&mut self) {
        self.persist_is_set = false;
        let bytes = self.registry.persisted(self.now);
        self.effects.push(Effect::Persist(bytes));
    }

    fn on_reply(&mut self, call: CallId, result: Result<Bytes, CallFailure>) {
        let Some(purpose) = self.calls.remove(&call) else { return };
        match purpose {
            Purpose::Frames { node, is_probe } => self.on_frames_reply(node, is_probe, result),
            Purpose::Exchange { target, reason, carried } => {
                self.on_exchange_reply(target, reason, &carried, result);
            }
            Purpose::Verify { reply_to, asks, exchange, old, rest } => {
                self.on_verified(reply_to, asks, *exchange, (&old, rest), result);
            }
            Purpose::AskThird { node, third } => self.on_third_answer(node, third, result),
            Purpose::Telling => {}
        }
    }

    fn on_request(&mut self, reply_to: u64, kind: CallKind, body: &Bytes, from: Uuid) {
        match kind {
            CallKind::Swim => self.on_frames_request(reply_to, body, from),
            _ => self.on_members_request(reply_to, body, from),
        }
    }

    /// Says goodbye: the record says so, a few are told at once, the detector spreads that this life is over.
    fn leave(&mut self) {
        if !self.is_running() {
            return;
        }
        self.own.has_left = true;
        self.own.revision = self.own.revision.saturating_add(1);
        self.take_stock();
        let told = self.choose_active(3, None);
        for node in told {
            self.exchange(Target::Node(node), Reason::Goodbye, Carried::Rows(self.rumor_batch()));
        }
        self.leave_detector();
        self.persist();
        self.phase = Phase::Left;
        self.alarms.clear();
        self.attempts.clear();
    }
}

impl Membership for Swim {
    fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = now;
        if let Some(first) = self.alarms.first() {
            self.lateness.note_event(first, now.monotonic);
        }
        match event {
            Event::Request { reply_to, kind, body, from } => self.on_request(reply_to, kind, &body, from),
            Event::Reply { call, result } => self.on_reply(call, result),
            _ if self.phase == Phase::Stopped => {}
            Event::Start => self.start(),
            Event::Timer => self.on_timer(),
            Event::PeerRefused { node } => self.on_hint(node),
            Event::Heard { node } => self.registry.seen(&node, Duration::ZERO, now),
            Event::Leave => self.leave(),
            Event::Mode(mode) => {
                if self.own.mode != mode {
                    self.own.mode = mode;
                    self.own.revision = self.own.revision.saturating_add(1);
                }
            }
            Event::Forget(node) => self.forget(node),
            Event::Join(address) => self.join(address),
        }
        if self.phase != Phase::Created && self.phase != Phase::Stopped {
            self.take_stock();
            self.send_frames();
            let knows_everybody = self.knows_everybody();
            if knows_everybody != self.knew_everybody {
                self.knew_everybody = knows_everybody;
                self.effects.push(Effect::MembersChanged);
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Duration> {
        if self.phase == Phase::Stopped {
            return None;
        }
        [self.alarms.first(), self.attempts_deadline()].into_iter().flatten().min()
    }

    fn members(&self) -> Vec<Member> {
        std::iter::once(own_member(&self.own, self.now))
            .chain(self.registry.peers().map(|peer| member(peer, self.now)))
            .collect()
    }

    fn knows_everybody(&self) -> bool {
        self.pace.has_met() || self.has_nobody_to_ask()
    }

    fn seeds(&self) -> Vec<SeedReport> {
        self.seed_reports()
    }

    fn visible_members(&self, now: Now) -> Vec<Member> {
        let visible = |peer: &&Peer| !peer.is_forgotten && peer.age(now) <= HIDDEN_AFTER;
        let peers = self.registry.peers().filter(visible).map(|peer| member(peer, now));
        std::iter::once(own_member(&self.own, now)).chain(peers).collect()
    }
}
