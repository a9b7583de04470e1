//! Ten thousand members under virtual time: the membership protocol alone, with processes that die and come back.
//!
//! All have met when a run begins. From then on some of them are killed each minute, at random moments, and start again a minute
//! later, with an empty list and a few seeds. Looked at are the dead (when everybody knows), the living (whether anybody shows
//! one as failed) and the bytes, with what HTTP heads would cost.
//!
//! Left out, as in `members.rs`: authentication, bandwidth, stores. A machine costs no time: that processes are late is tried
//! there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId, CallKind, Now};
use kvs_protocol::membership::contract::{Effect, Event, Membership};
use kvs_protocol::membership::legible::carries_list;
use kvs_protocol::membership::member::Status;
use kvs_protocol::membership::roster::Roster;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::membership::swim::Swim;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::fleet_members::{SEEDS, place_of, settings, uuid};
use crate::members::{EPOCH_MS, REPLY_HEAD_BYTES, REQUEST_HEAD_BYTES};

/// How long a killed process stays away.
const AWAY: Duration = Duration::from_secs(60);

/// Two processes that talked within this time hold a connection, whose closing they notice.
const KEPT_ALIVE: Duration = Duration::from_secs(60);

/// Connections that a process holds at most; of more, some are closed before.
const CONNECTIONS_MAX: usize = 256;

/// How often it is looked who knows of a death.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// How often it is looked whom everybody shows as failed.
const LIVING_PAUSE: Duration = Duration::from_secs(5);

/// A process takes part for so long before it must know of a death.
const SETTLED: Duration = Duration::from_secs(10);

/// What a run is like.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// Members.
    pub members: usize,
    /// How long it runs.
    pub time: Duration,
    /// How many of a thousand members die in a minute.
    pub churn_of_1000: u32,
    /// How many of a thousand messages are lost.
    pub lost_of_1000: u32,
    /// All randomness follows from it.
    pub seed: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Processes that were killed.
    pub deaths: usize,
    /// After what time everybody showed each of them as failed, or knew of its next start, in ascending order.
    pub known_after: Vec<Duration>,
    /// Deaths of which somebody did not know when the process started again or the run ended.
    pub unknown: usize,
    /// Living processes that others took for dead, so that they had to begin another life.
    pub rejoins: u64,
    /// Living processes that somebody showed as failed when it was looked at.
    pub shown_failed: u64,
    /// The first of those: who showed whom, and when.
    pub shown_by: Vec<(usize, usize, Duration)>,
    /// Processes that were told to end.
    pub stopped: Vec<String>,
    /// Bytes sent by a node in a second, HTTP heads included.
    pub bytes_per_s: f64,
    /// Calls of a node in a second.
    pub calls_per_s: f64,
    /// Whole member lists sent, with requests and with replies.
    pub lists: u64,
    /// Bytes of them, of a node in a second.
    pub list_bytes_per_s: f64,
    /// The same bytes by kind of call.
    pub bytes_by_kind: BTreeMap<&'static str, f64>,
}

struct Process {
    machine: Swim,
    node: Uuid,
    generation: u32,
    is_up: bool,
    since: Duration,
    timer_at: Option<Duration>,
    talked: HashMap<u32, Duration>,
}

enum Step {
    Timer(usize),
    Start(usize),
    Refused { place: usize, node: Uuid },
    Request { caller: usize, start: u32, call: CallId, to: usize, kind: CallKind, body: Bytes },
    Reply { caller: usize, start: u32, call: CallId, result: Result<Bytes, CallFailure> },
}

struct Death {
    place: usize,
    generation: u32,
    at: Duration,
    unaware: Vec<usize>,
}

/// A fleet under way.
pub struct Run {
    fleet: Fleet,
    rng: StdRng,
    now: Duration,
    order: BinaryHeap<Reverse<(Duration, u64)>>,
    steps: HashMap<u64, Step>,
    next_step: u64,
    processes: Vec<Process>,
    open: HashMap<(usize, u32, CallId), CallKind>,
    answers: HashMap<u64, (usize, u32, CallId)>,
    next_reply: u64,
    deaths: Vec<Death>,
    sent: BTreeMap<&'static str, u64>,
    calls: u64,
    figures: Figures,
}

