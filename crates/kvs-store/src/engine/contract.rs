//! What the store asks of an engine: atomic batches over tables, snapshots, ranges, and honest answers about syncs.
//!
//! Narrow on purpose: everything the store does must be possible on the engine in memory that crashes, tears and
//! fails on demand, and one contract suite runs over both (`tests/engine_contract.rs`).

use std::ops::Bound;

use bytes::Bytes;

use crate::table::Table;

/// Why the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The disk has no room. The batch is not visible and is not found after opening again, unless said otherwise.
    #[error("the disk is full")]
    Full,
    /// An earlier failure closed the engine for writes; reads go on.
    #[error("the engine refuses writes since an earlier failure")]
    Poisoned,
    /// Another process has the files.
    #[error("the engine's files are in use by another process")]
    Locked,
    /// Stored bytes do not make sense.
    #[error("the engine's files are damaged: {0}")]
    Corrupt(String),
    /// An operation failed. A failed commit may or may not be found after opening again; it is not visible before.
    #[error("{operation} failed: {reason}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        reason: String,
    },
}

/// When a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// After the batch is on the disk; it is not visible before.
    Disk,
    /// After the batch is with the operating system.
    System,
}

/// One change of one row: a value, or `None` to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Table,
    /// The key there.
    pub key: Vec<u8>,
    /// The new value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// Changes that happen together or not at all.
///
/// **Invariant:** at most one change for each key of each table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The changes, in no order.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Adds a row.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push(Change { table, key, value: Some(value) });
    }

    /// Removes a row.
    pub fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.changes.push(Change { table, key, value: None });
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.changes.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len)).sum()
    }
}

/// A range of keys of one table.
pub type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The way through a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Smallest key first.
    #[default]
    Ascending,
    /// Greatest key first.
    Descending,
}

/// A row of a table: key and value.
pub type TableRow = (Bytes, Bytes);

/// The rows of a range.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<TableRow, EngineError>> + Send + 'a>;

/// Rows to ingest, in ascending order of keys.
pub type SortedRows<'a> = &'a mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>;

/// All tables at one moment; later commits do not show.
pub trait Snapshot: Send + std::marker::Sync {
    /// One row.
    ///
    /// # Errors
    ///
    /// The engine could not read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The rows of a range. An empty or turned-round range has none.
    fn range(&self, table: Table, range: KeyRange, order: Order) -> Rows<'_>;
}

/// Numbers about the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Bytes that its files take.
    pub disk_bytes: u64,
}

/// Where rows rest.
pub trait Engine: Send + std::marker::Sync {
    /// One row as of the last commit.
    ///
    /// # Errors
    ///
    /// The engine could not read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// All tables as of the last commit.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    /// Applies a batch atomically.
    ///
    /// # Errors
    ///
    /// Nothing of the batch is visible. After [`EngineError::Io`] or [`EngineError::Poisoned`] the engine takes no
    /// further writes until it is opened again.
    fn commit(&self, batch: Batch, sync: Sync) -> Result<(), EngineError>;

    /// Brings every earlier commit to the disk.
    ///
    /// # Errors
    ///
    /// As for [`Engine::commit`]: commits since the last sync may be lost.
    fn sync(&self) -> Result<(), EngineError>;

    /// Rewrites what so far only stands in the engine's journal into tables of its own, and returns when it is on the
    /// disk.
    ///
    /// # Errors
    ///
    /// As for [`Engine::commit`].
    fn flush(&self) -> Result<(), EngineError>;

    /// Fills an empty table with sorted rows, faster than by batches.
    ///
    /// # Errors
    ///
    /// The table's content is undefined; the data directory must be discarded.
    fn ingest(&self, table: Table, rows: SortedRows<'_>) -> Result<(), EngineError>;

    /// Numbers about the engine.
    fn stats(&self) -> EngineStats;
}

/// Whether a range can hold any key; engines may panic on one that cannot.
#[must_use]
pub fn is_possible(range: &KeyRange) -> bool {
    match range {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Included(from), Bound::Included(to)) => from <= to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from < to
        }
    }
}
