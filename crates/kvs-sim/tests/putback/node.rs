//! What a node holds, how it judges a version that is offered, and how it writes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;
use crate::rules::{GRACE, LIMIT, Rule, Rules, SPREAD};
use crate::vector::{Epoch, Id, Key, Vector, Version};

/// How a version ended that is in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A newer one replaced it, or it came too late.
    Replaced,
    /// A peer said that it was deleted.
    Dropped,
    /// A tombstone that was collected.
    Collected,
    /// Its stamp was taken back.
    Void,
}

/// What became of an offered version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Merged, or a covered tombstone that changes nothing.
    Merged,
    /// It was deleted here: the peer removes it.
    Drop,
    /// It waits until its stamp is in range.
    Parked,
    /// Its stamp was taken back.
    Void,
    /// It is left for later, as the clock disagrees.
    Left,
}

impl Taken {
    /// "I have all that you have" is not true after this one.
    pub(crate) const fn waits(self) -> bool {
        matches!(self, Self::Parked | Self::Void | Self::Left)
    }
}

/// How far an epoch of a node is covered.
pub(crate) type Level = (Id, Epoch, u32);

/// The entry of the log that a key's current record stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) epoch: Epoch,
    pub(crate) seq: u32,
}

/// What the judge is told, beyond what it can see.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Wrote(Key, Version),
    Collected(Key, Version),
    /// The owner raised its marker and knows that these epochs were covered up to these numbers by everybody.
    Folded {
        marker: i64,
        settled: Vec<(Epoch, u32)>,
    },
    /// Numbers of a lost life that no member holds count as covered.
    Adopted {
        epoch: Epoch,
        upto: u32,
    },
    Dropped,
    Fell,
    /// A recalled version was written anew; exactly, when the true time of its content is known.
    Rewrote {
        version: Version,
        exact: bool,
    },
    Left,
    Guarded,
    Recalled,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: Id,
    pub(crate) rules: Rules,
    pub(crate) random: Random,
    pub(crate) members: BTreeSet<Id>,
    pub(crate) epoch: Epoch,
    pub(crate) seq: u32,
    pub(crate) records: BTreeMap<Key, Version>,
    pub(crate) past: BTreeMap<Key, Vec<(Version, End)>>,
    pub(crate) log: BTreeMap<Key, Own>,
    pub(crate) vector: Vector,
    /// The last number of each of its epochs that this directory's log knows.
    pub(crate) logged: BTreeMap<Epoch, u32>,
    /// What each member ever told.
    pub(crate) known: BTreeMap<Id, Vector>,
    /// Stamps given since the clock last changed that no peer has measured yet.
    pub(crate) unmeasured: Vec<(Epoch, u32, i64)>,
    /// What each member told last, in this life.
    pub(crate) heard: BTreeMap<Id, Vector>,
    /// Parked versions, each with levels above which the vector is not told while it waits.
    pub(crate) parked: BTreeMap<(Key, Version), Vec<Level>>,
    /// Keys of which a version was void, and up to which version they are known to be deleted all the same.
    pub(crate) blank: BTreeMap<Key, Option<Version>>,
    /// Deletes that everybody covers, and what must be covered before they are collected.
    pub(crate) round: Option<(Vec<(Key, Version)>, Vector)>,
    /// Gaps in own ended epochs, and the members that gave everything since these are known.
    pub(crate) adopting: (BTreeMap<Epoch, u32>, BTreeSet<Id>),
    /// The latest stamp given in each epoch.
    pub(crate) tops: BTreeMap<Epoch, i64>,
    /// Versions of an ended epoch stamped later than this are void.
    pub(crate) floors: BTreeMap<(Id, Epoch), i64>,
    /// How far a stamp was ahead of the time by the peers' clocks, where a peer had measured it.
    pub(crate) offsets: BTreeMap<(Epoch, u32), i64>,
    /// The offset of the clock as peers measured it since it last changed.
    pub(crate) measured: Option<i64>,
    pub(crate) tick: i64,
    pub(crate) skew: i64,
    pub(crate) cut: BTreeSet<Id>,
    pub(crate) events: Vec<Event>,
}

