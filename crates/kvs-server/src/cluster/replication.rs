//! The thread of the replicator.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kvs_cluster::contract::{Effect, Event};
use kvs_cluster::replicator::Replicator;
use kvs_cluster::work::Work;
use kvs_protocol::call::Now;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_protocol::mode::Mode;
use kvs_store::clock::Clock;
use tokio::runtime::Handle;

use super::handle::{Cluster, Progress};
use super::queue::Queue;
use super::to_members;
use super::to_replicator::Command;
use super::wake::Wake;
use crate::clock::SystemClock;
use crate::peer::client::PeerClient;

/// Longest sleep of the thread.
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// The thread's own.
pub(super) struct Replication {
    pub(super) replicator: Replicator,
    pub(super) cluster: Arc<Cluster>,
    pub(super) client: Arc<PeerClient>,
    pub(super) wake: Arc<Wake>,
    pub(super) clock: SystemClock,
    pub(super) runtime: Handle,
    pub(super) own: Queue<Command>,
    /// The mode that membership is to be told, while its queue is full.
    pub(super) untold: Option<Mode>,
    /// Where its work on the disk is done.
    pub(super) disk: SyncSender<Work>,
}

impl Replication {
    /// Works until told to stop.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        self.handle(Event::Timer);
        loop {
            let now = self.clock.monotonic();
            let due_in = self.replicator.deadline().map_or(PATIENCE_MAX, |at| at.saturating_sub(now));
            match commands.recv_timeout(due_in.min(PATIENCE_MAX)) {
                Ok(Command::Committed) => {
                    self.wake.take();
                    self.handle(Event::Committed);
                }
                Ok(Command::Event(event)) => self.handle(event),
                // Whoever asked may be gone.
                Ok(Command::Report(answer)) => drop(answer.send(self.replicator.report())),
                Ok(Command::Tombstones(answer)) => drop(answer.send(self.replicator.tombstones())),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.replicator.note_acknowledged();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.handle(Event::Timer),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() };
        for effect in self.replicator.handle(event, now) {
            match effect {
                Effect::Call { call, node, to, kind, body, timeout } => {
                    let (client, own) = (Arc::clone(&self.client), self.own.clone());
                    self.runtime.spawn(async move {
                        let result = client.call(&to, Some(node), kind, body, timeout).await;
                        // A thread that has ended waits for nothing.
                        own.put(Command::Event(Event::Reply { call, result })).await;
                    });
                }
                // There is always room. A thread that has ended by a panic does nothing any more.
                Effect::Work(work) => drop(self.disk.send(work)),
                Effect::Mode { clients, peers } => {
                    self.cluster.clients_mode.store(clients.number(), Ordering::Relaxed);
                    self.cluster.peers_mode.store(peers.number(), Ordering::Relaxed);
                    // Whether a clock is ahead its peers say themselves.
                    let told = if clients == Mode::ClockAhead { peers } else { clients };
                    self.untold = Some(told);
                }
                Effect::Replicated { ticket, count } => self.cluster.copies.answer(ticket, count),
                Effect::TooManyWait { ticket } => self.cluster.copies.forget(ticket),
                Effect::PeerRefused { node } => self.hint_members(MembershipEvent::PeerRefused { node }),
                Effect::Heard { node } => self.hint_members(MembershipEvent::Heard { node }),
            }
        }
        self.tell_members();
        self.publish();
    }

    fn publish(&self) {
        let progress = Progress {
            bootstrap: self.replicator.bootstrap_report(),
            clock: self.replicator.clock(),
            graces_differ: self.replicator.graces_differ(),
        };
        *self.cluster.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// Tells membership this node's mode, if it was not told yet.
    fn tell_members(&mut self) {
        if let Some(mode) = self.untold
            && self.cluster.members.offer(to_members::Command::Event(MembershipEvent::Mode(mode)))
        {
            self.untold = None;
        }
    }

    /// Tells membership what it would find out by itself.
    fn hint_members(&self, event: MembershipEvent) {
        self.cluster.members.offer(to_members::Command::Event(event));
    }
}
