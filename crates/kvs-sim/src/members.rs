//! A small deterministic network under virtual time, in which membership machines meet.
//!
//! It exists for tests and for the figures of the benchmark: one seed gives one run. Calls take a delay each way; a
//! message may be lost, and a lost one ends as a time-out; an address where nobody listens refuses; links can be cut in
//! either direction. Each call is charged what its HTTP would cost.
//!
//! Left out: authentication, bandwidth, reordering beyond what random delays give.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId, CallKind, Now};
use kvs_protocol::membership::contract::{Effect, Event, Membership};
use kvs_protocol::membership::legible::carries_list;
use kvs_protocol::membership::member::Status;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::membership::swim::Swim;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// What the head of an HTTP request costs, in bytes.
pub const REQUEST_HEAD_BYTES: u64 = 250;

/// What the head of an HTTP reply costs, in bytes.
pub const REPLY_HEAD_BYTES: u64 = 150;

/// Two processes that talked within this time hold a connection, whose closing they notice.
const KEPT_ALIVE: Duration = Duration::from_secs(60);

/// What waited for a process that stood still comes so long after its alarms.
const AFTER_ALARMS: Duration = Duration::from_millis(1);

/// How the links are.
#[derive(Debug, Clone, Copy)]
pub struct Links {
    /// Shortest time of a message on its way.
    pub delay: Duration,
    /// Added to it at random.
    pub jitter: Duration,
    /// How many of a thousand messages are lost, requests and replies alike.
    pub lost_of_1000: u32,
}

/// What a process asked for beyond calls.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The join time it was given by others.
    pub admitted_ms: Option<u64>,
    /// Why it must not go on.
    pub stopped: Option<String>,
    /// Whether it was told that it is forgotten.
    pub forgotten: bool,
    /// The member list to be kept.
    pub persisted: Option<Bytes>,
    /// Bytes it sent, heads included.
    pub sent_bytes: u64,
    /// Bytes it received, heads included.
    pub received_bytes: u64,
    /// Whole member lists it sent, with requests and with replies.
    pub lists_sent: u64,
    /// Calls it made.
    pub calls: u64,
}

struct Process {
    machine: Swim,
    node: Uuid,
    address: String,
    is_up: bool,
    timer_at: Option<Duration>,
    /// Until then it stands still.
    stalled_until: Duration,
    clock_ahead_ms: i64,
    outcome: Outcome,
    statuses: BTreeMap<Uuid, Status>,
    talked: BTreeMap<usize, Duration>,
}

enum Step {
    Timer { place: usize },
    Deliver { place: usize, event: Event },
    Request { to: String, caller: usize, call: CallId, kind: CallKind, body: Bytes },
    Answer { caller: usize, call: CallId, result: Result<Bytes, CallFailure> },
}

/// Machines and what is on its way between them.
pub struct Network {
    links: Links,
    rng: StdRng,
    now: Duration,
    steps: BTreeMap<(Duration, u64), Step>,
    step: u64,
    processes: Vec<Process>,
    open: BTreeSet<(usize, CallId)>,
    answers: BTreeMap<u64, (usize, usize, CallId)>,
    next_reply: u64,
    cut: BTreeSet<(usize, usize)>,
    false_deaths: u64,
}

/// The wall clock when a network begins, ms since 1970.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

