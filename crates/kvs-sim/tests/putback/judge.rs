//! The judge: it sees every write and every directory, and knows nothing of cursors, sessions or floors.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Event, Node};
use crate::rules::LIMIT;
use crate::vector::{Epoch, Id, Key, Vector, Version};

/// A version that a client was told of, or that a node wrote for it.
#[derive(Clone, Debug)]
struct Entry {
    key: Key,
    version: Version,
    /// No directory in service holds it or remembers that it was deleted.
    lost: bool,
    /// Its epoch was passed by a marker that was raised when no member had heard of that epoch.
    given_up: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    ledger: Vec<Entry>,
    collected: BTreeMap<Key, BTreeSet<Version>>,
    /// Epochs that were folded, with the number that everybody covered.
    folded: BTreeMap<(Id, Epoch), u32>,
    /// The first promise that was broken on the way.
    pub(crate) broken: Option<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Judge {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn breaks(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// Takes note of what a node did.
    pub(crate) fn note(&mut self, node: Id, event: Event) {
        match event {
            Event::Wrote(key, version) => {
                self.ledger.push(Entry { key, version, lost: false, given_up: false });
                self.count("writes");
            }
            Event::Collected(key, version) => {
                self.collected.entry(key).or_default().insert(version);
                self.count("collected");
            }
            Event::Folded { marker, settled } => {
                for (epoch, seq) in settled {
                    let known = self.folded.entry((node, epoch)).or_insert(seq);
                    *known = seq.max(*known);
                }
                for entry in &mut self.ledger {
                    let v = &entry.version;
                    let covered = self.folded.get(&(node, v.epoch)).is_some_and(|&seq| v.seq <= seq);
                    entry.given_up |= v.origin == node && v.epoch.born < marker && !covered;
                }
                self.count("folds");
            }
            Event::Rewrote { version, exact } => {
                if exact && (version.stamp - version.truth).abs() > LIMIT {
                    self.breaks(format!("a rewritten version has a wrong stamp: {version:?}"));
                }
                self.count(if exact { "rewritten by measure" } else { "rewritten by guess" });
            }
            Event::Adopted { epoch, upto } => {
                for entry in &mut self.ledger {
                    let v = &entry.version;
                    let adopted = v.origin == node && v.epoch == epoch && v.seq <= upto;
                    entry.given_up |= adopted && entry.lost;
                }
                self.count("adopted");
            }
            Event::Dropped => self.count("dropped"),
            Event::Fell => self.count("fell back"),
            Event::Left => self.count("left"),
            Event::Recalled => self.count("recalls"),
            Event::Guarded => self.count("guarded"),
        }
    }

    /// After a directory was put back: what only the lost one held is lost, and not the rules' fault.
    pub(crate) fn directories_changed(&mut self, nodes: &[Node]) {
        let told: Vec<_> = nodes.iter().map(Node::told).collect();
        for entry in &mut self.ledger {
            let (key, version) = (entry.key, entry.version);
            let held = nodes.iter().any(|node| {
                node.records.get(&key) == Some(&version)
                    || node.parked.contains_key(&(key, version))
                    || node.past.get(&key).is_some_and(|past| past.iter().any(|(v, _)| *v == version))
            });
            let collected = self.collected.get(&key).is_some_and(|all| all.contains(&version));
            let remembered = collected && told.iter().any(|vector| vector.covers(&version));
            entry.lost = !(held || remembered);
        }
    }

    /// What a node tells to cover it must hold, or something newer that nobody took back.
    pub(crate) fn told(&mut self, node: &Node, told: &Vector) {
        let wrong = self.ledger.iter().find(|entry| {
            let (key, version) = (entry.key, &entry.version);
            let of = (version.origin, version.epoch);
            let by_marker_alone = !told.entries.contains_key(&of) && !self.folded.contains_key(&of);
            let excused = entry.lost || entry.given_up || by_marker_alone || node.void(version);
            if excused || !told.covers(version) {
                return false;
            }
            let held = node.records.get(&key).is_some_and(|v| v >= version);
            let had = node.past.get(&key).is_some_and(|past| past.iter().any(|(v, _)| v >= version));
            let deleted = self.collected.get(&key).is_some_and(|all| all.iter().any(|v| v >= version));
            let replaced =
                || self.ledger.iter().any(|e| e.key == key && e.version > *version && node.void(&e.version));
            !(held || had || deleted || replaced())
        });
        if let Some(entry) = wrong {
            let why = format!("node {} tells to cover what it does not hold: {:?}", node.id, entry);
            self.breaks(why);
        }
    }

    /// The end: all nodes hold the newest version of each key that is not void, lost or given up.
    pub(crate) fn end(&mut self, nodes: &[Node], keys: u8) {
        for key in 0..keys {
            let good = |entry: &&Entry| {
                entry.key == key && !entry.lost && !nodes.iter().any(|node| node.void(&entry.version))
            };
            let newest =
                self.ledger.iter().filter(good).filter(|entry| !entry.given_up).map(|e| e.version).max();
            let excused = self
                .ledger
                .iter()
                .filter(good)
                .filter(|entry| entry.given_up && Some(entry.version) > newest);
            let alive = |version: Version| version.live.then_some(version);
            let allowed: BTreeSet<_> =
                std::iter::once(newest.and_then(alive)).chain(excused.map(|e| alive(e.version))).collect();
            let held: BTreeSet<_> =
                nodes.iter().map(|node| node.records.get(&key).copied().and_then(alive)).collect();
            self.count_silently_older(nodes, key, newest);
            if allowed.len() > 1 {
                self.count("given up");
            }
            if held.len() > 1 {
                self.breaks(format!("key {key}: the nodes differ: {held:?}"));
            } else if !held.is_subset(&allowed) {
                self.breaks(format!("key {key}: held {held:?}, allowed {allowed:?}"));
            }
        }
    }

    fn count_silently_older(&mut self, nodes: &[Node], key: Key, newest: Option<Version>) {
        let void = |v: &Version| nodes.iter().any(|node| node.void(v));
        let of_key = || self.ledger.iter().filter(|e| e.key == key);
        let Some(newest) = newest else { return };
        let silent = of_key().any(|e| {
            let v = &e.version;
            void(v)
                && v.truth > newest.truth + 2 * LIMIT
                && !of_key().any(|o| o.version.truth == v.truth && !void(&o.version))
        });
        if silent {
            self.count("later content only in a history");
        }
    }

    /// A held version's epoch is named by the holder's vector, or its marker passed it.
    pub(crate) fn named(&mut self, node: &Node) {
        let held = node.records.values().chain(node.parked.keys().map(|(_, v)| v));
        let unnamed = held.into_iter().find(|v| {
            node.vector.level(v.origin, v.epoch) == 0
                && !node.vector.entries.contains_key(&(v.origin, v.epoch))
        });
        if let Some(version) = unnamed {
            let why =
                format!("node {} holds a version of an epoch that it does not name: {version:?}", node.id);
            self.breaks(why);
        }
    }
}
