//! What the rest of the server sees of the cluster.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvs_cluster::clocks::Judgement;
use kvs_cluster::contract::{Event, Needed};
use kvs_cluster::report::{BootstrapReport, Report, TombstoneReport};
use kvs_core::origin::Dot;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::contract::{Event as MembershipEvent, SeedReport};
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;
use kvs_store::error::StoreError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::copies::Copies;
use super::queue::Queue;
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

/// What membership last said.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Members heard of in the last ten minutes, this node first.
    pub(crate) visible: Vec<Member>,
    /// The dead whose name or address a member has that lives: what is left of machines that were replaced.
    pub(crate) ghosts: Vec<Member>,
    /// The addresses that are tried until they answer.
    pub(crate) seeds: Vec<SeedReport>,
}

impl View {
    /// How many members live, this node included.
    pub(crate) fn living(&self) -> usize {
        let lives = |member: &&Member| matches!(member.status, Status::Alive | Status::Suspect);
        self.visible.iter().filter(lives).count()
    }

    /// The seeds that nobody answers at, when this node knows of no other member that lives: it is alone, and should not be.
    pub(crate) fn unreachable_seeds(&self) -> &[SeedReport] {
        let is_alone = self.living() < 2 && !self.seeds.iter().any(|seed| seed.is_reached);
        if is_alone { &self.seeds } else { &[] }
    }

    /// Whether this node is a member, and another one that lives answers at this address.
    pub(crate) fn has_joined(&self, address: &str) -> bool {
        let is_member = self.visible.first().is_some_and(|own| own.joined_ms != JOINED_YOUNGEST_MS);
        is_member && self.seeds.iter().any(|seed| seed.address == address && seed.is_reached)
    }
}

/// The cluster as handlers see it.
pub(crate) struct Cluster {
    pub(super) view: watch::Sender<Arc<View>>,
    /// Names of members that were not restored when this node was.
    pub(super) unrestored: Mutex<Arc<Vec<String>>>,
    /// Whether the threads run; before, nobody takes what is sent to them.
    pub(super) running: AtomicBool,
    /// Whether this node has said goodbye to its cluster.
    pub(super) has_left: AtomicBool,
    pub(super) clients_mode: AtomicU8,
    pub(super) peers_mode: AtomicU8,
    pub(super) progress: Mutex<Progress>,
    pub(super) copies: Copies,
    pub(super) members: Queue<to_members::Command>,
    pub(super) replicator: Queue<to_replicator::Command>,
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
    /// What membership last said.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
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
        if self.has_left.load(Ordering::Relaxed) {
            return Mode::Left;
        }
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
        self.replicator.put(to_replicator::Command::Report(sender)).await.then_some(())?;
        receiver.await.ok()
    }

    /// The tombstones and who keeps them; `None` while the node stops.
    pub(crate) async fn tombstones(&self) -> Option<Result<TombstoneReport, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.replicator.put(to_replicator::Command::Tombstones(sender)).await.then_some(())?;
        receiver.await.ok()
    }

    /// Says goodbye to the cluster; the process goes on alone.
    pub(crate) async fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        // A thread that has ended has left.
        self.members.put(to_members::Command::Event(MembershipEvent::Leave)).await;
    }

    /// Counts a member that will not come back no longer; `None` while the node stops.
    pub(crate) async fn forget(&self, name: String) -> Option<to_members::Forgetting> {
        let (sender, receiver) = oneshot::channel();
        self.members.put(to_members::Command::Forget(name, sender)).await.then_some(())?;
        receiver.await.ok()
    }

    /// Tries to reach a cluster at this address, at once and until it answers.
    pub(crate) async fn join(&self, address: String) {
        // A thread that has ended joins nobody.
        self.members.put(to_members::Command::Event(MembershipEvent::Join(address))).await;
    }

    /// Waits until a member that lives answers at this address.
    ///
    /// # Errors
    ///
    /// None did in time; why, as far as it is known. This node goes on trying.
    pub(crate) async fn joined(&self, address: &str, patience: Duration) -> Result<Arc<View>, String> {
        let mut views = self.view.subscribe();
        let joined = views.wait_for(|view| view.has_joined(address));
        if let Ok(Ok(view)) = tokio::time::timeout(patience, joined).await {
            return Ok(Arc::clone(&view));
        }
        let view = self.view();
        let seed = view.seeds.iter().find(|seed| seed.address == address);
        Err(seed.map_or_else(
            || "too many addresses are tried already".to_owned(),
            |seed| seed.failure.clone().unwrap_or_else(|| "there was no answer yet".to_owned()),
        ))
    }

    /// Waits until a write is on other nodes' disks. A caller that goes away meanwhile leaves nothing behind.
    pub(crate) async fn wait_for_copies(&self, dot: Dot, needed: Needed, patience: Duration) -> Copied {
        let (ticket, mut answer) = self.copies.wait();
        let waiting = Waiting { cluster: self, ticket };
        let asked = Event::Await { ticket, dot, needed };
        if !self.replicator.put(to_replicator::Command::Event(asked)).await {
            return Copied::Only(0);
        }
        if let Ok(Ok(_)) = tokio::time::timeout(patience, &mut answer).await {
            return Copied::Enough;
        }
        waiting.give_up().await;
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
    /// What asks for what there is; the replicator answers at once, or not at all when it no longer knows the wait.
    const fn giving_up(&self) -> to_replicator::Command {
        to_replicator::Command::Event(Event::GiveUp { ticket: self.ticket })
    }

    async fn give_up(&self) {
        if !self.cluster.replicator.put(self.giving_up()).await {
            self.cluster.copies.forget(self.ticket);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.cluster.copies.is_waiting(self.ticket) || self.cluster.replicator.offer(self.giving_up()) {
            return;
        }
        // Nobody hears the answer, but the replicator must not keep the wait.
        self.cluster.copies.forget(self.ticket);
        let (replicator, command) = (self.cluster.replicator.clone(), self.giving_up());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { replicator.put(command).await });
        }
    }
}
