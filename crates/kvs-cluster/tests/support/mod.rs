//! Replicators and their stores in one process: calls are carried by hand, time by numbers.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "no test needs all of it; a failing step must fail the test"
)]

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::{Effect, Event};
use kvs_cluster::error::ServeError;
use kvs_cluster::relay::Relay;
use kvs_cluster::replicator::Replicator;
use kvs_cluster::serve::serve;
use kvs_cluster::settings::{Begins, ReplicatorSettings, Tree, Writing};
use kvs_cluster::work::Work;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::item::DigestKey;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::Kind;
use kvs_protocol::call::{CallFailure, CallKind, Now};
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Outcome, Write};
use kvs_store::engine::device::Device;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::Silent;
use kvs_store::settings::{Collection, Settings};
use kvs_store::store::Store;
use uuid::Uuid;

pub(crate) const START_MS: u64 = 1_800_000_000_000;
pub(crate) const GRACE_MS: u64 = 200_000;
pub(crate) const STEPS_MAX: usize = 20_000;

#[derive(Debug, Default)]
pub(crate) struct ManualClock(pub(crate) AtomicU64);

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Node {
    pub(crate) device: Device,
    pub(crate) store: Arc<Store>,
    pub(crate) replicator: Replicator,
    pub(crate) inbox: Vec<Event>,
    pub(crate) is_up: bool,
    pub(crate) modes: (Mode, Mode),
    pub(crate) replicated: Vec<(u64, u32)>,
    pub(crate) calls: Vec<CallKind>,
    /// With whom it began a round of a session.
    pub(crate) asked: Vec<Uuid>,
    /// Work that its disk does not get to, while it is stuck.
    pub(crate) stuck: Option<Vec<Work>>,
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) keys: ClusterKeys,
    pub(crate) nodes: Vec<Node>,
    /// Calls of this kind are lost.
    pub(crate) cut: Option<CallKind>,
    pub(crate) seeds: u8,
    pub(crate) tree: Tree,
    /// Nodes that seem to live, and whom no call reaches.
    pub(crate) deaf: BTreeSet<usize>,
    /// Who cannot call whom.
    pub(crate) unlinked: BTreeSet<(usize, usize)>,
    /// Calls of the kind relay that are kept until they are let go; `None` when none are kept.
    pub(crate) kept: Option<VecDeque<(usize, Effect)>>,
}

pub(crate) fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

