//! The tree in memory: locked while a commit changes tables and tree together, and while a reader takes a moment of both.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kvs_core::item::{DigestKey, item, tree_key};
use kvs_core::record::{Kind, Record};
use kvs_core::sum_tree::tree::{Delta, Sign};

use crate::engine::contract::Engine;
use crate::observer::Key;
use crate::row::Row;
use crate::tree::checkpoint;
use crate::tree::findings::FindingCounters;
use crate::tree::state::{TreeChange, TreeState};

/// Steps that are made while the store is opened.
const OPENING_STEPS: usize = 32;

/// The tree and what only it knows.
pub(crate) struct LiveTree {
    state: Mutex<TreeState>,
    key: DigestKey,
    pub(crate) findings: FindingCounters,
}

impl LiveTree {
    /// The tree as the checkpoint and the tables have it; of a small store it is ready at once.
    pub(crate) fn open(engine: &dyn Engine, key: DigestKey) -> Self {
        let state = checkpoint::load(engine, key).and_then(|mut state| {
            for _ in 0..OPENING_STEPS {
                state.read_on(engine)?;
            }
            Ok(state)
        });
        let state = state.unwrap_or_else(|error| {
            tracing::warn!(%error, "the digest cannot be read in yet");
            TreeState::unread(key, Some(0))
        });
        Self { state: Mutex::new(state), key, findings: FindingCounters::default() }
    }

    /// The tree; whoever holds it keeps commits waiting.
    pub(crate) fn lock(&self) -> MutexGuard<'_, TreeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn key(&self) -> &DigestKey {
        &self.key
    }

    /// What these changes of rows, before and after, do to the tree.
    pub(crate) fn change_of<'a>(
        &self,
        rows: impl Iterator<Item = (&'a Key, Option<&'a Row>, Option<&'a Row>)>,
    ) -> TreeChange {
        let mut change = TreeChange::default();
        for (key, before, after) in rows {
            let (old, new) = (before.map(|row| &row.record), after.map(|row| &row.record));
            if let (Some(row), None) = (before, after) {
                // Of a value that goes without a tombstone the log knows nothing, however old it was.
                let lost = if row.record.kind == Kind::Value { u64::MAX } else { row.local_seq };
                change.lost_local_seq = change.lost_local_seq.max(lost);
            }
            if old == new {
                continue;
            }
            for (record, sign) in [(old, Sign::Remove), (new, Sign::Add)] {
                change.deltas.extend(record.and_then(|record| self.delta(key, record, sign)));
            }
        }
        change
    }

    fn delta(&self, key: &Key, record: &Record, sign: Sign) -> Option<Delta> {
        let place = tree_key(key.namespace, &key.path, record)?;
        Some(Delta { key: place, item: item(&self.key, key.namespace, &key.path, record), sign })
    }
}
