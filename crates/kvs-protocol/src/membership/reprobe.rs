//! Seeds and members that are not alive are asked again for ever, at a bounded pace.
//!
//! That is how a cluster forms whatever the order of starts, and how it heals when a partition ends: one exchange
//! across the healed line is enough, lists do the rest.

use std::time::Duration;

use kvs_core::version::JOINED_YOUNGEST_MS;
use rand::RngExt;
use uuid::Uuid;

use crate::membership::errand::{Carried, Reason, Target};
use crate::membership::seed::{Attempt, Seed, SeedOutcome};
use crate::membership::settings::{
    FOUNDING_PAUSE, REPROBE_EACH, REPROBE_FIRST, REPROBE_MAX, REPROBE_STARTING, REPROBES_MAX, STARTING,
};
use crate::membership::swim::Swim;

impl Swim {
    /// The addresses that are asked until they answer.
    fn wanted(&self) -> Vec<Target> {
        if !self.is_running() {
            return Vec::new();
        }
        let is_active = |node: &Uuid| self.registry.peer(node).is_some_and(|peer| peer.is_active());
        let seeds = self.seeds.iter().enumerate().filter(|(_, seed)| {
            let is_alive = seed.node.as_ref().is_some_and(is_active)
                || self.registry.active().any(|peer| peer.record.address == seed.address);
            seed.outcome != SeedOutcome::Itself && !(is_alive && self.is_admitted())
        });
        // An address that somebody alive has taken over does not lead to the dead one any more.
        let is_taken = |address: &str| {
            address == self.own.address || self.registry.active().any(|peer| peer.record.address == address)
        };
        let dead = self.registry.peers().filter(|peer| {
            !peer.is_active()
                && !peer.is_forgotten
                && !peer.record.has_left
                && !is_taken(&peer.record.address)
        });
        let seeds = seeds.map(|(place, _)| Target::Seed(place));
        seeds.chain(dead.map(|peer| Target::Node(peer.record.node))).collect()
    }

    /// Takes up new targets, drops those that are alive.
    pub(crate) fn refresh_attempts(&mut self) {
        let wanted = self.wanted();
        self.attempts.retain(|target, _| wanted.contains(target));
        let is_start = self.uptime() == Duration::ZERO;
        let first = if is_start { Duration::ZERO } else { REPROBE_FIRST };
        let next = self.now.monotonic + first;
        for target in wanted {
            self.attempts.entry(target).or_insert(Attempt {
                next,
                pause: REPROBE_FIRST,
                is_under_way: false,
            });
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
            self.exchange(target, Reason::Reprobe, Carried::List);
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
        }
        if outcome == SeedOutcome::Itself {
            self.attempts.remove(&target);
        }
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
