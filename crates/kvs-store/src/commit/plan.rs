//! The plan of a batch: what each transaction does to the rows, decided in memory, then written at once.
//!
//! The one way into the tables: local writes, merged records, expiry and collection all end in [`Plan::take`], which
//! merges, moves the loser to the history and numbers the change. The changes of all tables follow from the rows before
//! and after, so an index cannot be forgotten on some path.
//!
//! Later transactions of a batch see earlier ones. A transaction that fails leaves no trace.

use std::collections::BTreeMap;

use kvs_core::origin::Dot;
use kvs_core::recall::may_be_recalled;
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::version::Version;
use uuid::Uuid;

use crate::commit::asker::{Intent, Judgement};
use crate::commit::key_state::KeyState;
use crate::commit::mark::{Mark, Note};
use crate::commit::reception::Ages;
use crate::commit::rows::put_key;
use crate::commit::write::{Change, Outcome, Transaction, Write, Written};
use crate::compression::Content;
use crate::engine::contract::{Batch, Engine};
use crate::error::StoreError;
use crate::keys::record_key;
use crate::node::{self, Counters, Identity};
use crate::observer::{Act, Deed, Key, Resolution};
use crate::row::Row;
use crate::standing::Standing;
use crate::table::Table;
use kvs_core::digest::ContentDigest;

/// What is the same for all writes of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) now_ms: u64,
    pub(crate) revision_limit: u32,
    /// How ages are judged.
    pub(crate) ages: Ages,
    /// Whether peers say that this node's clock is right.
    pub(crate) is_clock_confirmed: bool,
    /// When a placeholder that is made now is forgotten, ms since 1970.
    pub(crate) placeholder_until_ms: u64,
    /// Whether none is taken away, as the clock may be another one than theirs.
    pub(crate) keeps_placeholders: bool,
}

/// What changes with a transaction besides its keys: taken back whole when the transaction fails.
#[derive(Debug, Clone)]
pub(crate) struct Selfhood {
    pub(crate) identity: Identity,
    pub(crate) counters: Counters,
    pub(crate) standing: Standing,
}

/// A batch being planned.
pub(crate) struct Plan<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) scene: Scene,
    random_uuid: &'a mut dyn FnMut() -> Uuid,
    /// Before the batch.
    pub(super) before: &'a Selfhood,
    pub(super) identity: Identity,
    pub(super) counters: Counters,
    /// A copy of the standing, made by the first transaction that changes it.
    pub(super) standing: Option<Standing>,
    pub(super) keys: BTreeMap<Key, KeyState>,
    /// Parked records that come (a row) or go (`None`), by their row keys.
    pub(super) parked: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(super) notes: Vec<(Note, Vec<u8>)>,
    pub(super) generation: Option<u32>,
    pub(super) resolutions: Vec<Resolution>,
    acts: Vec<Act>,
    /// The peer whose log the current transaction is a part of.
    pub(super) stream: Option<Uuid>,
    /// The numbers of the versions that came in the current transaction.
    pub(super) heard: Vec<Dot>,
    pub(super) undo: Undo,
}

/// What the current transaction has changed, as it was before.
#[derive(Default)]
pub(super) struct Undo {
    /// The keys it touched; `None` for keys it brought in.
    keys: BTreeMap<Key, Option<KeyState>>,
    pub(super) parked: BTreeMap<Vec<u8>, Option<Option<Vec<u8>>>>,
    /// The standing, once the transaction has changed it.
    standing: Option<Option<Standing>>,
    /// How many notes there were.
    notes: usize,
    generation: Option<u32>,
}

