//! What every request can reach: the store, the caches and counters around it, and the settings of the door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvs_config::network::Network;
use kvs_core::namespace::Namespace;
use kvs_protocol::mode::Mode;
use kvs_store::observer::{Act, BatchStats, Key, Observer, RecordedEnd, Resolution};
use kvs_store::shared::State;

use crate::access::follower::Follower;
use crate::access::guard::Guard;
use crate::access::vault::Vault;
use crate::access::visitor::Recording;
use crate::answer_cache::AnswerCache;
use crate::audit::recorder::Recorder;
use crate::backups::Backups;
use crate::budget::Budget;
use crate::clock::SystemClock;
use crate::cluster::handle::Cluster;
use crate::cluster::wake::Wake;
use crate::conflict_log::ConflictLog;
use crate::connection::registry::Registry;
use crate::metrics::Metrics;
use crate::peer::gate::Gate;
use crate::rate_limit::limiter::RateLimiter;
use crate::read_pace::ReadPace;
use crate::scans::Scans;
use crate::tls::keeper::Tls;

/// Whose requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostPolicy {
    /// The node listens on loopback: `Host` must name it.
    LoopbackOnly,
    /// Any `Host`.
    Any,
}

/// What the configuration says about requests.
#[derive(Debug, Clone)]
pub(crate) struct DoorSettings {
    /// The node's name.
    pub(crate) node_id: String,
    /// Where the node listens.
    pub(crate) address: String,
    /// Whether writes that an earlier life of the node saved wait for somebody to look at them.
    pub(crate) has_saved_writes: bool,
    /// How long a tombstone stays at least, in milliseconds.
    pub(crate) tombstone_grace_ms: u64,
    /// Whose requests are answered.
    pub(crate) host_policy: HostPolicy,
    /// Proxies that may name the address of their client.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Whether what clients do is written into the audit trail.
    pub(crate) recording: Recording,
    /// Whether clients may write.
    pub(crate) mode: Mode,
    /// Largest value, in bytes.
    pub(crate) max_json_size: usize,
    /// Life of a value whose writer names none; `None` for ever.
    pub(crate) default_ttl: Option<Duration>,
}

/// A node, as its handlers see it.
pub(crate) struct Node {
    /// The store, behind the decision about rights.
    pub(crate) vault: Vault,
    /// Who is asking.
    pub(crate) guard: Arc<Guard>,
    /// The audit trail.
    pub(crate) recorder: Arc<Recorder>,
    /// Conflicts that the log will tell of.
    pub(crate) conflicts: Arc<ConflictLog>,
    /// Limits how much one caller asks; `None` where that is off.
    pub(crate) limiter: Option<RateLimiter>,
    /// Framed answers.
    pub(crate) answers: Arc<AnswerCache>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Connections.
    pub(crate) registry: Arc<Registry>,
    /// Memory of bodies and answers.
    pub(crate) budget: Budget,
    /// How single reads run.
    pub(crate) read_pace: ReadPace,
    /// Turns for big reads.
    pub(crate) scans: Scans,
    /// The door for peers; `None` for a node alone.
    pub(crate) gate: Option<Gate>,
    /// The cluster; `None` for a node alone.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// Certificates; `None` for a node that speaks in the clear.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Backups.
    pub(crate) backups: Arc<Backups>,
    /// Time.
    pub(crate) clock: SystemClock,
    /// Where the node listens.
    pub(crate) listening: SocketAddr,
    /// Settings of the door.
    pub(crate) settings: DoorSettings,
    /// Finalises the roots that users see.
    pub(crate) root_key: [u8; 32],
    /// The key of the request ids, random for each process.
    pub(crate) request_id_key: u64,
    /// Set once a stop was asked for.
    pub(crate) stopping: AtomicBool,
}

impl Node {
    /// Whether clients may write now.
    pub(crate) fn mode(&self) -> Mode {
        self.cluster.as_ref().map_or(self.settings.mode, |cluster| cluster.mode())
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Keeps the cache empty while the store may change without telling; called by the sweeper.
    pub(crate) fn guard_cache(&self) {
        if self.vault.state() != State::Open {
            self.answers.forget_all();
        }
    }
}

/// Tells the caches and counters of a node about commits.
#[derive(Debug)]
pub(crate) struct CommitObserver {
    /// Framed answers.
    pub(crate) answers: Arc<AnswerCache>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// The replicator.
    pub(crate) wake: Arc<Wake>,
    /// What is known of rights.
    pub(crate) follower: Arc<Follower>,
    /// The audit trail.
    pub(crate) recorder: Arc<Recorder>,
    /// Conflicts that the log will tell of.
    pub(crate) conflicts: Arc<ConflictLog>,
}

impl Observer for CommitObserver {
    fn recording(&self, acts: &[Act]) -> Result<(), String> {
        self.recorder.recording(acts)
    }

    fn recorded(&self, end: RecordedEnd) -> Result<(), String> {
        self.recorder.recorded(end)
    }

    fn committing(&self, keys: &[Key]) {
        self.answers.mark_changing(data_paths(keys));
        self.follower.committing(keys);
    }

    fn committed(&self, keys: &[Key]) {
        self.answers.forget(data_paths(keys));
        self.follower.committed(keys);
    }

    fn batch(&self, stats: &BatchStats) {
        self.metrics.count_batch(stats);
        self.wake.set();
    }

    fn resolved(&self, resolutions: &[Resolution]) {
        for resolution in resolutions {
            self.metrics.count_resolution(resolution.rule);
        }
        self.conflicts.note(resolutions);
    }
}

fn data_paths(keys: &[Key]) -> impl Iterator<Item = &kvs_core::path::Path> {
    keys.iter().filter(|key| key.namespace == Namespace::Data).map(|key| &key.path)
}
