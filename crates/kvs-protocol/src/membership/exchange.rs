//! Exchanges about members: one call that brings two nodes nearer to the same list.
//!
//! The caller sends its hash, its own row and what it has reason to send; the other merges, and answers with its own row,
//! its hash, and rows where the hashes still differ. What is sent depends on why:
//!
//! - **A rumour** carries the rows that changed lately (`rumors.rs`). The answer tells which of them were news, and brings
//!   the rows that are newer there, and what is rumoured there.
//! - **Sums** (`sums.rs`) go out where both sides have nothing more to rumour and their hashes still differ, or
//!   where lists have differed for seconds, at the pace of `pace.rs`. The answer brings the rows of the parts that differ, and is
//!   followed by what the other side lacks.
//! - **A whole list** is asked for only by a process that was not given one yet, and followed by what the other side lacks.
//! - **Ages:** every `gossip_interval` an exchange with one to three random members carries the ages of all members, in the
//!   order of their uuids: that is enough where both know the same nodes, however these stand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foca::State;
use kvs_core::version::JOINED_YOUNGEST_MS;
use rand::RngExt;
use uuid::Uuid;

use crate::call::{CallFailure, CallKind};
use crate::membership::contract::Effect;
use crate::membership::errand::{Asks, Carried, Reason, Target};
use crate::membership::life::Life;
use crate::membership::message::{Ages, Answer, Ask, Exchange, Finding};
use crate::membership::purpose::Purpose;
use crate::membership::record::{Row, Standing};
use crate::membership::registry::{Peer, row_digest};
use crate::membership::seed::SeedOutcome;
use crate::membership::settings::{EXCHANGE_TIMEOUT, RUMOR_ROWS_MAX};
use crate::membership::sums::Sums;
use crate::membership::swim::Swim;

/// Most rows that are sent of the parts in which lists differ; more are found with the next comparison.
const PART_ROWS_MAX: usize = 1024;

impl Swim {
    /// This node's side of an exchange.
    pub(crate) fn own_exchange(&self, carried: &Carried) -> Exchange {
        let own = self.own_row();
        let row = |node: &Uuid| {
            if *node == own.record.node { Some(own.clone()) } else { self.registry.row(node, self.now) }
        };
        let (rows, sums) = match carried {
            Carried::Rows(nodes) => (Some(nodes.iter().filter_map(row).collect()), None),
            Carried::Sums => (None, Some(self.sums(Sums::count_for(self.registry.len())))),
            Carried::Part(theirs) => {
                let sums = self.sums(theirs.count());
                let nodes = self.registry.peers().map(|peer| &peer.record.node);
                let nodes = nodes.filter(|node| sums.differ_at(theirs, node)).take(PART_ROWS_MAX);
                (Some(nodes.filter_map(row).collect()), Some(sums))
            }
            Carried::Hash | Carried::List | Carried::Ages => (None, None),
        };
        Exchange {
            uptime_ms: self.uptime_ms(),
            hash: self.registry.hash(self.own_digest_now()),
            list: (*carried == Carried::List).then(|| self.registry.rows(self.now)),
            rows,
            sums,
            ages: (*carried == Carried::Ages).then(|| Ages {
                nodes: self.registry.nodes_hash(&self.own.node),
                seconds: self.registry.ages_s(self.own.node, self.now),
            }),
            own,
        }
    }

    /// The sums of everybody's rows, this node's own among them.
    fn sums(&self, count: usize) -> Sums {
        let own = (self.own.node, self.own_digest_now());
        let digests = self.registry.peers().map(|peer| (peer.record.node, peer.digest()));
        Sums::of(digests.chain([own]), count)
    }

    /// Whose rows the other side lacks, or has otherwise: of the parts that differ from its sums, all but those that it sent as they
    /// are here.
    fn lacking(&self, theirs: &Sums, sent: &[(Uuid, u64)]) -> Vec<Uuid> {
        let sums = self.sums(theirs.count());
        let sent: BTreeMap<Uuid, u64> = sent.iter().copied().collect();
        let lacks = |peer: &&Peer| {
            sums.differ_at(theirs, &peer.record.node) && sent.get(&peer.record.node) != Some(&peer.digest())
        };
        self.registry.peers().filter(lacks).map(|peer| peer.record.node).take(PART_ROWS_MAX).collect()
    }

