//! The world: machines, what is on its way between them, and the order in which things happen.
//!
//! It does for each process what the server does: hands calls, answers and timers to the machines, carries out their
//! effects, answers peers' calls from the store. After every step the ledger sees what the stores have changed.
//!
//! **Invariant:** everything that happens follows from the seed; nothing is taken from the clock or the order of a hash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::{Effect as ReplicationEffect, Event as ReplicationEvent};
use kvs_cluster::serve::serve;
use kvs_core::path::Path;
use kvs_protocol::call::{CallFailure, CallId, CallKind};
use kvs_protocol::membership::contract::{
    Effect as MembershipEffect, Event as MembershipEvent, Membership as _,
};
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use kvs_store::engine::device::{Device, Faults};
use kvs_store::shared::State;
use kvs_store::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::clock::{NodeClock, WorldClock};
use crate::ledger::{Held, Ledger, Occasion};
use crate::network::{Network, Season};
use crate::node::{Node, Standing, cluster_keys};
use crate::parked;
use crate::weather::Weather;

/// How often stores look after expiry, collection and parked records.
const TURN_PAUSE: Duration = Duration::from_millis(250);

/// A timer that is due at once goes off after this time, as on a real machine.
const TIMER_MIN: Duration = Duration::from_micros(200);

/// A timer that stays due after going off so often would keep a real machine busy for nothing.
const SPINS_MAX: u32 = 500;

/// How often vectors are compared with what is held.
const VECTOR_CHECK_PAUSE: Duration = Duration::from_millis(900);

/// A call under way.
#[derive(Debug, Clone)]
pub struct Call {
    caller: usize,
    process: u64,
    call: CallId,
    from: Uuid,
    node: Option<Uuid>,
    target: usize,
    kind: CallKind,
    body: Bytes,
}

/// What happens at a moment.
#[derive(Debug)]
pub enum Step {
    /// A machine starts its process.
    Start {
        /// The machine.
        place: usize,
    },
    /// A process that said goodbye ends.
    End {
        /// The machine.
        place: usize,
        /// Whether it is started again later.
        comes_back: bool,
    },
    /// A full disk has room again.
    FreeDisk {
        /// The machine.
        place: usize,
    },
    /// A timer of membership.
    MembershipTimer {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A timer of replication.
    ReplicationTimer {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// Stores do their chores.
    Turn {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A request arrives.
    Request(Box<Call>),
    /// An answer arrives.
    Answer(Box<Call>, Result<Bytes, CallFailure>),
    /// A call took too long.
    Timeout(Box<Call>),
    /// A client asks.
    Client,
    /// Something goes wrong.
    Fault,
    /// Vectors are compared with what is held.
    CheckVectors,
}

/// Where a trace goes, line by line.
pub type Trace = Box<dyn FnMut(&str) + Send>;

/// An old copy of a directory: whose, the disk, and what it holds.
pub type Copied = (usize, Device, BTreeMap<Path, Held>);

/// Machines, and what is on its way between them.
pub struct World {
    /// What the run is like.
    pub weather: Weather,
    /// All chance of the run.
    pub random: StdRng,
    /// The time.
    pub clock: WorldClock,
    /// The links.
    pub network: Network,
    /// What must be true.
    pub ledger: Ledger,
    /// An old copy of a directory.
    pub copy: Option<Copied>,
    /// How many values clients have made up.
    pub written: u64,
    /// Whether a wall clock was ever wrong by more than the configuration allows.
    pub clocks_jumped: bool,
    /// How many steps were taken.
    pub steps: u64,
    nodes: Vec<Node>,
    agenda: BTreeMap<(Duration, u64), Step>,
    agenda_number: u64,
    processes: u64,
    open: BTreeSet<(usize, u64, CallId)>,
    answers: BTreeMap<u64, Call>,
    next_answer: u64,
    secrets: Secrets,
    trace: Option<Trace>,
}

impl World {
    /// The world of a seed; its first nodes start at once.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn begin(seed: u64, trace: Option<Trace>) -> Result<Self, String> {
        let mut random = StdRng::seed_from_u64(seed);
        let weather = Weather::draw(&mut random);
        let mut world = Self {
            weather,
            random,
            clock: WorldClock::default(),
            network: Network::default(),
            ledger: Ledger::default(),
            copy: None,
            written: 0,
            clocks_jumped: false,
            steps: 0,
            nodes: Vec::new(),
            agenda: BTreeMap::new(),
            agenda_number: 0,
            processes: 0,
            open: BTreeSet::new(),
            answers: BTreeMap::new(),
            next_answer: 1,
            secrets: Secrets::of(&cluster_keys()),
            trace,
        };
        let weather = world.weather.clone();
        world.tell(|| format!("{weather:?}"));
        for _ in 0..weather.nodes {
            let place = world.add_machine();
            world.after(Duration::from_millis(5 * place as u64), Step::Start { place });
        }
        world.after(Duration::from_secs(1), Step::Client);
        world.after(Duration::from_secs(4), Step::Fault);
        world.after(Duration::from_secs(2), Step::CheckVectors);
        Ok(world)
    }

    /// Tells the trace, if somebody reads it.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let seconds = self.clock.now().as_secs_f64();
            trace(&format!("{seconds:10.4} {}", text()));
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// How many machines there are, gone ones included.
    #[must_use]
    pub fn places(&self) -> usize {
        self.nodes.len()
    }

    /// A machine.
    #[must_use]
    pub fn node(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)
    }

    /// A machine, to change it.
    pub fn node_mut(&mut self, place: usize) -> Option<&mut Node> {
        self.nodes.get_mut(place)
    }

    /// Adds a machine.
    pub fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// The store of a running process.
    #[must_use]
    pub fn store(&self, place: usize) -> Option<std::sync::Arc<Store>> {
        self.node(place)?.process.as_ref().map(|process| std::sync::Arc::clone(&process.store))
    }

    /// Machines with a process.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()).map(|(place, _)| place)
    }

