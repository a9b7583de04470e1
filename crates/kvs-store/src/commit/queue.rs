//! The bounded queue in front of the committer.
//!
//! The running commit is the batching window: whatever arrives while it syncs is taken together afterwards. Nothing
//! waits on a timer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::commit::write::{Reply, Transaction, Write};
use crate::error::StoreError;
use crate::limits::{BATCH_BYTES_TARGET, BATCH_TRANSACTIONS_MAX, QUEUE_BYTES_MAX, QUEUE_TRANSACTIONS_MAX};

/// A transaction that waits.
pub(crate) struct Job {
    pub(crate) transaction: Transaction,
    pub(crate) reply: Reply,
    size_bytes: usize,
}

impl Job {
    pub(crate) fn new(transaction: Transaction, reply: Reply) -> Self {
        let size_bytes = transaction.writes.iter().map(Write::size_bytes).sum();
        Self { transaction, reply, size_bytes }
    }
}

/// What a wait brought.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Woken {
    /// Jobs, or nothing within the time.
    Running,
    /// The queue is closed and empty.
    Finished,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Queue {
    /// Adds a transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::QueueFull`] or [`StoreError::Closed`]; the job is dropped unanswered, the caller answers.
    pub(crate) fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let has_room = state.jobs.len() < QUEUE_TRANSACTIONS_MAX
            && (state.jobs.is_empty() || state.bytes.saturating_add(job.size_bytes) <= QUEUE_BYTES_MAX);
        if !has_room {
            return Err(StoreError::QueueFull);
        }
        let was_empty = state.jobs.is_empty();
        state.bytes += job.size_bytes;
        state.jobs.push_back(job);
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Moves the next batch into `jobs` (which must be empty), waiting up to `wait` for the first.
    pub(crate) fn take(&self, jobs: &mut Vec<Job>, wait: Duration) -> Woken {
        let mut state = self.lock();
        if state.jobs.is_empty() && !state.closed {
            (state, _) = self
                .arrived
                .wait_timeout_while(state, wait, |state| state.jobs.is_empty() && !state.closed)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch_bytes = 0;
        while jobs.len() < BATCH_TRANSACTIONS_MAX && batch_bytes < BATCH_BYTES_TARGET {
            let Some(job) = state.jobs.pop_front() else { break };
            batch_bytes += job.size_bytes;
            jobs.push(job);
        }
        state.bytes -= batch_bytes;
        if jobs.is_empty() && state.closed { Woken::Finished } else { Woken::Running }
    }

    /// Refuses further jobs; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// How many transactions wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, Queue, Woken};
    use crate::commit::write::Transaction;
    use crate::error::StoreError;
    use crate::limits::{BATCH_TRANSACTIONS_MAX, QUEUE_TRANSACTIONS_MAX};
    use std::time::Duration;

    fn job() -> Job {
        Job::new(Transaction::default(), Box::new(drop))
    }

    #[test]
    fn it_is_bounded_and_drains_in_bounded_batches() {
        let queue = Queue::default();
        for _ in 0..QUEUE_TRANSACTIONS_MAX {
            queue.push(job()).unwrap();
        }
        assert!(matches!(queue.push(job()), Err(StoreError::QueueFull)));
        let mut jobs = Vec::new();
        assert_eq!(queue.take(&mut jobs, Duration::ZERO), Woken::Running);
        assert_eq!(jobs.len(), BATCH_TRANSACTIONS_MAX);
        assert!(queue.push(job()).is_ok());
    }

    #[test]
    fn what_waits_when_it_closes_is_still_taken() {
        let queue = Queue::default();
        queue.push(job()).unwrap();
        queue.close();
        assert!(matches!(queue.push(job()), Err(StoreError::Closed)));
        let mut jobs = Vec::new();
        assert_eq!(queue.take(&mut jobs, Duration::from_secs(60)), Woken::Running);
        assert_eq!(jobs.len(), 1);
        jobs.clear();
        assert_eq!(queue.take(&mut jobs, Duration::from_secs(60)), Woken::Finished);
    }
}
