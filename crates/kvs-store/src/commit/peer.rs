//! The part of a plan that peers have a say in: records they send, and marks about what was received from them.
//!
//! A record from a peer is parked, answered as outlived, or merged like any other; a vector rises only with the records
//! that make it true, and a number of this node that a peer knows and this node does not begins a new epoch.

use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::record::{Kind, Record};
use kvs_core::vector::Vector;
use kvs_core::version::{JOINED_YOUNGEST_MS, Version};

use crate::commit::mark::Mark;
use crate::commit::plan::Plan;
use crate::commit::write::Outcome;
use crate::error::StoreError;
use crate::limits::PARKED_MAX;
use crate::observer::Key;
use crate::parked;
use crate::row::Row;
use crate::standing;
use crate::table::Table;

impl Plan<'_> {
    /// Takes a record from a peer: by the clock's bound and the drop rule, then by the merge.
    pub(super) fn receive(&mut self, key: &Key, incoming: Record) -> Result<Outcome, StoreError> {
        self.note_own(incoming.dot.origin, incoming.dot.seq);
        let current = self.keys.get(key).and_then(|state| state.after.as_ref()).map(|row| &row.record);
        if current.is_some_and(|current| current.precedence(&incoming).is_eq()) {
            return Ok(Outcome::NotNewer);
        }
        // A revocation must not wait for a clock, and what else is in its namespace is written over by hand.
        let may_park = key.namespace != Namespace::Auth;
        if may_park && incoming.version.stamp.ms > self.scene.park_after_ms {
            return self.park(key, &incoming);
        }
        if current.is_none() && self.covers(&incoming.dot) {
            let row_key = parked::row_key(&incoming);
            if self.is_parked(&row_key)? {
                // It has come into range and was not admitted yet.
                let outcome = self.take(key, incoming)?;
                self.set_parked(row_key, None);
                return Ok(outcome);
            }
            // Received, deleted and collected since. A tombstone in this place is nobody's affair.
            return Ok(if incoming.kind == Kind::Value { Outcome::Outlived } else { Outcome::NotNewer });
        }
        self.take(key, incoming)
    }

    fn park(&mut self, key: &Key, incoming: &Record) -> Result<Outcome, StoreError> {
        let row_key = parked::row_key(incoming);
        if !self.is_parked(&row_key)? {
            if self.standing().parked >= PARKED_MAX {
                return Err(StoreError::TooManyParked);
            }
            self.set_parked(row_key, Some(parked::encode(key, incoming)));
        }
        Ok(Outcome::Parked)
    }

    fn is_parked(&self, row_key: &[u8]) -> Result<bool, StoreError> {
        match self.parked.get(row_key) {
            Some(planned) => Ok(planned.is_some()),
            None => Ok(self.standing().parked > 0 && self.engine.get(Table::Parked, row_key)?.is_some()),
        }
    }

    /// Adds or removes a parked record.
    pub(super) fn set_parked(&mut self, row_key: Vec<u8>, row: Option<Vec<u8>>) {
        let count = self.standing().parked;
        let count = if row.is_some() { count.saturating_add(1) } else { count.saturating_sub(1) };
        self.standing_mut().parked = count;
        let before = self.parked.insert(row_key.clone(), row);
        self.undo.parked.entry(row_key).or_insert(before);
    }

    pub(super) fn drop_version(&mut self, key: &Key, version: Version) -> Outcome {
        let Some(state) = self.keys.get_mut(key) else {
            return Outcome::Absent;
        };
        let is_it = |row: &mut Row| row.record.version == version && row.record.kind == Kind::Value;
        let Some(row) = state.after.take_if(is_it) else {
            return Outcome::Absent;
        };
        for revision in row.revisions.first()..row.revisions.next {
            state.drop_revision(revision);
        }
        self.counters.forget(&row.record);
        Outcome::Dropped
    }

    /// Whether this node has received the write.
    fn covers(&self, dot: &Dot) -> bool {
        if dot.origin == self.identity.origin {
            return dot.seq < self.counters.next_origin_seq;
        }
        self.standing().vector.covers(dot)
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Raise(claim) => self.raise(&claim),
            Mark::Advance { peer, from, start_local_seq, to, claim } => {
                let held = self.standing().cursors.get(&peer).copied();
                let joins = held == from
                    || held.is_some_and(|held| held.epoch == to.epoch && held.local_seq >= start_local_seq);
                if joins {
                    let is_further =
                        held.is_none_or(|held| held.epoch != to.epoch || held.local_seq < to.local_seq);
                    if is_further && held != Some(to) {
                        self.standing_mut().cursors.insert(peer, to);
                    }
                    self.raise(&claim);
                }
            }
            Mark::SetCursor { peer, to } => drop(self.standing_mut().cursors.insert(peer, to)),
            Mark::Joined(joined_ms) => {
                if self.identity.joined_ms == JOINED_YOUNGEST_MS {
                    self.identity.joined_ms = joined_ms;
                }
            }
            Mark::BeginEpoch => self.begin_epoch(),
            Mark::Note(note, bytes) => self.notes.push((note, bytes)),
        }
    }

    fn raise(&mut self, claim: &Vector) {
        let own = self.identity.origin;
        for (origin, seq) in claim.iter().filter(|(origin, _)| **origin != own) {
            if self.standing().vector.seq(origin) < seq {
                self.standing_mut().vector.raise(*origin, seq);
            }
        }
    }

    fn begin_epoch(&mut self) {
        let (mut identity, mut counters) = (self.identity, self.counters);
        standing::begin_epoch(&mut identity, &mut counters, self.standing_mut());
        (self.identity, self.counters) = (identity, counters);
    }

    /// A peer has a write of this node that this node does not remember: its numbers must not be given out again.
    fn note_own(&mut self, origin: Origin, seq: u64) {
        let own = self.identity.origin;
        let is_forgotten =
            origin.epoch > own.epoch || (origin.epoch == own.epoch && seq >= self.counters.next_origin_seq);
        if origin.node == own.node && is_forgotten {
            self.identity.origin.epoch = self.identity.origin.epoch.max(origin.epoch);
            self.begin_epoch();
        }
    }
}