impl Node {
    pub(crate) fn new(id: Id, rules: Rules, members: &BTreeSet<Id>) -> Self {
        Self {
            id,
            rules,
            random: Random::new(0),
            members: members.clone(),
            epoch: Epoch { born: 0, since: 0, random: u64::from(id) },
            seq: 0,
            records: BTreeMap::new(),
            past: BTreeMap::new(),
            log: BTreeMap::new(),
            vector: Vector::default(),
            logged: BTreeMap::new(),
            known: BTreeMap::new(),
            heard: BTreeMap::new(),
            parked: BTreeMap::new(),
            blank: BTreeMap::new(),
            round: None,
            adopting: Default::default(),
            tops: BTreeMap::new(),
            floors: BTreeMap::new(),
            offsets: BTreeMap::new(),
            measured: None,
            unmeasured: Vec::new(),
            tick: 0,
            skew: 0,
            cut: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.tick + self.skew
    }

    /// Whether the peers find this clock wrong.
    pub(crate) fn disagrees(&self) -> bool {
        self.rules.has(Rule::Agree) && self.skew.abs() > LIMIT
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = Id> {
        self.members.iter().copied().filter(|&id| id != self.id)
    }

    /// A start: messages and what was heard are gone, and a new epoch begins.
    pub(crate) fn start(&mut self, seed: u64) {
        self.random = Random::new(seed);
        self.heard.clear();
        self.round = None;
        self.adopting = Default::default();
        self.measured = None;
        self.unmeasured.clear();
        self.begin();
    }

    /// The clock changes; a node that notices the jump keeps count of what it stamped before.
    pub(crate) fn set_clock(&mut self, skew: i64, noticed: bool) {
        let jump = self.skew - skew;
        self.skew = skew;
        self.measured = None;
        self.unmeasured.retain(|_| noticed);
        for (_, _, lead) in &mut self.unmeasured {
            *lead += jump;
        }
    }

    /// A peer told what its clock says.
    pub(crate) fn measure(&mut self) {
        self.measured = Some(self.skew);
        for (epoch, seq, lead) in std::mem::take(&mut self.unmeasured) {
            self.offsets.insert((epoch, seq), lead + self.skew);
        }
    }

    pub(crate) fn begin(&mut self) {
        if self.rules.has(Rule::Epoch) {
            let born = self.now().max(self.vector.marker(self.id)).max(self.epoch.born);
            self.epoch = Epoch { born, since: self.now(), random: self.random.bits() };
        }
        self.vector.name(self.id, self.epoch, 0);
        self.seq = self.vector.level(self.id, self.epoch);
    }

    /// The vector as it is told: without what is only parked.
    pub(crate) fn told(&self) -> Vector {
        let mut vector = self.vector.clone();
        if self.rules.has(Rule::Lower) {
            for ((_, version), bases) in &self.parked {
                vector.lower(version.origin, version.epoch, version.seq - 1);
                if self.rules.has(Rule::Batch) {
                    for &(node, epoch, level) in bases {
                        vector.lower(node, epoch, level);
                    }
                }
            }
        }
        vector
    }

    pub(crate) fn void(&self, version: &Version) -> bool {
        self.floors.get(&(version.origin, version.epoch)).is_some_and(|&floor| version.stamp > floor)
    }

    pub(crate) fn holds_something(&self, key: Key, version: &Version) -> bool {
        let bound = self.blank.get(&key).map(|bound| bound.filter(|_| self.rules.has(Rule::Bound)));
        self.records.contains_key(&key)
            || (self.rules.has(Rule::Blank) && bound.is_some_and(|bound| bound.as_ref() < Some(version)))
            || (self.rules.has(Rule::Waiting) && self.parked.keys().any(|(of, _)| *of == key))
    }

    /// Judges a version that a peer offers.
    pub(crate) fn offer(&mut self, key: Key, version: Version) -> Taken {
        if self.void(&version) {
            self.blank.entry(key).or_default();
            return Taken::Void;
        }
        let gone = self.rules.has(Rule::Drop)
            && !self.holds_something(key, &version)
            && self.told().covers(&version);
        if !gone {
            return self.merge(key, version);
        }
        if self.disagrees() {
            if version.live && self.rules.has(Rule::Leave) {
                self.events.push(Event::Left);
                return Taken::Left;
            }
            return self.merge(key, version);
        }
        if self.rules.has(Rule::Guard) && self.now() - version.since(self.rules) < GRACE - SPREAD {
            self.events.push(Event::Guarded);
            return self.merge(key, version);
        }
        if version.live { Taken::Drop } else { Taken::Merged }
    }

    /// Merges a version, or parks it.
    pub(crate) fn merge(&mut self, key: Key, version: Version) -> Taken {
        if self.void(&version) {
            self.blank.entry(key).or_default();
            return Taken::Void;
        }
        if self.rules.has(Rule::Named) {
            self.vector.name(version.origin, version.epoch, version.seq);
        }
        if version.stamp > self.now() + LIMIT && version.origin != self.id {
            self.parked.entry((key, version)).or_default();
            return Taken::Parked;
        }
        match self.records.get(&key).copied() {
            Some(current) if current == version => {}
            Some(current) if current > version => self.remember(key, version, End::Replaced),
            Some(current) => {
                self.remember(key, current, End::Replaced);
                self.records.insert(key, version);
            }
            None => {
                self.records.insert(key, version);
            }
        }
        Taken::Merged
    }

    pub(crate) fn remember(&mut self, key: Key, version: Version, end: End) {
        let past = self.past.entry(key).or_default();
        match past.iter_mut().find(|(known, _)| *known == version) {
            Some(entry) => entry.1 = end,
            None => past.push((version, end)),
        }
    }

    /// Admits what was parked and is in range now.
    pub(crate) fn admit(&mut self) {
        let latest = self.now() + LIMIT;
        let due: Vec<_> =
            self.parked.keys().filter(|(_, version)| version.stamp <= latest).copied().collect();
        for (key, version) in due {
            self.parked.remove(&(key, version));
            self.merge(key, version);
        }
    }

    /// A client's write.
    pub(crate) fn write(&mut self, key: Key, live: bool) {
        let current = self.records.get(&key);
        if !live && !current.is_some_and(|current| current.live) {
            return;
        }
        let stamp = self.now().max(current.map_or(0, |current| current.stamp + 1));
        self.put(key, live, stamp, self.tick);
    }

    /// Writes a version of this epoch.
    pub(crate) fn put(&mut self, key: Key, live: bool, stamp: i64, truth: i64) {
        self.seq += 1;
        let uuid = Reverse(self.random.bits());
        let (origin, epoch, seq) = (self.id, self.epoch, self.seq);
        let version = Version { stamp, uuid, live, origin, epoch, seq, truth };
        if let Some(current) = self.records.insert(key, version) {
            self.remember(key, current, End::Replaced);
        }
        self.log.insert(key, Own { epoch, seq });
        self.vector.raise(origin, epoch, seq);
        self.logged.insert(epoch, seq);
        let top = self.tops.entry(epoch).or_insert(stamp);
        *top = stamp.max(*top);
        let lead = stamp - self.now();
        match self.measured {
            Some(offset) => _ = self.offsets.insert((epoch, seq), lead + offset),
            None => self.unmeasured.push((epoch, seq, lead)),
        }
        self.events.push(Event::Wrote(key, version));
    }

    /// Removes what a peer knows to be deleted.
    pub(crate) fn drop_all(&mut self, drops: &[(Key, Version)]) {
        for &(key, version) in drops {
            if self.records.get(&key) == Some(&version) {
                self.records.remove(&key);
                self.remember(key, version, End::Dropped);
                self.bound(key, version);
                self.events.push(Event::Dropped);
            }
        }
    }

    pub(crate) fn bound(&mut self, key: Key, version: Version) {
        if let Some(bound) = self.blank.get_mut(&key) {
            *bound = (*bound).max(Some(version));
        }
    }

    /// Collects the tombstones that are old enough and that every member covers.
    pub(crate) fn collect(&mut self) {
        if self.disagrees() {
            return;
        }
        let told = self.told();
        let members: Option<Vec<&Vector>> = self.others().map(|id| self.known.get(&id)).collect();
        let Some(mut members) = members else { return };
        members.push(&told);
        let due: Vec<_> = self
            .records
            .iter()
            .filter(|(_, version)| !version.live && self.now() - version.since(self.rules) >= GRACE)
            .filter(|(_, version)| members.iter().all(|vector| vector.covers(version)))
            .map(|(&key, &version)| (key, version))
            .collect();
        if self.rules.has(Rule::Rounds) {
            match &self.round {
                None => {
                    let mut all = Vector::default();
                    members.iter().for_each(|vector| all.join(vector));
                    self.round = (!due.is_empty()).then_some((due, all));
                    return;
                }
                Some((_, all)) => {
                    let everybody = |node, epoch, upto| members.iter().all(|v| v.level(node, epoch) >= upto);
                    let open = all.entries.keys().any(|&(n, e)| !everybody(n, e, all.highest(n, e)));
                    if open {
                        return;
                    }
                }
            }
        }
        let due = self.round.take().map_or(due, |(due, _)| due);
        for (key, version) in due {
            if self.records.get(&key) != Some(&version) {
                continue;
            }
            self.records.remove(&key);
            self.remember(key, version, End::Collected);
            self.bound(key, version);
            self.events.push(Event::Collected(key, version));
        }
    }
}
