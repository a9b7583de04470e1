//! The part of a plan that puts records in their keys' places: the merge, the history, the numbers of the log.
//!
//! The one way into the tables: local writes, merged records, expiry, collection and recall all end in [`Plan::replace`].

use kvs_core::merge::{Merge, merge};
use kvs_core::namespace::Namespace;
use kvs_core::origin::Dot;
use kvs_core::record::{Kind, Record};
use kvs_core::version::{Rule, Version};
use uuid::Uuid;

use crate::commit::plan::Plan;
use crate::commit::write::Outcome;
use crate::error::StoreError;
use crate::keys::history_key;
use crate::limits::REVISIONS_IN_DOUBT;
use crate::observer::{Key, Resolution};
use crate::row::{RevisionRow, Revisions, Row, ShipMark};
use crate::table::Table;

impl Plan<'_> {
    /// Merges a record into its key: the winner stays, the loser goes to the history.
    pub(super) fn take(&mut self, key: &Key, incoming: Record) -> Result<Outcome, StoreError> {
        let current = self.held(key);
        match merge(current, &incoming) {
            Merge::Same => Ok(Outcome::NotNewer),
            Merge::Loses(rule) => {
                self.resolve(key, current.map(|current| current.version), incoming.version, rule);
                self.keep_loser(key, incoming, rule)?;
                Ok(Outcome::NotNewer)
            }
            Merge::First => {
                self.replace(key, incoming, None);
                Ok(Outcome::Taken)
            }
            Merge::Replaces(rule) => {
                // A newer version over an older one is the ordinary way of things, not a conflict.
                if matches!(rule, Rule::OlderNode | Rule::SmallerUuid)
                    && let Some(current) = current
                {
                    let loser = current.version;
                    self.resolve(key, Some(incoming.version), loser, rule);
                }
                self.replace(key, incoming, Some(rule));
                Ok(Outcome::Taken)
            }
        }
    }

    /// Notes that two versions met of which neither was made over the other, as far as this node can tell.
    fn resolve(&mut self, key: &Key, winner: Option<Version>, loser: Version, rule: Rule) {
        if let Some(winner) = winner
            && rule != Rule::Expired
        {
            self.resolutions.push(Resolution { key: key.clone(), rule, winner, loser });
        }
    }

    /// Whether a record that becomes current is this node's to send, and for which of its writes. What replaces a write of
    /// this node stands for it for ever: a peer that does not cover its number must get what replaced it, and any other
    /// is not sent the row.
    fn ship_mark(&self, record: &Record, replaced: Option<&Row>) -> Option<ShipMark> {
        if record.dot.origin.node == self.identity.origin.node {
            return Some(ShipMark { epoch: record.dot.origin.epoch, seq: record.dot.seq });
        }
        replaced.and_then(|row| row.ships)
    }

    /// Puts an incoming record that lost into the history, unless it is there: peers send again what they do not know
    /// to have arrived, and that must not push other versions out.
    pub(super) fn keep_loser(&mut self, key: &Key, incoming: Record, rule: Rule) -> Result<(), StoreError> {
        let kept = self.history(key)?;
        if kept.iter().any(|kept| kept.record.precedence(&incoming).is_eq()) {
            return Ok(());
        }
        let limit = self.revisions_kept(rule);
        let is_full = kept.len().try_into().is_ok_and(|len: u32| len >= limit);
        let is_oldest = || kept.iter().all(|kept| kept.record.precedence(&incoming).is_gt());
        if is_full && !matches!(rule, Rule::DeletedElsewhere | Rule::Recalled) && is_oldest() {
            // It would push out a newer one, and so might the next that comes late.
            return Ok(());
        }
        let Some(state) = self.keys.get_mut(key) else { return Ok(()) };
        let Some(row) = &state.after else { return Ok(()) };
        let superseded_by = superseding(&row.record);
        let loser = RevisionRow { superseded_by, rule, is_latecomer: true, record: incoming };
        let mut revisions = row.revisions;
        state.keep(&mut revisions, loser, limit);
        if let Some(row) = &mut state.after {
            row.revisions = revisions;
        }
        Ok(())
    }

    /// The versions that lost, in no order, as the plan has them.
    pub(super) fn history(&self, key: &Key) -> Result<Vec<RevisionRow>, StoreError> {
        let Some(state) = self.keys.get(key) else { return Ok(Vec::new()) };
        let Some(row) = &state.after else { return Ok(Vec::new()) };
        let mut history = Vec::new();
        for number in row.revisions.first()..row.revisions.next {
            match state.history.get(&number) {
                Some(planned) => history.extend(planned.clone()),
                None => {
                    let row_key = history_key(key.namespace, &key.path, number);
                    let stored = self.engine.get(Table::History, &row_key)?;
                    history.extend(stored.map(|bytes| RevisionRow::decode(key, &bytes)).transpose()?);
                }
            }
        }
        Ok(history)
    }

    /// How many revisions stay with a loser of this rule: what goes without its key being written over is kept in any case. While
    /// this clock differs from the peers', what loses to a stamp that may be recalled stays, too; and where something is
    /// recalled, as what takes its place may be next.
    fn revisions_kept(&self, rule: Rule) -> u32 {
        let least = match rule {
            _ if !self.scene.ages.are_sound => REVISIONS_IN_DOUBT,
            Rule::Recalled => REVISIONS_IN_DOUBT,
            Rule::DeletedElsewhere => 1,
            _ => 0,
        };
        self.scene.revision_limit.max(least)
    }

    /// Puts a record in its key's place; what was there goes to the history when there is a rule for it.
    pub(super) fn replace(&mut self, key: &Key, record: Record, rule: Option<Rule>) {
        let replaced = self.keys.get(key).and_then(|state| state.after.as_ref());
        let ships = self.ship_mark(&record, replaced);
        let limit = rule.map_or(0, |rule| self.revisions_kept(rule));
        let Some(state) = self.keys.get_mut(key) else { return };
        let mut revisions = Revisions::default();
        let old = state.after.take();
        if let Some(old) = old {
            self.counters.forget(&old.record);
            revisions = old.revisions;
            // A placeholder only keeps the history's place.
            if let Some(rule) = rule.filter(|_| !old.record.kind.is_placeholder()) {
                let superseded_by = superseding(&record);
                let loser = RevisionRow { superseded_by, rule, is_latecomer: false, record: old.record };
                state.keep(&mut revisions, loser, limit);
            }
        }
        self.counters.count(&record);
        let local_seq = self.counters.next_local_seq;
        self.counters.next_local_seq += 1;
        if key.namespace == Namespace::Cluster {
            self.note_recall(key, &record);
        }
        if let Some(state) = self.keys.get_mut(key) {
            state.after = Some(Row { local_seq, ships, revisions, record });
        }
    }

    /// Sets for which write of this node the row is sent.
    pub(super) fn set_ships(&mut self, key: &Key, ships: Option<ShipMark>) {
        if let Some(row) = self.keys.get_mut(key).and_then(|state| state.after.as_mut()) {
            row.ships = ships;
        }
    }

    /// Turns a value whose expiry has come into its own tombstone; takes a placeholder away whose time has come.
    pub(super) fn expire(&mut self, key: &Key) -> Result<Outcome, StoreError> {
        let now_ms = self.scene.now_ms;
        let Some(due) = self.slot(key).filter(|record| record.has_expired(now_ms)) else {
            return Ok(Outcome::Absent);
        };
        if due.kind.is_placeholder() {
            if self.scene.keeps_placeholders {
                return Ok(Outcome::Absent);
            }
            return Ok(self.collect(key, |record| record.kind.is_placeholder()));
        }
        if due.kind != Kind::Value {
            return Ok(Outcome::Absent);
        }
        let expired = due.expired();
        self.take(key, expired)?;
        Ok(Outcome::Expired)
    }

    /// Forgets a delete, or what expired, and its history. What was recalled stays in the history for a while: a delete that is
    /// current again by a recall may be old enough to go at once.
    pub(super) fn collect_delete(&mut self, key: &Key, dot: Dot) -> Result<Outcome, StoreError> {
        let is_it =
            |record: &Record| record.dot == dot && matches!(record.kind, Kind::Tombstone | Kind::Expired);
        let Some(delete) = self.held(key).filter(|record| is_it(record)).cloned() else {
            return Ok(Outcome::Absent);
        };
        let is_recalled = |row: &RevisionRow| row.rule == Rule::Recalled;
        if self.recalls().is_empty() || !self.history(key)?.iter().any(is_recalled) {
            return Ok(self.collect(key, is_it));
        }
        // Nothing is held of it: an older value that comes back is dropped as if the history were gone, too.
        let placeholder = delete.placeholder(Kind::Dropped, self.scene.placeholder_until_ms);
        self.replace(key, placeholder, None);
        self.set_ships(key, None);
        Ok(Outcome::Collected)
    }

    /// Forgets a key and its history, if its record is such a one.
    pub(super) fn collect(&mut self, key: &Key, is_it: impl Fn(&Record) -> bool) -> Outcome {
        let Some(state) = self.keys.get_mut(key) else {
            return Outcome::Absent;
        };
        let Some(row) = state.after.take_if(|row| is_it(&row.record)) else {
            return Outcome::Absent;
        };
        for revision in row.revisions.first()..row.revisions.next {
            state.drop_revision(revision);
        }
        self.counters.forget(&row.record);
        Outcome::Collected
    }
}

/// What the history says that a version gave way to; nil when it was to nothing.
fn superseding(record: &Record) -> Uuid {
    if record.kind.is_placeholder() { Uuid::nil() } else { record.version.uuid }
}
