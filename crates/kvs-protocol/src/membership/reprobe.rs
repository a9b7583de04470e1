//! Seeds and members that are not alive are asked again for ever, at a bounded pace.
//!
//! That is how a cluster forms whatever the order of starts, and how it heals when a partition ends: one exchange
//! across the healed line is enough, lists do the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use kvs_core::version::JOINED_YOUNGEST_MS;
use rand::RngExt;
use uuid::Uuid;

use crate::membership::contract::SeedReport;
use crate::membership::errand::{Carried, Reason, Target};
use crate::membership::registry::Peer;
use crate::membership::seed::{Attempt, Seed, SeedOutcome};
use crate::membership::settings::{
    FOUNDING_PAUSE, REPROBE_EACH, REPROBE_FIRST, REPROBE_MAX, REPROBE_STARTING, REPROBES_MAX, SEEDS_MAX,
    STARTING,
};
use crate::membership::swim::Swim;

/// Whether a member is asked until it answers, as long as nobody else is at its address.
fn is_gone(peer: &Peer) -> bool {
    !peer.is_active() && !peer.is_forgotten && !peer.record.has_left
}

impl Swim {
    /// The addresses that are asked until they answer.
    fn wanted(&self) -> Vec<Target> {
        if !self.is_running() {
            return Vec::new();
        }
        let seeds = self.seeds.iter().enumerate().filter(|(_, seed)| {
            seed.outcome != SeedOutcome::Itself && !(self.is_admitted() && self.is_alive_at(seed))
        });
        let gone: Vec<&Peer> = self.registry.peers().filter(|peer| is_gone(peer)).collect();
        // An address that somebody alive has taken over does not lead to the dead one any more.
        let mut taken: BTreeSet<&str> = BTreeSet::from([self.own.address.as_str()]);
        if !gone.is_empty() {
            let addresses: BTreeSet<&str> = gone.iter().map(|peer| peer.record.address.as_str()).collect();
            let held = self.registry.active().map(|peer| peer.record.address.as_str());
            taken.extend(held.filter(|address| addresses.contains(address)));
        }
        let dead = gone.into_iter().filter(|peer| !taken.contains(peer.record.address.as_str()));
        let seeds = seeds.map(|(place, _)| Target::Seed(place));
        seeds.chain(dead.map(|peer| Target::Node(peer.record.node))).collect()
    }

    /// Takes up new targets, drops those that are alive.
    pub(crate) fn refresh_attempts(&mut self) {
        let wanted = self.wanted();
        self.attempts.retain(|target, _| wanted.contains(target));
        for target in wanted {
            self.want(target);
        }
    }

    fn want(&mut self, target: Target) {
        let is_start = self.uptime() == Duration::ZERO;
        let first = if is_start { Duration::ZERO } else { REPROBE_FIRST };
        let next = self.now.monotonic + first;
        self.attempts.entry(target).or_insert(Attempt { next, pause: REPROBE_FIRST, is_under_way: false });
    }

    /// Takes up and drops targets after the rows of these members changed. Only they are looked at, and who is gone; that
    /// somebody holds the address of one who is gone is found as well when he answers there, and each time ages are looked at.
    pub(crate) fn refresh_attempts_of(&mut self, changed: &BTreeSet<Uuid>) {
        for node in changed {
            let Some(peer) = self.registry.peer(node) else { continue };
            let (is_active, is_wanted) = (peer.is_active(), is_gone(peer));
            let address = peer.record.address.clone();
            if is_wanted && address != self.own.address {
                self.want(Target::Node(*node));
            } else {
                self.attempts.remove(&Target::Node(*node));
            }
            let holds = |target: &Target| match target {
                Target::Node(gone) => {
                    self.registry.peer(gone).is_some_and(|peer| peer.record.address == address)
                }
                Target::Seed(_) => false,
            };
            let held: Vec<Target> =
                self.attempts.keys().copied().filter(|target| is_active && holds(target)).collect();
            for target in held {
                self.attempts.remove(&target);
            }
            let concerns = |seed: &&Seed| seed.node == Some(*node) || seed.address == address;
            if self.seeds.iter().any(|seed| concerns(&seed)) {
                self.refresh_attempts();
            }
        }
    }

    /// Another member answered where this one was: it is not asked for there any more.
    pub(crate) fn found_at(&mut self, target: Target, node: Uuid) {
        if matches!(target, Target::Node(asked) if asked != node) {
            self.attempts.remove(&target);
        }
    }

    /// When the next attempt is due.
    pub(crate) fn attempts_deadline(&self) -> Option<Duration> {
        let under_way = self.attempts.values().filter(|attempt| attempt.is_under_way).count();
        let waiting = self.attempts.values().filter(|attempt| !attempt.is_under_way);
        if under_way < REPROBES_MAX { waiting.map(|attempt| attempt.next).min() } else { None }
    }

    /// Makes the attempts that are due.
    pub(crate) fn run_attempts(&mut self) {
        let under_way = self.attempts.values().filter(|attempt| attempt.is_under_way).count();
        let room = REPROBES_MAX.saturating_sub(under_way);
        let now = self.now.monotonic;
        let is_due = |attempt: &Attempt| !attempt.is_under_way && attempt.next <= now;
        let due = self.attempts.iter().filter(|(_, attempt)| is_due(attempt)).map(|(target, _)| *target);
        let due: Vec<Target> = due.take(room).collect();
        for target in due {
            if let Some(attempt) = self.attempts.get_mut(&target) {
                attempt.is_under_way = true;
            }
            self.exchange(target, Reason::Reprobe, Carried::Hash);
        }
    }

