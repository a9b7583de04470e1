//! The log that is shipped, and the session that finds what the log cannot.

use std::collections::BTreeMap;

use crate::node::{Node, Taken};
use crate::rules::Rule;
use crate::vector::{EVERYTHING, Epoch, Id, Key, Vector, Version};

type Floors = BTreeMap<(Id, Epoch), i64>;

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Entries of the sender's log, from what the receiver is known to cover up to what the sender covers of itself.
    Ship {
        batch: Batch,
        vector: Vector,
        floors: Floors,
    },
    Ack {
        vector: Vector,
        drops: Vec<(Key, Version)>,
        waiting: Vec<Version>,
        floors: Floors,
    },
    /// What the asker holds alive.
    Pull {
        snapshot: BTreeMap<Key, Version>,
        vector: Vector,
        floors: Floors,
    },
    /// What the peer has beyond that, and whether it parks something that it cannot give.
    Answer {
        give: Vec<(Key, Version)>,
        drops: Vec<(Key, Version)>,
        parks: bool,
        vector: Vector,
        floors: Floors,
    },
    Drops(Vec<(Key, Version)>),
}

/// A part of a log.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    epoch: Epoch,
    /// For each epoch of the sender, before and after.
    spans: Vec<(Epoch, u32, u32)>,
    records: Vec<(Key, Version)>,
}

impl Node {
    /// What a peer lacks of this node's log.
    pub(crate) fn ship(&self, peer: Id) -> Body {
        let empty = Vector::default();
        let known = self.known.get(&peer).unwrap_or(&empty);
        let after = |epoch| known.level(self.id, epoch);
        let told = self.told();
        let logged = |epoch| self.logged.get(&epoch).copied().unwrap_or(0);
        let own =
            |epoch, level: u32| if self.rules.has(Rule::Logged) { level.min(logged(epoch)) } else { level };
        let spans =
            told.epochs(self.id).map(|(epoch, level)| (epoch, after(epoch), own(epoch, level))).collect();
        let records = self
            .log
            .iter()
            .filter(|(_, own)| own.seq > after(own.epoch))
            .filter_map(|(&key, _)| self.records.get(&key).map(|&version| (key, version)))
            .collect();
        let batch = Batch { epoch: self.epoch, spans, records };
        Body::Ship { batch, vector: told, floors: self.floors.clone() }
    }

    pub(crate) fn pull(&self) -> Body {
        let snapshot = self.records.iter().filter(|(_, v)| v.live).map(|(&key, &v)| (key, v)).collect();
        Body::Pull { snapshot, vector: self.told(), floors: self.floors.clone() }
    }

    /// Takes a message and answers it.
    pub(crate) fn receive(&mut self, from: Id, body: Body) -> Option<Body> {
        self.measure();
        match body {
            Body::Ship { batch, vector, floors } => {
                self.forget(&floors);
                let drops = self.take_batch(from, &batch);
                self.hear(from, &vector);
                let waiting = self.parked.keys().map(|(_, v)| *v).filter(|v| v.origin == from).collect();
                Some(Body::Ack { vector: self.told(), drops, waiting, floors: self.floors.clone() })
            }
            Body::Ack { vector, drops, waiting, floors } => {
                self.forget(&floors);
                self.hear(from, &vector);
                self.drop_all(&drops);
                self.take_back(&waiting);
                None
            }
            Body::Pull { snapshot, vector, floors } => {
                self.forget(&floors);
                let answer = self.compare(&snapshot, &vector);
                self.hear(from, &vector);
                Some(answer)
            }
            Body::Answer { give, drops, parks, vector, floors } => {
                self.forget(&floors);
                let back = self.take_answer(give, &drops, &vector, (!parks).then_some(from));
                self.hear(from, &vector);
                (!back.is_empty()).then_some(Body::Drops(back))
            }
            Body::Drops(drops) => {
                self.drop_all(&drops);
                None
            }
        }
    }

