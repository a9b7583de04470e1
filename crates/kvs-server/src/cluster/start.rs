//! Starting and stopping the cluster's threads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use kvs_cluster::limits::WORK_MAX;
use kvs_cluster::replicator::Replicator;
use kvs_cluster::settings::{Begins, ReplicatorSettings, Tree, Writing};
use kvs_config::config::Config;
use kvs_protocol::call::Now;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::membership::swim::Swim;
use kvs_protocol::mode::Mode;
use kvs_protocol::peer_auth::keyring::Keyring;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock;
use kvs_store::commit::mark::Note;
use kvs_store::store::Store;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::address::advertised;
use super::answering::Answering;
use super::changes::SeedLog;
use super::copies::Copies;
use super::disk::Disk;
use super::handle::{Cluster, End};
use super::members::Members;
use super::queue::Queue;
use super::relaying::Relaying;
use super::replication::Replication;
use super::service::Service;
use super::wake::Wake;
use super::{to_members, to_replicator};
use crate::clock::SystemClock;
use crate::error::ServerError;
use crate::limits::CLOSED_MAX;
use crate::peer::client::PeerClient;
use crate::peer::service::PeerService;
use crate::random::random_bytes;
use crate::tls::keeper::Tls;

/// Where a node has its threads' queues before they run: handlers may ask from the first moment.
pub(crate) struct Queues {
    pub(super) cluster: Arc<Cluster>,
    members: (Queue<to_members::Command>, Receiver<to_members::Command>),
    replicator: (Queue<to_replicator::Command>, Receiver<to_replicator::Command>),
}

impl Queues {
    /// The queues of a node that begins in this mode.
    pub(crate) fn new(mode: Mode) -> Self {
        let (members, replicator) = (Queue::new(), Queue::new());
        let cluster = Arc::new(Cluster {
            view: watch::Sender::default(),
            unrestored: Mutex::default(),
            running: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            clients_mode: AtomicU8::new(mode.number()),
            peers_mode: AtomicU8::new(Mode::Syncing.number()),
            progress: Mutex::default(),
            copies: Copies::default(),
            members: members.0.clone(),
            replicator: replicator.0.clone(),
        });
        Self { cluster, members, replicator }
    }

    /// What handlers ask.
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }
}

/// The cluster's threads.
pub(crate) struct Threads {
    cluster: Arc<Cluster>,
    handles: Vec<JoinHandle<()>>,
    /// Says when the node must end.
    pub(crate) end: mpsc::Receiver<End>,
}

/// What the threads work with.
pub(crate) struct Parts<'a> {
    /// The configuration.
    pub(crate) config: &'a Config,
    /// Where the node listens.
    pub(crate) listening: SocketAddr,
    /// The keys of the cluster.
    pub(crate) keyring: Keyring,
    /// The store.
    pub(crate) store: Arc<Store>,
    /// Time.
    pub(crate) clock: SystemClock,
    /// What the committer sets.
    pub(crate) wake: Arc<Wake>,
    /// Certificates; `None` where nodes speak in the clear.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Starts the threads; answers them and what answers peers.
