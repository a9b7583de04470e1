//! Who is told about commits: the audit trail that comes first, caches that must forget, metrics, the replicator.

use std::sync::Arc;
use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::Principal;
use kvs_core::version::{Rule, Version};

use crate::commit::written::Written;

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

/// What a client asked for and a batch does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// To which key.
    pub key: Key,
    /// What.
    pub deed: Deed,
    /// Who.
    pub author: Principal,
    /// In which request.
    pub request: Arc<str>,
    /// The version that it makes.
    pub written: Written,
}

/// What a client may do to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A value is stored where there was none.
    Create,
    /// A value is stored over another.
    Replace,
    /// A value is deleted.
    Delete,
}

/// How a batch ended whose acts were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedEnd {
    /// It is committed.
    Committed,
    /// It failed; nobody knows whether it will be found after opening again.
    Failed,
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

/// Told of every commit, on the committer's thread: implementations must be short and must not block, but for
/// [`Observer::recording`] and [`Observer::recorded`], which a commit waits for as it waits for its disk.
pub trait Observer: Send + Sync + 'static {
    /// Writes down what a batch does at the request of clients, before it is committed. May write to a file, and need not
    /// wait for the disk before [`Observer::recorded`].
    ///
    /// # Errors
    ///
    /// Why it cannot be written down: the batch is not committed.
    fn recording(&self, _: &[Act]) -> Result<(), String> {
        Ok(())
    }

    /// The batch has ended; returns once what was written down is on the disk. Called before any writer is answered.
    ///
    /// # Errors
    ///
    /// It is not on the disk: no writer is told that its write was made, and the store takes no further ones.
    fn recorded(&self, _: RecordedEnd) -> Result<(), String> {
        Ok(())
    }

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
