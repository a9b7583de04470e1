//! The plan of a batch: what each transaction does to the rows, decided in memory, then written at once.
//!
//! The one way into the tables: local writes, merged records, expiry and collection all end in [`Plan::take`], which
//! merges, moves the loser to the history and numbers the change. The changes of all tables follow from the rows before
//! and after, so an index cannot be forgotten on some path.
//!
//! Later transactions of a batch see earlier ones. A transaction that fails leaves no trace.

use std::collections::BTreeMap;

use kvs_core::merge::{Merge, merge};
use kvs_core::origin::Dot;
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::version::{Rule, Version};
use uuid::Uuid;

use crate::commit::write::{Change, Outcome, Write, Written};
use crate::compression::Content;
use crate::engine::contract::{Batch, Engine};
use crate::error::StoreError;
use crate::keys::{history_key, record_key};
use crate::limits::REVISIONS_TRIMMED_MAX;
use crate::node::{self, Counters, Identity};
use crate::observer::Key;
use crate::row::{RevisionRow, Revisions, Row};
use crate::table::Table;
use kvs_core::digest::ContentDigest;

/// What is the same for all writes of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) now_ms: u64,
    pub(crate) identity: Identity,
    pub(crate) revision_limit: u32,
}

/// A key while a batch is planned.
#[derive(Debug, Clone)]
struct KeyState {
    before: Option<Row>,
    after: Option<Row>,
    /// Changes of the history: a revision to add, or `None` to remove one that is stored.
    history: BTreeMap<u64, Option<RevisionRow>>,
}

impl KeyState {
    /// Adds a revision to those of a row of this key, and drops the oldest beyond the limit.
    fn keep(&mut self, revisions: &mut Revisions, loser: RevisionRow, limit: u32) {
        if limit > 0 {
            self.history.insert(revisions.next, Some(loser));
            revisions.next += 1;
            revisions.kept += 1;
        }
        let surplus = revisions.kept.saturating_sub(limit).min(REVISIONS_TRIMMED_MAX);
        for _ in 0..surplus {
            self.drop_revision(revisions.first());
            revisions.kept -= 1;
        }
    }

    /// Drops a revision; one that came with this batch leaves no trace, so that a key that is written many times in one
    /// batch does not make the plan grow.
    fn drop_revision(&mut self, number: u64) {
        let stored = self.before.as_ref().map(|row| row.revisions).unwrap_or_default();
        if (stored.first()..stored.next).contains(&number) {
            self.history.insert(number, None);
        } else {
            self.history.remove(&number);
        }
    }
}

