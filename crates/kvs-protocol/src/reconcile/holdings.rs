//! What a session asks of the records that a node holds.

use kvs_core::log_position::LogPosition;
use kvs_core::namespace::Namespace;
use kvs_core::origin::Dot;
use kvs_core::path::Path;
use kvs_core::record::Record;
use kvs_core::sum_tree::sum::Sum;
use kvs_core::vector::Vector;
use kvs_core::version::Version;

/// A record with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The key's namespace.
    pub namespace: Namespace,
    /// The key's path.
    pub path: Path,
    /// The record.
    pub record: Record,
}

/// A live version that was deleted elsewhere and must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The key's namespace.
    pub namespace: Namespace,
    /// The key's path.
    pub path: Path,
    /// The version; a newer one stays.
    pub version: Version,
}

impl Dropped {
    /// The version that this record is.
    #[must_use]
    pub fn of(located: &Located) -> Self {
        let Located { namespace, path, record } = located;
        Self { namespace: *namespace, path: path.clone(), version: record.version }
    }
}

/// What changed since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What the keys that changed hold now, in the order of their changes.
    pub records: Vec<Located>,
    /// Up to where that is.
    pub to: LogPosition,
    /// Whether nothing has changed behind it.
    pub are_all: bool,
}

/// What became of a record that came from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It, or a newer one that the sender need not be told of, is held; or it was already collected here.
    Settled,
    /// A newer one is held: this one.
    Newer(Box<Located>),
    /// It is live, was received before and is held no more: it was deleted and collected. The sender drops it.
    Drop,
    /// It is not held: it waits, since it is stamped too far ahead, or was recalled, or nothing can be said of it now. So
    /// whoever sent it must not be taken for having told everything.
    Withheld,
    /// It could not be taken now.
    Failed,
}

/// The records of a node, as a session sees them. Keys are those of the digest ([`kvs_core::item`]); ranges include their
/// lower bound and exclude the upper.
pub trait Holdings {
    /// Why they cannot be read or written.
    type Error: std::fmt::Display;

    /// The node's clock, in milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// What the node holds of each origin, records that are parked excepted.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn vector(&mut self) -> Result<Vector, Self::Error>;

    /// What whoever gets everything from this node may claim to hold. Nothing while something is parked here: what it was taken
    /// in place of is not held, and no vector tells of which keys that is.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn claim(&mut self) -> Result<Vector, Self::Error> {
        self.vector()
    }

    /// The end of the node's log.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn log_end(&mut self) -> Result<LogPosition, Self::Error>;

    /// What the keys hold now that changed since the log ended at `since`, tombstones included, but for what `known` covers: the
    /// first `limit`, or some thousand looked at. `None` when that was another life of the log.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn changes(
        &mut self,
        since: LogPosition,
        known: &Vector,
        limit: usize,
    ) -> Result<Option<Changes>, Self::Error>;

    /// The sums between neighbours of these bounds, which are in ascending order.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn sums(&mut self, bounds: &[Vec<u8>]) -> Result<Vec<Sum>, Self::Error>;

    /// Bounds that cut the range into at most `parts` pieces of about the same size: ascending, strictly inside. None
    /// when it holds one record or none.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn split(&mut self, from: &[u8], to: &[u8], parts: usize) -> Result<Vec<Vec<u8>>, Self::Error>;

    /// The first `limit` keys of the range with their items, in ascending order.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn items(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, u128)>, Self::Error>;

    /// The value that stands at a key of the digest, with its item.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn record(&mut self, key: &[u8]) -> Result<Option<(u128, Located)>, Self::Error>;

    /// The first `limit` tombstones and expired values behind `behind` that `known` does not cover, in the order of their
    /// dots.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn tombstones(
        &mut self,
        behind: Option<&Dot>,
        known: &Vector,
        limit: usize,
    ) -> Result<Vec<Located>, Self::Error>;

    /// Commits records from outside; one verdict for each, in order.
    ///
    /// # Errors
    ///
    /// Nothing can be written.
    fn take(&mut self, records: Vec<Located>) -> Result<Vec<Verdict>, Self::Error>;

    /// Drops versions that were deleted elsewhere, where they are still held.
    ///
    /// # Errors
    ///
    /// Nothing can be written.
    fn drop_versions(&mut self, dropped: Vec<Dropped>) -> Result<(), Self::Error>;
}
