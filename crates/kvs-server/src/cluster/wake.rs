//! Wakes the replicator when something was committed, once for however many commits it has not looked at.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use super::replication::Command;

/// Set by the committer, taken by the replicator.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    is_set: AtomicBool,
    replicator: OnceLock<Sender<Command>>,
}

impl Wake {
    /// Wakes this replicator from now on; the first one counts.
    pub(crate) fn connect(&self, replicator: Sender<Command>) {
        if self.replicator.set(replicator).is_ok() {
            self.set();
        }
    }

    /// Something was committed.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel)
            && let Some(replicator) = self.replicator.get()
        {
            // A replicator that has ended needs no waking.
            drop(replicator.send(Command::Committed));
        }
    }

    /// The replicator looks now: what is committed later wakes it again.
    pub(crate) fn take(&self) {
        self.is_set.store(false, Ordering::Release);
    }
}
