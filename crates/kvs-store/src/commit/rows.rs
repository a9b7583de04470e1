//! From the rows of a key before and after to the changes of all tables, and to the counters.

use kvs_core::record::{Kind, Record};

use crate::commit::key_state::KeyState;
use crate::engine::contract::Batch;
use crate::keys::{history_key, record_key};
use crate::node::Counters;
use crate::observer::Key;
use crate::table::Table;

/// Adds the changes of one key: its row, the rows that follow from it, its history.
pub(super) fn put_key(batch: &mut Batch, key: &Key, state: &KeyState) {
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
            Kind::Dropped | Kind::Voided => {}
        }
    }

    /// Counts a record that is no longer its key's current one.
    pub(crate) fn forget(&mut self, record: &Record) {
        match record.kind {
            Kind::Value => {
                self.keys = self.keys.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub(record.payload.raw_len() as u64);
            }
            Kind::Tombstone | Kind::Expired => self.tombstones = self.tombstones.saturating_sub(1),
            Kind::Dropped | Kind::Voided => {}
        }
    }
}
