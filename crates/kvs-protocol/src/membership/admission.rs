//! Who may be in: newcomers are judged before they reach the list, and join times are given once.
//!
//! Two living processes must not share an identity (a copied data directory), nor two nodes a name. The newcomer stops.
//! Which is the newcomer?
//!
//! - A process that asks to be taken in, while the one that holds the identity or the name still answers: whoever is
//!   asked calls the old one's address first, and refuses the newcomer only if the old process answers with its own
//!   nonce. A restart is never held up: its own address cannot be held by another process, and a dead address refuses.
//! - Of two processes that meet face to face, the one that runs for a shorter time.
//! - Of two processes with one name, the one that runs for a shorter time: a process has one name for as long as it runs, so
//!   who holds a name and lives keeps it, whoever joined first. Those that meet in the lists (two partitions healed) call each
//!   other before one of them stops. Where both began at the same time, the node that joined later is the newcomer.
//! - A generation that is not greater than the one known belongs to a copied or restored directory. If the process that had
//!   the greater one does not answer, the directory was put back: the newcomer goes on with a greater one still, at its first
//!   attempt as at every later one. What it writes has numbers of its own, so nothing more is asked of it.
//!
//! A node that nobody in reach can vouch for is taken in: then the old process stops as soon as it hears of it, because
//! two of them would give out the same numbers for different writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::version::JOINED_YOUNGEST_MS;
use uuid::Uuid;

use crate::call::{CallFailure, CallKind};
use crate::membership::alarm::Alarm;
use crate::membership::contract::Effect;
use crate::membership::errand::{Asks, Carried, Reason, Target};
use crate::membership::life::Life;
use crate::membership::message::{Answer, Ask, Exchange, Weight};
use crate::membership::purpose::Purpose;
use crate::membership::record::{Record, Row, Standing};
use crate::membership::settings::{ADMISSION_PAUSE, EXCHANGE_TIMEOUT, VERIFY_TIMEOUT};
use crate::membership::swim::Swim;

/// Two processes that began within this time began together, as far as anybody can tell over a network.
const TOGETHER_MS: u64 = 100;

/// What is to be done with a node that makes itself known.
enum Verdict {
    Welcome,
    /// These hold its identity or its name, if they still live. As they are known now: while one is asked, the newcomer may
    /// become known in its place, and must not be asked whether it is its own copy.
    Ask(Vec<Arc<Record>>),
    Refuse(Answer),
}

/// A living process that has a name.
struct Claimant<'a> {
    record: &'a Record,
    uptime_ms: u64,
}

impl<'a> Claimant<'a> {
    fn of(exchange: &'a Exchange) -> Self {
        Self { record: &exchange.own.record, uptime_ms: exchange.uptime_ms }
    }

    /// Whether the name stays with this one: it is the one that has run longer, or the elder where that cannot be told.
    fn keeps_name_from(&self, other: &Self) -> bool {
        if self.uptime_ms.abs_diff(other.uptime_ms) > TOGETHER_MS {
            return self.uptime_ms > other.uptime_ms;
        }
        self.record.seniority() < other.record.seniority()
    }
}

impl Swim {
    /// A node makes itself known.
    pub(crate) fn on_exchange_request(&mut self, reply_to: u64, asks: Asks, exchange: Exchange) {
        match self.judge(&exchange) {
            Verdict::Welcome => self.answer_exchange(reply_to, asks, exchange),
            Verdict::Refuse(answer) => self.respond(reply_to, answer.encode()),
            Verdict::Ask(olds) => self.verify(reply_to, asks, exchange, olds),
        }
    }

    fn judge(&mut self, exchange: &Exchange) -> Verdict {
        let record = &exchange.own.record;
        if record.node == self.own.node {
            return self.judge_own_identity(record, exchange.uptime_ms);
        }
        let mut olds = Vec::new();
        let mut is_known = false;
        if let Some(peer) = self.registry.peer(&record.node) {
            if peer.is_forgotten {
                let (teller, weight) = (self.own.node, self.weight());
                return Verdict::Refuse(Answer::Forgotten { teller, weight });
            }
            let held = &peer.record;
            is_known = held.nonce == record.nonce && held.node_id == record.node_id;
            if held.nonce != record.nonce && !held.has_left && held.address != record.address {
                olds.push(Arc::clone(held));
            }
        }
        if !is_known && !record.node_id.is_empty() {
            let own = Claimant { record: &self.own, uptime_ms: self.uptime_ms() };
            if record.node_id == self.own.node_id && own.keeps_name_from(&Claimant::of(exchange)) {
                return Verdict::Refuse(Answer::Stop(name_is_taken(record, &self.own)));
            }
            let namesakes = self.registry.peers().filter(|peer| {
                let held = &peer.record;
                held.node_id == record.node_id
                    && held.node != record.node
                    && !peer.is_forgotten
                    && !held.has_left
                    // Its address is the newcomer's now: it cannot be there any more.
                    && held.address != record.address
            });
            olds.extend(namesakes.map(|peer| Arc::clone(&peer.record)));
        }
        if !olds.is_empty() {
            return Verdict::Ask(olds);
        }
        self.known_generation(record)
            .map_or(Verdict::Welcome, |generation| Verdict::Refuse(Answer::Behind { generation }))
    }

