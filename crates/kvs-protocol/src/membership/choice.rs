//! Whom a node calls next: members drawn by lot.

use rand::RngExt;
use rand::prelude::IteratorRandom;
use uuid::Uuid;

use crate::membership::swim::Swim;

/// Draws for each member that is to be chosen.
const DRAWS_EACH: usize = 8;

impl Swim {
    /// One of these, at random.
    pub(crate) fn choose(&mut self, nodes: &[Uuid]) -> Option<Uuid> {
        nodes.iter().choose(&mut self.rng).copied()
    }

    /// Random active members.
    pub(crate) fn choose_active(&mut self, count: usize, except: Option<Uuid>) -> Vec<Uuid> {
        // Nearly all are active, so a few draws find them; where most are not, all are looked at.
        let mut chosen = Vec::with_capacity(count);
        for _ in 0..count * DRAWS_EACH {
            if chosen.len() == count || self.registry.len() == 0 {
                break;
            }
            let place = self.rng.random_range(0..self.registry.len());
            let node = self.registry.active_at(place).map(|peer| peer.record.node);
            chosen.extend(node.filter(|node| Some(*node) != except && !chosen.contains(node)));
        }
        if chosen.len() < count {
            let nodes = self.registry.active().map(|peer| peer.record.node);
            chosen = nodes.filter(|node| Some(*node) != except).sample(&mut self.rng, count);
        }
        chosen
    }
}
