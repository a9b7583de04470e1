//! Exchanges of member lists: one call that brings two nodes to the same list.
//!
//! The caller sends its hash, its own row and, where it has reason to, its list; the other merges and answers with its
//! own row and, where the hashes still differ, its list. A change is told on by exchanges with random members until
//! several in a row found equal lists; an unequal hash in any frame starts one too. Every `gossip_interval` an exchange
//! with one to three random members carries the ages of all members, which are the list when the hashes are equal.

use std::time::Duration;

use bytes::Bytes;
use foca::State;
use kvs_core::version::JOINED_YOUNGEST_MS;
use rand::RngExt;
use rand::prelude::IteratorRandom;
use uuid::Uuid;

use crate::call::{CallFailure, CallKind};
use crate::membership::contract::Effect;
use crate::membership::errand::{Carried, Reason, Target};
use crate::membership::life::Life;
use crate::membership::message::{Answer, Ask, Exchange, Finding};
use crate::membership::record::{Row, Standing};
use crate::membership::seed::SeedOutcome;
use crate::membership::settings::{EXCHANGE_PAUSE, EXCHANGE_TIMEOUT, RUMOR_CALM, RUMORS_MAX};
use crate::membership::swim::{Purpose, Swim};

impl Swim {
    /// One of these, at random.
    pub(crate) fn choose(&mut self, nodes: &[Uuid]) -> Option<Uuid> {
        nodes.iter().choose(&mut self.rng).copied()
    }

    /// Random active members.
    pub(crate) fn choose_active(&mut self, count: usize, except: Option<Uuid>) -> Vec<Uuid> {
        let nodes = self.registry.active().map(|peer| peer.record.node).filter(|node| Some(*node) != except);
        nodes.sample(&mut self.rng, count)
    }

    /// This node's side of an exchange.
    pub(crate) fn own_exchange(&self, carried: Carried) -> Exchange {
        Exchange {
            uptime_ms: self.uptime_ms(),
            hash: self.registry.hash(&self.own_row()),
            own: self.own_row(),
            list: (carried == Carried::List).then(|| self.registry.rows(self.now)),
            ages_s: (carried == Carried::Ages).then(|| self.registry.ages_s(self.own.node, self.now)),
        }
    }

    /// Begins an exchange.
    pub(crate) fn exchange(&mut self, target: Target, reason: Reason, carried: Carried) {
        let place = match target {
            Target::Seed(place) => self.seeds.get(place).map(|seed| (None, seed.address.clone())),
            Target::Node(node) => {
                self.registry.peer_mut(&node).filter(|peer| !peer.is_forgotten).map(|peer| {
                    peer.exchanged_at = Some(self.now.monotonic);
                    (Some(node), peer.record.address.clone())
                })
            }
        };
        let Some(place) = place.filter(|_| self.may_call()) else {
            self.on_exchange_failed(target, reason, &CallFailure::Unreachable("no address".to_owned()));
            return;
        };
        match reason {
            Reason::Rumor => self.rumors += 1,
            Reason::Unequal => {
                let percent = self.rng.random_range(50..=150);
                self.pace.begin(self.now.monotonic, percent);
            }
            _ => {}
        }
        let exchange = self.own_exchange(carried);
        let body = Ask::Exchange { asks_admission: !self.is_admitted(), exchange }.encode();
        let purpose = Purpose::Exchange { target, reason, carried };
        self.call(place, CallKind::Members, body, EXCHANGE_TIMEOUT, purpose);
    }

    /// A frame told that this member's list differs.
    pub(crate) fn exchange_for_unequal(&mut self, node: Uuid) {
        let Some(peer) = self.registry.peer(&node) else { return };
        let since = peer.exchanged_at.map(|at| self.now.monotonic.saturating_sub(at));
        let may = self.pace.may_begin(self.now.monotonic);
        if may && since.is_none_or(|since| since >= EXCHANGE_PAUSE) {
            self.exchange(Target::Node(node), Reason::Unequal, Carried::List);
        }
    }

    /// Tells one more member of a change.
    pub(crate) fn on_rumor(&mut self) {
        if self.calm >= RUMOR_CALM || self.rumors >= RUMORS_MAX {
            return;
        }
        let carried = if self.calm == 0 { Carried::List } else { Carried::Hash };
        for node in self.choose_active(1, None) {
            self.exchange(Target::Node(node), Reason::Rumor, carried);
            self.tell_soon();
        }
    }

    /// The full exchange that refreshes when everyone was seen.
    pub(crate) fn on_gossip(&mut self) {
        let count = self.rng.random_range(1..=3);
        for node in self.choose_active(count, None) {
            self.exchange(Target::Node(node), Reason::Gossip, Carried::Ages);
        }
        self.persist();
    }

