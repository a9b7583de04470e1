//! Versions, epochs, and the vector with its markers.
//!
//! Of each epoch a vector covers either nothing, a number, or everything. Everything is the default of epochs that
//! began before the node's marker, nothing that of later ones; an entry says otherwise. Join and claim are therefore
//! pointwise, and a marker needs no special cases beside them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::rules::{Rule, Rules};

pub(crate) type Id = u8;
pub(crate) type Key = u8;

/// One life of a node: the moment when it began by the node's clock, and a random part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch {
    pub(crate) born: i64,
    /// What the clock said then; `born` may be later, as a node's epochs are in order.
    pub(crate) since: i64,
    pub(crate) random: u64,
}

/// A version of a key. Newer is decided by stamp and number alone, which no two versions share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) stamp: i64,
    pub(crate) uuid: Reverse<u64>,
    pub(crate) live: bool,
    pub(crate) origin: Id,
    pub(crate) epoch: Epoch,
    pub(crate) seq: u32,
    /// When a client wrote this content, which only the judge knows.
    pub(crate) truth: i64,
}

impl Version {
    /// From when its age counts: a version written anew has an old stamp, but nobody can have had it for long.
    pub(crate) fn since(&self, rules: Rules) -> i64 {
        if rules.has(Rule::Since) { self.stamp.max(self.epoch.since) } else { self.stamp }
    }
}

/// Covers every number.
pub(crate) const EVERYTHING: u32 = u32::MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vector {
    pub(crate) markers: BTreeMap<Id, i64>,
    pub(crate) entries: BTreeMap<(Id, Epoch), u32>,
    /// The highest number of an epoch that was held or parked, covered or not.
    pub(crate) heard: BTreeMap<(Id, Epoch), u32>,
}

impl Vector {
    pub(crate) fn marker(&self, node: Id) -> i64 {
        self.markers.get(&node).copied().unwrap_or(0)
    }

    /// How far an epoch is covered.
    pub(crate) fn level(&self, node: Id, epoch: Epoch) -> u32 {
        let default = if epoch.born < self.marker(node) { EVERYTHING } else { 0 };
        self.entries.get(&(node, epoch)).copied().unwrap_or(default)
    }

    pub(crate) fn covers(&self, version: &Version) -> bool {
        self.level(version.origin, version.epoch) >= version.seq
    }

    pub(crate) fn raise(&mut self, node: Id, epoch: Epoch, to: u32) {
        if self.level(node, epoch) < to {
            self.set(node, epoch, to);
        }
    }

    pub(crate) fn lower(&mut self, node: Id, epoch: Epoch, to: u32) {
        if self.level(node, epoch) > to {
            self.set(node, epoch, to);
        }
    }

    /// Names an epoch, and a number in it, that was only heard of.
    pub(crate) fn name(&mut self, node: Id, epoch: Epoch, seq: u32) {
        if epoch.born >= self.marker(node) {
            self.entries.entry((node, epoch)).or_insert(0);
            let heard = self.heard.entry((node, epoch)).or_insert(0);
            *heard = seq.max(*heard);
        }
    }

    /// The highest number of an epoch that this vector knows of.
    pub(crate) fn highest(&self, node: Id, epoch: Epoch) -> u32 {
        let covered = self.entries.get(&(node, epoch)).copied().unwrap_or(0);
        self.heard.get(&(node, epoch)).copied().unwrap_or(0).max(covered)
    }

    fn set(&mut self, node: Id, epoch: Epoch, to: u32) {
        if to == EVERYTHING {
            self.entries.remove(&(node, epoch));
        } else {
            self.entries.insert((node, epoch), to);
        }
    }

    /// Covers what either side covers.
    pub(crate) fn join(&mut self, other: &Self) {
        let mut entries = BTreeMap::new();
        for &(node, epoch) in self.entries.keys().chain(other.entries.keys()) {
            let level = self.level(node, epoch).max(other.level(node, epoch));
            if level != EVERYTHING {
                entries.insert((node, epoch), level);
            }
        }
        for (&node, &marker) in &other.markers {
            let mine = self.markers.entry(node).or_insert(0);
            *mine = marker.max(*mine);
        }
        for (&of, &seq) in &other.heard {
            let mine = self.heard.entry(of).or_insert(0);
            *mine = seq.max(*mine);
        }
        self.entries = entries;
        self.heard.retain(|of, _| self.entries.contains_key(of));
    }

    /// Raises a marker and forgets the entries that it stands for.
    pub(crate) fn fold(&mut self, node: Id, marker: i64) {
        self.markers.insert(node, marker);
        self.entries.retain(|(of, epoch), _| *of != node || epoch.born >= marker);
        self.heard.retain(|(of, epoch), _| *of != node || epoch.born >= marker);
    }

    /// The epochs of a node that have an entry.
    pub(crate) fn epochs(&self, node: Id) -> impl Iterator<Item = (Epoch, u32)> {
        self.entries
            .iter()
            .filter(move |((of, _), _)| *of == node)
            .map(|((_, epoch), &level)| (*epoch, level))
    }
}
