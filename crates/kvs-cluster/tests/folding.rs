//! Vectors over many starts: they stay small, and nothing is lost or dropped by that.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::{Effect, Event};
use kvs_cluster::replicator::Replicator;
use kvs_cluster::serve::serve;
use kvs_cluster::settings::{Begins, ReplicatorSettings, Tree, Writing};
use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::item::DigestKey;
use kvs_core::namespace::Namespace;
use kvs_core::origin::born_s;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::Kind;
use kvs_core::vector::Vector;
use kvs_protocol::call::{CallFailure, CallKind, Now};
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::{Change, Outcome, Transaction, Write};
use kvs_store::engine::device::Device;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::Silent;
use kvs_store::settings::{Collection, Settings};
use kvs_store::store::Store;
use uuid::Uuid;

const START_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const STEP_MS: u64 = 500;

#[derive(Debug, Default)]
struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Node {
    device: Device,
    store: Arc<Store>,
    replicator: Replicator,
    inbox: Vec<Event>,
    is_up: bool,
    dropped: u64,
}

struct World {
    clock: Arc<ManualClock>,
    keys: ClusterKeys,
    nodes: Vec<Node>,
    /// Calls of these kinds are lost.
    cut: Vec<CallKind>,
    seeds: u64,
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

impl World {
    fn of(count: usize) -> Self {
        let keys = ClusterKeys::derive(b"the secret of a test");
        let mut world = Self { clock: Arc::default(), keys, nodes: Vec::new(), cut: Vec::new(), seeds: 0 };
        for index in 0..count {
            let device = Device::new();
            let (store, replicator) =
                world.open(&device, if index == 0 { Begins::First } else { Begins::Joining });
            world.nodes.push(Node { device, store, replicator, inbox: Vec::new(), is_up: true, dropped: 0 });
        }
        world.tell_members();
        world.run(20);
        world
    }

    fn open(&mut self, device: &Device, begins: Begins) -> (Arc<Store>, Replicator) {
        self.seeds += 1;
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.seeds.to_be_bytes());
        seed[16..24].copy_from_slice(&self.seeds.to_be_bytes());
        let settings = Settings {
            compression_level: None,
            tombstone_grace_ms: 4 * HOUR_MS,
            collection: Collection::Covered,
            digest_key: DigestKey::of(&self.keys),
            ..Settings::default()
        };
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let medium = Box::new(MemoryMedium { device: device.clone() });
        let store = Arc::new(Store::open_inline(medium, settings, clock, Arc::new(Silent), seed).unwrap());
        let settings = ReplicatorSettings {
            secrets: Secrets::of(&self.keys),
            writing: Writing::Allowed,
            begins,
            sync_interval: Duration::from_secs(300),
            catchup_interval: Duration::from_secs(120),
            bootstrap_recent: Duration::from_secs(24 * 3600),
            throttle_delay: Duration::from_millis(100),
            fetch_delay: Duration::from_millis(50),
            tree: Tree::ORDINARY,
        };
        let replicator = Replicator::new(Arc::clone(&store), settings, seed, self.now()).unwrap();
        (store, replicator)
    }

    fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() }
    }

    fn tell_members(&mut self) {
        let member = |(index, node): (usize, &Node)| Member {
            node: node.store.node(),
            generation: node.store.generation(),
            node_id: format!("node{index}"),
            address: format!("{index}:1"),
            joined_ms: 1,
            mode: Mode::Normal,
            status: if node.is_up { Status::Alive } else { Status::Failed },
            last_seen_ms: 0,
            is_forgotten: false,
        };
        let members: Vec<Member> = self.nodes.iter().enumerate().map(member).collect();
        for node in &mut self.nodes {
            node.inbox.push(Event::Members { members: members.clone(), is_everybody: true });
        }
    }

    fn stop(&mut self, index: usize) {
        self.nodes[index].is_up = false;
        self.tell_members();
    }

    fn start(&mut self, index: usize) {
        let device = self.nodes[index].device.clone();
        self.nodes[index].store.close();
        let (store, replicator) = self.open(&device, Begins::Joining);
        let node = &mut self.nodes[index];
        node.dropped += node.replicator.report().sessions.dropped;
        (node.store, node.replicator, node.is_up) = (store, replicator, true);
        node.inbox.clear();
        self.tell_members();
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.clock.0.fetch_add(STEP_MS, Ordering::SeqCst);
            for node in &mut self.nodes {
                node.store.turn();
                node.inbox.push(Event::Timer);
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(index) = self.nodes.iter().position(|node| node.is_up && !node.inbox.is_empty()) {
            let now = self.now();
            let event = self.nodes[index].inbox.remove(0);
            for effect in self.nodes[index].replicator.handle(event, now) {
                match effect {
                    Effect::Call { call, node, kind, body, .. } => {
                        let result = self.answer(index, node, kind, &body, now);
                        self.nodes[index].inbox.push(Event::Reply { call, result });
                    }
                    Effect::Work(work) => {
                        let node = &mut self.nodes[index];
                        node.inbox.push(Event::Worked(work.perform(&node.store, now)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn answer(
        &mut self,
        from: usize,
        to: Uuid,
        kind: CallKind,
        body: &Bytes,
        now: Now,
    ) -> Result<Bytes, CallFailure> {
        if self.cut.contains(&kind) {
            return Err(CallFailure::Unreachable("cut".into()));
        }
        let from = self.nodes[from].store.node();
        let node = self.nodes.iter_mut().find(|node| node.store.node() == to && node.is_up);
        let node = node.ok_or(CallFailure::Refused)?;
        node.inbox.push(Event::Committed);
        serve(&node.store, &Secrets::of(&self.keys), Mode::Normal, from, kind, body, now)
            .map_err(|error| CallFailure::Rejected(error.to_string()))
    }

    fn commit(&mut self, index: usize, key: &str, change: Change) -> Outcome {
        let write = Write {
            namespace: Namespace::Data,
            path: path(key),
            change,
            precondition: Precondition::default(),
            asker: Asker::nobody(),
        };
        self.nodes[index].inbox.push(Event::Committed);
        self.nodes[index].store.commit(vec![write]).unwrap()[0]
    }

    fn put(&mut self, index: usize, key: &str, value: &str) -> Outcome {
        let content = self.nodes[index].store.prepare(Bytes::from(value.to_owned()));
        self.commit(index, key, Change::Put { content, lifetime: None })
    }

    fn all_have(&self, key: &str, value: Option<&str>) {
        for (index, node) in self.nodes.iter().enumerate() {
            let record = node.store.read(Namespace::Data, &path(key)).unwrap();
            let record = record.filter(|record| record.kind == Kind::Value);
            let held =
                record.map(|record| String::from_utf8(node.store.json(&record).unwrap().to_vec()).unwrap());
            assert_eq!(held.as_deref(), value, "{key} on node {index}");
        }
    }

    fn vectors(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.store.vector().len()).collect()
    }

    fn assert_nothing_was_dropped(&self) {
        for node in &self.nodes {
            assert_eq!(node.dropped + node.replicator.report().sessions.dropped, 0);
        }
        let roots: Vec<_> = self.nodes.iter().map(|node| node.store.digest().lasting().unwrap()).collect();
        assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "the roots differ: {roots:?}");
    }
}

#[test]
fn three_hundred_starts_leave_small_vectors_and_drop_nothing() {
    let mut world = World::of(3);
    let mut most = 0;
    for round in 0..300_u64 {
        let key = |number: u64| format!("k{}", number % 40);
        world.put(0, &key(round), &round.to_string());
        if round % 7 == 3 {
            world.commit(0, &key(round - 3), Change::Delete);
        }
        world.put(1, "other", &round.to_string());
        world.run(8);
        world.start(0);
        world.run(8);
        world.clock.0.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
        world.run(12);
        most = most.max(world.vectors().into_iter().max().unwrap());
    }
    // Twelve starts are within the day before which nothing is folded.
    assert!(most < 32, "a vector had {most} entries");
    assert!(world.nodes.iter().all(|node| node.store.vector().marker(world.nodes[0].store.node()) > 0));
    assert!(world.nodes[0].store.standing().epochs.len() < 32);
    world.run(40);
    world.assert_nothing_was_dropped();
    for round in 260..300_u64 {
        let was_deleted = (260..300).any(|later| later % 7 == 3 && later - 3 == round);
        let value = round.to_string();
        world.all_have(&format!("k{}", round % 40), (!was_deleted).then_some(value.as_str()));
    }
}

#[test]
fn while_a_member_is_away_nothing_is_folded_that_it_lacks() {
    let mut world = World::of(3);
    world.put(0, "a", "1");
    world.run(8);
    world.stop(2);
    for round in 0..20 {
        world.start(0);
        world.put(0, &format!("k{round}"), "1");
        world.run(8);
        world.clock.0.fetch_add(4 * HOUR_MS, Ordering::SeqCst);
        world.run(12);
    }
    assert!(world.vectors()[1] >= 20, "{:?}", world.vectors());
    world.start(2);
    for _ in 0..12 {
        world.run(12);
        world.clock.0.fetch_add(4 * HOUR_MS, Ordering::SeqCst);
    }
    assert!(world.vectors().into_iter().all(|entries| entries < 10), "{:?}", world.vectors());
    for round in 0..20 {
        world.all_have(&format!("k{round}"), Some("1"));
    }
    world.assert_nothing_was_dropped();
}

#[test]
fn a_version_that_one_member_only_heard_of_keeps_its_epoch() {
    let mut world = World::of(3);
    let Outcome::Created(written) = world.put(0, "a", "1") else { unreachable!() };
    world.run(8);
    // Node 1 has a later write of that epoch, as from a life of node 0 that is lost, and covers nothing of it.
    let mut record = world.nodes[0].store.read(Namespace::Data, &path("a")).unwrap().unwrap();
    world.start(0);
    record.dot.seq = 5;
    record.version.uuid = Uuid::from_u128(5);
    world.cut = vec![CallKind::Sync];
    world.commit(1, "lost", Change::Merge(Box::new(record)));
    let heard = world.nodes[1].store.standing().heard_of(written.dot.origin.node).unwrap();
    assert_eq!(heard.into_iter().collect::<Vec<_>>(), [(written.dot.origin.epoch, 5)]);
    world.start(1);
    assert_eq!(world.nodes[1].store.standing().heard.seq(&written.dot.origin), 5, "over a start, too");
    for _ in 0..12 {
        world.run(12);
        world.clock.0.fetch_add(4 * HOUR_MS, Ordering::SeqCst);
    }
    let vector = world.nodes[0].store.vector();
    assert!(vector.marker(world.nodes[0].store.node()) <= born_s(written.dot.origin.epoch));
    world.cut.clear();
    world.run(60);
    world.all_have("lost", Some("1"));
    // What was before it is lost with that life: once every member has given what it has, nothing more is waited for.
    for _ in 0..16 {
        world.clock.0.fetch_add(4 * HOUR_MS, Ordering::SeqCst);
        world.run(12);
    }
    assert_eq!(world.nodes[0].store.vector().seq(&written.dot.origin), u64::MAX);
    world.all_have("lost", Some("1"));
    world.assert_nothing_was_dropped();
}

#[test]
fn a_node_whose_epoch_others_have_folded_writes_everything_anew_in_another() {
    let mut world = World::of(2);
    world.put(0, "a", "1");
    world.run(8);
    world.cut = vec![CallKind::Replicate, CallKind::Sync];
    world.put(0, "b", "2");
    world.commit(0, "a", Change::Delete);
    // As if node 0 had been put back, with a clock that is far behind.
    let own = world.nodes[0].store.identity().origin;
    let mut claim = Vector::default();
    claim.fold(own.node, born_s(own.epoch) + 500);
    let marks = vec![Mark::Raise(claim)];
    world.nodes[1].store.commit(Transaction { writes: Vec::new(), marks }).unwrap();
    // Old enough to have been deleted and collected: if it were judged, it would be dropped.
    world.clock.0.fetch_add(5 * HOUR_MS, Ordering::SeqCst);
    world.cut = vec![CallKind::Status, CallKind::Sync];
    world.run(4);
    world.cut = vec![CallKind::Sync];
    world.run(30);
    assert!(born_s(world.nodes[0].store.identity().origin.epoch) >= born_s(own.epoch) + 500);
    world.all_have("b", Some("2"));
    world.all_have("a", None);
    let Outcome::Created(written) = world.put(0, "c", "3") else { unreachable!() };
    assert_ne!(written.dot.origin, own);
    world.run(8);
    world.all_have("c", Some("3"));
    let anew = world.nodes[1].store.read(Namespace::Data, &path("b")).unwrap().unwrap();
    assert_ne!(anew.dot.origin, own);
    world.assert_nothing_was_dropped();
}
