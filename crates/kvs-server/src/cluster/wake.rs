//! Wakes the replicator when something was committed, once for however many commits it has not looked at.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::queue::Queue;
use super::to_replicator::Command;

/// Set by the committer, taken by the replicator.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    is_set: AtomicBool,
    replicator: OnceLock<Queue<Command>>,
}

impl Wake {
    /// Wakes this replicator from now on; the first one counts.
    pub(crate) fn connect(&self, replicator: Queue<Command>) {
        if self.replicator.set(replicator).is_ok() {
            // What was committed before had nobody to wake, and must not keep what follows from doing so.
            self.take();
            self.set();
        }
    }

    /// Something was committed.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel)
            && let Some(replicator) = self.replicator.get()
            && !replicator.offer(Command::Committed)
        {
            // It looks at the log with whatever it takes from its queue; the next commit wakes it again.
            self.take();
        }
    }

    /// The replicator looks now: what is committed later wakes it again.
    pub(crate) fn take(&self) {
        self.is_set.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;

    fn wakings(receiver: &Receiver<Command>) -> usize {
        receiver.try_iter().filter(|command| matches!(command, Command::Committed)).count()
    }

    #[test]
    fn commits_before_there_is_a_replicator_do_not_keep_later_ones_from_waking_it() {
        let (sender, receiver) = Queue::new();
        let wake = Wake::default();
        wake.set();
        wake.connect(sender);
        assert_eq!(wakings(&receiver), 1);
        wake.take();
        wake.set();
        assert_eq!(wakings(&receiver), 1);
    }

    #[test]
    fn many_commits_wake_it_once_until_it_looks() {
        let (sender, receiver) = Queue::new();
        let wake = Wake::default();
        wake.connect(sender);
        (0..5).for_each(|_| wake.set());
        assert_eq!(wakings(&receiver), 1);
    }
}
