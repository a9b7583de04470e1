//! The thread that does the replicator's work on the disk, so that a slow sync holds up no shipping.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use kvs_cluster::contract::Event;
use kvs_cluster::work::Work;
use kvs_protocol::call::Now;
use kvs_store::clock::Clock;
use kvs_store::store::Store;

use super::queue::Queue;
use super::to_replicator::Command;
use crate::clock::SystemClock;

/// The thread's own.
pub(super) struct Disk {
    pub(super) store: Arc<Store>,
    pub(super) clock: SystemClock,
    pub(super) replicator: Queue<Command>,
}

impl Disk {
    /// Does what comes, one after the other, until the replicator has ended.
    pub(super) fn run(self, work: &Receiver<Work>) {
        while let Ok(work) = work.recv() {
            let now = Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() };
            let worked = work.perform(&self.store, now);
            // A replicator that has ended waits for nothing.
            self.replicator.put_blocking(Command::Event(Event::Worked(worked)));
        }
    }
}