    /// The generation of another process of this node that is not behind this record's.
    fn known_generation(&self, record: &Record) -> Option<u32> {
        let held = &self.registry.peer(&record.node)?.record;
        (held.nonce != record.nonce && record.generation <= held.generation).then_some(held.generation)
    }

    /// A later start of this node is known than this one, and nobody is there any more: goes on with a later one still.
    pub(crate) fn go_on_from(&mut self, generation: u32) {
        let Some(next) = generation.checked_add(1).filter(|next| *next > self.own.generation) else { return };
        tracing::warn!(
            known = generation,
            own = self.own.generation,
            "the cluster knows later starts of this node: its data directory was put back to an earlier moment; it goes on, \
             and what only the lost time knew is lost"
        );
        self.own.generation = next;
        let life = Life { node: self.own.node, generation: next, rejoins: 0 };
        if let Err(error) = self.foca.change_identity(life, &mut self.runtime) {
            tracing::error!(%error, "a later start could not be taken on");
        }
        self.effects.push(Effect::Generation(next));
    }

    /// A process with this node's own identity calls.
    fn judge_own_identity(&mut self, record: &Record, uptime_ms: u64) -> Verdict {
        if record.nonce == self.own.nonce {
            return Verdict::Refuse(Answer::Yourself);
        }
        if u128::from(uptime_ms) <= self.uptime().as_millis() {
            return Verdict::Refuse(Answer::Stop(identity_is_taken(&self.own)));
        }
        self.meet_own_identity(uptime_ms);
        Verdict::Refuse(Answer::Later)
    }

    /// Another living process has this node's identity: the younger one stops.
    pub(crate) fn meet_own_identity(&mut self, uptime_ms: u64) {
        if u128::from(uptime_ms) > self.uptime().as_millis() {
            self.stop(Effect::Stop { reason: identity_is_taken(&self.own) });
        }
    }

    /// Asks the first of those that may hold the newcomer's identity or name whether it lives.
    fn verify(&mut self, reply_to: u64, asks: Asks, exchange: Exchange, mut olds: Vec<Arc<Record>>) {
        if !self.may_call() {
            return self.respond(reply_to, Answer::Later.encode());
        }
        let Some(old) = olds.pop() else {
            match self.known_generation(&exchange.own.record) {
                Some(generation) => self.respond(reply_to, Answer::Behind { generation }.encode()),
                None => self.answer_exchange(reply_to, asks, exchange),
            }
            return;
        };
        let own = self.own_exchange(&Carried::Hash);
        let body = Ask::Exchange { asks_admission: false, wants_list: false, exchange: own }.encode();
        let place = (Some(old.node), old.address.clone());
        let purpose = Purpose::Verify { reply_to, asks, exchange: Box::new(exchange), old, rest: olds };
        self.call(place, CallKind::Members, body, VERIFY_TIMEOUT, purpose);
    }

    /// Whether the old process answered for itself; if not, the newcomer goes on.
    pub(crate) fn on_verified(
        &mut self,
        reply_to: u64,
        asks: Asks,
        newcomer: Exchange,
        (old, rest): (&Record, Vec<Arc<Record>>),
        result: Result<Bytes, CallFailure>,
    ) {
        if !self.is_running() {
            return self.respond(reply_to, Answer::Later.encode());
        }
        let answer = result.ok().and_then(|body| Answer::decode(&body).ok());
        if let Some(Answer::Exchanged { exchange, .. }) = answer
            && exchange.own.record.node == old.node
            && exchange.own.record.nonce == old.nonce
        {
            self.registry.seen(&old.node, Duration::ZERO, self.now);
            let (record, theirs) = (&newcomer.own.record, &exchange.own.record);
            if record.node == old.node {
                let reason = identity_is_taken(theirs);
                return self.respond(reply_to, Answer::Stop(reason).encode());
            }
            // It may have been renamed since.
            if theirs.node_id == record.node_id
                && Claimant::of(&exchange).keeps_name_from(&Claimant::of(&newcomer))
            {
                let reason = name_is_taken(record, theirs);
                return self.respond(reply_to, Answer::Stop(reason).encode());
            }
        }
        self.verify(reply_to, asks, newcomer, rest);
    }

