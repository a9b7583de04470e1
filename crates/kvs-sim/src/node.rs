//! A machine of the world: its disk and clock, and the process on it while there is one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvs_cluster::replicator::Replicator;
use kvs_cluster::settings::{Begins, ReplicatorSettings, Writing};
use kvs_cluster::work::Work;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::item::DigestKey;
use kvs_core::namespace::Namespace;
use kvs_core::recall::read_recall;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::membership::swim::Swim;
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock;
use kvs_store::commit::mark::Note;
use kvs_store::engine::device::{Device, Faults, Torn};
use kvs_store::error::StoreError;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::{BatchStats, Key, Observer};
use kvs_store::settings::{Collection, Durability, FirstJoined, Settings};
use kvs_store::store::Store;
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::clock::NodeClock;
use crate::weather::Weather;

/// The numbers of membership's calls begin here and are even; the replicator's are odd.
const FIRST_MEMBERSHIP_CALL: u64 = 2;

/// A member that is silent for this long is forgotten: never within a run.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Collects the keys of clients that a store changes, and of recalls.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Vec<Key>>);

impl Changes {
    /// The keys that changed since the last call.
    pub fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Changes {
    fn committing(&self, _: &[Key]) {}

    fn committed(&self, keys: &[Key]) {
        // What a cluster notes about itself is no client's.
        let is_seen = |key: &&Key| {
            key.namespace != Namespace::Cluster || read_recall(key.namespace, &key.path).is_some()
        };
        let keys = keys.iter().filter(is_seen).cloned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    fn batch(&self, _: &BatchStats) {}
}

/// How a machine is to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the cluster, running or not.
    Member,
    /// It said goodbye and comes back.
    Away,
    /// It said goodbye and stays away.
    Left,
    /// Its disk is gone, or its directory was restored elsewhere.
    Gone,
}

/// A process.
pub struct Process {
    /// Tells it from earlier ones of the same machine.
    pub number: u64,
    /// Its store.
    pub store: Arc<Store>,
    /// Membership.
    pub swim: Swim,
    /// Replication.
    pub replicator: Replicator,
    /// What its store changed.
    pub changes: Arc<Changes>,
    /// The mode for clients.
    pub clients: Mode,
    /// The mode for peers.
    pub peers: Mode,
    /// When the timers are set to go off.
    pub swim_at: Option<Duration>,
    /// The same for replication.
    pub replicator_at: Option<Duration>,
    /// How often in a row the timers were due again at once.
    pub swim_spins: u32,
    /// The same for replication.
    pub replicator_spins: u32,
    /// The end of the log that the replicator was told of.
    pub told_local_seq: u64,
    /// Work beside the replicator that waits for the disk.
    pub work: VecDeque<Work>,
}

/// A machine.
pub struct Node {
    /// Its address.
    pub address: String,
    /// Its name.
    pub name: String,
    /// Its disk.
    pub device: Device,
    /// Its clock.
    pub clock: Arc<NodeClock>,
    /// The process on it.
    pub process: Option<Process>,
    /// How it counts.
    pub standing: Standing,
    /// Whether its data came from an old copy.
    pub is_restored: bool,
    /// How much longer its answers take.
    pub disk_delay: Duration,
    /// The node's identity once it has one.
    pub uuid: Option<Uuid>,
    /// Whether its directory was ever put back: its peers may refuse it until it was started often enough.
    pub was_put_back: bool,
    /// When its disk last lost something: when it was put back, or began again.
    pub emptied_at: Option<Duration>,
    /// When it last began again as another node, as it had been forgotten.
    pub began_again_at: Option<Duration>,
    /// How often its peers refused a process of it.
    pub refusals: u32,
    /// Whether others have forgotten it: when it learns of that, it begins again as another node.
    pub is_forgotten: bool,
    /// Whether its clock was ever ahead by more than the configuration allows.
    pub was_ahead: bool,
}

/// What all nodes share.
pub fn cluster_keys() -> ClusterKeys {
    ClusterKeys::derive(b"the secret of a simulated cluster")
}

impl Node {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new(place: usize, clock: Arc<NodeClock>) -> Self {
        Self {
            address: format!("node{place}:3000"),
            name: format!("node{place}"),
            device: Device::new(),
            clock,
            process: None,
            standing: Standing::Member,
            is_restored: false,
            disk_delay: Duration::ZERO,
            uuid: None,
            was_put_back: false,
            emptied_at: None,
            began_again_at: None,
            refusals: 0,
            is_forgotten: false,
            was_ahead: false,
        }
    }