    /// Begins an exchange.
    pub(crate) fn exchange(&mut self, target: Target, reason: Reason, carried: Carried) {
        let place = match target {
            Target::Seed(place) => self.seeds.get(place).map(|seed| (None, seed.address.clone())),
            Target::Node(node) => {
                let peer = self.registry.peer(&node).filter(|peer| !peer.is_forgotten);
                peer.map(|peer| (Some(node), peer.record.address.clone()))
            }
        };
        let Some(place) = place.filter(|_| self.may_call()) else {
            self.on_exchange_failed(target, reason, &CallFailure::Unreachable("no address".to_owned()));
            return;
        };
        match reason {
            Reason::Rumor => self.rumors.begin(),
            Reason::Unequal => {
                let percent = self.rng.random_range(50..=150);
                self.pace.begin(self.now.monotonic, percent);
            }
            _ => {}
        }
        if let Carried::Rows(nodes) = &carried {
            self.rumors.told(nodes, self.registry.len() + 1);
        }
        let exchange = self.own_exchange(&carried);
        let asks_admission = !self.is_admitted();
        let may_bring_list = matches!(carried, Carried::Hash | Carried::Rows(_))
            && matches!(reason, Reason::Reprobe | Reason::Rumor | Reason::Unequal | Reason::Admission);
        let wants_list = may_bring_list && self.pace.asks_for_list(self.now.monotonic);
        let body = Ask::Exchange { asks_admission, wants_list, exchange }.encode();
        let purpose = Purpose::Exchange { target, reason, carried };
        self.call(place, CallKind::Members, body, EXCHANGE_TIMEOUT, purpose);
    }

    /// A frame told that this member's list differs. While there are rumours to tell they explain it.
    pub(crate) fn exchange_for_unequal(&mut self, node: Uuid) {
        let now = self.now.monotonic;
        self.pace.found_unequal(now);
        let may = self.rumors.is_empty() || self.pace.is_impatient(now);
        if may && self.pace.may_begin(now) && self.registry.peer(&node).is_some() {
            let carried = Carried::Rows(self.rumor_batch());
            self.exchange(Target::Node(node), Reason::Unequal, carried);
        }
    }

    /// The rows of the next rumour. All of them are known here, so that each has its place in what is sent.
    pub(crate) fn rumor_batch(&self) -> Vec<Uuid> {
        let mut nodes = self.rumors.batch();
        nodes.retain(|node| *node == self.own.node || self.registry.peer(node).is_some());
        nodes
    }

