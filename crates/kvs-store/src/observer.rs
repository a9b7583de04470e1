//! Who is told about commits: caches that must forget, metrics, and later the replicator.

use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::version::{Rule, Version};

/// A key of the one map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its path there.
    pub path: Path,
}

/// What one batch was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchStats {
    /// Transactions answered by it.
    pub transactions: usize,
    /// Keys whose record changed.
    pub keys: usize,
    /// Bytes handed to the engine.
    pub bytes: usize,
    /// How long the engine took, sync included.
    pub commit_time: Duration,
}

/// Two versions of a key met, and one rule decided which one stays. The other is in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The key.
    pub key: Key,
    /// What decided.
    pub rule: Rule,
    /// The version that stays.
    pub winner: Version,
    /// The version that lost.
    pub loser: Version,
}

/// Told of every commit, on the committer's thread: implementations must be short and must not block.
pub trait Observer: Send + Sync + 'static {
    /// These keys are about to change; a reader may see either version until [`Observer::committed`].
    fn committing(&self, keys: &[Key]);

    /// These keys have changed, or the change failed: either way what was remembered of them is void. Called before
    /// any writer is answered.
    fn committed(&self, keys: &[Key]);

    /// What a batch was; after [`Observer::committed`].
    fn batch(&self, stats: &BatchStats);

    /// Conflicts that a batch resolved; after [`Observer::committed`]. Nobody is told unless the implementation does.
    fn resolved(&self, _: &[Resolution]) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn committing(&self, _: &[Key]) {}

    fn committed(&self, _: &[Key]) {}

    fn batch(&self, _: &BatchStats) {}
}
