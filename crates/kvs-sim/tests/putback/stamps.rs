//! Stamps that are taken back: floors, what a void version leaves behind, and what is written anew.

use std::collections::BTreeMap;

use crate::node::{End, Event, Node};
use crate::rules::{LIMIT, Rule};
use crate::vector::{Epoch, Id, Key, Version};

impl Node {
    /// Takes floors over: what they void is void here, parked or current.
    pub(crate) fn forget(&mut self, floors: &BTreeMap<(Id, Epoch), i64>) {
        for (&epoch, &stamp) in floors {
            let floor = self.floors.entry(epoch).or_insert(stamp);
            *floor = stamp.min(*floor);
        }
        let parked: Vec<_> = self.parked.keys().filter(|(_, v)| self.void(v)).copied().collect();
        for (key, version) in parked {
            let bases = self.parked.remove(&(key, version)).unwrap_or_default();
            if self.rules.has(Rule::Batch) {
                for (node, epoch, level) in bases {
                    self.vector.lower(node, epoch, level);
                }
            }
            self.blank.entry(key).or_default();
            self.remember(key, version, End::Void);
        }
        let current: Vec<_> =
            self.records.iter().filter(|(_, v)| self.void(v)).map(|(&k, &v)| (k, v)).collect();
        for (key, version) in current {
            self.records.remove(&key);
            self.remember(key, version, End::Void);
            self.blank.entry(key).or_default();
            self.fall_back(key);
        }
    }

    /// The newest version of a key in the history that is not void.
    fn newest_good(&self, key: Key) -> Option<(Version, End)> {
        let past = self.past.get(&key)?;
        past.iter().filter(|(v, _)| !self.void(v)).max_by_key(|(v, _)| *v).copied()
    }

    fn fall_back(&mut self, key: Key) {
        let mut good = self.newest_good(key);
        if !self.rules.has(Rule::Mask) {
            let past = self.past.get(&key).into_iter().flatten();
            good = past
                .filter(|(v, end)| !self.void(v) && *end != End::Collected)
                .max_by_key(|(v, _)| *v)
                .copied();
        }
        match good {
            Some((version, End::Collected | End::Dropped)) if self.rules.has(Rule::Mask) => {
                self.bound(key, version)
            }
            Some((version, _)) if self.rules.has(Rule::Fallback) => {
                self.records.insert(key, version);
                self.events.push(Event::Fell);
            }
            _ => {}
        }
    }

    /// A peer parked these versions of this node: when the clock is right again, they are taken back.
    pub(crate) fn take_back(&mut self, waiting: &[Version]) {
        let ahead = self.skew > LIMIT || (self.rules.has(Rule::Agree) && self.skew < -LIMIT);
        if ahead || !self.rules.has(Rule::Recall) {
            return;
        }
        let now = self.now();
        let strange = |v: &&Version| {
            !self.void(v) && v.stamp > now && self.tops.get(&v.epoch).is_none_or(|&top| v.stamp > top)
        };
        let forgotten: Vec<_> = if self.rules.has(Rule::Strange) {
            waiting.iter().filter(strange).map(|v| v.epoch).collect()
        } else {
            Vec::new()
        };
        if forgotten.is_empty() && self.tops.values().all(|&top| top <= now + LIMIT) {
            return;
        }
        let named = self.tops.iter().filter(|&(_, &top)| top > now).map(|(&epoch, _)| epoch);
        let floors: BTreeMap<_, _> = named.chain(forgotten).map(|epoch| ((self.id, epoch), now)).collect();
        for (_, epoch) in floors.keys() {
            self.tops.insert(*epoch, now);
        }
        self.events.push(Event::Recalled);
        self.begin();
        let mine = |v: &Version| {
            v.origin == self.id && floors.get(&(self.id, v.epoch)).is_some_and(|&f| v.stamp > f)
        };
        let lost: Vec<_> = self.records.iter().filter(|(_, v)| mine(v)).map(|(&k, &v)| (k, v)).collect();
        self.forget(&floors);
        for (key, version) in lost {
            self.rewrite(key, version);
        }
    }

    /// Writes the content of a void version anew, with the stamp that a right clock would have given.
    fn rewrite(&mut self, key: Key, version: Version) {
        let measured = self.offsets.get(&(version.epoch, version.seq)).copied();
        let offset = measured.filter(|_| self.rules.has(Rule::Offset));
        let right = offset.map_or(self.now(), |offset| version.stamp.saturating_sub(offset).min(self.now()));
        let good = self.newest_good(key).map(|(v, _)| v).max(self.records.get(&key).copied());
        let after = good.map_or(i64::MIN, |good| good.stamp + 1);
        let stamp = right.max(after);
        self.put(key, version.live, stamp, version.truth);
        match measured {
            Some(_) => self.offsets.insert((self.epoch, self.seq), stamp - right),
            None => self.offsets.remove(&(self.epoch, self.seq)),
        };
        if let Some(&version) = self.records.get(&key) {
            self.events.push(Event::Rewrote { version, exact: measured.is_some() && stamp > after });
        }
    }

    /// Others believe this epoch folded, as the clock is far behind or the directory old: what was written in it is
    /// written anew in a later one.
    pub(crate) fn renew(&mut self, marker: i64) {
        let old = self.epoch;
        self.epoch = Epoch { born: self.now().max(marker), since: self.now(), random: self.random.bits() };
        self.vector.name(self.id, self.epoch, 0);
        self.seq = 0;
        let mine = |v: &Version| v.origin == self.id && v.epoch == old;
        let records: Vec<_> = self.records.iter().filter(|(_, v)| mine(v)).map(|(&k, &v)| (k, v)).collect();
        for (key, version) in records {
            self.put(key, version.live, version.stamp + 1, version.truth);
        }
    }
}