///
/// # Errors
///
/// [`ServerError`]: there is no randomness, no thread, or the notes of an earlier process cannot be read.
pub(crate) fn start(
    queues: Queues,
    parts: Parts<'_>,
) -> Result<(Threads, Arc<dyn PeerService>), ServerError> {
    let Parts { config, listening, keyring, store, clock, wake, tls } = parts;
    let Queues { cluster, members, replicator } = queues;
    let identity = store.identity();
    let secrets = Secrets::of(keyring.current());
    let client = PeerClient::new(keyring, identity.origin.node, store.generation(), clock)?;
    let (closed_sender, mut closed) = mpsc::channel(CLOSED_MAX);
    let client = Arc::new(client.telling_closed(closed_sender).under(tls));
    let told = members.0.clone();
    tokio::spawn(async move {
        while let Some(address) = closed.recv().await {
            if !told.put(to_members::Command::Closed(address)).await {
                return;
            }
        }
    });
    let now = Now { monotonic: clock.monotonic(), wall_ms: clock.now_ms() };
    // The first reason ends the node; a second one says nothing new.
    let (end_sender, end) = mpsc::channel(1);
    let swim = Swim::new(
        MembershipSettings {
            node: identity.origin.node,
            generation: store.generation(),
            node_id: config.node_id.clone(),
            address: advertised(config, listening),
            seeds: config.seed_nodes.clone(),
            joined_ms: identity.joined_ms,
            mode: configured_mode(config),
            gossip_interval: config.gossip_interval_min..=config.gossip_interval_max,
            forget_after: config.bootstrap_max_age,
            process_nonce: u64::from_be_bytes(random_bytes()?),
            first_call: 0,
        },
        store.note(Note::Members).map_err(ServerError::OpenStore)?.as_deref(),
        u64::from_be_bytes(random_bytes()?),
    );
    let settings = ReplicatorSettings {
        secrets: secrets.clone(),
        writing: if config.read_only { Writing::ReadOnly } else { Writing::Allowed },
        begins: if config.seed_nodes.is_empty() { Begins::First } else { Begins::Joining },
        sync_interval: config.sync_interval,
        catchup_interval: config.catchup_interval,
        bootstrap_recent: config.bootstrap_max_age,
        throttle_delay: config.throttle_delay,
        fetch_delay: config.fetch_delay,
        tree: Tree::ORDINARY,
    };
    let machine = Replicator::new(Arc::clone(&store), settings, random_bytes()?, now)
        .map_err(ServerError::OpenStore)?;
    wake.connect(replicator.0.clone());
    let runtime = Handle::current();
    let members_thread = Members {
        swim,
        store: Arc::clone(&store),
        cluster: Arc::clone(&cluster),
        client: Arc::clone(&client),
        clock,
        runtime: runtime.clone(),
        own: members.0,
        end: end_sender,
        told: Vec::new(),
        is_untold: false,
        seed_log: SeedLog::default(),
        published_at: Duration::ZERO,
    };
    let (disk_sender, disk_work) = sync_channel(WORK_MAX);
    let disk = Disk { store: Arc::clone(&store), clock, replicator: replicator.0.clone() };
    let replication = Replication {
        replicator: machine,
        cluster: Arc::clone(&cluster),
        client: Arc::clone(&client),
        wake,
        clock,
        runtime,
        own: replicator.0,
        untold: None,
        disk: disk_sender,
    };
    let handles = vec![
        spawn("kvs-members", move || members_thread.run(&members.1))?,
        spawn("kvs-replicator", move || replication.run(&replicator.1))?,
        spawn("kvs-replic-disk", move || disk.run(&disk_work))?,
    ];
    cluster.running.store(true, Ordering::Release);
    let answering = Answering { store, secrets, clock };
    let service = Service { cluster: Arc::clone(&cluster), answering, relaying: Relaying::new(client) };
    Ok((Threads { cluster, handles, end }, Arc::new(service)))
}

/// The mode that the configuration asks for.
pub(crate) fn configured_mode(config: &Config) -> Mode {
    if config.read_only { Mode::ReadOnly } else { Mode::Normal }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServerError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|source| ServerError::Runtime { operation: "start a thread of the cluster", source })
}

impl Threads {
    /// Stops them and waits until they have ended; blocks for as long as the disk takes.
    pub(crate) fn stop(self) {
        // A thread that has ended needs no telling.
        self.cluster.members.put_blocking(to_members::Command::Stop);
        self.cluster.replicator.put_blocking(to_replicator::Command::Stop);
        for handle in self.handles {
            if handle.join().is_err() {
                tracing::error!("a thread of the cluster ended by a panic");
            }
        }
    }
}
