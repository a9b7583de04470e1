//! What can be written, and what becomes of it.

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::Record;

use crate::commit::asker::Asker;
pub use crate::commit::change::Change;
use crate::commit::mark::Mark;
pub use crate::commit::written::Written;
use crate::error::StoreError;

/// Writes and marks that are committed together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// The writes, made in this order.
    pub writes: Vec<Write>,
    /// What else becomes true with them.
    pub marks: Vec<Mark>,
}

impl From<Vec<Write>> for Transaction {
    fn from(writes: Vec<Write>) -> Self {
        Self { writes, marks: Vec::new() }
    }
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key's namespace.
    pub namespace: Namespace,
    /// The key's path.
    pub path: Path,
    /// What to do.
    pub change: Change,
    /// On what condition; decided inside the commit.
    pub precondition: Precondition,
    /// Who asks.
    pub asker: Asker,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The key had no live value before.
    Created(Written),
    /// The key had a live value before.
    Replaced(Written),
    /// The key's value was deleted.
    Deleted(Written),
    /// There was nothing to delete, expire or collect.
    Absent,
    /// A merged record replaced what was stored, or was the first.
    Taken,
    /// A merged record was not newer; it is in the history unless it was known.
    NotNewer,
    /// A merged record is stamped too far ahead; it waits until it is not.
    Parked,
    /// A merged record was recalled; it is in the history, or a current version was.
    Voided,
    /// Nothing can be said of a merged record now; it is to be offered again.
    Left,
    /// A merged value was received before and has been deleted and forgotten since: whoever holds it must forget it.
    Outlived,
    /// A value was forgotten at a peer's word.
    Dropped,
    /// A value became its own tombstone.
    Expired,
    /// A tombstone was forgotten.
    Collected,
}

/// Called once with what became of a transaction, on the committer's thread: it must be short.
pub type Reply = Box<dyn FnOnce(Result<Vec<Outcome>, StoreError>) + Send>;

impl Write {
    /// Bytes that it takes while it waits: its payload, its path, and itself.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let payload = match &self.change {
            Change::Put { content, .. } => content.payload.stored().len(),
            Change::Merge(record) | Change::Admit(record) => {
                size_of::<Record>() + record.payload.stored().len()
            }
            Change::Delete
            | Change::Expire
            | Change::Collect(_)
            | Change::Drop(_)
            | Change::Void
            | Change::SetAside => 0,
        };
        size_of::<Self>() + self.path.as_bytes().len() + payload
    }
}