/// A batch being planned.
pub(crate) struct Plan<'a> {
    engine: &'a dyn Engine,
    scene: Scene,
    random_uuid: &'a mut dyn FnMut() -> Uuid,
    counters: Counters,
    keys: BTreeMap<Key, KeyState>,
    /// The states before the current transaction of the keys it touched; `None` for keys it brought in.
    undo: BTreeMap<Key, Option<KeyState>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        engine: &'a dyn Engine,
        scene: Scene,
        counters: Counters,
        random_uuid: &'a mut dyn FnMut() -> Uuid,
    ) -> Self {
        Self { engine, scene, random_uuid, counters, keys: BTreeMap::new(), undo: BTreeMap::new() }
    }

    /// Plans a transaction.
    ///
    /// # Errors
    ///
    /// The first write that cannot be made; the plan is as if the transaction had never come.
    pub(crate) fn transact(&mut self, writes: Vec<Write>) -> Result<Vec<Outcome>, StoreError> {
        let counters = self.counters;
        self.undo.clear();
        let mut outcomes = Vec::with_capacity(writes.len());
        for (index, write) in writes.into_iter().enumerate() {
            match self.write(index, write) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    self.counters = counters;
                    for (key, state) in std::mem::take(&mut self.undo) {
                        match state {
                            Some(state) => drop(self.keys.insert(key, state)),
                            None => drop(self.keys.remove(&key)),
                        }
                    }
                    return Err(error);
                }
            }
        }
        Ok(outcomes)
    }

    /// The keys whose rows change.
    pub(crate) fn changed_keys(&self) -> Vec<Key> {
        self.keys
            .iter()
            .filter(|(_, state)| state.before != state.after)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The changes of all tables, and the counters afterwards.
    pub(crate) fn into_batch(self) -> (Batch, Counters) {
        let mut batch = Batch::default();
        for (key, state) in &self.keys {
            put_key(&mut batch, key, state);
        }
        if !batch.changes.is_empty() {
            node::put_counters(&mut batch, &self.counters);
        }
        (batch, self.counters)
    }

    fn write(&mut self, index: usize, write: Write) -> Result<Outcome, StoreError> {
        let key = Key { namespace: write.namespace, path: write.path };
        self.touch(&key)?;
        let current = self.keys.get(&key).and_then(|state| state.after.as_ref()).map(|row| &row.record);
        let live =
            current.filter(|record| record.is_live(self.scene.now_ms)).map(|record| record.version.uuid);
        if !write.precondition.holds(live) {
            return Err(StoreError::Precondition { index });
        }
        match write.change {
            Change::Put { content, lifetime } => {
                let stamp = self.stamp(index, current)?;
                let owner = current.map_or_else(|| write.author.clone(), |record| record.owner.clone());
                let expires_at_ms = lifetime.map_or(0, |lifetime| {
                    let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
                    self.scene.now_ms.saturating_add(lifetime_ms.max(1))
                });
                let record = self.stamped(stamp, Kind::Value, expires_at_ms, (write.author, owner), content);
                let written = Written { version: record.version, expires_at_ms };
                self.take(&key, record)?;
                Ok(if live.is_some() { Outcome::Replaced(written) } else { Outcome::Created(written) })
            }
            Change::Delete => {
                let (Some(current), Some(_)) = (current, live) else {
                    return Ok(Outcome::Absent);
                };
                let stamp = self.stamp(index, Some(current))?;
                let owner = current.owner.clone();
                let content = Content { payload: Payload::empty(), digest: ContentDigest::of(b"") };
                let record = self.stamped(stamp, Kind::Tombstone, 0, (write.author, owner), content);
                let written = Written { version: record.version, expires_at_ms: 0 };
                self.take(&key, record)?;
                Ok(Outcome::Deleted(written))
            }
            Change::Merge(record) => self.take(&key, *record),
            Change::Expire => {
                let due = current
                    .filter(|record| record.kind == Kind::Value && record.has_expired(self.scene.now_ms));
                let Some(expired) = due.map(Record::expired) else {
                    return Ok(Outcome::Absent);
                };
                self.take(&key, expired)?;
                Ok(Outcome::Expired)
            }
            Change::Collect(dot) => Ok(self.collect(&key, dot)),
        }
    }

    /// Makes sure the key's state is here and can be undone.
    fn touch(&mut self, key: &Key) -> Result<(), StoreError> {
        if let Some(state) = self.keys.get(key) {
            if !self.undo.contains_key(key) {
                self.undo.insert(key.clone(), Some(state.clone()));
            }
            return Ok(());
        }
        let stored = self.engine.get(Table::Records, &record_key(key.namespace, &key.path))?;
        let row = stored.map(|bytes| Row::decode(key, &bytes)).transpose()?;
        let state = KeyState { before: row.clone(), after: row, history: BTreeMap::new() };
        self.keys.insert(key.clone(), state);
        self.undo.insert(key.clone(), None);
        Ok(())
    }

    fn stamp(&self, index: usize, current: Option<&Record>) -> Result<Stamp, StoreError> {
        Stamp::over(self.scene.now_ms, current.map(|record| record.version.stamp))
            .ok_or(StoreError::StampExhausted { index })
    }

    /// A record of this node's own, with its next dot.
    fn stamped(
        &mut self,
        stamp: Stamp,
        kind: Kind,
        expires_at_ms: u64,
        (author, owner): (Principal, Principal),
        content: Content,
    ) -> Record {
        let seq = self.counters.next_origin_seq;
        self.counters.next_origin_seq += 1;
        let identity = &self.scene.identity;
        Record {
            version: Version { stamp, origin_joined_ms: identity.joined_ms, uuid: (self.random_uuid)() },
            dot: Dot { origin: identity.origin, seq },
            kind,
            expires_at_ms,
            author,
            owner,
            digest: content.digest,
            payload: content.payload,
        }
    }

    /// Merges a record into its key: the winner stays, the loser goes to the history.
    fn take(&mut self, key: &Key, incoming: Record) -> Result<Outcome, StoreError> {
        let current = self.keys.get(key).and_then(|state| state.after.as_ref()).map(|row| &row.record);
        match merge(current, &incoming) {
            Merge::Same => Ok(Outcome::NotNewer),
            Merge::Loses(rule) => {
                self.keep_loser(key, incoming, rule)?;
                Ok(Outcome::NotNewer)
            }
            Merge::First => {
                self.replace(key, incoming, None);
                Ok(Outcome::Taken)
            }
            Merge::Replaces(rule) => {
                self.replace(key, incoming, Some(rule));
                Ok(Outcome::Taken)
            }
        }
    }

    /// Puts an incoming record that lost into the history, unless it is there: peers send again what they do not know
    /// to have arrived, and that must not push other versions out.
    fn keep_loser(&mut self, key: &Key, incoming: Record, rule: Rule) -> Result<(), StoreError> {
        let limit = self.scene.revision_limit;
        let Some(state) = self.keys.get_mut(key) else { return Ok(()) };
        let Some(row) = &state.after else { return Ok(()) };
        for number in row.revisions.first()..row.revisions.next {
            let is_kept = match state.history.get(&number) {
                Some(planned) => {
                    planned.as_ref().is_some_and(|kept| kept.record.precedence(&incoming).is_eq())
                }
                None => {
                    let row_key = history_key(key.namespace, &key.path, number);
                    let stored = self.engine.get(Table::History, &row_key)?;
                    let stored = stored.map(|bytes| RevisionRow::decode(key, &bytes)).transpose()?;
                    stored.is_some_and(|kept| kept.record.precedence(&incoming).is_eq())
                }
            };
            if is_kept {
                return Ok(());
            }
        }
        let loser = RevisionRow { superseded_by: row.record.version.uuid, rule, record: incoming };
        let mut revisions = row.revisions;
        state.keep(&mut revisions, loser, limit);
        if let Some(row) = &mut state.after {
            row.revisions = revisions;
        }
        Ok(())
    }

    fn replace(&mut self, key: &Key, record: Record, rule: Option<Rule>) {
        let limit = self.scene.revision_limit;
        let Some(state) = self.keys.get_mut(key) else { return };
        let mut revisions = Revisions::default();
        let old = state.after.take();
        if let Some(old) = old {
            self.counters.forget(&old.record);
            revisions = old.revisions;
            if let Some(rule) = rule {
                let loser = RevisionRow { superseded_by: record.version.uuid, rule, record: old.record };
                state.keep(&mut revisions, loser, limit);
            }
        }
        self.counters.count(&record);
        let local_seq = self.counters.next_local_seq;
        self.counters.next_local_seq += 1;
        state.after = Some(Row { local_seq, revisions, record });
    }

    fn collect(&mut self, key: &Key, dot: Dot) -> Outcome {
        let Some(state) = self.keys.get_mut(key) else {
            return Outcome::Absent;
        };
        let Some(row) = state.after.take_if(|row| row.record.dot == dot && row.record.kind != Kind::Value)
        else {
            return Outcome::Absent;
        };
        for revision in row.revisions.first()..row.revisions.next {
            state.drop_revision(revision);
        }
        self.counters.forget(&row.record);
        Outcome::Collected
    }
}

