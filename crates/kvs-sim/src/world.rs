//! The world: machines, what is on its way between them, and the order in which things happen.
//!
//! It does for each process what the server does: hands calls, answers and timers to the machines, carries out their
//! effects, answers peers' calls from the store. After every step the ledger sees what the stores have changed.
//!
//! **Invariant:** everything that happens follows from the seed; nothing is taken from the clock or the order of a hash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kvs_cluster::contract::Event as ReplicationEvent;
use kvs_protocol::call::CallId;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock as _;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::engine::device::Faults;
use kvs_store::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::clock::WorldClock;
use crate::held::Moment;
use crate::ledger::Ledger;
use crate::network::Network;
use crate::node::{Node, Process, Standing, cluster_keys};
use crate::profile::Profile;
use crate::relays::Relays;
use crate::step::{Call, Copied, Step, TURN_PAUSE};
use crate::waits::Waits;
use crate::weather::Weather;

/// Tells the second stream of chance from the first one of the same seed.
const FATES: u64 = 0x6661_7465_7300_0000;

/// Tells the third stream of chance from the others of the same seed.
const TREES: u64 = 0x7472_6565_7300_0000;

/// Where a trace goes, line by line.
pub type Trace = Box<dyn FnMut(&str) + Send>;

/// How a seed is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Its profile; `None` for the one that the seed draws.
    pub profile: Option<Profile>,
    /// Whether what is dropped at a peer's word or recalled need not stay in the history, so that other promises are broken
    /// first.
    pub forgets_dropped: bool,
    /// Whether what is known to be open is demanded, too: every tombstone goes in the end, and what was written anew after a
    /// recall never wins over a later write.
    pub is_strict: bool,
    /// Whether no client waits for copies, so that other promises are broken first.
    pub has_no_waits: bool,
    /// Whether no log travels by a tree, whatever the seed draws: so the seeds were run that failed before there were trees.
    pub has_no_trees: bool,
}

impl Options {
    /// The profile that a seed is run with.
    #[must_use]
    pub fn profile_of(self, seed: u64) -> Profile {
        self.fates(seed).1
    }

    /// The second stream of chance of a seed, and its profile; the stream is the same whatever the profile.
    fn fates(self, seed: u64) -> (StdRng, Profile) {
        let mut fates = StdRng::seed_from_u64(seed ^ FATES);
        let drawn = Profile::draw(&mut fates);
        (fates, self.profile.unwrap_or(drawn))
    }
}

/// Machines, and what is on its way between them.
pub struct World {
    /// What the run is like.
    pub weather: Weather,
    /// All chance of what every run has.
    pub random: StdRng,
    /// The chance of what only some profiles have: another stream, so that what is drawn here changes no other draw.
    pub fates: StdRng,
    /// The time.
    pub clock: WorldClock,
    /// The links.
    pub network: Network,
    /// What must be true.
    pub ledger: Ledger,
    /// An old copy of a directory, to be started as a new node.
    pub copy: Option<Copied>,
    /// Old copies of directories, to be put back where they came from.
    pub copies: Vec<Copied>,
    /// Clients that wait until other nodes have their write.
    pub waits: Waits,
    /// Which fates it has.
    pub profile: Profile,
    /// How it is run.
    pub options: Options,
    /// How often clocks were set wrong, by more than the configuration allows.
    pub clocks_turned: u64,
    /// How often directories were put back.
    pub put_backs: u64,
    /// How often members were forgotten.
    pub forgotten: u64,
    /// Nodes that began again as others.
    pub past: Vec<Uuid>,
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
    pub(crate) relays: Relays,
    pub(crate) secrets: Secrets,
    pub(crate) trace: Option<Trace>,
}

impl World {
    /// The world of a seed; its first nodes start at once.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn begin(seed: u64, options: Options, trace: Option<Trace>) -> Result<Self, String> {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut fates, profile) = options.fates(seed);
        let mut weather = Weather::draw(&mut random);
        weather.suit(profile, &mut fates);
        if !options.has_no_trees {
            weather.grow_tree(&mut StdRng::seed_from_u64(seed ^ TREES));
        }
        let mut world = Self::of(weather, (random, fates), trace);
        world.profile = profile;
        world.options = options;
        world.after(Duration::from_secs(1), Step::Client);
        world.after(Duration::from_secs(4), Step::Fault);
        world.after(Duration::from_secs(2), Step::CheckVectors);
        if profile != Profile::Ordinary {
            world.after(Duration::from_secs(6), Step::Fate);
        }
        Ok(world)
    }

    /// A world with its first nodes, in which nothing else happens by itself.
    #[must_use]
    pub fn of(weather: Weather, (random, fates): (StdRng, StdRng), trace: Option<Trace>) -> Self {
        let mut world = Self {
            ledger: Ledger::new(weather.clock_skew_ms_max),
            weather,
            random,
            clock: WorldClock::default(),
            network: Network::default(),
            fates,
            profile: Profile::Ordinary,
            options: Options::default(),
            clocks_turned: 0,
            put_backs: 0,
            forgotten: 0,
            past: Vec::new(),
            waits: Waits::default(),
            copies: Vec::new(),
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
            relays: Relays::default(),
            secrets: Secrets::of(&cluster_keys()),
            trace,
        };
        let weather = world.weather.clone();
        world.tell(|| format!("{weather:?}"));
        for _ in 0..weather.nodes {
            let place = world.add_machine();
            world.after(Duration::from_millis(5 * place as u64), Step::Start { place });
        }
        world
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

    /// The time, by both clocks.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { at: self.clock.now(), wall_ms: self.clock.wall_ms() }
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

    pub(crate) fn process_mut(&mut self, place: usize, number: u64) -> Option<&mut Process> {
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
        let now = self.moment();
        self.ledger.wrong_clocks.note_begin(place, now);
        self.ledger.set_away(place, false);
        self.look_through(place)?;
        self.after(TURN_PAUSE, Step::Turn { place, process: number });
        self.drive_membership(place, MembershipEvent::Start)?;
        self.drive_replication(place, ReplicationEvent::Timer)?;
        self.settle(place)
    }

    /// The ledger is told where a machine finds that its clock agrees with its peers'.
    pub(crate) fn note_clock(&mut self, place: usize) {
        let now = self.moment();
        let Some(node) = self.node(place) else { return };
        let verdict = node.process.as_ref().map(|process| process.store.clock_verdict());
        if verdict == Some(ClockVerdict::Agrees) {
            let is_right = node.clock.now_ms().abs_diff(now.wall_ms) <= self.weather.clock_skew_ms_max;
            self.ledger.wrong_clocks.note_agreement(place, is_right, now);
        }
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
}