impl Run {
    /// A fleet that has met; `threads` make its machines.
    #[must_use]
    pub fn new(fleet: Fleet, threads: usize) -> Self {
        let mut run = Self {
            fleet,
            rng: StdRng::seed_from_u64(fleet.seed),
            now: Duration::from_secs(1),
            order: BinaryHeap::new(),
            steps: HashMap::new(),
            next_step: 0,
            processes: Vec::with_capacity(fleet.members),
            open: HashMap::new(),
            answers: HashMap::new(),
            next_reply: 0,
            deaths: Vec::new(),
            sent: BTreeMap::new(),
            calls: 0,
            figures: Figures::default(),
        };
        let all: Vec<MembershipSettings> = (0..fleet.members).map(|place| settings(place, 1)).collect();
        let roster = Roster::of(&all, run.clock());
        let seeds: Vec<u64> = all.iter().map(|_| run.rng.random()).collect();
        let now = run.clock();
        let chunk = fleet.members.div_ceil(threads.max(1)).max(1);
        let make = |(settings, seed): (&MembershipSettings, &u64)| {
            let mut machine = Swim::new(settings.clone(), None, *seed);
            machine.handle(Event::Start, now);
            machine.meet(&roster, now);
            machine
        };
        let machines: Vec<Vec<Swim>> = std::thread::scope(|scope| {
            let parts = all.chunks(chunk).zip(seeds.chunks(chunk));
            let makers: Vec<_> = parts
                .map(|(all, seeds)| scope.spawn(move || all.iter().zip(seeds).map(make).collect::<Vec<_>>()))
                .collect();
            makers.into_iter().filter_map(|maker| maker.join().ok()).collect()
        });
        for (place, machine) in machines.into_iter().flatten().enumerate() {
            run.processes.push(Process {
                machine,
                node: uuid(place),
                generation: 1,
                is_up: true,
                since: Duration::ZERO,
                timer_at: None,
                talked: HashMap::new(),
            });
            // Not all at the same moment.
            let at = run.now + Duration::from_micros(run.rng.random_range(0..1_000_000));
            run.at(at, Step::Timer(place));
            if let Some(process) = run.processes.get_mut(place) {
                process.timer_at = Some(at);
            }
        }
        run
    }

    /// Runs it to its end; `progress` is told every second of its time.
    pub fn figures(mut self, mut progress: impl FnMut(Duration, &Figures)) -> Figures {
        let (begin, end) = (self.now, self.now + self.fleet.time);
        let pause = 60.0 * 1000.0 / (f64::from(self.fleet.churn_of_1000) * self.fleet.members as f64);
        let mut death_at = begin + Duration::from_secs(2);
        let (mut look_at, mut living_at, mut told_at) = (begin, begin + LIVING_PAUSE, begin);
        while let Some(Reverse((at, number))) = self.order.pop() {
            if at > end {
                break;
            }
            self.now = at;
            if let Some(step) = self.steps.remove(&number) {
                self.step(step);
            }
            while self.fleet.churn_of_1000 > 0 && death_at <= at {
                self.kill_one();
                death_at += Duration::from_secs_f64(pause);
            }
            if look_at <= at {
                self.look_for_the_unaware();
                look_at = at + LOOK_PAUSE;
            }
            if living_at <= at {
                self.look_at_the_living();
                living_at = at + LIVING_PAUSE;
            }
            if told_at <= at {
                progress(at - begin, &self.figures);
                told_at = at + Duration::from_secs(1);
            }
        }
        self.end()
    }

    fn end(mut self) -> Figures {
        self.figures.unknown += self.deaths.iter().filter(|death| self.now - death.at > SETTLED).count();
        self.figures.rejoins +=
            self.processes.iter().map(|process| u64::from(process.machine.rejoined())).sum::<u64>();
        self.figures.known_after.sort_unstable();
        let node_seconds = self.fleet.members as f64 * self.fleet.time.as_secs_f64();
        self.figures.list_bytes_per_s /= node_seconds;
        self.figures.bytes_by_kind =
            self.sent.iter().map(|(kind, bytes)| (*kind, *bytes as f64 / node_seconds)).collect();
        self.figures.bytes_per_s = self.figures.bytes_by_kind.values().sum();
        self.figures.calls_per_s = self.calls as f64 / node_seconds;
        self.figures
    }