    /// A `members` call of a peer.
    pub(crate) fn on_members_request(&mut self, reply_to: u64, body: &Bytes, from: Uuid) {
        let ask = match Ask::decode(body) {
            Ok(ask) if self.is_running() => ask,
            Ok(_) => return self.respond(reply_to, Answer::Later.encode()),
            Err(error) => {
                tracing::debug!(%from, %error, "a message about members cannot be read");
                return self.respond(reply_to, Answer::Later.encode());
            }
        };
        match ask {
            Ask::Exchange { asks_admission, exchange } if exchange.own.record.node == from => {
                self.on_exchange_request(reply_to, asks_admission, exchange);
            }
            Ask::Exchange { .. } => self.respond(reply_to, Answer::Later.encode()),
            Ask::Check { node } if node == self.own.node => {
                self.respond(reply_to, Answer::Checked(Finding::Answered).encode());
            }
            Ask::Check { node } => {
                self.exchange(Target::Node(node), Reason::Check { reply_to }, Carried::Hash);
            }
            Ask::Notice { teller, weight } => {
                self.respond(reply_to, Answer::Later.encode());
                if teller == from {
                    self.told_forgotten(teller, &weight);
                }
            }
        }
    }

    /// Merges what a welcome node says, and answers.
    pub(crate) fn answer_exchange(&mut self, reply_to: u64, asks_admission: bool, exchange: Exchange) {
        let asker = exchange.own.record.node;
        let waits = exchange.own.record.joined_ms == JOINED_YOUNGEST_MS;
        let asks_ages = exchange.ages_s.is_some();
        let theirs = exchange.hash;
        self.take_exchange(exchange);
        if self.registry.peer(&asker).is_none() {
            tracing::warn!(%asker, "the member list is full; a node waits outside");
            return self.respond(reply_to, Answer::Later.encode());
        }
        self.doubt_displaced_by(asker);
        let is_admitted = self.is_admitted();
        let admitted_ms = if asks_admission && waits && is_admitted { self.next_joined_ms() } else { 0 };
        let is_equal = theirs == self.hash;
        let answer = Answer::Exchanged {
            is_admitted,
            is_settled: self.is_settled(),
            admitted_ms,
            exchange: self.own_exchange(match (is_equal, asks_ages) {
                (false, _) => Carried::List,
                (true, true) => Carried::Ages,
                (true, false) => Carried::Hash,
            }),
        };
        self.respond(reply_to, answer.encode());
    }

    /// Merges one side of an exchange.
    fn take_exchange(&mut self, exchange: Exchange) {
        let node = exchange.own.record.node;
        let mut updates = Vec::new();
        for row in exchange.list.into_iter().flatten().filter(|row| row.record.node != node) {
            self.take_row(&row, &mut updates);
        }
        self.take_row(&exchange.own, &mut updates);
        self.apply_quietly(updates);
        self.registry.seen(&node, Duration::ZERO, self.now);
        self.take_stock();
        if exchange.hash == self.hash
            && let Some(ages_s) = exchange.ages_s
        {
            self.registry.take_ages(&ages_s, self.own.node, self.now);
        }
    }

    /// Merges one row of a list; what the detector should hear of it is appended.
    fn take_row(&mut self, row: &Row, updates: &mut Vec<foca::Member<Life>>) {
        let node = row.record.node;
        if node == self.own.node {
            self.take_own_row(row, updates);
            return;
        }
        let age = Duration::from_secs(row.age_s.into());
        self.registry.merge(&row.record, age, self.now);
        if row.is_forgotten {
            self.forget(node);
            return;
        }
        self.registry.seen(&node, age, self.now);
        let Some(peer) = self.registry.peer(&node) else { return };
        if peer.is_forgotten || peer.record.generation != row.record.generation {
            return;
        }
        let state = match row.standing {
            _ if peer.record.has_left => State::Down,
            Standing::Unknown => return,
            Standing::Alive => State::Alive,
            Standing::Suspect => State::Suspect,
            Standing::Down => State::Down,
        };
        updates.push(foca::Member::new(row.life(), row.incarnation, state));
    }

    /// What others say of this node: nothing of it is taken but that it is suspected, or that a later process has its
    /// place.
    fn take_own_row(&mut self, row: &Row, updates: &mut Vec<foca::Member<Life>>) {
        let (theirs, own) = (&row.record, &self.own);
        if row.is_forgotten || theirs.generation < own.generation {
            return;
        }
        if theirs.nonce != own.nonce && theirs.address == own.address {
            // Where this process is no other can be: it was one of a later life, whose directory was put back.
            let generation = theirs.generation;
            return self.go_on_from(generation);
        }
        if theirs.nonce != own.nonce {
            if (theirs.generation, theirs.nonce) > (own.generation, own.nonce) {
                let reason = format!(
                    "the cluster took in another process with the identity {} of this one, from {}, while this one \
                     could not be reached; one data directory must be used by one process only",
                    own.node, theirs.address
                );
                self.stop(Effect::Stop { reason });
            }
            return;
        }
        if theirs.revision > own.revision {
            self.own.revision = theirs.revision.saturating_add(1);
        }
        let is_doubted = matches!(row.standing, Standing::Suspect | Standing::Down);
        if is_doubted && row.life() == *self.foca.identity() {
            let state = if row.standing == Standing::Down { State::Down } else { State::Suspect };
            updates.push(foca::Member::new(row.life(), row.incarnation, state));
        }
    }