/// A planned batch.
pub(crate) struct Planned {
    pub(crate) batch: Batch,
    pub(crate) identity: Identity,
    pub(crate) counters: Counters,
    /// The standing, if it changed.
    pub(crate) standing: Option<Standing>,
    pub(crate) resolutions: Vec<Resolution>,
    /// What clients asked for.
    pub(crate) acts: Vec<Act>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        engine: &'a dyn Engine,
        scene: Scene,
        before: &'a Selfhood,
        random_uuid: &'a mut dyn FnMut() -> Uuid,
    ) -> Self {
        Self {
            engine,
            scene,
            random_uuid,
            before,
            identity: before.identity,
            counters: before.counters,
            standing: None,
            keys: BTreeMap::new(),
            parked: BTreeMap::new(),
            notes: Vec::new(),
            generation: None,
            resolutions: Vec::new(),
            acts: Vec::new(),
            stream: None,
            heard: Vec::new(),
            undo: Undo::default(),
        }
    }

    /// Plans a transaction.
    ///
    /// # Errors
    ///
    /// The first write that cannot be made; the plan is as if the transaction had never come.
    pub(crate) fn transact(&mut self, transaction: Transaction) -> Result<Vec<Outcome>, StoreError> {
        let (identity, counters) = (self.identity, self.counters);
        let (resolved, acted) = (self.resolutions.len(), self.acts.len());
        self.undo = Undo { notes: self.notes.len(), generation: self.generation, ..Undo::default() };
        self.heard.clear();
        self.stream = transaction.marks.iter().find_map(|mark| match mark {
            Mark::Advance { peer, .. } => Some(*peer),
            _ => None,
        });
        let mut outcomes = Vec::with_capacity(transaction.writes.len());
        for (index, write) in transaction.writes.into_iter().enumerate() {
            match self.write(index, write) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    self.take_back((identity, counters), (resolved, acted));
                    return Err(error);
                }
            }
        }
        for mark in transaction.marks {
            // A void record stands for older versions of its key, which never came. Its sender will learn of the recall, and
            // sends something else then.
            if matches!(mark, Mark::Advance { .. }) && outcomes.contains(&Outcome::Voided) {
                continue;
            }
            if let Err(error) = self.mark(mark) {
                self.take_back((identity, counters), (resolved, acted));
                return Err(error);
            }
        }
        self.note_heard();
        Ok(outcomes)
    }

    fn take_back(&mut self, selfhood: (Identity, Counters), (resolved, acted): (usize, usize)) {
        (self.identity, self.counters) = selfhood;
        self.resolutions.truncate(resolved);
        self.acts.truncate(acted);
        let undo = std::mem::take(&mut self.undo);
        self.notes.truncate(undo.notes);
        self.generation = undo.generation;
        if let Some(standing) = undo.standing {
            self.standing = standing;
        }
        for (key, state) in undo.keys {
            match state {
                Some(state) => drop(self.keys.insert(key, state)),
                None => drop(self.keys.remove(&key)),
            }
        }
        for (key, state) in undo.parked {
            match state {
                Some(state) => drop(self.parked.insert(key, state)),
                None => drop(self.parked.remove(&key)),
            }
        }
    }

    /// The keys whose rows change.
    pub(crate) fn changed_keys(&self) -> Vec<Key> {
        self.keys
            .iter()
            .filter(|(_, state)| state.before != state.after)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The rows that change, before and after.
    pub(crate) fn changed_rows(&self) -> impl Iterator<Item = (&Key, Option<&Row>, Option<&Row>)> {
        let changed = self.keys.iter().filter(|(_, state)| state.before != state.after);
        changed.map(|(key, state)| (key, state.before.as_ref(), state.after.as_ref()))
    }

    /// The changes of all tables, and what is true afterwards.
    pub(crate) fn finish(self) -> Planned {
        let mut batch = Batch::default();
        for (key, state) in &self.keys {
            put_key(&mut batch, key, state);
        }
        for (row_key, row) in self.parked {
            match row {
                Some(row) => batch.put(Table::Parked, row_key, row),
                None => batch.remove(Table::Parked, row_key),
            }
        }
        if let Some(standing) = &self.standing {
            self.before.standing.put_changes(standing, &mut batch);
        }
        if self.identity != self.before.identity {
            node::put_identity(&mut batch, &self.identity);
        }
        for (note, bytes) in self.notes {
            // The last word on a note counts; a batch holds one change for each row.
            batch.changes.retain(|change| !(change.table == Table::Node && change.key == note.key()));
            batch.put(Table::Node, note.key().to_vec(), bytes);
        }
        if let Some(generation) = self.generation {
            node::put_generation(&mut batch, generation);
        }
        if self.counters != self.before.counters {
            node::put_counters(&mut batch, &self.counters);
        }
        Planned {
            batch,
            identity: self.identity,
            counters: self.counters,
            standing: self.standing,
            resolutions: self.resolutions,
            acts: self.acts,
        }
    }

    pub(super) fn standing(&self) -> &Standing {
        self.standing.as_ref().unwrap_or(&self.before.standing)
    }

    pub(super) fn standing_mut(&mut self) -> &mut Standing {
        if self.undo.standing.is_none() {
            self.undo.standing = Some(self.standing.clone());
        }
        self.standing.get_or_insert_with(|| self.before.standing.clone())
    }

    /// What stands in the row of a key, a placeholder included.
    pub(super) fn slot(&self, key: &Key) -> Option<&Record> {
        self.keys.get(key).and_then(|state| state.after.as_ref()).map(|row| &row.record)
    }

    /// What is held of a key.
    pub(super) fn held(&self, key: &Key) -> Option<&Record> {
        self.slot(key).filter(|record| !record.kind.is_placeholder())
    }

    fn write(&mut self, index: usize, write: Write) -> Result<Outcome, StoreError> {
        let key = Key { namespace: write.namespace, path: write.path };
        self.touch(&key)?;
        let current = self.slot(&key);
        if let Some(warrant) = &write.asker.warrant {
            let intent = Intent { key: &key, change: &write.change, current, now_ms: self.scene.now_ms };
            match warrant.judge(&intent, self)? {
                Judgement::Allowed => {}
                Judgement::PassedOver if write.precondition.holds(None) => return Ok(Outcome::Absent),
                Judgement::PassedOver => return Err(StoreError::Precondition { index }),
                Judgement::Refused(refusal) => return Err(StoreError::Refused { index, refusal }),
            }
        }
        let live =
            current.filter(|record| record.is_live(self.scene.now_ms)).map(|record| record.version.uuid);
        if !write.precondition.holds(live) {
            return Err(StoreError::Precondition { index });
        }
        let author = write.asker.name;
        let is_live = live.is_some();
        let owner = self.owner(&key, is_live);
        if matches!(write.change, Change::Put { .. } | Change::Delete) && self.slot(&key).is_some() {
            // What is written now must not be stamped over it.
            self.set_ahead_aside(&key)?;
        }
        let outcome = match write.change {
            Change::Put { content, lifetime } => {
                let stamp = self.stamp(index, &key)?;
                let owner = owner.unwrap_or_else(|| author.clone());
                let expires_at_ms = lifetime.map_or(0, |lifetime| {
                    let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
                    self.scene.now_ms.saturating_add(lifetime_ms.max(1))
                });
                let who = (author.clone(), owner);
                let record = self.stamped(&key, stamp, Kind::Value, expires_at_ms, who, content);
                let written = Written { version: record.version, expires_at_ms, dot: record.dot };
                self.take(&key, record)?;
                if is_live { Outcome::Replaced(written) } else { Outcome::Created(written) }
            }
            Change::Delete => {
                if !is_live {
                    return Ok(Outcome::Absent);
                }
                let stamp = self.stamp(index, &key)?;
                let who = (author.clone(), owner.unwrap_or_default());
                let content = Content { payload: Payload::empty(), digest: ContentDigest::of(b"") };
                let record = self.stamped(&key, stamp, Kind::Tombstone, 0, who, content);
                let written = Written { version: record.version, expires_at_ms: 0, dot: record.dot };
                self.take(&key, record)?;
                Outcome::Deleted(written)
            }
            Change::Merge(record) => self.receive(&key, *record)?,
            Change::Drop(version) => self.drop_version(&key, version),
            Change::Admit(record) => {
                if self.recalls().is_void(&record) {
                    return self.keep_void(&key, *record);
                }
                self.take(&key, (*record).clone())?;
                self.unpark(&key, &record)?;
                Outcome::Taken
            }
            Change::Expire => self.expire(&key)?,
            Change::Collect(dot) => self.collect_delete(&key, dot)?,
            Change::Void => self.void(&key)?,
            Change::SetAside => self.set_ahead_aside(&key)?,
        };
        if let Some(request) = write.asker.request
            && let Outcome::Created(written) | Outcome::Replaced(written) | Outcome::Deleted(written) =
                outcome
        {
            let deed = match outcome {
                Outcome::Created(_) => Deed::Create,
                Outcome::Deleted(_) => Deed::Delete,
                _ => Deed::Replace,
            };
            self.acts.push(Act { key, deed, author, request, written });
        }
        Ok(outcome)
    }

    /// Whose a key stays that is written now; `None` for one that is nobody's and not there, which is made anew.
    fn owner(&self, key: &Key, is_live: bool) -> Option<Principal> {
        let slot = self.slot(key)?;
        (is_live || slot.owner != Principal::nobody()).then(|| slot.owner.clone())
    }

    /// Makes sure the key's state is here and can be undone.
    pub(super) fn touch(&mut self, key: &Key) -> Result<(), StoreError> {
        if let Some(state) = self.keys.get(key) {
            if !self.undo.keys.contains_key(key) {
                self.undo.keys.insert(key.clone(), Some(state.clone()));
            }
            return Ok(());
        }
        let stored = self.engine.get(Table::Records, &record_key(key.namespace, &key.path))?;
        let row = stored.map(|bytes| Row::decode(key, &bytes)).transpose()?;
        let state = KeyState { before: row.clone(), after: row, history: BTreeMap::new() };
        self.keys.insert(key.clone(), state);
        self.undo.keys.insert(key.clone(), None);
        Ok(())
    }

    fn stamp(&self, index: usize, key: &Key) -> Result<Stamp, StoreError> {
        Stamp::over(self.scene.now_ms, self.held(key).map(|record| record.version.stamp))
            .ok_or(StoreError::StampExhausted { index })
    }

    /// A record of this node's own, with its next dot.
    pub(super) fn stamped(
        &mut self,
        key: &Key,
        stamp: Stamp,
        kind: Kind,
        expires_at_ms: u64,
        (author, owner): (Principal, Principal),
        content: Content,
    ) -> Record {
        let seq = self.counters.next_origin_seq;
        self.counters.next_origin_seq += 1;
        if may_be_recalled(key.namespace, &key.path) {
            // What revokes is never recalled, so its stamps call for nothing.
            self.counters.top_ms = self.counters.top_ms.max(stamp.ms);
        }
        let identity = &self.identity;
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

    /// Random bytes for an epoch.
    pub(super) fn random_epoch(&mut self) -> [u8; 4] {
        (self.random_uuid)().as_bytes().first_chunk().copied().unwrap_or_default()
    }
}