    /// Tells one more member of what changed.
    pub(crate) fn on_rumor(&mut self) {
        if self.rumors.is_empty() || !self.rumors.may_begin() {
            return;
        }
        for node in self.choose_active(1, None) {
            let carried = Carried::Rows(self.rumor_batch());
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
            Ask::Exchange { asks_admission, wants_list, exchange } if exchange.own.record.node == from => {
                let asks = Asks { admission: asks_admission, list: wants_list };
                self.on_exchange_request(reply_to, asks, exchange);
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
    pub(crate) fn answer_exchange(&mut self, reply_to: u64, asks: Asks, exchange: Exchange) {
        let asker = exchange.own.record.node;
        let waits = exchange.own.record.joined_ms == JOINED_YOUNGEST_MS;
        let ages_of = exchange.ages.as_ref().map(|ages| ages.nodes);
        let (theirs, sums) = (exchange.hash, exchange.sums.clone());
        let sent: Vec<(Uuid, u64)> =
            exchange.rows.iter().flatten().map(|row| (row.record.node, row_digest(row))).collect();
        let before: Vec<u64> = sent.iter().map(|(node, _)| self.digest_of(node)).collect();
        let place = |swim: &Self| {
            swim.registry.peer(&asker).map(|peer| (peer.record.nonce, Arc::clone(&peer.record)))
        };
        let known = place(self);
        let list = self.take_exchange(exchange);
        let is_moved = match (known, place(self)) {
            (Some((nonce, old)), Some((other, new))) => nonce != other || old.address != new.address,
            _ => true,
        };
        if self.registry.peer(&asker).is_none() {
            tracing::warn!(%asker, "the member list is full; a node waits outside");
            return self.respond(reply_to, Answer::Later.encode());
        }
        if is_moved {
            self.doubt_displaced_by(asker);
        }
        let is_admitted = self.is_admitted();
        let admitted_ms = if asks.admission && waits && is_admitted { self.next_joined_ms() } else { 0 };
        let is_news = |((node, _), before): (&(Uuid, u64), &u64)| self.digest_of(node) != *before;
        let news = sent.iter().zip(&before).map(is_news).take(RUMOR_ROWS_MAX).enumerate();
        let news = news.fold(0, |news, (place, is_news)| news | u64::from(is_news) << place);
        let carried = if ages_of == Some(self.registry.nodes_hash(&self.own.node)) {
            Carried::Ages
        } else if theirs == self.hash {
            Carried::Hash
        } else if let Some(sums) = sums {
            Carried::Part(sums)
        } else if let Some(list) = list {
            Carried::Rows(self.registry.missing_in(&list))
        } else if asks.list {
            Carried::List
        } else {
            let newer = sent.iter().filter(|(node, theirs)| self.digest_of(node) != *theirs);
            let mut nodes: Vec<Uuid> = newer.map(|(node, _)| *node).collect();
            let rumored = self.rumor_batch();
            self.rumors.told(&rumored, self.registry.len() + 1);
            nodes.extend(rumored.into_iter().filter(|node| !sent.iter().any(|(sent, _)| sent == node)));
            Carried::Rows(nodes)
        };
        let answer = Answer::Exchanged {
            is_admitted,
            is_settled: self.is_settled(),
            admitted_ms,
            news,
            exchange: self.own_exchange(&carried),
        };
        self.respond(reply_to, answer.encode());
    }

    /// The digest of anybody's row, this node's own among them; 0 for one that is not known.
    fn digest_of(&self, node: &Uuid) -> u64 {
        if *node == self.own.node { self.own_digest_now() } else { self.registry.digest_of(node) }
    }

    /// Merges one side of an exchange; gives its whole list back, where it had one.
    fn take_exchange(&mut self, exchange: Exchange) -> Option<Vec<Row>> {
        let node = exchange.own.record.node;
        let mut updates = Vec::new();
        let rows = exchange.list.iter().flatten().chain(exchange.rows.iter().flatten());
        for row in rows.filter(|row| row.record.node != node) {
            self.take_row(row, &mut updates);
        }
        self.take_row(&exchange.own, &mut updates);
        self.apply_quietly(updates);
        self.registry.seen(&node, Duration::ZERO, self.now);
        self.take_stock();
        if let Some(ages) = exchange.ages
            && ages.nodes == self.registry.nodes_hash(&self.own.node)
        {
            self.registry.take_ages(&ages.seconds, self.own.node, self.now);
        }
        exchange.list
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
        let is_known =
            (peer.rejoins, peer.incarnation, peer.standing) == (row.rejoins, row.incarnation, row.standing);
        if !is_known {
            updates.push(foca::Member::new(row.life(), row.incarnation, state));
        }
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
        carried: &Carried,
        result: Result<Bytes, CallFailure>,
    ) {
        match reason {
            Reason::Rumor => {
                self.rumors.end();
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
        self.seed_failed(target, failure.to_string());
        self.consider_founding();
        match (target, reason) {
            (Target::Node(node), Reason::Reconnect) => self.on_reconnected(node, failure),
            (Target::Node(node), _) if *failure == CallFailure::Refused => self.on_hint(node),
            _ => {}
        }
    }

    fn on_answer(&mut self, target: Target, reason: Reason, carried: &Carried, answer: Answer) {
        match answer {
            Answer::Exchanged { is_admitted, is_settled, admitted_ms, news, exchange } => {
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
                self.found_at(target, node);
                if reason == Reason::OwnName && record.node_id == self.own.node_id {
                    self.meet_own_name(&exchange);
                    return;
                }
                if self.is_doubtful(&exchange.own) {
                    return;
                }
                if let Carried::Rows(nodes) = carried {
                    self.rumors.known(nodes, news);
                }
                let brought = exchange.rows.as_ref().map_or(0, Vec::len);
                let sums = exchange.sums.clone();
                let rows = exchange.rows.iter().flatten();
                let sent: Vec<_> = rows.map(|row| (row.record.node, row_digest(row))).collect();
                let list = self.take_exchange(exchange);
                if admitted_ms != 0 && admitted_ms != JOINED_YOUNGEST_MS && !self.is_admitted() {
                    self.become_admitted(admitted_ms);
                }
                if list.is_some() {
                    self.pace.found_list();
                }
                if self.hash == theirs {
                    self.pace.found_equal();
                } else if let Some(list) = list {
                    let carried = Carried::Rows(self.registry.missing_in(&list));
                    self.exchange(Target::Node(node), Reason::Unequal, carried);
                } else if let Some(sums) = sums {
                    let lacking = self.lacking(&sums, &sent);
                    if !lacking.is_empty() {
                        self.exchange(Target::Node(node), Reason::Unequal, Carried::Rows(lacking));
                    }
                } else {
                    self.after_unequal(node, reason, carried, brought);
                }
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

    /// Lists still differ after an exchange of rows. Where neither side has more to tell, they differ in earnest.
    fn after_unequal(&mut self, node: Uuid, reason: Reason, carried: &Carried, brought: usize) {
        let now = self.now.monotonic;
        self.pace.found_unequal(now);
        let is_earnest = (brought == 0 && self.rumors.is_empty()) || self.pace.is_impatient(now);
        let may = match (reason, carried) {
            // Lists were compared, and this is what came of it.
            (_, Carried::Sums) => false,
            // Its turn has come already.
            (Reason::Unequal, _) => is_earnest,
            _ => is_earnest && self.pace.may_begin(now),
        };
        if may {
            self.exchange(Target::Node(node), Reason::Unequal, Carried::Sums);
        }
    }
}
