//! The part of a plan that peers have a say in: records they send, and marks about what was received from them.
//!
//! What becomes of a record is decided in `reception.rs`; here it is done. A vector rises only with the records that make it
//! true, and a number of this node that a peer knows and this node does not begins a new epoch.

use std::ops::Bound;

use bytes::Bytes;
use kvs_core::origin::{Dot, Origin};
use kvs_core::recall::may_be_recalled;
use kvs_core::record::{Kind, Record};
use kvs_core::version::{JOINED_YOUNGEST_MS, Rule, Version};

use crate::commit::mark::Mark;
use crate::commit::plan::Plan;
use crate::commit::reception::{self, Holding, Reception};
use crate::commit::write::Outcome;
use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::after_prefix;
use crate::limits::PARKED_MAX;
use crate::observer::Key;
use crate::parked::{self, Stream};
use crate::standing;
use crate::table::Table;

impl Plan<'_> {
    /// Takes a record from a peer.
    pub(super) fn receive(&mut self, key: &Key, incoming: Record) -> Result<Outcome, StoreError> {
        self.note_own(incoming.dot.origin, incoming.dot.seq);
        let is_received = self.holds(&incoming.dot);
        let may_wait = may_be_recalled(key.namespace, &key.path);
        // Only asked where it decides.
        let slot = self.slot(key).map(|record| record.kind);
        let is_doubtful = match slot {
            Some(kind) => kind == Kind::Voided || (kind.is_placeholder() && self.has_parked(key)?),
            None => self.has_parked(key)?,
        };
        let holding = match self.held(key) {
            Some(held) => Holding::Record(held),
            None if is_doubtful => Holding::Doubtful,
            None => Holding::Nothing,
        };
        let facts = (is_received, may_wait);
        let reception = reception::receive(&incoming, holding, self.recalls(), self.scene.ages, facts);
        if matches!(reception, Reception::Merged | Reception::Parked) {
            self.heard.push(incoming.dot);
        }
        match reception {
            Reception::Known => Ok(Outcome::NotNewer),
            Reception::Void => self.keep_void(key, incoming),
            Reception::Parked => self.park(key, &incoming),
            Reception::Left => Ok(Outcome::Left),
            Reception::Dropped => Ok(Outcome::Outlived),
            Reception::Revived => {
                self.replace(key, incoming, None);
                Ok(Outcome::Taken)
            }
            Reception::Merged => {
                // It may have come into range and not be admitted yet.
                let waits = self.is_parked(&parked::row_key(&incoming))?.then(|| incoming.clone());
                let outcome = self.take(key, incoming)?;
                if let Some(record) = waits {
                    self.unpark(key, &record)?;
                }
                Ok(outcome)
            }
        }
    }

    /// Lets a record wait.
    pub(super) fn park(&mut self, key: &Key, incoming: &Record) -> Result<Outcome, StoreError> {
        let (row_key, by_key) = (parked::row_key(incoming), parked::by_key_row(key, &incoming.dot));
        let is_new = !self.is_parked(&row_key)?;
        let mut streams = Vec::new();
        if !is_new || self.waits_in_another_state(incoming)? {
            streams = self.streams(&by_key)?;
        }
        if is_new {
            if self.standing().parked >= PARKED_MAX {
                return Err(StoreError::TooManyParked);
            }
            self.set_parked(row_key, Some(parked::encode(key, incoming)));
            let standing = self.standing_mut();
            standing.parked += 1;
            standing.parked_dots.add(&incoming.dot, incoming.version.stamp.ms);
        }
        let stream = self.stream.map(|sender| {
            let received = self.standing().vector.of_node(sender);
            Stream { sender, received }
        });
        let says_more = stream.clone().is_some_and(|stream| stream.join(&mut streams));
        if let Some(stream) = stream.filter(|_| says_more) {
            self.standing_mut().parked_dots.add_stream(&stream);
        }
        if is_new || says_more {
            self.set_parked(by_key, Some(Stream::encode(&streams)));
        }
        Ok(Outcome::Parked)
    }

    /// The logs that a parked record came in.
    fn streams(&self, by_key: &[u8]) -> Result<Vec<Stream>, StoreError> {
        let value = match self.parked.get(by_key) {
            Some(planned) => planned.clone().map(Bytes::from),
            None => self.engine.get(Table::Parked, by_key)?,
        };
        Ok(value.as_deref().map(Stream::decode).unwrap_or_default())
    }

    /// Takes the rows of a parked record away. The numbers of what is parked are counted anew when nothing is left, and by
    /// the chore that admits.
    pub(super) fn unpark(&mut self, key: &Key, record: &Record) -> Result<(), StoreError> {
        self.set_parked(parked::row_key(record), None);
        if !self.waits_in_another_state(record)? {
            self.set_parked(parked::by_key_row(key, &record.dot), None);
        }
        let standing = self.standing_mut();
        standing.parked = standing.parked.saturating_sub(1);
        if standing.parked == 0 {
            standing.parked_dots = parked::ParkedDots::default();
        }
        Ok(())
    }

    /// Whether what is left of a value waits, too, or the value of which this is left.
    fn waits_in_another_state(&self, record: &Record) -> Result<bool, StoreError> {
        parked::other_row_key(record).map_or(Ok(false), |row_key| self.is_parked(&row_key))
    }

    /// Takes a parked record away that was recalled. What it stood for in the log that brought it was never received, so that
    /// log is read again from where it was before.
    pub(super) fn unpark_void(&mut self, key: &Key, record: &Record) -> Result<(), StoreError> {
        for Stream { sender, received } in self.streams(&parked::by_key_row(key, &record.dot))? {
            let standing = self.standing_mut();
            standing.vector.lower(sender, &received);
            standing.cursors.remove(&sender);
        }
        self.unpark(key, record)
    }

    pub(super) fn is_parked(&self, row_key: &[u8]) -> Result<bool, StoreError> {
        match self.parked.get(row_key) {
            Some(planned) => Ok(planned.is_some()),
            None => Ok(self.standing().parked > 0 && self.engine.get(Table::Parked, row_key)?.is_some()),
        }
    }

    /// Whether some version of the key is parked.
    fn has_parked(&self, key: &Key) -> Result<bool, StoreError> {
        if self.standing().parked == 0 {
            return Ok(false);
        }
        let from = parked::by_key_prefix(key);
        let to = after_prefix(&from).map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(from), to);
        if self.parked.range(range.clone()).any(|(_, row)| row.is_some()) {
            return Ok(true);
        }
        let snapshot = self.engine.snapshot();
        for row in snapshot.range(Table::Parked, range, Order::Ascending) {
            let (row_key, _) = row?;
            if self.parked.get(&row_key[..]).is_none_or(Option::is_some) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds or removes a row of the table `parked`.
    fn set_parked(&mut self, row_key: Vec<u8>, row: Option<Vec<u8>>) {
        let before = self.parked.insert(row_key.clone(), row);
        self.undo.parked.entry(row_key).or_insert(before);
    }

    /// Forgets a value at a peer's word, but for its history, which the version itself goes to.
    pub(super) fn drop_version(&mut self, key: &Key, version: Version) -> Outcome {
        let is_it = |record: &Record| record.version == version && record.kind == Kind::Value;
        let Some(dropped) = self.held(key).filter(|held| is_it(held)).cloned() else {
            return Outcome::Absent;
        };
        self.empty(key, &dropped, Kind::Dropped, Rule::DeletedElsewhere);
        Outcome::Dropped
    }

    /// Whether this node has received the write, and holds it or something newer.
    fn holds(&self, dot: &Dot) -> bool {
        if dot.origin == self.identity.origin {
            return dot.seq < self.counters.next_origin_seq;
        }
        self.standing().holds(dot)
    }

    pub(super) fn mark(&mut self, mark: Mark) -> Result<(), StoreError> {
        match mark {
            Mark::Raise(claim) => self.raise(&claim)?,
            Mark::Advance { peer, from, start_local_seq, to, left_out, claim } => {
                let held = self.standing().cursors.get(&peer).copied();
                let joins = held == from
                    || held.is_some_and(|held| held.epoch == to.epoch && held.local_seq >= start_local_seq);
                if joins && self.standing().vector.covers_all(&left_out) {
                    let is_further =
                        held.is_none_or(|held| held.epoch != to.epoch || held.local_seq < to.local_seq);
                    if is_further && held != Some(to) {
                        self.standing_mut().cursors.insert(peer, to);
                    }
                    // What a log holds never says anything of epochs before a marker.
                    self.raise(&claim.without_markers())?;
                }
            }
            Mark::SetCursor { peer, to } => drop(self.standing_mut().cursors.insert(peer, to)),
            Mark::Joined(joined_ms) => {
                if self.identity.joined_ms == JOINED_YOUNGEST_MS {
                    self.identity.joined_ms = joined_ms;
                }
            }
            Mark::Generation(generation) => self.generation = Some(generation),
            Mark::BeginEpoch => self.begin_epoch(),
            Mark::Fold(before_s) => self.fold(before_s),
            Mark::Renew(folded_before_s) => self.renew(folded_before_s)?,
            Mark::Recall { forgotten } => self.recall(&forgotten)?,
            Mark::ClockSet(set_by_ms) => self.end_by_clock(set_by_ms),
            Mark::EndedByClock(epochs) => self.end_earlier_by_clock(&epochs),
            Mark::Leads(leads) => self.note_leads(&leads),
            Mark::Discard(origins) => self.discard(&origins)?,
            Mark::Swept(sweep) => {
                // A recall that came since begins a new one.
                if self.standing().sweep == Some(sweep) {
                    self.standing_mut().sweep = None;
                }
            }
            Mark::Note(note, bytes) => self.notes.push((note, bytes)),
        }
        Ok(())
    }

    pub(super) fn begin_epoch(&mut self) {
        self.begin_epoch_from(0);
    }

    /// Begins an epoch at this second since 1970 or later.
    pub(super) fn begin_epoch_from(&mut self, earliest_s: u64) {
        let random = self.random_epoch();
        let (mut identity, mut counters) = (self.identity, self.counters);
        let earliest_ms = self.scene.now_ms.max(earliest_s.saturating_mul(1000));
        standing::begin_epoch(&mut identity, &mut counters, self.standing_mut(), earliest_ms, random);
        (self.identity, self.counters) = (identity, counters);
    }

    /// A peer has a write of this node's epoch that this node does not remember: its numbers must not be given out again.
    /// So it is when a machine goes on from an earlier moment without a start. Epochs of other lives are as any origin's.
    fn note_own(&mut self, origin: Origin, seq: u64) {
        if origin == self.identity.origin && seq >= self.counters.next_origin_seq {
            self.begin_epoch();
        }
    }
}