    fn take_batch(&mut self, from: Id, batch: &Batch) -> Vec<(Key, Version)> {
        if self.rules.has(Rule::Renew) && self.vector.level(from, batch.epoch) == EVERYTHING {
            return Vec::new();
        }
        let mut drops = Vec::new();
        let mut counts = true;
        for &(key, version) in &batch.records {
            match self.offer(key, version) {
                Taken::Drop => drops.push((key, version)),
                Taken::Parked => self.lower_until(key, version, from, &batch.spans),
                Taken::Void | Taken::Left => counts = !self.rules.has(Rule::Batch),
                Taken::Merged => {}
            }
        }
        if self.rules.has(Rule::Whole) {
            counts &= batch.spans.iter().all(|&(epoch, after, _)| self.vector.level(from, epoch) >= after);
        }
        for &(epoch, after, upto) in &batch.spans {
            if counts && self.vector.level(from, epoch) >= after {
                self.vector.raise(from, epoch, upto);
            }
            if self.rules.has(Rule::Named) {
                self.vector.name(from, epoch, 0);
            }
        }
        drops
    }

    fn lower_until(&mut self, key: Key, version: Version, from: Id, spans: &[(Epoch, u32, u32)]) {
        if let Some(bases) = self.parked.get_mut(&(key, version)) {
            for &(epoch, after, upto) in spans {
                if after < upto {
                    bases.push((from, epoch, after));
                }
            }
            bases.sort_unstable();
            bases.dedup_by_key(|base| (base.0, base.1));
        }
    }

    /// The answering side of a session.
    fn compare(&mut self, snapshot: &BTreeMap<Key, Version>, theirs: &Vector) -> Body {
        let mut give = Vec::new();
        let mut drops = Vec::new();
        for (key, version) in &self.records {
            let wanted = if version.live {
                snapshot.get(key) != Some(version)
            } else {
                snapshot.contains_key(key) || !theirs.covers(version)
            };
            if wanted {
                give.push((*key, *version));
            }
        }
        for (&key, &version) in snapshot {
            match self.records.get(&key) {
                Some(mine) if *mine >= version => {}
                _ => {
                    if self.offer(key, version) == Taken::Drop {
                        drops.push((key, version));
                    }
                }
            }
        }
        let vector = if self.rules.has(Rule::Lower) { self.told() } else { self.vector.clone() };
        let parks = !self.parked.is_empty();
        Body::Answer { give, drops, parks, vector, floors: self.floors.clone() }
    }

    /// The asking side of a session, which ends with everything that the peer had.
    fn take_answer(
        &mut self,
        give: Vec<(Key, Version)>,
        drops: &[(Key, Version)],
        theirs: &Vector,
        gave_all: Option<Id>,
    ) -> Vec<(Key, Version)> {
        let mut back = Vec::new();
        let mut waits = false;
        for (key, version) in give {
            let taken = self.offer(key, version);
            waits |= taken.waits();
            if taken == Taken::Drop {
                back.push((key, version));
            }
        }
        self.drop_all(drops);
        if !(waits && self.rules.has(Rule::Claim)) {
            let (own, seq) = ((self.id, self.epoch), self.vector.level(self.id, self.epoch));
            self.vector.join(theirs);
            self.vector.entries.insert(own, seq);
            if let Some(from) = gave_all {
                self.adopt(from);
            }
        }
        back
    }

    /// Notes what a member covers.
    fn hear(&mut self, from: Id, vector: &Vector) {
        self.known.entry(from).or_default().join(vector);
        self.heard.insert(from, vector.clone());
        if !self.rules.has(Rule::Proven) && vector.marker(from) > self.vector.marker(from) {
            self.vector.fold(from, vector.marker(from));
        }
        let level = vector.level(self.id, self.epoch);
        if self.rules.has(Rule::Epoch) {
            if self.rules.has(Rule::Renew) && level == EVERYTHING {
                self.renew(vector.marker(self.id));
            }
        } else if level > self.seq {
            self.epoch.random += 100;
            self.begin();
        }
    }
}
