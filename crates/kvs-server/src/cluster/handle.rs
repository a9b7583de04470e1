//! What the rest of the server sees of the cluster.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvs_cluster::clocks::Judgement;
use kvs_cluster::contract::{Event, Needed};
use kvs_cluster::report::{BootstrapReport, Report, TombstoneReport};
use kvs_core::origin::Dot;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_protocol::membership::member::Member;
use kvs_protocol::mode::Mode;
use kvs_store::error::StoreError;
use tokio::sync::oneshot;

use super::copies::Copies;
use super::{to_members, to_replicator};

/// How long the replicator may take to say how many copies there are.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Why the node must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// For this reason.
    Refused(String),
    /// The cluster has forgotten this node: it begins again, empty and under a new identity.
    Forgotten,
}

/// What the replicator last said of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub(super) bootstrap: Option<BootstrapReport>,
    pub(super) clock: Judgement,
    pub(super) graces_differ: bool,
}

/// The cluster as handlers see it.
pub(crate) struct Cluster {
    pub(super) visible: Mutex<Arc<Vec<Member>>>,
    /// Names of members that were not restored when this node was.
    pub(super) unrestored: Mutex<Arc<Vec<String>>>,
    /// Whether the threads run; before, nobody takes what is sent to them.
    pub(super) running: AtomicBool,
    pub(super) clients_mode: AtomicU8,
    pub(super) peers_mode: AtomicU8,
    pub(super) progress: Mutex<Progress>,
    pub(super) copies: Copies,
    pub(super) members: Sender<to_members::Command>,
    pub(super) replicator: Sender<to_replicator::Command>,
}

/// How a wait for copies ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// There are as many as were asked for.
    Enough,
    /// There were only so many in time.
    Only(u32),
}

impl Cluster {
    /// Members heard of in the last ten minutes, this node first.
    pub(crate) fn visible(&self) -> Arc<Vec<Member>> {
        Arc::clone(&self.visible.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Names of members that were not restored when this node was.
    pub(crate) fn unrestored(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.unrestored.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_unrestored(&self, names: Vec<String>) {
        *self.unrestored.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    /// Whether this node takes part in its cluster. One that found its disk full at its start does not yet.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Whether clients may write.
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_number(self.clients_mode.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// How far this node is in fetching what its cluster holds; `None` when it is not fetching.
    pub(crate) fn bootstrap(&self) -> Option<BootstrapReport> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).bootstrap
    }

    /// What peers' clocks say of this node's.
    pub(crate) fn clock(&self) -> Judgement {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clock
    }

    /// Whether a member keeps its tombstones for another time than this node.
    pub(crate) fn graces_differ(&self) -> bool {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).graces_differ
    }

    /// The mode that peers are told.
    pub(super) fn peers_mode(&self) -> Mode {
        Mode::from_number(self.peers_mode.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// How the cluster converges; `None` while the node stops.
    pub(crate) async fn report(&self) -> Option<Report> {
        let (sender, receiver) = oneshot::channel();
        self.replicator.send(to_replicator::Command::Report(sender)).ok()?;
        receiver.await.ok()
    }

    /// The tombstones and who keeps them; `None` while the node stops.
    pub(crate) async fn tombstones(&self) -> Option<Result<TombstoneReport, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.replicator.send(to_replicator::Command::Tombstones(sender)).ok()?;
        receiver.await.ok()
    }

    /// Says goodbye to the cluster; the process goes on alone.
    pub(crate) fn leave(&self) {
        // A thread that has ended has left.
        drop(self.members.send(to_members::Command::Event(MembershipEvent::Leave)));
    }

    /// Counts a member that will not come back no longer; `None` while the node stops.
    pub(crate) async fn forget(&self, name: String) -> Option<to_members::Forgetting> {
        let (sender, receiver) = oneshot::channel();
        self.members.send(to_members::Command::Forget(name, sender)).ok()?;
        receiver.await.ok()
    }

    /// Tries to reach a cluster at this address, as if it were a seed.
    pub(crate) fn join(&self, address: String) {
        drop(self.members.send(to_members::Command::Event(MembershipEvent::Join(address))));
    }

    /// Waits until a write is on other nodes' disks. A caller that goes away meanwhile leaves nothing behind.
    pub(crate) async fn wait_for_copies(&self, dot: Dot, needed: Needed, patience: Duration) -> Copied {
        let (ticket, mut answer) = self.copies.wait();
        let waiting = Waiting { cluster: self, ticket };
        let asked = Event::Await { ticket, dot, needed };
        if self.replicator.send(to_replicator::Command::Event(asked)).is_err() {
            return Copied::Only(0);
        }
        if let Ok(Ok(_)) = tokio::time::timeout(patience, &mut answer).await {
            return Copied::Enough;
        }
        waiting.give_up();
        // A replicator that ends at this moment does not answer any more.
        let told = tokio::time::timeout(ANSWER_PATIENCE, answer).await;
        Copied::Only(told.ok().and_then(Result::ok).unwrap_or_default())
    }
}

/// A wait that ends with whoever waits.
struct Waiting<'a> {
    cluster: &'a Cluster,
    ticket: u64,
}

impl Waiting<'_> {
    /// Asks for what there is; the replicator answers at once, or not at all when it no longer knows the wait.
    fn give_up(&self) {
        let event = Event::GiveUp { ticket: self.ticket };
        if self.cluster.replicator.send(to_replicator::Command::Event(event)).is_err() {
            self.cluster.copies.forget(self.ticket);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.cluster.copies.is_waiting(self.ticket) {
            self.give_up();
        }
    }
}
