//! The thread of membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::Event as ReplicatorEvent;
use kvs_protocol::call::Now;
use kvs_protocol::membership::contract::{Effect, Event, Membership};
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::membership::swim::Swim;
use kvs_store::clock::Clock;
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use kvs_store::store::Store;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::changes::{self, SeedLog};
use super::handle::{Cluster, End, View};
use super::queue::Queue;
use super::to_members::{Command, Forgetting};
use super::to_replicator;
use crate::clock::SystemClock;
use crate::peer::client::PeerClient;

/// Longest sleep of the thread.
const PATIENCE_MAX: Duration = Duration::from_millis(500);

/// Requests that wait for their answer at once.
const REQUESTS_MAX: usize = 4096;

/// The thread's own.
pub(super) struct Members {
    pub(super) swim: Swim,
    pub(super) store: Arc<Store>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) client: Arc<PeerClient>,
    pub(super) clock: SystemClock,
    pub(super) runtime: Handle,
    pub(super) own: Queue<Command>,
    pub(super) end: mpsc::Sender<End>,
    /// The members as they were when something was last said about them.
    pub(super) told: Vec<Member>,
    pub(super) seed_log: SeedLog,
    /// Whether the replicator does not know of them yet, as its queue was full.
    pub(super) is_untold: bool,
    /// When handlers were last told.
    pub(super) published_at: Duration,
}

fn lives(member: &Member) -> bool {
    matches!(member.status, Status::Alive | Status::Suspect)
}

impl Members {
    /// Works until told to stop.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut requests = BTreeMap::new();
        let mut next_request = 0;
        self.handle(Event::Start, &mut requests);
        loop {
            let now = self.clock.monotonic();
            let due_in = self.swim.deadline().map_or(PATIENCE_MAX, |at| at.saturating_sub(now));
            match commands.recv_timeout(due_in.min(PATIENCE_MAX)) {
                Ok(Command::Event(event)) => self.handle(event, &mut requests),
                Ok(Command::Request { kind, body, from, answer }) => {
                    if requests.len() < REQUESTS_MAX {
                        next_request += 1;
                        requests.insert(next_request, answer);
                        self.handle(
                            Event::Request { reply_to: next_request, kind, body, from },
                            &mut requests,
                        );
                    }
                }
                Ok(Command::Closed(address)) => {
                    let member = self.swim.members().into_iter().find(|member| member.address == address);
                    if let Some(member) = member {
                        self.handle(Event::PeerRefused { node: member.node }, &mut requests);
                    }
                }
                Ok(Command::Forget(name, answer)) => {
                    let forgetting = self.forget(&name, &mut requests);
                    // Whoever asked may be gone.
                    if answer.send(forgetting).is_err() {
                        tracing::debug!(name, "nobody waits to hear what became of this");
                    }
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    // Without the list a node could only come back through its seeds.
                    if let Some(list) = self.swim.unkept() {
                        self.note(vec![Mark::Note(Note::Members, list.to_vec())]);
                    }
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.swim.deadline().is_some_and(|at| at <= self.clock.monotonic()) {
                self.handle(Event::Timer, &mut requests);
            }
            // Whoever gave up waits no more.
            requests.retain(|_, answer: &mut oneshot::Sender<Bytes>| !answer.is_closed());
            self.publish_if_due();
            self.tell_replicator();
        }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() }
    }

    fn handle(&mut self, event: Event, requests: &mut BTreeMap<u64, oneshot::Sender<Bytes>>) {
        for effect in self.swim.handle(event, self.now()) {
            match effect {
                Effect::Call { call, to, node, kind, body, timeout } => {
                    let (client, own) = (Arc::clone(&self.client), self.own.clone());
                    self.runtime.spawn(async move {
                        let result = client.call(&to, node, kind, body, timeout).await;
                        // A thread that has ended waits for nothing.
                        own.put(Command::Event(Event::Reply { call, result })).await;
                    });
                }
                Effect::Respond { reply_to, body } => {
                    if let Some(answer) = requests.remove(&reply_to) {
                        drop(answer.send(body));
                    }
                }
                Effect::MembersChanged => {
                    let members = self.swim.members();
                    changes::log(&changes::changes(&self.told, &members));
                    self.told = members;
                    self.publish();
                    self.is_untold = true;
                    self.tell_replicator();
                }
                Effect::Admitted { joined_ms } => {
                    tracing::info!(joined_timestamp = joined_ms, "admitted to the cluster");
                    self.note(vec![Mark::Joined(joined_ms)]);
                }
                Effect::Persist(list) => self.note(vec![Mark::Note(Note::Members, list.to_vec())]),
                Effect::Generation(generation) => self.note(vec![Mark::Generation(generation)]),
                Effect::Forgotten => drop(self.end.try_send(End::Forgotten)),
                Effect::Stop { reason } => drop(self.end.try_send(End::Refused(reason))),
            }
        }
    }

    fn forget(&mut self, name: &str, requests: &mut BTreeMap<u64, oneshot::Sender<Bytes>>) -> Forgetting {
        let others = self.swim.members().into_iter().skip(1);
        let named: Vec<Member> = others
            .filter(|member| !member.is_forgotten)
            .filter(|member| member.node_id == name || member.node.to_string() == name)
            .collect();
        let is_named = !named.is_empty();
        // A name may be that of a machine that lives and of those that it replaced.
        let dead = named.into_iter().filter(|member| !lives(member));
        let mut forgetting = if is_named { Forgetting::Alive } else { Forgetting::Unknown };
        for member in dead {
            tracing::warn!(node_id = member.node_id, node = %member.node, "forgotten at an operator's word");
            self.handle(Event::Forget(member.node), requests);
            forgetting = Forgetting::Done;
        }
        forgetting
    }

    /// Tells handlers what is new: seeds at once, when members were seen last now and then.
    fn publish_if_due(&mut self) {
        let is_due = self.clock.monotonic().saturating_sub(self.published_at) >= PATIENCE_MAX;
        if is_due || self.cluster.view.borrow().seeds != self.swim.seeds() {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.published_at = self.clock.monotonic();
        let (now, members) = (self.now(), self.swim.members());
        let living: Vec<&Member> = members.iter().filter(|member| lives(member)).collect();
        let is_replaced = |member: &&Member| {
            let has_place =
                |other: &&Member| other.node_id == member.node_id || other.address == member.address;
            member.status == Status::Failed && !member.is_forgotten && living.iter().any(has_place)
        };
        let ghosts = members.iter().filter(is_replaced).cloned().collect();
        let seeds = self.swim.seeds();
        self.seed_log.log(&seeds);
        let view = View { visible: self.swim.visible_members(now), ghosts, seeds };
        self.cluster.view.send_replace(Arc::new(view));
    }

    /// Tells the replicator who the members are, if it was not told yet.
    fn tell_replicator(&mut self) {
        if self.is_untold {
            let is_everybody = self.swim.knows_everybody();
            let event = ReplicatorEvent::Members { members: self.told.clone(), is_everybody };
            self.is_untold = !self.cluster.replicator.offer(to_replicator::Command::Event(event));
        }
    }

    /// Commits marks without waiting: the disk must not hold up an answer to a probe.
    fn note(&self, marks: Vec<Mark>) {
        let transaction = Transaction { writes: Vec::new(), marks };
        let noted = self.store.submit(
            transaction,
            Box::new(|verdict| {
                if let Err(error) = verdict {
                    tracing::warn!(%error, "what membership found could not be kept");
                }
            }),
        );
        if let Err(error) = noted {
            tracing::warn!(%error, "what membership found could not be kept");
        }
    }
}
