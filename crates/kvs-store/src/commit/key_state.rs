//! A key while a batch is planned: its rows before and after, and what becomes of its history.

use std::collections::BTreeMap;

use crate::limits::REVISIONS_TRIMMED_MAX;
use crate::row::{RevisionRow, Revisions, Row};

/// A key while a batch is planned.
#[derive(Debug, Clone)]
pub(super) struct KeyState {
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
    /// Changes of the history: a revision to add, or `None` to remove one that is stored.
    pub(super) history: BTreeMap<u64, Option<RevisionRow>>,
}

impl KeyState {
    /// Adds a revision to those of a row of this key, and drops the oldest beyond the limit.
    pub(super) fn keep(&mut self, revisions: &mut Revisions, loser: RevisionRow, limit: u32) {
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
    pub(super) fn drop_revision(&mut self, number: u64) {
        let stored = self.before.as_ref().map(|row| row.revisions).unwrap_or_default();
        if (stored.first()..stored.next).contains(&number) {
            self.history.insert(number, None);
        } else {
            self.history.remove(&number);
        }
    }
}