    /// Starts a process.
    ///
    /// # Errors
    ///
    /// The store cannot be opened.
    pub fn start(
        &mut self,
        number: u64,
        seeds: Vec<String>,
        weather: &Weather,
        random: &mut StdRng,
    ) -> Result<(), StoreError> {
        let changes = Arc::new(Changes::default());
        let keys = cluster_keys();
        let is_first = seeds.is_empty();
        let settings = Settings {
            durability: Durability::Always,
            revision_limit: weather.revision_limit,
            compression_level: None,
            tombstone_grace_ms: weather.grace_ms,
            first_joined: if is_first { FirstJoined::Now } else { FirstJoined::Youngest },
            clock_skew_ms_max: weather.clock_skew_ms_max,
            collection: Collection::Covered,
            digest_key: DigestKey::of(&keys),
            ..Settings::default()
        };
        let medium = MemoryMedium { device: self.device.clone() };
        let clock: Arc<dyn Clock> = Arc::<NodeClock>::clone(&self.clock);
        let observer: Arc<dyn Observer> = Arc::<Changes>::clone(&changes);
        let store =
            Arc::new(Store::open_inline(Box::new(medium), settings, clock, observer, random.random())?);
        let now = self.clock.read();
        let settings = ReplicatorSettings {
            secrets: Secrets::of(&keys),
            writing: Writing::Allowed,
            begins: if is_first { Begins::First } else { Begins::Joining },
            sync_interval: weather.sync_interval,
            catchup_interval: weather.sync_interval / 2,
            bootstrap_recent: Duration::from_secs(3600),
            throttle_delay: Duration::ZERO,
            fetch_delay: Duration::ZERO,
            tree: weather.tree,
        };
        let replicator = Replicator::new(Arc::clone(&store), settings, random.random(), now)?;
        let identity = store.identity();
        self.uuid = Some(identity.origin.node);
        let membership = MembershipSettings {
            node: identity.origin.node,
            generation: store.generation(),
            node_id: self.name.clone(),
            address: self.address.clone(),
            seeds,
            joined_ms: identity.joined_ms,
            mode: Mode::Normal,
            gossip_interval: Duration::from_secs(5)..=Duration::from_secs(10),
            forget_after: FORGET_AFTER,
            process_nonce: random.random(),
            first_call: FIRST_MEMBERSHIP_CALL,
        };
        let persisted = store.note(Note::Members)?;
        let swim = Swim::new(membership, persisted.as_deref(), random.random());
        self.process = Some(Process {
            number,
            store,
            swim,
            replicator,
            changes,
            clients: Mode::Normal,
            peers: Mode::Normal,
            swim_at: None,
            replicator_at: None,
            swim_spins: 0,
            replicator_spins: 0,
            told_local_seq: 0,
            work: VecDeque::new(),
        });
        Ok(())
    }

    /// The power goes.
    pub fn crash(&mut self, torn: Torn) {
        // So that the end of the store, which a dead process has not, leaves no trace.
        let silenced = Faults { sync_fails_from: Some(0), capacity_bytes: Some(0), ..Faults::default() };
        self.device.set_faults(silenced);
        self.process = None;
        self.device.crash(torn);
    }

    /// The process ends in order.
    pub fn stop(&mut self) {
        self.process = None;
    }
}
