//! Writers that wait until their write is on other nodes, by ticket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Who waits for how many copies.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<u32>>>,
}

impl Copies {
    /// A new wait: its ticket, and where the answer comes.
    pub(crate) fn wait(&self) -> (u64, oneshot::Receiver<u32>) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(ticket, sender);
        (ticket, receiver)
    }

    /// Whether a wait has not been answered.
    pub(crate) fn is_waiting(&self, ticket: u64) -> bool {
        self.lock().contains_key(&ticket)
    }

    /// Ends a wait without an answer.
    pub(crate) fn forget(&self, ticket: u64) {
        drop(self.lock().remove(&ticket));
    }

    /// Answers a wait.
    pub(crate) fn answer(&self, ticket: u64, count: u32) {
        if let Some(sender) = self.lock().remove(&ticket) {
            // Whoever waited may be gone.
            if sender.send(count).is_err() {
                tracing::debug!(ticket, "nobody waits for these copies any more");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<u32>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