    /// An attempt ended; the next one comes after a pause that grows to a bound.
    pub(crate) fn end_attempt(&mut self, target: Target) {
        let count = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let is_starting = self.uptime() < STARTING || !self.is_admitted();
        let bound =
            if is_starting { REPROBE_STARTING } else { REPROBE_MAX.max(REPROBE_EACH.saturating_mul(count)) };
        let jitter = self.rng.random_range(80..=120);
        let Some(attempt) = self.attempts.get_mut(&target) else { return };
        attempt.is_under_way = false;
        attempt.next = self.now.monotonic + attempt.pause * jitter / 100;
        attempt.pause = (attempt.pause * 2).min(bound);
    }

    pub(crate) fn seed_came_out(&mut self, target: Target, outcome: SeedOutcome, node: Option<Uuid>) {
        let Target::Seed(place) = target else { return };
        if let Some(seed) = self.seeds.get_mut(place) {
            seed.outcome = outcome;
            seed.node = node.or(seed.node);
            seed.failure = None;
        }
        if outcome == SeedOutcome::Itself {
            self.attempts.remove(&target);
        }
    }

    /// An attempt at a seed brought nothing, for this reason.
    pub(crate) fn seed_failed(&mut self, target: Target, reason: String) {
        self.seed_came_out(target, SeedOutcome::Failed, None);
        let Target::Seed(place) = target else { return };
        if let Some(seed) = self.seeds.get_mut(place) {
            seed.failure = Some(reason);
        }
    }

    /// Tries an address at once and until it answers, as if it had been a seed from the start.
    pub(crate) fn join(&mut self, address: String) {
        let known = self.seeds.iter().position(|seed| seed.address == address);
        let place = known.unwrap_or(self.seeds.len());
        if known.is_none() {
            if self.seeds.len() >= SEEDS_MAX {
                tracing::warn!(address, "too many addresses are tried already; this one is not");
                return;
            }
            self.seeds.push(Seed::new(address, &self.own.address));
        }
        self.refresh_attempts();
        if let Some(attempt) = self.attempts.get_mut(&Target::Seed(place)) {
            attempt.next = self.now.monotonic;
            attempt.pause = REPROBE_FIRST;
        }
    }

    /// The seeds and what came of them.
    pub(crate) fn seed_reports(&self) -> Vec<SeedReport> {
        let report = |seed: &Seed| SeedReport {
            address: seed.address.clone(),
            is_reached: seed.outcome == SeedOutcome::Itself || self.is_alive_at(seed),
            failure: seed.failure.clone(),
        };
        self.seeds.iter().map(report).collect()
    }

    /// Whether somebody that lives answers at a seed's address.
    fn is_alive_at(&self, seed: &Seed) -> bool {
        let is_active = |node: &Uuid| self.registry.peer(node).is_some_and(|peer| peer.is_active());
        seed.node.as_ref().is_some_and(is_active)
            || self.registry.active().any(|peer| peer.record.address == seed.address)
    }

    /// Whether nobody is known who could know others: all that were members have left or are forgotten, and every seed is this
    /// node or was one of them.
    pub(crate) fn has_nobody_to_ask(&self) -> bool {
        let is_past = |peer: &Peer| peer.is_forgotten || peer.record.has_left;
        let was_member = |seed: &Seed| self.registry.peers().any(|peer| peer.record.address == seed.address);
        self.registry.peers().all(is_past)
            && self.seeds.iter().all(|seed| seed.outcome == SeedOutcome::Itself || was_member(seed))
    }

    /// Whether every seed answered, none of them as a member.
    pub(crate) fn is_settled(&self) -> bool {
        let answered = |seed: &Seed| matches!(seed.outcome, SeedOutcome::Itself | SeedOutcome::Waits { .. });
        self.seeds.iter().all(answered)
    }

    /// A cluster whose nodes all wait for each other needs one that begins: the smallest uuid of those that wait, when
    /// all seeds are known to wait too, or when this node is a seed itself and nobody else answers.
    pub(crate) fn consider_founding(&mut self) {
        if self.is_admitted() || !self.is_running() || self.seeds.is_empty() {
            return;
        }
        let is_circle = self.seeds.iter().all(|seed| {
            matches!(seed.outcome, SeedOutcome::Itself | SeedOutcome::Waits { is_settled: true })
        });
        let is_seed = self.seeds.iter().any(|seed| seed.outcome == SeedOutcome::Itself);
        let nobody_else =
            self.seeds.iter().all(|seed| matches!(seed.outcome, SeedOutcome::Itself | SeedOutcome::Failed));
        let may = is_circle || (is_seed && nobody_else && self.uptime() >= FOUNDING_PAUSE);
        let is_smallest = self.registry.peers().all(|peer| {
            let waits = peer.record.joined_ms == JOINED_YOUNGEST_MS;
            peer.is_forgotten || (waits && (peer.record.node > self.own.node || !peer.is_active()))
        });
        if may && is_smallest {
            tracing::info!("all seeds wait to be admitted; this node begins the cluster");
            let joined_ms = self.next_joined_ms();
            self.become_admitted(joined_ms);
        }
    }
}