impl Network {
    /// An empty network.
    #[must_use]
    pub fn new(seed: u64, links: Links) -> Self {
        Self {
            links,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            steps: BTreeMap::new(),
            step: 0,
            processes: Vec::new(),
            open: BTreeSet::new(),
            answers: BTreeMap::new(),
            next_reply: 0,
            cut: BTreeSet::new(),
            false_deaths: 0,
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// How often a process saw another fail that was up.
    #[must_use]
    pub const fn false_deaths(&self) -> u64 {
        self.false_deaths
    }

    /// Starts a process; its place is how it is named from then on.
    pub fn start(&mut self, settings: MembershipSettings, persisted: Option<&[u8]>) -> usize {
        let place = self.processes.len();
        let (node, address) = (settings.node, settings.address.clone());
        let machine = Swim::new(settings, persisted, self.rng.random());
        self.processes.push(Process {
            machine,
            node,
            address,
            is_up: true,
            timer_at: None,
            stalled_until: Duration::ZERO,
            clock_ahead_ms: 0,
            outcome: Outcome::default(),
            statuses: BTreeMap::new(),
            talked: BTreeMap::new(),
        });
        self.at(self.now, Step::Deliver { place, event: Event::Start });
        place
    }

    /// Kills a process: its address refuses, its open connections close.
    pub fn kill(&mut self, place: usize) {
        self.end(place);
        let Some(node) = self.processes.get(place).map(|process| process.node) else { return };
        for other in 0..self.processes.len() {
            let since = self.processes.get(other).and_then(|process| process.talked.get(&place)).copied();
            let held = since.is_some_and(|at| self.now.saturating_sub(at) < KEPT_ALIVE);
            if held && other != place && !self.cut.contains(&(place, other)) {
                let at = self.now + self.delay();
                self.at(at, Step::Deliver { place: other, event: Event::PeerRefused { node } });
            }
        }
    }

    /// Ends a process without a sign, as a machine does that loses power: its address is cut off as well.
    pub fn lose(&mut self, place: usize) {
        for other in 0..self.processes.len() {
            self.cut(place, other);
            self.cut(other, place);
        }
        self.end(place);
    }

    fn end(&mut self, place: usize) {
        if let Some(process) = self.processes.get_mut(place) {
            process.is_up = false;
        }
    }

    /// A process gets no time to run for so long. What came meanwhile is handed to it afterwards, its alarms first: so it is
    /// with a driver that looks at the clock between one message and the next.
    pub fn stall(&mut self, place: usize, time: Duration) {
        if let Some(process) = self.processes.get_mut(place) {
            process.stalled_until = self.now + time;
        }
    }

    /// Hands an event to a process.
    pub fn tell(&mut self, place: usize, event: Event) {
        self.at(self.now, Step::Deliver { place, event });
    }

    /// Sets the wall clock of a process ahead, or back.
    pub fn set_clock(&mut self, place: usize, ahead_ms: i64) {
        if let Some(process) = self.processes.get_mut(place) {
            process.clock_ahead_ms = ahead_ms;
        }
    }

    /// Cuts the link in one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Cuts all links between the two sides.
    pub fn part(&mut self, left: &[usize], right: &[usize]) {
        for a in left {
            for b in right {
                self.cut(*a, *b);
                self.cut(*b, *a);
            }
        }
    }

    /// Restores all links.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// The machine at this place.
    #[must_use]
    pub fn machine(&self, place: usize) -> Option<&Swim> {
        self.processes.get(place).map(|process| &process.machine)
    }

    /// What the process at this place asked for.
    #[must_use]
    pub fn outcome(&self, place: usize) -> Outcome {
        self.processes.get(place).map(|process| process.outcome.clone()).unwrap_or_default()
    }

    /// How one process sees another's node.
    #[must_use]
    pub fn status(&self, of: usize, seen_by: usize) -> Option<Status> {
        let node = self.processes.get(of)?.node;
        let members = self.processes.get(seen_by)?.machine.members();
        members
            .into_iter()
            .find(|member| member.node == node && !member.is_forgotten)
            .map(|member| member.status)
    }

    /// Whether all these processes see all of these alive and admitted.
    #[must_use]
    pub fn all_know(&self, places: &[usize]) -> bool {
        let nodes = places.iter().filter_map(|place| self.processes.get(*place)).map(|process| process.node);
        let nodes: BTreeSet<Uuid> = nodes.collect();
        places.iter().filter_map(|place| self.processes.get(*place)).all(|process| {
            let members = process.machine.members();
            let alive = members.iter().filter(|member| {
                member.status == Status::Alive
                    && member.joined_ms != kvs_core::version::JOINED_YOUNGEST_MS
                    && nodes.contains(&member.node)
            });
            alive.count() == nodes.len()
        })
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.steps.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Runs until the condition holds, looked at after every moment; answers how long it took, or `None` after `limit`.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> Option<Duration> {
        let begin = self.now;
        loop {
            if condition(self) {
                return Some(self.now.saturating_sub(begin));
            }
            let ((next, _), _) = self.steps.first_key_value()?;
            let slot = (*next).max(self.now) + Duration::from_millis(5);
            if slot > begin + limit {
                return None;
            }
            self.run_for(slot.saturating_sub(self.now));
        }
    }

    fn at(&mut self, at: Duration, step: Step) {
        self.step += 1;
        self.steps.insert((at, self.step), step);
    }

    fn delay(&mut self) -> Duration {
        self.links.delay + self.links.jitter * self.rng.random_range(0..=100) / 100
    }

    /// Whether a message gets from one process to another.
    fn passes(&mut self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to)) && self.rng.random_range(0..1000) >= self.links.lost_of_1000
    }

    fn step(&mut self) {
        let Some(((at, _), step)) = self.steps.pop_first() else { return };
        self.now = at;
        let place = match &step {
            Step::Deliver { place, .. } | Step::Timer { place } => Some(*place),
            Step::Answer { caller, .. } => Some(*caller),
            Step::Request { to, .. } => self.listener(to),
        };
        let stalled_until =
            place.and_then(|place| self.processes.get(place)).map(|process| process.stalled_until);
        if let Some(until) = stalled_until.filter(|until| at < *until) {
            let wait = if matches!(step, Step::Timer { .. }) { Duration::ZERO } else { AFTER_ALARMS };
            if let (Step::Timer { place }, true) = (&step, wait.is_zero())
                && let Some(process) = self.processes.get_mut(*place)
                && process.timer_at == Some(at)
            {
                process.timer_at = Some(until);
            }
            self.at(until + wait, step);
            return;
        }
        match step {
            Step::Deliver { place, event } => self.handle(place, event),
            Step::Timer { place } => {
                let Some(process) = self.processes.get_mut(place) else { return };
                // An earlier alarm took this one's place.
                if process.timer_at != Some(at) {
                    return;
                }
                process.timer_at = None;
                if process.machine.deadline().is_some_and(|deadline| deadline <= at) {
                    self.handle(place, Event::Timer);
                } else {
                    self.set_timer(place);
                }
            }
            Step::Request { to, caller, call, kind, body } => self.arrive(&to, caller, call, kind, body),
            Step::Answer { caller, call, result } => {
                if self.open.remove(&(caller, call)) {
                    if let Ok(body) = &result {
                        self.charge(None, Some(caller), body, REPLY_HEAD_BYTES);
                    }
                    self.handle(caller, Event::Reply { call, result });
                }
            }
        }
    }

    fn charge(&mut self, sender: Option<usize>, receiver: Option<usize>, body: &Bytes, head: u64) {
        let bytes = head + u64::try_from(body.len()).unwrap_or(u64::MAX);
        if let Some(process) = sender.and_then(|place| self.processes.get_mut(place)) {
            process.outcome.sent_bytes += bytes;
            process.outcome.lists_sent += u64::from(carries_list(body));
        }
        if let Some(process) = receiver.and_then(|place| self.processes.get_mut(place)) {
            process.outcome.received_bytes += bytes;
        }
    }

    /// The process that listens at an address.
    fn listener(&self, to: &str) -> Option<usize> {
        self.processes.iter().position(|process| process.is_up && process.address == to)
    }

    /// A request arrives where its address leads.
    fn arrive(&mut self, to: &str, caller: usize, call: CallId, kind: CallKind, body: Bytes) {
        let from = self.processes.get(caller).map(|process| process.node).unwrap_or_default();
        let Some(place) = self.listener(to) else {
            let machine = self.processes.iter().rposition(|process| process.address == to);
            if machine.is_none_or(|machine| !self.cut.contains(&(caller, machine))) {
                let at = self.now + self.delay();
                self.at(at, Step::Answer { caller, call, result: Err(CallFailure::Refused) });
            }
            return;
        };
        if !self.passes(caller, place) {
            return;
        }
        self.charge(None, Some(place), &body, REQUEST_HEAD_BYTES);
        for (a, b) in [(caller, place), (place, caller)] {
            if let Some(process) = self.processes.get_mut(a) {
                process.talked.insert(b, self.now);
            }
        }
        self.next_reply += 1;
        let reply_to = self.next_reply;
        self.answers.insert(reply_to, (place, caller, call));
        self.handle(place, Event::Request { reply_to, kind, body, from });
    }

    fn handle(&mut self, place: usize, event: Event) {
        let Some(process) = self.processes.get_mut(place).filter(|process| process.is_up) else { return };
        let elapsed_ms = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        let wall_ms = EPOCH_MS.saturating_add(elapsed_ms).saturating_add_signed(process.clock_ahead_ms);
        let effects = process.machine.handle(event, Now { monotonic: self.now, wall_ms });
        for effect in effects {
            self.carry_out(place, effect);
        }
        self.set_timer(place);
    }

    fn set_timer(&mut self, place: usize) {
        let Some(process) = self.processes.get_mut(place).filter(|process| process.is_up) else { return };
        let Some(deadline) = process.machine.deadline() else { return };
        if process.timer_at.is_none_or(|at| deadline < at) {
            let at = deadline.max(self.now);
            process.timer_at = Some(at);
            self.at(at, Step::Timer { place });
        }
    }

    fn carry_out(&mut self, place: usize, effect: Effect) {
        let delay = self.delay();
        match effect {
            Effect::Call { call, to, kind, body, timeout, .. } => {
                self.open.insert((place, call));
                self.charge(Some(place), None, &body, REQUEST_HEAD_BYTES);
                if let Some(process) = self.processes.get_mut(place) {
                    process.outcome.calls += 1;
                }
                let late = Err(CallFailure::Unreachable("timed out".to_owned()));
                self.at(self.now + timeout, Step::Answer { caller: place, call, result: late });
                self.at(self.now + delay, Step::Request { to, caller: place, call, kind, body });
            }
            Effect::Respond { reply_to, body } => {
                let Some((_, caller, call)) = self.answers.remove(&reply_to) else { return };
                self.charge(Some(place), None, &body, REPLY_HEAD_BYTES);
                if self.passes(place, caller) {
                    self.at(self.now + delay, Step::Answer { caller, call, result: Ok(body) });
                }
            }
            Effect::MembersChanged => self.look_for_false_deaths(place),
            effect => {
                let Some(process) = self.processes.get_mut(place) else { return };
                match effect {
                    Effect::Admitted { joined_ms } => process.outcome.admitted_ms = Some(joined_ms),
                    Effect::Persist(bytes) => process.outcome.persisted = Some(bytes),
                    Effect::Generation(_) => {}
                    Effect::Forgotten => process.outcome.forgotten = true,
                    Effect::Stop { reason } => process.outcome.stopped = Some(reason),
                    _ => return,
                }
                if process.outcome.forgotten || process.outcome.stopped.is_some() {
                    process.is_up = false;
                }
            }
        }
    }

    /// Counts processes that are up and are now seen as failed.
    fn look_for_false_deaths(&mut self, place: usize) {
        let Some(process) = self.processes.get(place) else { return };
        let members = process.machine.members();
        let statuses: BTreeMap<Uuid, Status> =
            members.iter().map(|member| (member.node, member.status)).collect();
        let dead: Vec<Uuid> = statuses
            .iter()
            .filter(|(node, status)| {
                let before = process.statuses.get(*node);
                **status == Status::Failed && matches!(before, Some(Status::Alive | Status::Suspect))
            })
            .map(|(node, _)| *node)
            .collect();
        let is_up = |node: &Uuid| self.processes.iter().any(|process| process.is_up && process.node == *node);
        self.false_deaths +=
            u64::try_from(dead.iter().filter(|node| is_up(node)).count()).unwrap_or(u64::MAX);
        if let Some(process) = self.processes.get_mut(place) {
            process.statuses = statuses;
        }
    }
}