    /// A later process answers at an address while the earlier one is held for alive elsewhere: it has to make itself
    /// known first, and be judged.
    pub(crate) fn is_doubtful(&self, row: &Row) -> bool {
        self.registry.peer(&row.record.node).is_some_and(|peer| {
            let held = &peer.record;
            held.nonce != row.record.nonce
                && held.address != row.record.address
                && peer.standing == Standing::Alive
        })
    }

    /// Looks whether another member in the list has this node's name; it is called before anything follows.
    pub(crate) fn check_own_name(&mut self) {
        if self.own.node_id.is_empty() || !self.is_running() {
            return;
        }
        let namesake = self.registry.active().find(|peer| peer.record.node_id == self.own.node_id);
        if let Some(node) = namesake.map(|peer| peer.record.node) {
            self.exchange(Target::Node(node), Reason::OwnName, Carried::Hash);
        }
    }

    /// The same for members whose rows have just changed.
    pub(crate) fn check_name_of(&mut self, changed: &BTreeSet<Uuid>) {
        let active = |node: &Uuid| self.registry.peer(node).filter(|peer| peer.is_active());
        if changed.iter().filter_map(active).any(|peer| peer.record.node_id == self.own.node_id) {
            self.check_own_name();
        }
    }

    /// A member of this node's name has answered.
    pub(crate) fn meet_own_name(&mut self, theirs: &Exchange) {
        let own = Claimant { record: &self.own, uptime_ms: self.uptime_ms() };
        if Claimant::of(theirs).keeps_name_from(&own) {
            self.stop(Effect::Stop { reason: name_is_taken(&self.own, &theirs.own.record) });
        }
    }

    /// The next join time: later than every other, whatever the clock says.
    pub(crate) fn next_joined_ms(&mut self) -> u64 {
        let next = self.now.wall_ms.max(self.joined_max_ms.saturating_add(1)).min(JOINED_YOUNGEST_MS - 1);
        self.joined_max_ms = next;
        next
    }

    pub(crate) fn become_admitted(&mut self, joined_ms: u64) {
        self.own.joined_ms = joined_ms;
        self.own.revision = self.own.revision.saturating_add(1);
        self.effects.push(Effect::Admitted { joined_ms });
        self.take_stock();
        self.refresh_attempts();
    }

    /// While this node waits, it asks any member that could admit it.
    pub(crate) fn on_admission_alarm(&mut self) {
        if self.is_admitted() {
            return;
        }
        self.alarm_in(ADMISSION_PAUSE, Alarm::Admission);
        let admits = |record: &Record| record.joined_ms != JOINED_YOUNGEST_MS;
        let nodes: Vec<Uuid> =
            self.registry.active().filter(|peer| admits(&peer.record)).map(|peer| peer.record.node).collect();
        if let Some(node) = self.choose(&nodes) {
            self.exchange(Target::Node(node), Reason::Admission, Carried::Hash);
        }
        self.consider_founding();
    }

    /// What this node's side of a cluster weighs, when two sides have forgotten each other.
    fn weight(&self) -> Weight {
        let kept = || self.registry.peers().filter(|peer| !peer.is_forgotten);
        let members = u16::try_from(1 + kept().count()).unwrap_or(u16::MAX);
        let eldest = kept().map(|peer| peer.record.seniority()).fold(self.own.seniority(), Ord::min);
        Weight { members, joined_ms: eldest.0, node: eldest.1 }
    }

    /// A member says that this node is forgotten. If this node has forgotten the teller, the heavier side is right.
    pub(crate) fn told_forgotten(&mut self, teller: Uuid, theirs: &Weight) {
        let forgotten = self.registry.peer(&teller).filter(|peer| peer.is_forgotten);
        if let Some(address) = forgotten.map(|peer| peer.record.address.clone())
            && self.weight().outweighs(theirs)
        {
            self.give_notice(teller, address);
            return;
        }
        self.stop(Effect::Forgotten);
    }

    /// Tells a node that it is forgotten.
    pub(crate) fn give_notice(&mut self, node: Uuid, address: String) {
        let body = Ask::Notice { teller: self.own.node, weight: self.weight() }.encode();
        self.call((Some(node), address), CallKind::Members, body, EXCHANGE_TIMEOUT, Purpose::Telling);
    }
}

fn identity_is_taken(old: &Record) -> String {
    format!(
        "another process with the identity {} of this one runs at {} (node_id \"{}\"); was the data directory copied? \
         one data directory must be used by one process only",
        old.node, old.address, old.node_id
    )
}

fn name_is_taken(newcomer: &Record, old: &Record) -> String {
    format!(
        "the node_id \"{}\" is taken by the node {} at {}; give this node ({}) another node_id",
        newcomer.node_id, old.node, old.address, newcomer.address
    )
}
