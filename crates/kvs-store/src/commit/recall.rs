//! Taking back what was stamped by a clock that was ahead.
//!
//! The node whose clock it was ends its epoch and writes down what it recalls; every node, itself included, then looks
//! through its current records above the recalled stamp, little by little, and voids those that are recalled: the node that
//! wrote one writes it anew with a good stamp, any other goes back to the newest version that holds. Nothing is forgotten:
//! what was voided is in the history, with the rule `recalled`.

use std::collections::BTreeMap;

use bytes::Bytes;
use kvs_core::digest::ContentDigest;
use kvs_core::namespace::Namespace;
use kvs_core::origin::Origin;
use kvs_core::recall::{Recalls, may_be_recalled, read_recall, recall_path};
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::version::Rule;

use crate::commit::plan::Plan;
use crate::commit::write::Outcome;
use crate::compression::Content;
use crate::epoch_start::{EpochStart, put_leads_right};
use crate::error::StoreError;
use crate::limits::CLOCK_EARLIEST_MS;
use crate::observer::Key;
use crate::parked;
use crate::row::RevisionRow;
use crate::standing::Sweep;

/// What a record of a recall says besides its path.
const RECALL_JSON: &[u8] = b"{}";

impl Plan<'_> {
    /// What was recalled, as the plan knows.
    pub(super) fn recalls(&self) -> &Recalls {
        &self.standing().recalls
    }

    /// Takes back what this node stamped later than now, in epochs that it remembers and in those of `forgotten`, which
    /// peers have something parked of; and all of the epochs of which it is known that the clock was ahead in them.
    pub(super) fn recall(&mut self, forgotten: &[u64]) -> Result<(), StoreError> {
        let node = self.identity.origin.node;
        let now_ms = self.scene.now_ms;
        // Only of an ended epoch it is known that no right clock can have given a later stamp.
        self.begin_epoch();
        let own = self.identity.origin.epoch;
        let skew_ms = self.scene.ages.park_after_ms.saturating_sub(now_ms);
        put_leads_right(&mut self.standing_mut().epochs, now_ms, skew_ms);
        let mut floors: BTreeMap<u64, u64> =
            forgotten.iter().filter(|epoch| **epoch != own).map(|epoch| (*epoch, now_ms)).collect();
        let mut before = None;
        for start in &self.standing().epochs {
            if start.top_ms > now_ms {
                floors.insert(start.epoch, now_ms);
            }
            if let Some(floor_ms) = start.ahead_from_ms(before, skew_ms) {
                let held_ms = floors.get(&start.epoch).copied().unwrap_or(u64::MAX);
                floors.insert(start.epoch, held_ms.min(floor_ms));
            }
            before = Some(start);
        }
        for start in &mut self.standing_mut().epochs {
            start.top_ms = start.top_ms.min(now_ms);
        }
        let is_news = |(epoch, floor_ms): &(u64, u64)| {
            let held_ms = self.recalls().until_ms(&Origin { node, epoch: *epoch });
            held_ms.is_none_or(|held_ms| held_ms > *floor_ms)
        };
        let news: Vec<(u64, u64)> = floors.into_iter().filter(is_news).collect();
        news.into_iter().try_for_each(|(epoch, floor_ms)| self.write_recall(Origin { node, epoch }, floor_ms))
    }

    /// Ends the epoch since the clock was set by so much. That peers found it ahead counts when it was set back by as much; where
    /// it was not, the process must hear first that the clock is right now. Where it was set back, that also ends those of earlier
    /// processes that were found ahead by as much at most: nobody had set it meanwhile.
    pub(super) fn end_by_clock(&mut self, set_by_ms: i64) {
        let ended_ms = self.scene.now_ms.saturating_sub_signed(set_by_ms);
        let set_back_ms = if set_by_ms < 0 { set_by_ms.unsigned_abs() } else { 0 };
        let skew_ms = self.scene.ages.park_after_ms.saturating_sub(self.scene.now_ms);
        if let Some((current, earlier)) = self.standing_mut().epochs.split_last_mut() {
            current.ended_ms = ended_ms;
            // Peers said that it was ahead, and were wrong themselves or it is now: it was not set right.
            if current.lead_ms.abs_diff(set_back_ms) > skew_ms {
                current.lead_ms = 0;
            }
            let open = earlier.iter_mut().rev().take_while(|start| start.ended_ms == 0);
            for start in open {
                if start.lead_ms > 0 && start.lead_ms <= set_back_ms.saturating_add(skew_ms) {
                    start.ended_ms = start.top_ms;
                }
            }
        }
        self.begin_epoch();
    }

    /// These epochs ended for another reason before the clock was set, in the process in which it was set: its setting ended them,
    /// too, as far as the clock is concerned.
    pub(super) fn end_earlier_by_clock(&mut self, epochs: &[u64]) {
        let current = self.identity.origin.epoch;
        for start in &mut self.standing_mut().epochs {
            if start.epoch != current && start.ended_ms == 0 && epochs.contains(&start.epoch) {
                start.ended_ms = start.top_ms;
            }
        }
    }

    /// Notes by how much the clock was ahead in epochs of this node. Where it was behind, what was stamped over a later stamp
    /// may not be moved back, so the end of the epoch is put right instead.
    pub(super) fn note_leads(&mut self, leads: &[(u64, i64)]) {
        for start in &mut self.standing_mut().epochs {
            let Some((_, lead_ms)) = leads.iter().find(|(epoch, _)| *epoch == start.epoch) else { continue };
            // Whatever was noted before, it was not ahead if it was behind.
            start.lead_ms = u64::try_from(*lead_ms).unwrap_or(0);
            if *lead_ms < 0 && start.ended_ms > 0 {
                start.ended_ms = start.ended_ms.saturating_add(lead_ms.unsigned_abs());
            }
        }
    }

    /// Takes back what nobody else can, at an operator's word: only by a clock that may judge ages, or good writes would be void.
    pub(super) fn discard(&mut self, origins: &[Origin]) -> Result<(), StoreError> {
        if !self.scene.ages.are_sound {
            return Err(StoreError::ClockUnsound);
        }
        let own = self.identity.origin;
        let now_ms = self.scene.now_ms;
        let mut others = origins.iter().copied().filter(|origin| *origin != own);
        others.try_for_each(|origin| self.write_recall(origin, now_ms))
    }

    /// Takes back everything that this node wrote in an epoch that ended, so that it is written anew.
    pub(super) fn take_back_whole(&mut self, origin: Origin) -> Result<(), StoreError> {
        self.write_recall(origin, 0)
    }

    /// Whether a record is of an epoch that was taken back whole, whatever the clock was.
    fn is_taken_back_whole(&self, record: &Record) -> bool {
        self.recalls().until_ms(&record.dot.origin) == Some(0)
    }

    fn write_recall(&mut self, origin: Origin, until_ms: u64) -> Result<(), StoreError> {
        let Some(path) = recall_path(&origin, until_ms) else { return Ok(()) };
        let key = Key { namespace: Namespace::Cluster, path };
        self.touch(&key)?;
        let digest = ContentDigest::of(RECALL_JSON);
        let content = Content { payload: Payload::Raw(Bytes::from_static(RECALL_JSON)), digest };
        let who = (Principal::nobody(), Principal::nobody());
        let record = self.stamped(&key, Stamp::at(self.scene.now_ms), Kind::Value, 0, who, content);
        self.take(&key, record).map(drop)
    }

    /// Obeys a recall that has become this key's record.
    pub(super) fn note_recall(&mut self, key: &Key, record: &Record) {
        let Some((origin, until_ms)) = read_recall(key.namespace, &key.path) else { return };
        if record.kind != Kind::Value || self.recalls().until_ms(&origin).is_some_and(|held| held <= until_ms)
        {
            return;
        }
        let standing = self.standing_mut();
        if !standing.recalls.add(origin, until_ms) {
            tracing::error!("too many recalls are known: one is not obeyed");
            return;
        }
        let is_current = origin == self.identity.origin;
        let standing = self.standing_mut();
        let before = standing.sweep.unwrap_or(Sweep { above_ms: until_ms, recalls: 0 });
        let above_ms = before.above_ms.min(until_ms);
        standing.sweep = Some(Sweep { above_ms, recalls: before.recalls.saturating_add(1) });
        if is_current {
            // It was taken for gone. What it gave since is void too, and is written anew in another epoch.
            self.begin_epoch();
        }
    }

    /// Voids the key's current version if it was recalled: this node's own is written anew, any other gives way to the newest
    /// version of the history that holds.
    pub(super) fn void(&mut self, key: &Key) -> Result<Outcome, StoreError> {
        let own = self.identity.origin.node;
        // What revokes is never taken back; but what must be written anew is.
        let may_be_void = |record: &Record| {
            may_be_recalled(key.namespace, &key.path)
                || (record.dot.origin.node == own && self.is_taken_back_whole(record))
        };
        let is_void = |record: &&Record| self.recalls().is_void(record) && may_be_void(record);
        let Some(current) = self.held(key).filter(is_void).cloned() else {
            return Ok(Outcome::Absent);
        };
        let (best, over) = self.past(key)?;
        let is_own = current.dot.origin.node == self.identity.origin.node;
        let stamp = is_own.then(|| self.stamp_anew(&current, over.as_ref()));
        if !is_own && let Some((void, stamp)) = self.not_written_anew(key, best.as_ref())? {
            let record = self.anew(key, &void, stamp)?;
            self.replace(key, record, Some(Rule::Recalled));
            return Ok(Outcome::Voided);
        }
        match (stamp, best) {
            // What came since and lost to the wrong stamp was written later.
            (stamp, Some(best)) if stamp.is_none_or(|stamp| best.version.stamp > stamp) => {
                self.replace(key, best, Some(Rule::Recalled));
            }
            (Some(stamp), _) => {
                let record = self.anew(key, &current, stamp)?;
                self.replace(key, record, Some(Rule::Recalled));
            }
            (None, _) => self.empty(key, &current, Kind::Voided, Rule::Recalled),
        }
        Ok(Outcome::Voided)
    }

    /// What this node wrote by a clock that was ahead and did not write anew, as something newer seemed to be there, which is void
    /// now: the newest of them, with its right stamp, if that is newer than `best`.
    fn not_written_anew(
        &mut self,
        key: &Key,
        best: Option<&Record>,
    ) -> Result<Option<(Record, Stamp)>, StoreError> {
        let own = self.identity.origin.node;
        let rows = self.history(key)?;
        // Where the lead is not known, each is dated by the moment at which it is written anew, and was.
        let is_dated =
            |epoch: u64| self.standing().epochs.iter().any(|start| start.epoch == epoch && start.lead_ms > 0);
        let void = rows.into_iter().map(|row| row.record).filter(|past| {
            past.dot.origin.node == own
                && !past.kind.is_placeholder()
                && self.recalls().is_void(past)
                && is_dated(past.dot.origin.epoch)
        });
        let dated = void.map(|void| (self.stamp_anew(&void, None), void));
        let newest = dated.max_by_key(|(stamp, void)| (*stamp, void.version.stamp));
        // What was written anew is there itself, under this stamp or a later one.
        let newest = newest.filter(|(stamp, _)| best.is_none_or(|best| *stamp > best.version.stamp));
        Ok(newest.map(|(stamp, void)| (void, stamp)))
    }

    /// The newest version of the history that holds, and the newest of those that were written over. What is stamped too far
    /// ahead waits from now on: it was taken while this clock was ahead too.
    fn past(&mut self, key: &Key) -> Result<(Option<Record>, Option<Record>), StoreError> {
        let (mut best, mut over): (Option<Record>, Option<Record>) = (None, None);
        let mut rows = self.history(key)?;
        rows.retain(|row| !self.recalls().is_void(&row.record));
        // What was deleted elsewhere does not come back by itself, and neither does what it had replaced.
        let gone = rows.iter().filter(|row| row.rule == Rule::DeletedElsewhere);
        let gone = gone.fold(None, |newest, row| newer_of(newest, &row.record));
        for RevisionRow { record: past, is_latecomer, .. } in rows {
            if gone.as_ref().is_some_and(|gone| past.precedence(gone).is_le()) {
                continue;
            }
            // Its own it takes back itself, and no record waits at the node that made it.
            let is_own = past.dot.origin.node == self.identity.origin.node;
            if past.version.stamp.ms > self.scene.ages.park_after_ms && !is_own {
                self.park(key, &past)?;
                continue;
            }
            if !is_latecomer {
                over = newer_of(over, &past);
            }
            best = newer_of(best, &past);
        }
        Ok((best, over))
    }

    /// Lets the current record of another node wait if it is stamped too far ahead for a clock that peers confirm: it came while
    /// a clock was wrong. The newest version that holds is current instead.
    pub(super) fn set_ahead_aside(&mut self, key: &Key) -> Result<Outcome, StoreError> {
        let is_ahead = |record: &&Record| {
            record.version.stamp.ms > self.scene.ages.park_after_ms
                && record.dot.origin.node != self.identity.origin.node
        };
        if !self.scene.is_clock_confirmed || !may_be_recalled(key.namespace, &key.path) {
            return Ok(Outcome::Absent);
        }
        let Some(ahead) = self.held(key).filter(is_ahead).cloned() else {
            return Ok(Outcome::Absent);
        };
        if self.recalls().is_void(&ahead) {
            // It has nothing to wait for, and a sweep that has seen what waits would not come back for it.
            return self.void(key);
        }
        self.park(key, &ahead)?;
        let (best, _) = self.past(key)?;
        if let Some((void, stamp)) = self.not_written_anew(key, best.as_ref())? {
            let record = self.anew(key, &void, stamp)?;
            self.replace(key, record, None);
            return Ok(Outcome::Parked);
        }
        let until_ms = self.scene.placeholder_until_ms;
        let is_emptied = best.is_none();
        let instead = best.unwrap_or_else(|| ahead.placeholder(Kind::Voided, until_ms));
        self.replace(key, instead, None);
        if is_emptied {
            // Nobody sends a placeholder.
            self.set_ships(key, None);
        }
        Ok(Outcome::Parked)
    }

    /// The stamp that a void record of this node's own would have by a right clock, as far as that is known: by the time of its
    /// writing, and later than what it was written over.
    fn stamp_anew(&self, void: &Record, over: Option<&Record>) -> Stamp {
        let now_ms = self.scene.now_ms;
        if self.is_taken_back_whole(void) {
            // Nothing is wrong with when it was written.
            let stamp = void.version.stamp;
            return Stamp::over(stamp.ms, Some(stamp)).unwrap_or(stamp);
        }
        let mut epochs = self.standing().epochs.iter();
        // A clock that was never set says nothing of when an epoch ended.
        let is_told = |start: &&EpochStart| start.lead_ms > 0 || start.ended_ms >= CLOCK_EARLIEST_MS;
        let epoch = epochs.find(|start| start.epoch == void.dot.origin.epoch).filter(is_told);
        let written_ms = epoch.map_or(now_ms, |EpochStart { lead_ms, ended_ms, .. }| {
            // A stamp over another one may be further ahead than the clock was, and one from between the setting of the clock
            // and its notice is, but none was made later than the epoch's end.
            let latest_ms = if *ended_ms > 0 { *ended_ms } else { u64::MAX };
            void.version.stamp.ms.min(latest_ms).saturating_sub(*lead_ms).min(now_ms)
        });
        Stamp::over(written_ms, over.map(|over| over.version.stamp)).unwrap_or(Stamp::at(now_ms))
    }

    /// What a void record of this node's own says, under this stamp. One that has expired is written anew with what it said if
    /// its end came too soon, else as a delete, or what it was written over would come back.
    fn anew(&mut self, key: &Key, void: &Record, stamp: Stamp) -> Result<Record, StoreError> {
        // It lives as long as it was given. Where it was stamped over something ahead, its stamp says nothing of when it was
        // written, but its end was told by the clock, and is moved by as much as that was ahead.
        let expires_at_ms = match void.expires_at_ms {
            0 => 0,
            end_ms if end_ms > void.version.stamp.ms => {
                stamp.ms.saturating_add(end_ms - void.version.stamp.ms)
            }
            end_ms => {
                let mut epochs = self.standing().epochs.iter();
                let start = epochs.find(|start| start.epoch == void.dot.origin.epoch);
                let lead_ms = start.map_or(0, |start| start.lead_ms);
                end_ms.saturating_sub(lead_ms).max(stamp.ms.saturating_add(1))
            }
        };
        let who = (void.author.clone(), void.owner.clone());
        if void.kind != Kind::Expired {
            let content = Content { payload: void.payload.clone(), digest: void.digest };
            return Ok(self.stamped(key, stamp, void.kind, expires_at_ms, who, content));
        }
        let is_it = |row: &RevisionRow| row.record.version == void.version && row.record.kind == Kind::Value;
        let said = self.history(key)?.into_iter().find(is_it).filter(|_| expires_at_ms > self.scene.now_ms);
        Ok(match said {
            Some(RevisionRow { record, .. }) => {
                let content = Content { payload: record.payload, digest: record.digest };
                self.stamped(key, stamp, Kind::Value, expires_at_ms, who, content)
            }
            None => {
                let content = Content { payload: Payload::empty(), digest: ContentDigest::of(b"") };
                self.stamped(key, stamp, Kind::Tombstone, 0, who, content)
            }
        })
    }

    /// Keeps a void record of a peer's in the key's history, and the key from being taken for one of which nothing ever was.
    pub(super) fn keep_void(&mut self, key: &Key, void: Record) -> Result<Outcome, StoreError> {
        if self.is_parked(&parked::row_key(&void))? {
            self.unpark_void(key, &void)?;
        }
        if self.slot(key).is_some() {
            // The same one may come again and again: it must not push others out.
            self.keep_loser(key, void, Rule::Recalled)?;
        } else {
            self.empty(key, &void, Kind::Voided, Rule::Recalled);
        }
        Ok(Outcome::Voided)
    }

    /// Puts a record that goes into the history, and a placeholder in its place.
    pub(super) fn empty(&mut self, key: &Key, gone: &Record, kind: Kind, rule: Rule) {
        let placeholder = gone.placeholder(kind, self.scene.placeholder_until_ms);
        if self.held(key).is_none() {
            self.replace(key, gone.clone(), None);
        }
        self.replace(key, placeholder, Some(rule));
        self.set_ships(key, None);
    }
}

fn newer_of(held: Option<Record>, other: &Record) -> Option<Record> {
    match held {
        Some(held) if held.precedence(other).is_ge() => Some(held),
        _ => Some(other.clone()),
    }
}