    /// The answer to an exchange, or its failure.
    pub(crate) fn on_exchange_reply(
        &mut self,
        target: Target,
        reason: Reason,
        carried: Carried,
        result: Result<Bytes, CallFailure>,
    ) {
        match reason {
            Reason::Rumor => {
                self.rumors = self.rumors.saturating_sub(1);
                self.tell_soon();
            }
            Reason::Unequal => self.pace.end(),
            _ => {}
        }
        let answer = result
            .and_then(|body| Answer::decode(&body).map_err(|error| CallFailure::Rejected(error.to_string())));
        match answer {
            Ok(answer) => {
                if let Reason::Check { reply_to } = reason {
                    self.respond(reply_to, Answer::Checked(Finding::Answered).encode());
                }
                self.end_attempt(target);
                if self.is_running() {
                    self.on_answer(target, reason, carried, answer);
                    self.consider_founding();
                }
            }
            Err(failure) => self.on_exchange_failed(target, reason, &failure),
        }
    }

    fn on_exchange_failed(&mut self, target: Target, reason: Reason, failure: &CallFailure) {
        if let Reason::Check { reply_to } = reason {
            let refused = *failure == CallFailure::Refused;
            let finding = if refused { Finding::Refused } else { Finding::Unclear };
            self.respond(reply_to, Answer::Checked(finding).encode());
        }
        self.end_attempt(target);
        if !self.is_running() {
            return;
        }
        if reason == Reason::Rumor {
            // What was not told is found by the next probe's hash.
            self.calm = self.calm.saturating_add(1);
        }
        self.seed_failed(target, failure.to_string());
        self.consider_founding();
        match (target, reason) {
            (Target::Node(node), Reason::Reconnect) => self.on_reconnected(node, failure),
            (Target::Node(node), _) if *failure == CallFailure::Refused => self.on_hint(node),
            _ => {}
        }
    }

    fn on_answer(&mut self, target: Target, reason: Reason, carried: Carried, answer: Answer) {
        match answer {
            Answer::Exchanged { is_admitted, is_settled, admitted_ms, exchange } => {
                let record = &exchange.own.record;
                let (node, theirs) = (record.node, exchange.hash);
                if node == self.own.node {
                    self.meet_own_identity(exchange.uptime_ms);
                    return;
                }
                if self.registry.peer(&node).is_some_and(|peer| peer.is_forgotten) {
                    self.give_notice(node, record.address.clone());
                    return;
                }
                self.hints.remove(&node);
                let outcome =
                    if is_admitted { SeedOutcome::Member } else { SeedOutcome::Waits { is_settled } };
                self.seed_came_out(target, outcome, Some(node));
                if reason == Reason::OwnName && record.node_id == self.own.node_id {
                    self.meet_own_name(&exchange);
                    return;
                }
                if self.is_doubtful(&exchange.own) {
                    return;
                }
                self.take_exchange(exchange);
                if admitted_ms != 0 && admitted_ms != JOINED_YOUNGEST_MS && !self.is_admitted() {
                    self.become_admitted(admitted_ms);
                }
                self.after_exchange(node, carried, theirs);
            }
            Answer::Stop(reason) => self.stop(Effect::Stop { reason }),
            Answer::Forgotten { teller, weight } => self.told_forgotten(teller, &weight),
            Answer::Yourself => self.seed_came_out(target, SeedOutcome::Itself, None),
            Answer::Later => self.seed_failed(target, "it cannot take anybody in at the moment".to_owned()),
            Answer::Behind { generation } => {
                self.go_on_from(generation);
                self.seed_failed(target, "it knows later starts of this node".to_owned());
            }
            Answer::Checked(_) => {}
        }
    }

    /// Goes on until both hold the same, or the change has calmed down.
    fn after_exchange(&mut self, node: Uuid, carried: Carried, theirs: u64) {
        let hash = self.registry.hash(&self.own_row());
        if hash == theirs {
            self.pace.found_equal();
            self.calm = self.calm.saturating_add(1);
        } else {
            self.calm = 0;
            if carried != Carried::List {
                self.exchange(Target::Node(node), Reason::Unequal, Carried::List);
            }
            self.tell_soon();
        }
    }
}