    fn clock(&self) -> Now {
        let wall_ms = EPOCH_MS.saturating_add(u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX));
        Now { monotonic: self.now, wall_ms }
    }

    fn at(&mut self, at: Duration, step: Step) {
        self.next_step += 1;
        self.order.push(Reverse((at, self.next_step)));
        self.steps.insert(self.next_step, step);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(500..20_000))
    }

    fn is_lost(&mut self) -> bool {
        self.rng.random_range(0..1000) < self.fleet.lost_of_1000
    }

    fn is_up(&self, place: usize) -> bool {
        self.processes.get(place).is_some_and(|process| process.is_up)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Timer(place) => {
                let Some(process) = self.processes.get_mut(place) else { return };
                if process.timer_at != Some(self.now) {
                    return;
                }
                process.timer_at = None;
                if process.machine.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.handle(place, Event::Timer);
                } else {
                    self.set_timer(place);
                }
            }
            Step::Start(place) => self.start(place),
            Step::Refused { place, node } => self.handle(place, Event::PeerRefused { node }),
            Step::Request { caller, start, call, to, kind, body } => {
                self.arrive((caller, start, call), to, kind, body)
            }
            Step::Reply { caller, start, call, result } => {
                let is_open = self.open.remove(&(caller, start, call)).is_some();
                if is_open && self.processes.get(caller).is_some_and(|process| process.generation == start) {
                    self.handle(caller, Event::Reply { call, result });
                }
            }
        }
    }

    fn arrive(
        &mut self,
        (caller, start, call): (usize, u32, CallId),
        to: usize,
        kind: CallKind,
        body: Bytes,
    ) {
        if !self.is_up(to) {
            let at = self.now + self.delay();
            return self.at(at, Step::Reply { caller, start, call, result: Err(CallFailure::Refused) });
        }
        for (a, b) in [(caller, to), (to, caller)] {
            let now = self.now;
            if let (Some(process), Ok(other)) = (self.processes.get_mut(a), u32::try_from(b)) {
                if process.talked.len() >= 2 * CONNECTIONS_MAX {
                    process.talked.retain(|_, at| now - *at < KEPT_ALIVE);
                }
                process.talked.insert(other, now);
            }
        }
        self.next_reply += 1;
        let reply_to = self.next_reply;
        self.answers.insert(reply_to, (caller, start, call));
        let from = self.processes.get(caller).map(|process| process.node).unwrap_or_default();
        self.handle(to, Event::Request { reply_to, kind, body, from });
    }

    fn handle(&mut self, place: usize, event: Event) {
        let now = self.clock();
        let Some(process) = self.processes.get_mut(place).filter(|process| process.is_up) else { return };
        let start = process.generation;
        for effect in process.machine.handle(event, now) {
            self.carry_out(place, start, effect);
        }
        self.set_timer(place);
    }

    fn set_timer(&mut self, place: usize) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(place).filter(|process| process.is_up) else { return };
        let Some(deadline) = process.machine.deadline() else { return };
        if process.timer_at.is_none_or(|at| deadline < at) {
            let at = deadline.max(now);
            process.timer_at = Some(at);
            self.at(at, Step::Timer(place));
        }
    }

    fn carry_out(&mut self, place: usize, start: u32, effect: Effect) {
        match effect {
            Effect::Call { call, to, kind, body, timeout, .. } => {
                self.calls += 1;
                self.charge(kind.name(), REQUEST_HEAD_BYTES, &body);
                self.open.insert((place, start, call), kind);
                let late = Err(CallFailure::Unreachable("timed out".to_owned()));
                self.at(self.now + timeout, Step::Reply { caller: place, start, call, result: late });
                let Some(to) = place_of(&to) else { return };
                if !self.is_lost() {
                    let at = self.now + self.delay();
                    self.at(at, Step::Request { caller: place, start, call, to, kind, body });
                }
            }
            Effect::Respond { reply_to, body } => {
                let Some((caller, start, call)) = self.answers.remove(&reply_to) else { return };
                let kind = self.open.get(&(caller, start, call)).map_or("late", |kind| kind.name());
                self.charge(kind, REPLY_HEAD_BYTES, &body);
                if !self.is_lost() {
                    let at = self.now + self.delay();
                    self.at(at, Step::Reply { caller, start, call, result: Ok(body) });
                }
            }
            Effect::Stop { reason } => {
                self.figures.stopped.push(reason);
                if let Some(process) = self.processes.get_mut(place) {
                    process.is_up = false;
                }
            }
            Effect::MembersChanged
            | Effect::Admitted { .. }
            | Effect::Persist(_)
            | Effect::Generation(_)
            | Effect::Forgotten => {}
        }
    }

    fn charge(&mut self, kind: &'static str, head: u64, body: &Bytes) {
        let bytes = head + body.len() as u64;
        *self.sent.entry(kind).or_default() += bytes;
        if kind == CallKind::Members.name() && carries_list(body) {
            self.figures.lists += 1;
            self.figures.list_bytes_per_s += bytes as f64;
        }
    }

    fn kill_one(&mut self) {
        let place = self.rng.random_range(SEEDS..self.fleet.members);
        let now = self.now;
        let Some(process) = self.processes.get_mut(place).filter(|process| process.is_up) else { return };
        process.is_up = false;
        let (node, generation) = (process.node, process.generation);
        let talked = std::mem::take(&mut process.talked);
        let mut held: Vec<usize> = talked
            .into_iter()
            .filter(|(_, at)| now - *at < KEPT_ALIVE)
            .filter_map(|(other, _)| usize::try_from(other).ok())
            .collect();
        // The order of a hash is not the same in each run.
        held.sort_unstable();
        held.truncate(CONNECTIONS_MAX);
        for other in held {
            let at = now + self.delay();
            self.at(at, Step::Refused { place: other, node });
        }
        self.figures.deaths += 1;
        let unaware = (0..self.fleet.members).filter(|other| *other != place).collect();
        self.deaths.push(Death { place, generation, at: now, unaware });
        self.at(now + AWAY, Step::Start(place));
    }

    fn start(&mut self, place: usize) {
        self.look_for_the_unaware();
        let before = self.deaths.len();
        self.deaths.retain(|death| death.place != place);
        self.figures.unknown += before - self.deaths.len();
        let seed = self.rng.random();
        let now = self.now;
        let Some(process) = self.processes.get_mut(place) else { return };
        self.figures.rejoins += u64::from(process.machine.rejoined());
        process.generation += 1;
        process.machine = Swim::new(settings(place, process.generation), None, seed);
        (process.is_up, process.since, process.timer_at) = (true, now, None);
        self.handle(place, Event::Start);
    }

    /// Who still shows a dead process as alive.
    fn look_for_the_unaware(&mut self) {
        let (now, clock) = (self.now, self.clock());
        for death in &mut self.deaths {
            let Some(node) = self.processes.get(death.place).map(|process| process.node) else { continue };
            death.unaware.retain(|place| {
                self.processes.get(*place).is_some_and(|process| {
                    let must_know = process.is_up && now - process.since > SETTLED;
                    must_know
                        && process.machine.shown_generation(&node) <= death.generation
                        && !matches!(process.machine.shown(&node, clock), Some(Status::Failed | Status::Left))
                })
            });
        }
        let (known, unknown) =
            std::mem::take(&mut self.deaths).into_iter().partition(|death| death.unaware.is_empty());
        self.deaths = unknown;
        let known: Vec<Death> = known;
        self.figures.known_after.extend(known.iter().map(|death| now - death.at));
    }

    /// Whether anybody shows a living process as failed.
    fn look_at_the_living(&mut self) {
        let (now, clock) = (self.now, self.clock());
        let places: HashMap<Uuid, usize> =
            self.processes.iter().enumerate().map(|(place, process)| (process.node, place)).collect();
        for (by, process) in self.processes.iter().enumerate() {
            if !process.is_up || now - process.since < SETTLED {
                continue;
            }
            for node in process.machine.shown_failed(clock) {
                let Some(place) = places.get(&node) else { continue };
                let Some(other) = self.processes.get(*place) else { continue };
                if other.is_up && now - other.since > SETTLED {
                    self.figures.shown_failed += 1;
                    if self.figures.shown_by.len() < 10 {
                        self.figures.shown_by.push((by, *place, now));
                    }
                }
            }
        }
    }
}
