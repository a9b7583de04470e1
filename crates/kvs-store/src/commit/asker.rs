//! On whose behalf a write is made: its author, the right it claims, the request that it belongs to.
//!
//! The store decides nothing about rights. It asks the [`Warrant`] of a write inside the commit, with the record that is
//! about to be written over, so that what was allowed at the door is still allowed then.

use std::fmt::Debug;
use std::sync::Arc;

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::{Principal, Record};

use crate::commit::change::Change;
pub use crate::commit::refusal::Refusal;
use crate::error::StoreError;
use crate::observer::Key;

/// Who asks for a write.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// The author of what it writes.
    pub name: Principal,
    /// What must allow it inside the commit; `None` for the node's own writes and where rights are not asked for.
    pub warrant: Option<Arc<dyn Warrant>>,
    /// The request that it came with; a write that has one is told to
    /// [`Observer::recording`](crate::observer::Observer::recording).
    pub request: Option<Arc<str>>,
}

impl Asker {
    /// Nobody: the node itself, or a caller that nothing is known of.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }
}

impl PartialEq for Asker {
    fn eq(&self, other: &Self) -> bool {
        let is_same_warrant = match (&self.warrant, &other.warrant) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        is_same_warrant && self.name == other.name && self.request == other.request
    }
}

impl Eq for Asker {}

/// What is about to happen to a key.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The key.
    pub key: &'a Key,
    /// The change.
    pub change: &'a Change,
    /// What is stored now: a value, a tombstone, something expired, or nothing.
    pub current: Option<&'a Record>,
    /// The clock of the commit, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Says whether a write is allowed, on the committer's thread: it must be short.
pub trait Warrant: Send + Sync + Debug {
    /// Judges a write.
    ///
    /// # Errors
    ///
    /// What it had to look at cannot be read.
    fn judge(&self, intent: &Intent<'_>, sight: &dyn Sight) -> Result<Judgement, StoreError>;
}

/// What a warrant says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Go on.
    Allowed,
    /// Leave this key as it is and go on with the transaction, as if the key were not there.
    PassedOver,
    /// Refuse the transaction.
    Refused(Refusal),
}

/// The rows as the transaction sees them, earlier writes of the batch included.
pub trait Sight {
    /// The current record of a key, tombstones and expired values included.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn record(&self, namespace: Namespace, path: &Path) -> Result<Option<Record>, StoreError>;
}
