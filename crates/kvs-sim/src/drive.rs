//! The driver of a world's machines: what they want done is done, calls travel, answers come back.

use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::{Effect as ReplicationEffect, Event as ReplicationEvent};
use kvs_cluster::serve::serve;
use kvs_cluster::work::Work;
use kvs_protocol::call::{CallFailure, CallId, CallKind};
use kvs_protocol::membership::contract::{
    Effect as MembershipEffect, Event as MembershipEvent, Membership as _,
};
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use rand::RngExt;
use uuid::Uuid;

use crate::clock::NodeClock;
use crate::disks::Stores;
use crate::step::{Call, Step};
use crate::world::World;

impl World {
    /// Hands an event to membership and carries out what it wants.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn drive_membership(&mut self, place: usize, event: MembershipEvent) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &mut node.process else { return Ok(()) };
        let effects = process.swim.handle(event, now);
        for effect in effects {
            match effect {
                MembershipEffect::Call { call, to, node, kind, body, timeout } => {
                    self.call(place, call, node, &to, (kind, body), timeout);
                }
                MembershipEffect::Respond { reply_to, body } => {
                    if let Some(call) = self.answers.remove(&reply_to) {
                        self.send_answer(call, Ok(body));
                    }
                }
                MembershipEffect::MembersChanged => {
                    let Some(process) = self.nodes.get(place).and_then(|node| node.process.as_ref()) else {
                        return Ok(());
                    };
                    let (members, is_everybody) = (process.swim.members(), process.swim.knows_everybody());
                    self.tell(|| {
                        let seen: Vec<_> = members
                            .iter()
                            .map(|member| {
                                let word =
                                    if member.is_forgotten { "forgotten" } else { member.status.name() };
                                format!("{}:{word}", member.node_id)
                            })
                            .collect();
                        let may_lack = if is_everybody { "" } else { ", and may lack some" };
                        format!("{place} sees {}{may_lack}", seen.join(" "))
                    });
                    self.drive_replication(place, ReplicationEvent::Members { members, is_everybody })?;
                }
                MembershipEffect::Admitted { joined_ms } => {
                    self.tell(|| format!("{place} is admitted at {joined_ms}"));
                    self.mark(place, Mark::Joined(joined_ms));
                }
                MembershipEffect::Generation(generation) => self.mark(place, Mark::Generation(generation)),
                MembershipEffect::Persist(bytes) => {
                    self.mark(place, Mark::Note(Note::Members, bytes.to_vec()))
                }
                MembershipEffect::Forgotten => self.begin_again(place)?,
                MembershipEffect::Stop { reason } => self.refuse(place, &reason)?,
            }
        }
        Ok(())
    }

    pub(crate) fn mark(&mut self, place: usize, mark: Mark) {
        if let Some(store) = self.store(place)
            && let Err(error) = store.commit(Transaction { writes: Vec::new(), marks: vec![mark] })
        {
            self.tell(|| format!("{place} cannot note: {error}"));
        }
    }

    /// Hands an event to replication and carries out what it wants.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn drive_replication(&mut self, place: usize, event: ReplicationEvent) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &mut node.process else { return Ok(()) };
        let effects = process.replicator.handle(event, now);
        for effect in effects {
            match effect {
                ReplicationEffect::Call { call, node, to, kind, body, timeout } => {
                    self.call(place, call, Some(node), &to, (kind, body), timeout);
                }
                ReplicationEffect::Work(work) => self.queue_work(place, work),
                ReplicationEffect::Mode { clients, peers } => {
                    self.tell(|| {
                        format!("{place} is {} for clients, {} for peers", clients.name(), peers.name())
                    });
                    if let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) {
                        (process.clients, process.peers) = (clients, peers);
                    }
                    self.drive_membership(place, MembershipEvent::Mode(peers))?;
                }
                ReplicationEffect::Replicated { ticket, count } => self.confirm(ticket, count)?,
                ReplicationEffect::TooManyWait { ticket } => self.waits.remove(ticket),
                ReplicationEffect::PeerRefused { node } => {
                    self.drive_membership(place, MembershipEvent::PeerRefused { node })?;
                }
                ReplicationEffect::Heard { node } => {
                    self.drive_membership(place, MembershipEvent::Heard { node })?;
                }
            }
        }
        Ok(())
    }

    /// Puts work beside the replicator behind what waits already.
    fn queue_work(&mut self, place: usize, work: Work) {
        let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) else { return };
        process.work.push_back(work);
        if process.work.len() == 1 {
            self.plan_work(place);
        }
    }

    /// The first piece of work is done in a while.
    fn plan_work(&mut self, place: usize) {
        let Some(node) = self.nodes.get(place) else { return };
        let Some(process) = node.process.as_ref().map(|process| process.number) else { return };
        let pause = node.disk_delay + Duration::from_micros(self.random.random_range(0..2_000));
        self.after(pause, Step::Work { place, process });
    }

    /// Does the first piece of work, and hands over what came of it.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub(crate) fn work(&mut self, place: usize, process: u64) -> Result<(), String> {
        let Some(now) = self.nodes.get(place).map(|node| node.clock.read()) else { return Ok(()) };
        let Some(process) = self.process_mut(place, process) else { return Ok(()) };
        let Some(work) = process.work.pop_front() else { return Ok(()) };
        let worked = work.perform(&process.store, now);
        if !process.work.is_empty() {
            self.plan_work(place);
        }
        self.drive_replication(place, ReplicationEvent::Worked(worked))?;
        self.settle(place)
    }

    pub(crate) fn call(
        &mut self,
        caller: usize,
        call: CallId,
        node: Option<Uuid>,
        to: &str,
        (kind, body): (CallKind, Bytes),
        timeout: Duration,
    ) {
        let Some(target) = self.nodes.iter().position(|node| node.address == to) else { return };
        let Some((process, from)) =
            self.nodes.get(caller).and_then(|node| Some((node.process.as_ref()?.number, node.uuid?)))
        else {
            return;
        };
        self.tell(|| format!("{caller} -> {target} {} #{} {} bytes", kind.name(), call.0, body.len()));
        let call = Call { caller, process, call, from, node, target, kind, body };
        self.open.insert((caller, process, call.call));
        self.after(timeout, Step::Timeout(Box::new(call.clone())));
        if self.network.doubles(&self.weather, &mut self.random)
            && let Some(delay) = self.network.send(caller, target, &self.weather, &mut self.random)
        {
            self.after(delay, Step::Request(Box::new(call.clone())));
        }
        if let Some(delay) = self.network.send(caller, target, &self.weather, &mut self.random) {
            self.after(delay, Step::Request(Box::new(call)));
        }
    }

    pub(crate) fn serve(&mut self, call: Call) -> Result<(), String> {
        let place = call.target;
        let Some(node) = self.nodes.get(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &node.process else {
            self.send_answer(call, Err(CallFailure::Refused));
            return Ok(());
        };
        if call.node.is_some() && call.node != node.uuid {
            self.send_answer(call, Err(CallFailure::Denied("another node".into())));
            return Ok(());
        }
        if matches!(call.kind, CallKind::Swim | CallKind::Members) {
            let reply_to = self.next_answer;
            self.next_answer += 1;
            let (kind, body, from) = (call.kind, call.body.clone(), call.from);
            self.answers.insert(reply_to, call);
            self.drive_membership(place, MembershipEvent::Request { reply_to, kind, body, from })?;
            return self.settle(place);
        }
        if call.kind == CallKind::Relay {
            return self.pass_on(call);
        }
        let (store, peers) = (std::sync::Arc::clone(&process.store), process.peers);
        let result = serve(&store, &self.secrets, peers, call.from, call.kind, &call.body, now)
            .map_err(|error| CallFailure::Rejected(error.to_string()));
        let heard = MembershipEvent::Heard { node: call.from };
        self.send_answer(call, result);
        self.drive_membership(place, heard)?;
        self.settle(place)
    }

    pub(crate) fn send_answer(&mut self, call: Call, result: Result<Bytes, CallFailure>) {
        let disk_delay = self.nodes.get(call.target).map_or(Duration::ZERO, |node| node.disk_delay);
        let slow = if call.kind == CallKind::Swim { Duration::ZERO } else { disk_delay };
        if let Some(delay) = self.network.send(call.target, call.caller, &self.weather, &mut self.random) {
            self.after(delay + slow, Step::Answer(Box::new(call), result));
        }
    }

    pub(crate) fn answer(&mut self, call: &Call, result: Result<Bytes, CallFailure>) -> Result<(), String> {
        if !self.open.remove(&(call.caller, call.process, call.call)) {
            return Ok(());
        }
        if self.take_branch(call, &result) || self.process_mut(call.caller, call.process).is_none() {
            return Ok(());
        }
        self.tell(|| {
            let text = match &result {
                Ok(body) => format!("{} bytes", body.len()),
                Err(failure) => failure.to_string(),
            };
            format!("{} <- {} {} #{}: {text}", call.caller, call.target, call.kind.name(), call.call.0)
        });
        let (place, id) = (call.caller, call.call);
        if id.0 % 2 == 0 {
            self.drive_membership(place, MembershipEvent::Reply { call: id, result })?;
        } else {
            self.drive_replication(place, ReplicationEvent::Reply { call: id, result })?;
        }
        self.settle(place)
    }

    /// What vectors cover is held.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn check_vectors(&mut self) -> Result<(), String> {
        for place in self.running() {
            let Some(store) = self.store(place) else { continue };
            self.ledger.check_vector(place, &store.vector_held(), &Stores(&self.nodes))?;
        }
        Ok(())
    }

    /// Sets every clock right, within what the configuration allows.
    pub fn set_clocks_right(&mut self) {
        let error = self.weather.clock_error_ms;
        for node in &self.nodes {
            let clock: &NodeClock = &node.clock;
            clock.set_offset(self.random.random_range(-error..=error));
        }
    }
}