fn put_key(batch: &mut Batch, key: &Key, state: &KeyState) {
    if state.before != state.after {
        let before = state.before.as_ref().map(|row| row.index_rows(key)).unwrap_or_default();
        let after = state.after.as_ref().map(|row| row.index_rows(key)).unwrap_or_default();
        for (table, row_key, _) in &before {
            if !after.iter().any(|(other_table, other_key, _)| (table, row_key) == (other_table, other_key)) {
                batch.remove(*table, row_key.clone());
            }
        }
        for row in after {
            if !before.contains(&row) {
                let (table, row_key, value) = row;
                batch.put(table, row_key, value);
            }
        }
        let record_key = record_key(key.namespace, &key.path);
        match &state.after {
            Some(row) => batch.put(Table::Records, record_key, row.encode(key)),
            None => batch.remove(Table::Records, record_key),
        }
    }
    for (number, revision) in &state.history {
        let row_key = history_key(key.namespace, &key.path, *number);
        match revision {
            Some(revision) => batch.put(Table::History, row_key, revision.encode(key)),
            None => batch.remove(Table::History, row_key),
        }
    }
}

impl Counters {
    /// Counts a record that became its key's current one.
    pub(crate) fn count(&mut self, record: &Record) {
        match record.kind {
            Kind::Value => {
                self.keys += 1;
                self.bytes += record.payload.raw_len() as u64;
            }
            Kind::Tombstone | Kind::Expired => self.tombstones += 1,
        }
    }

    fn forget(&mut self, record: &Record) {
        match record.kind {
            Kind::Value => {
                self.keys = self.keys.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub(record.payload.raw_len() as u64);
            }
            Kind::Tombstone | Kind::Expired => self.tombstones = self.tombstones.saturating_sub(1),
        }
    }
}