pub(crate) fn write(text: &str, change: Change) -> Write {
    Write {
        namespace: Namespace::Data,
        path: path(text),
        change,
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let keys = ClusterKeys::derive(b"the secret of a test");
        Self {
            clock: Arc::default(),
            keys,
            nodes: Vec::new(),
            cut: None,
            seeds: 0,
            tree: Tree::ORDINARY,
            deaf: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            kept: None,
        }
    }

    pub(crate) fn of(count: usize) -> Self {
        Self::with_tree(count, Tree::ORDINARY)
    }

    /// A cluster of so many whose logs travel by such a tree.
    pub(crate) fn with_tree(count: usize, tree: Tree) -> Self {
        let mut world = Self { tree, ..Self::new() };
        for _ in 0..count {
            world.add(if world.nodes.is_empty() { Begins::First } else { Begins::Joining });
        }
        world.tell_members();
        world.run(Duration::from_secs(3));
        world
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() }
    }

    pub(crate) fn open(&mut self, device: &Device) -> Arc<Store> {
        self.seeds += 1;
        let settings = Settings {
            compression_level: None,
            tombstone_grace_ms: GRACE_MS,
            collection: Collection::Covered,
            digest_key: DigestKey::of(&self.keys),
            ..Settings::default()
        };
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let medium = Box::new(MemoryMedium { device: device.clone() });
        Arc::new(Store::open_inline(medium, settings, clock, Arc::new(Silent), [self.seeds; 32]).unwrap())
    }

    pub(crate) fn replicator(&self, store: &Arc<Store>, begins: Begins) -> Replicator {
        let settings = ReplicatorSettings {
            secrets: Secrets::of(&self.keys),
            writing: Writing::Allowed,
            begins,
            sync_interval: Duration::from_secs(300),
            catchup_interval: Duration::from_secs(120),
            bootstrap_recent: Duration::from_secs(3600),
            throttle_delay: Duration::from_millis(100),
            fetch_delay: Duration::from_millis(50),
            tree: self.tree,
        };
        Replicator::new(Arc::clone(store), settings, [self.seeds; 32], self.now()).unwrap()
    }

    pub(crate) fn add(&mut self, begins: Begins) -> usize {
        let device = Device::new();
        let store = self.open(&device);
        let replicator = self.replicator(&store, begins);
        self.nodes.push(Node {
            device,
            store,
            replicator,
            inbox: Vec::new(),
            is_up: true,
            // As the server begins: peers wait until the replicator has spoken.
            modes: (Mode::Normal, Mode::Syncing),
            replicated: Vec::new(),
            calls: Vec::new(),
            asked: Vec::new(),
            stuck: None,
        });
        self.nodes.len() - 1
    }

    pub(crate) fn tell_members(&mut self) {
        let members: Vec<Member> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| Member {
                node: node.store.identity().origin.node,
                generation: node.store.generation(),
                node_id: format!("node{index}"),
                address: format!("{index}:1"),
                joined_ms: 1,
                mode: Mode::Normal,
                status: if node.is_up { Status::Alive } else { Status::Failed },
                last_seen_ms: 0,
                is_forgotten: false,
            })
            .collect();
        for node in &mut self.nodes {
            node.inbox.push(Event::Members { members: members.clone(), is_everybody: true });
        }
    }

    pub(crate) fn stop(&mut self, index: usize) {
        self.nodes[index].is_up = false;
        self.tell_members();
    }

    pub(crate) fn start(&mut self, index: usize, begins: Begins) {
        let device = self.nodes[index].device.clone();
        self.nodes[index].store.close();
        let store = self.open(&device);
        let replicator = self.replicator(&store, begins);
        let node = &mut self.nodes[index];
        (node.store, node.replicator, node.is_up) = (store, replicator, true);
        node.inbox.clear();
        self.tell_members();
    }

    /// Goes on for this long, a step of 10 ms at a time, until nothing is left to say within each.
    pub(crate) fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 10 {
            self.clock.0.fetch_add(10, Ordering::SeqCst);
            for node in &mut self.nodes {
                node.store.turn();
                node.inbox.push(Event::Timer);
            }
            self.settle();
        }
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let Some(index) = self.nodes.iter().position(|node| node.is_up && !node.inbox.is_empty()) else {
                return;
            };
            let now = self.now();
            let event = self.nodes[index].inbox.remove(0);
            let effects = self.nodes[index].replicator.handle(event, now);
            for effect in effects {
                self.carry_out(index, effect, now);
            }
        }
        unreachable!("the nodes never stop talking");
    }

    pub(crate) fn carry_out(&mut self, index: usize, effect: Effect, now: Now) {
        match effect {
            Effect::Call { kind: CallKind::Relay, .. } if self.kept.is_some() => {
                self.nodes[index].calls.push(CallKind::Relay);
                self.kept.as_mut().unwrap().push_back((index, effect));
            }
            Effect::Call { call, node, kind, body, .. } => {
                self.nodes[index].calls.push(kind);
                if kind == CallKind::Sync {
                    self.nodes[index].asked.push(node);
                }
                let result = self.answer(index, node, kind, &body, now);
                self.nodes[index].inbox.push(Event::Reply { call, result });
            }
            Effect::Work(work) => {
                let node = &mut self.nodes[index];
                if let Some(stuck) = &mut node.stuck {
                    stuck.push(work);
                    return;
                }
                node.inbox.push(Event::Worked(work.perform(&node.store, now)));
            }
            Effect::Mode { clients, peers } => self.nodes[index].modes = (clients, peers),
            Effect::Replicated { ticket, count } => self.nodes[index].replicated.push((ticket, count)),
            Effect::PeerRefused { .. } | Effect::Heard { .. } | Effect::TooManyWait { .. } => {}
        }
    }

    /// The first call that was kept gets its answer.
    pub(crate) fn let_go(&mut self) {
        let (index, effect) = self.kept.as_mut().unwrap().pop_front().unwrap();
        let Effect::Call { call, node, kind, body, .. } = effect else { unreachable!() };
        let result = self.answer(index, node, kind, &body, self.now());
        self.nodes[index].inbox.push(Event::Reply { call, result });
        self.settle();
    }

    pub(crate) fn answer(
        &mut self,
        from: usize,
        to: Uuid,
        kind: CallKind,
        body: &Bytes,
        now: Now,
    ) -> Result<Bytes, CallFailure> {
        if self.cut == Some(kind) {
            return Err(CallFailure::Unreachable("cut".into()));
        }
        let caller = from;
        let from = self.nodes[from].store.identity().origin.node;
        let place = self.nodes.iter().position(|node| node.store.identity().origin.node == to);
        let node = place.map(|place| &self.nodes[place]).filter(|node| node.is_up);
        let node = node.ok_or(CallFailure::Refused)?;
        if place.is_some_and(|place| self.deaf.contains(&place) || self.unlinked.contains(&(caller, place))) {
            return Err(CallFailure::Unreachable("deaf".into()));
        }
        let secrets = Secrets::of(&self.keys);
        if kind == CallKind::Relay {
            return self.pass_on(place.unwrap_or_default(), body, now);
        }
        let answer = serve(&node.store, &secrets, node.modes.1, from, kind, body, now)
            .map_err(|error| CallFailure::Rejected(error.to_string()));
        if let Some(place) = place {
            self.nodes[place].inbox.push(Event::Committed);
        }
        answer
    }

    fn pass_on(&mut self, place: usize, body: &Bytes, now: Now) -> Result<Bytes, CallFailure> {
        let rejected = |error: ServeError| CallFailure::Rejected(error.to_string());
        let node = &self.nodes[place];
        let (mut relay, calls) =
            Relay::begin(node.store.node(), body, self.tree.fan_out).map_err(rejected)?;
        let secrets = Secrets::of(&self.keys);
        let (origin, part) = (relay.origin(), relay.part().clone());
        let own = serve(&node.store, &secrets, node.modes.1, origin, CallKind::Replicate, &part, now);
        relay.take_own(own);
        self.nodes[place].inbox.push(Event::Committed);
        for call in calls {
            let result = self.answer(place, call.head, CallKind::Relay, &call.body, now);
            relay.take_branch(call.head, result);
        }
        Ok(relay.finish())
    }

    pub(crate) fn commit(&mut self, index: usize, write: Write) -> Outcome {
        let node = &mut self.nodes[index];
        let outcome = node.store.commit(vec![write]).unwrap()[0];
        if !matches!(node.inbox.last(), Some(Event::Committed)) {
            node.inbox.push(Event::Committed);
        }
        outcome
    }

    pub(crate) fn put(&mut self, index: usize, key: &str, value: &str) -> Outcome {
        let content = self.nodes[index].store.prepare(Bytes::from(value.to_owned()));
        self.commit(index, write(key, Change::Put { content, lifetime: None }))
    }

    pub(crate) fn value(&self, index: usize, key: &str) -> Option<String> {
        let record = self.nodes[index].store.read(Namespace::Data, &path(key)).unwrap()?;
        (record.kind == Kind::Value)
            .then(|| String::from_utf8(self.nodes[index].store.json(&record).unwrap().to_vec()).unwrap())
    }

    pub(crate) fn values(&self, key: &str) -> Vec<Option<String>> {
        (0..self.nodes.len()).map(|index| self.value(index, key)).collect()
    }

    pub(crate) fn all_have(&self, key: &str, value: Option<&str>) {
        let wanted = vec![value.map(str::to_owned); self.nodes.len()];
        assert_eq!(self.values(key), wanted, "{key}");
    }

    pub(crate) fn assert_equal_roots(&self) {
        let roots: Vec<_> = self.nodes.iter().map(|node| node.store.digest().lasting().unwrap()).collect();
        assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "the roots differ: {roots:?}");
    }
}