    /// Machines that belong to the cluster.
    pub fn members(&self) -> impl Iterator<Item = usize> {
        let is_member = |(_, node): &(usize, &Node)| node.standing == Standing::Member;
        self.nodes.iter().enumerate().filter(is_member).map(|(place, _)| place)
    }

    /// Puts a step on the agenda.
    pub fn after(&mut self, pause: Duration, step: Step) {
        self.agenda_number += 1;
        self.agenda.insert((self.now() + pause, self.agenda_number), step);
    }

    /// Takes all steps up to a moment.
    ///
    /// # Errors
    ///
    /// The promise that is broken by one of them.
    pub fn run_until(&mut self, end: Duration) -> Result<(), String> {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), step) = entry.remove_entry();
            self.clock.set(at);
            self.steps += 1;
            self.take(step)?;
        }
        self.clock.set(end);
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        let now = self.now();
        match step {
            Step::Start { place } => self.start(place),
            Step::End { place, comes_back } => {
                self.end(place, comes_back);
                Ok(())
            }
            Step::FreeDisk { place } => {
                if let Some(node) = self.node_mut(place) {
                    node.device.set_faults(Faults::default());
                }
                Ok(())
            }
            Step::MembershipTimer { place, process } => match self.process_mut(place, process) {
                // A timer that was set anew since has another step.
                Some(process) if process.swim_at == Some(now) => {
                    process.swim_at = None;
                    self.drive_membership(place, MembershipEvent::Timer)?;
                    self.settle(place)
                }
                _ => Ok(()),
            },
            Step::ReplicationTimer { place, process } => match self.process_mut(place, process) {
                Some(process) if process.replicator_at == Some(now) => {
                    process.replicator_at = None;
                    self.drive_replication(place, ReplicationEvent::Timer)?;
                    self.settle(place)
                }
                _ => Ok(()),
            },
            Step::Turn { place, process } => {
                if let Some(process) = self.process_mut(place, process) {
                    process.store.turn();
                    let process = process.number;
                    self.after(TURN_PAUSE, Step::Turn { place, process });
                    self.settle(place)?;
                }
                Ok(())
            }
            Step::Request(call) => self.serve(*call),
            Step::Answer(call, result) => self.answer(&call, result),
            Step::Timeout(call) => {
                self.answer(&call, Err(CallFailure::Unreachable("it took too long".into())))
            }
            Step::Client => {
                if self.network.season() == Season::Rough {
                    let pause = self.random.random_range(self.weather.client_pause_ms.clone());
                    self.after(Duration::from_millis(pause), Step::Client);
                    self.request()?;
                }
                Ok(())
            }
            Step::Fault => {
                if self.network.season() == Season::Rough {
                    let pause = self.random.random_range(self.weather.fault_pause_ms.clone());
                    self.after(Duration::from_millis(pause), Step::Fault);
                    self.fault()?;
                }
                Ok(())
            }
            Step::CheckVectors => {
                self.after(VECTOR_CHECK_PAUSE, Step::CheckVectors);
                self.check_vectors()
            }
        }
    }

    fn process_mut(&mut self, place: usize, number: u64) -> Option<&mut crate::node::Process> {
        self.nodes.get_mut(place)?.process.as_mut().filter(|process| process.number == number)
    }

    /// Starts the process of a machine.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn start(&mut self, place: usize) -> Result<(), String> {
        let is_first = place == 0 && self.node(0).is_some_and(|node| node.uuid.is_none());
        let seeds: Vec<String> = if is_first {
            Vec::new()
        } else {
            let others = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(other, node)| *other != place && node.standing == Standing::Member);
            others.map(|(_, node)| node.address.clone()).collect()
        };
        let (weather, number) = (self.weather.clone(), self.processes);
        self.processes += 1;
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        if node.process.is_some() || node.standing == Standing::Gone {
            return Ok(());
        }
        node.standing = Standing::Member;
        node.device.set_faults(Faults::default());
        node.start(number, seeds, &weather, &mut self.random)
            .map_err(|error| format!("{place} cannot start: {error}"))?;
        let uuid = node.uuid;
        self.tell(|| format!("{place} starts as {uuid:?}"));
        self.ledger.set_away(place, false);
        self.look_through(place)?;
        self.after(TURN_PAUSE, Step::Turn { place, process: number });
        self.drive_membership(place, MembershipEvent::Start)?;
        self.drive_replication(place, ReplicationEvent::Timer)?;
        self.settle(place)
    }

    fn end(&mut self, place: usize, comes_back: bool) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        if node.process.is_none() {
            return;
        }
        node.stop();
        node.standing = if comes_back { Standing::Away } else { Standing::Left };
        self.ledger.set_away(place, true);
        if comes_back {
            let pause = Duration::from_millis(self.random.random_range(1_000..40_000));
            self.after(pause, Step::Start { place });
        }
    }

    /// What a store holds after it was opened is compared with what it held before.
    fn look_through(&mut self, place: usize) -> Result<(), String> {
        let Some(store) = self.store(place) else { return Ok(()) };
        let held = parked::all_keys(&store)?;
        let before = self.ledger.keys(place);
        let paths: BTreeSet<Path> = held.keys().chain(before.keys()).cloned().collect();
        let now = self.now();
        for path in paths {
            let record = held.get(&path).copied();
            let nodes = &self.nodes;
            let is_parked = |place: usize, ms: u64| is_parked(nodes, place, &path, ms);
            self.ledger.change(place, &path, record, Occasion::Opening, now, &is_parked)?;
        }
        Ok(())
    }

    /// After something happened at a machine: the ledger sees what changed, the replicator is told, a process whose
    /// disk failed ends, timers are set.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn settle(&mut self, place: usize) -> Result<(), String> {
        loop {
            self.note_changes(place)?;
            let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) else {
                return Ok(());
            };
            if let State::Poisoned(_) = process.store.state() {
                let kept = self.random.random_range(0..900);
                self.crash(place, kvs_store::engine::device::Torn::After(kept));
                return Ok(());
            }
            let end = process.store.last_local_seq();
            if process.told_local_seq == end {
                break;
            }
            process.told_local_seq = end;
            self.drive_replication(place, ReplicationEvent::Committed)?;
        }
        self.set_timers(place)
    }

    fn note_changes(&mut self, place: usize) -> Result<(), String> {
        let now = self.now();
        let Some(process) = self.nodes.get(place).and_then(|node| node.process.as_ref()) else {
            return Ok(());
        };
        let store = std::sync::Arc::clone(&process.store);
        let mut keys = process.changes.take();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let record = store.read(key.namespace, &key.path).map_err(|error| format!("{place}: {error}"))?;
            let held = record.as_ref().map(Held::of);
            self.tell(|| format!("{place} holds {:?} {held:?}", key.path));
            let nodes = &self.nodes;
            let is_parked = |place: usize, ms: u64| is_parked(nodes, place, &key.path, ms);
            self.ledger.change(place, &key.path, held, Occasion::Commit, now, &is_parked)?;
        }
        Ok(())
    }

    fn set_timers(&mut self, place: usize) -> Result<(), String> {
        let now = self.now();
        let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        let number = process.number;
        let mut due = Vec::new();
        if let Some(deadline) = process.swim.deadline() {
            process.swim_spins = if deadline <= now { process.swim_spins + 1 } else { 0 };
            let at = next_tick(deadline.max(now + TIMER_MIN));
            if process.swim_at.is_none_or(|set| at < set) {
                process.swim_at = Some(at);
                due.push((at, Step::MembershipTimer { place, process: number }));
            }
        }
        if let Some(deadline) = process.replicator.deadline() {
            process.replicator_spins = if deadline <= now { process.replicator_spins + 1 } else { 0 };
            let at = next_tick(deadline.max(now + TIMER_MIN));
            if process.replicator_at.is_none_or(|set| at < set) {
                process.replicator_at = Some(at);
                due.push((at, Step::ReplicationTimer { place, process: number }));
            }
        }
        let spins = process.swim_spins.max(process.replicator_spins);
        if spins > SPINS_MAX {
            let (swim, replicator) = (process.swim.deadline(), process.replicator.deadline());
            return Err(format!("{place} spins: its timers stay due at {swim:?} and {replicator:?}"));
        }
        for (at, step) in due {
            self.after(at.saturating_sub(now), step);
        }
        Ok(())
    }

    /// Hands an event to membership and carries out what it wants.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn drive_membership(&mut self, place: usize, event: MembershipEvent) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &mut node.process else { return Ok(()) };
        let effects = process.swim.handle(event, now);
        for effect in effects {
            match effect {
                MembershipEffect::Call { call, to, node, kind, body, timeout } => {
                    self.call(place, call, node, &to, (kind, body), timeout);
                }
                MembershipEffect::Respond { reply_to, body } => {
                    if let Some(call) = self.answers.remove(&reply_to) {
                        self.send_answer(call, Ok(body));
                    }
                }
                MembershipEffect::MembersChanged => {
                    let Some(process) = self.nodes.get(place).and_then(|node| node.process.as_ref()) else {
                        return Ok(());
                    };
                    let members = process.swim.members();
                    self.tell(|| {
                        let seen: Vec<_> = members
                            .iter()
                            .map(|member| format!("{}:{}", member.node_id, member.status.name()))
                            .collect();
                        format!("{place} sees {}", seen.join(" "))
                    });
                    self.drive_replication(place, ReplicationEvent::Members(members))?;
                }
                MembershipEffect::Admitted { joined_ms } => {
                    self.tell(|| format!("{place} is admitted at {joined_ms}"));
                    self.mark(place, Mark::Joined(joined_ms));
                }
                MembershipEffect::Persist(bytes) => {
                    self.mark(place, Mark::Note(Note::Members, bytes.to_vec()))
                }
                MembershipEffect::Forgotten => return Err(format!("{place} was told that it is forgotten")),
                MembershipEffect::Stop { reason } => return Err(format!("{place} was stopped: {reason}")),
            }
        }
        Ok(())
    }

    fn mark(&mut self, place: usize, mark: Mark) {
        if let Some(store) = self.store(place)
            && let Err(error) = store.commit(Transaction { writes: Vec::new(), marks: vec![mark] })
        {
            self.tell(|| format!("{place} cannot note: {error}"));
        }
    }

    /// Hands an event to replication and carries out what it wants.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn drive_replication(&mut self, place: usize, event: ReplicationEvent) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &mut node.process else { return Ok(()) };
        let effects = process.replicator.handle(event, now);
        for effect in effects {
            match effect {
                ReplicationEffect::Call { call, node, to, kind, body, timeout } => {
                    self.call(place, call, Some(node), &to, (kind, body), timeout);
                }
                ReplicationEffect::Mode { clients, peers } => {
                    self.tell(|| {
                        format!("{place} is {} for clients, {} for peers", clients.name(), peers.name())
                    });
                    if let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) {
                        (process.clients, process.peers) = (clients, peers);
                    }
                    self.drive_membership(place, MembershipEvent::Mode(peers))?;
                }
                ReplicationEffect::Replicated { .. } => {}
                ReplicationEffect::PeerRefused { node } => {
                    self.drive_membership(place, MembershipEvent::PeerRefused { node })?;
                }
                ReplicationEffect::Heard { node } => {
                    self.drive_membership(place, MembershipEvent::Heard { node })?;
                }
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        caller: usize,
        call: CallId,
        node: Option<Uuid>,
        to: &str,
        (kind, body): (CallKind, Bytes),
        timeout: Duration,
    ) {
        let Some(target) = self.nodes.iter().position(|node| node.address == to) else { return };
        let Some((process, from)) =
            self.nodes.get(caller).and_then(|node| Some((node.process.as_ref()?.number, node.uuid?)))
        else {
            return;
        };
        self.tell(|| format!("{caller} -> {target} {} #{} {} bytes", kind.name(), call.0, body.len()));
        let call = Call { caller, process, call, from, node, target, kind, body };
        self.open.insert((caller, process, call.call));
        self.after(timeout, Step::Timeout(Box::new(call.clone())));
        if self.network.doubles(&self.weather, &mut self.random)
            && let Some(delay) = self.network.send(caller, target, &self.weather, &mut self.random)
        {
            self.after(delay, Step::Request(Box::new(call.clone())));
        }
        if let Some(delay) = self.network.send(caller, target, &self.weather, &mut self.random) {
            self.after(delay, Step::Request(Box::new(call)));
        }
    }

    fn serve(&mut self, call: Call) -> Result<(), String> {
        let place = call.target;
        let Some(node) = self.nodes.get(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &node.process else {
            self.send_answer(call, Err(CallFailure::Refused));
            return Ok(());
        };
        if call.node.is_some() && call.node != node.uuid {
            self.send_answer(call, Err(CallFailure::Denied("another node".into())));
            return Ok(());
        }
        if matches!(call.kind, CallKind::Swim | CallKind::Members) {
            let reply_to = self.next_answer;
            self.next_answer += 1;
            let (kind, body, from) = (call.kind, call.body.clone(), call.from);
            self.answers.insert(reply_to, call);
            self.drive_membership(place, MembershipEvent::Request { reply_to, kind, body, from })?;
            return self.settle(place);
        }
        let (store, peers) = (std::sync::Arc::clone(&process.store), process.peers);
        let result = serve(&store, &self.secrets, peers, call.from, call.kind, &call.body, now)
            .map_err(|error| CallFailure::Rejected(error.to_string()));
        let heard = MembershipEvent::Heard { node: call.from };
        self.send_answer(call, result);
        self.drive_membership(place, heard)?;
        self.settle(place)
    }

    fn send_answer(&mut self, call: Call, result: Result<Bytes, CallFailure>) {
        let disk_delay = self.nodes.get(call.target).map_or(Duration::ZERO, |node| node.disk_delay);
        let slow = if call.kind == CallKind::Swim { Duration::ZERO } else { disk_delay };
        if let Some(delay) = self.network.send(call.target, call.caller, &self.weather, &mut self.random) {
            self.after(delay + slow, Step::Answer(Box::new(call), result));
        }
    }

    fn answer(&mut self, call: &Call, result: Result<Bytes, CallFailure>) -> Result<(), String> {
        if !self.open.remove(&(call.caller, call.process, call.call)) {
            return Ok(());
        }
        if self.process_mut(call.caller, call.process).is_none() {
            return Ok(());
        }
        self.tell(|| {
            let text = match &result {
                Ok(body) => format!("{} bytes", body.len()),
                Err(failure) => failure.to_string(),
            };
            format!("{} <- {} {} #{}: {text}", call.caller, call.target, call.kind.name(), call.call.0)
        });
        let (place, id) = (call.caller, call.call);
        if id.0 % 2 == 0 {
            self.drive_membership(place, MembershipEvent::Reply { call: id, result })?;
        } else {
            self.drive_replication(place, ReplicationEvent::Reply { call: id, result })?;
        }
        self.settle(place)
    }

    /// What vectors cover is held.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn check_vectors(&mut self) -> Result<(), String> {
        for place in self.running() {
            let Some(store) = self.store(place) else { continue };
            let parked = parked::newest(&store)?;
            let is_parked = |path: &Path, ms: u64| parked.get(path).is_some_and(|newest| *newest >= ms);
            self.ledger.check_vector(place, &store.vector(), &is_parked)?;
        }
        Ok(())
    }

    /// Sets every clock right, within what the configuration allows.
    pub fn set_clocks_right(&mut self) {
        let error = self.weather.clock_error_ms;
        for node in &self.nodes {
            let clock: &NodeClock = &node.clock;
            clock.set_offset(self.random.random_range(-error..=error));
        }
    }
}

/// The first moment at or after this one that the clock of the world can show.
fn next_tick(at: Duration) -> Duration {
    Duration::from_micros(u64::try_from(at.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX))
}

fn is_parked(nodes: &[Node], place: usize, path: &Path, ms: u64) -> bool {
    let process = nodes.get(place).and_then(|node| node.process.as_ref());
    // What a machine that is down has parked is not known.
    process.is_none_or(|process| {
        parked::newest(&process.store)
            .is_ok_and(|parked| parked.get(path).is_some_and(|newest| *newest >= ms))
    })
}
