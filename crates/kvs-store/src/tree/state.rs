//! The tree and what is still to be read of it, as the lock holds them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use kvs_core::item::{DigestKey, END};
use kvs_core::sum_tree::tree::{Delta, SumTree, Verified};

use crate::engine::contract::{Batch, Engine};
use crate::error::StoreError;
use crate::table::Table;
use crate::tree::checkpoint_rows::HEAD;
use crate::tree::findings::Findings;
use crate::tree::scan::Scan;

/// Most rows that one step of reading ranges in looks at: about a millisecond.
const STEP_ROWS_MAX: usize = 480;

/// What the lock holds.
pub(crate) struct TreeState {
    pub(crate) tree: SumTree,
    /// Ranges that are still to be read: where each begins and ends. Disjoint; where one begins, a block begins.
    pub(crate) unread: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Up to which change the checkpoint that may be on the disk stands for; `None` when there is none for sure.
    pub(crate) checkpoint_seq: Option<u64>,
    /// Whether anything changed since.
    pub(crate) has_changed: bool,
    key: DigestKey,
}

/// What a batch does to the tree.
#[derive(Default)]
pub(crate) struct TreeChange {
    pub(super) deltas: Vec<Delta>,
    /// The greatest local number of a row that goes without a trace in the log; 0 for none.
    pub(super) lost_local_seq: u64,
}

impl TreeState {
    /// A tree of which everything is still to be read.
    pub(crate) fn unread(key: DigestKey, checkpoint_seq: Option<u64>) -> Self {
        let unread = BTreeMap::from([(Vec::new(), END.to_vec())]);
        Self { tree: SumTree::default(), unread, checkpoint_seq, has_changed: true, key }
    }

    /// A tree from a checkpoint, of which these ranges are still to be read. Each begins and ends where a block does.
    pub(crate) fn caught_up(
        key: DigestKey,
        mut tree: SumTree,
        checkpoint_seq: u64,
        unread: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Self {
        for (from, to) in &unread {
            tree.refill(from, Some(to.as_slice()).filter(|to| *to != END), &[]);
        }
        let has_changed = !unread.is_empty();
        Self { tree, unread, checkpoint_seq: Some(checkpoint_seq), has_changed, key }
    }

    /// Whether the tree says what the tables say.
    pub(crate) fn is_ready(&self) -> bool {
        self.unread.is_empty()
    }

    /// Forgets everything; it is read again from the tables.
    pub(crate) fn restart(&mut self) {
        *self = Self::unread(self.key, self.checkpoint_seq);
    }

    /// Deletes the checkpoint with a batch after which it could not be caught up with the log.
    pub(crate) fn guard_checkpoint(&mut self, change: &TreeChange, batch: &mut Batch) {
        if self.checkpoint_seq.is_some_and(|seq| change.lost_local_seq > seq) && !batch.changes.is_empty() {
            batch.remove(Table::Tree, HEAD.to_vec());
        }
    }

    /// Notes a batch that was committed. Blocks that have grown are cut, with records read from the engine.
    pub(crate) fn apply(&mut self, change: &TreeChange, engine: &dyn Engine) {
        if change.deltas.is_empty() {
            return;
        }
        self.has_changed = true;
        for delta in &change.deltas {
            if !self.is_unread(&delta.key) {
                self.tree.apply(delta);
            }
        }
        if self.is_ready() {
            self.settle(engine);
        }
    }

    fn settle(&mut self, engine: &dyn Engine) {
        if !self.tree.is_unsettled() {
            return;
        }
        let snapshot = engine.snapshot();
        match self.tree.settle(&mut Scan { snapshot: &*snapshot, key: &self.key }) {
            Ok(settled) if settled.repaired > 0 => {
                tracing::error!(
                    blocks = settled.repaired,
                    "the digest was not that of its records; it is now"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a block of the digest cannot be cut yet"),
        }
    }

    fn is_unread(&self, place: &[u8]) -> bool {
        let before =
            self.unread.range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(place)));
        before.last().is_some_and(|(_, to)| place < to.as_slice())
    }

    /// Reads a piece of what is still to be read.
    ///
    /// # Errors
    ///
    /// A row cannot be read; the piece is still to be read.
    pub(crate) fn read_on(&mut self, engine: &dyn Engine) -> Result<(), StoreError> {
        let Some((from, to)) = self.unread.first_key_value().map(|(from, to)| (from.clone(), to.clone()))
        else {
            return Ok(());
        };
        let snapshot = engine.snapshot();
        let scan = Scan { snapshot: &*snapshot, key: &self.key };
        let mut items = Vec::new();
        let (mut rows, mut reached) = (0, None);
        scan.rows(&from, &to, &mut |place, item| {
            if rows == STEP_ROWS_MAX {
                reached = Some(place.to_vec());
                return ControlFlow::Break(());
            }
            rows += 1;
            items.extend(item.map(|item| (place.to_vec(), item)));
            ControlFlow::Continue(())
        })?;
        // A key that comes before the one reached, and behind those read, is not lost: it is a change of the tree.
        let end = reached.as_deref().unwrap_or(&to);
        self.tree.refill(&from, Some(end).filter(|end| *end != END), &items);
        self.unread.remove(&from);
        if let Some(reached) = reached {
            self.unread.insert(reached, to);
        }
        if self.is_ready() {
            self.settle(engine);
        }
        Ok(())
    }

    /// Reads the block that `place` falls into again and compares; answers where the next one begins.
    ///
    /// # Errors
    ///
    /// A row cannot be read; nothing changed.
    pub(crate) fn verify_block(
        &mut self,
        place: &[u8],
        engine: &dyn Engine,
        found: &mut Findings,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let next = self.tree.block_end(place).map(<[u8]>::to_vec);
        let snapshot = engine.snapshot();
        if self.tree.reread(place, &mut Scan { snapshot: &*snapshot, key: &self.key })? == Verified::Repaired
        {
            found.repaired_blocks += 1;
            self.has_changed = true;
            // A checkpoint could hold what was wrong.
            self.checkpoint_seq = None;
        }
        Ok(next)
    }
}
