//! The world: machines, what is on its way between them, and the order in which things happen.
//!
//! It does for each process what the server does: hands calls, answers and timers to the machines, carries out their
//! effects, answers peers' calls from the store. After every step the ledger sees what the stores have changed.
//!
//! **Invariant:** everything that happens follows from the seed; nothing is taken from the clock or the order of a hash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::Event as ReplicationEvent;
use kvs_core::path::Path;
use kvs_protocol::call::{CallFailure, CallId, CallKind};
use kvs_protocol::membership::contract::{Event as MembershipEvent, Membership as _};
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::engine::device::{Device, Faults};
use kvs_store::shared::State;
use kvs_store::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::clock::WorldClock;
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
    pub(crate) caller: usize,
    pub(crate) process: u64,
    pub(crate) call: CallId,
    pub(crate) from: Uuid,
    pub(crate) node: Option<Uuid>,
    pub(crate) target: usize,
    pub(crate) kind: CallKind,
    pub(crate) body: Bytes,
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
    pub(crate) nodes: Vec<Node>,
    pub(crate) agenda: BTreeMap<(Duration, u64), Step>,
    pub(crate) agenda_number: u64,
    pub(crate) processes: u64,
    pub(crate) open: BTreeSet<(usize, u64, CallId)>,
    pub(crate) answers: BTreeMap<u64, Call>,
    pub(crate) next_answer: u64,
    pub(crate) secrets: Secrets,
    pub(crate) trace: Option<Trace>,
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

    pub(crate) fn take(&mut self, step: Step) -> Result<(), String> {
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

    pub(crate) fn process_mut(&mut self, place: usize, number: u64) -> Option<&mut crate::node::Process> {
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

    pub(crate) fn end(&mut self, place: usize, comes_back: bool) {
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
    pub(crate) fn look_through(&mut self, place: usize) -> Result<(), String> {
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

    pub(crate) fn note_changes(&mut self, place: usize) -> Result<(), String> {
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

    pub(crate) fn set_timers(&mut self, place: usize) -> Result<(), String> {
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
}

/// The first moment at or after this one that the clock of the world can show.
pub(crate) fn next_tick(at: Duration) -> Duration {
    Duration::from_micros(u64::try_from(at.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX))
}

pub(crate) fn is_parked(nodes: &[Node], place: usize, path: &Path, ms: u64) -> bool {
    let process = nodes.get(place).and_then(|node| node.process.as_ref());
    // What a machine that is down has parked is not known.
    process.is_none_or(|process| {
        parked::newest(&process.store)
            .is_ok_and(|parked| parked.get(path).is_some_and(|newest| *newest >= ms))
    })
}
