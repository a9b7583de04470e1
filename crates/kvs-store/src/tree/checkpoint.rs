//! The tree at rest, so that a start need not read every record.
//!
//! A checkpoint stands for all changes up to its local sequence number; keys that changed since are found in the log, and
//! their blocks are read again. What expires is read again as a whole: the log does not say where a value stood whose
//! expiry changed. A change that leaves no trace in the log deletes the first row, and with it the checkpoint.

use std::collections::BTreeMap;
use std::ops::Bound;

use kvs_core::item::{DigestKey, END, EXPIRING, place};
use kvs_core::sum_tree::codec;
use kvs_core::sum_tree::tree::SumTree;

use crate::engine::contract::{Batch, Engine, Order, Snapshot, Sync};
use crate::error::StoreError;
use crate::keys::{log_key, read_log_value};
use crate::table::Table;
use crate::tree::checkpoint_rows::{HEAD, chunk_key, head_row, read_head};
use crate::tree::state::TreeState;

/// More changes since the checkpoint than this, and everything is read again.
const CAUGHT_UP_MAX: usize = 20_000;
/// Bytes of chunks that one batch writes.
const BATCH_BYTES_TARGET: usize = 4 * 1024 * 1024;

/// Writes the tree as it is now, while nothing else can be committed. Not synced: a checkpoint that is lost is done without.
///
/// # Errors
///
/// The engine cannot write; there is no checkpoint then.
pub(crate) fn write(
    state: &mut TreeState,
    local_seq: u64,
    key: &DigestKey,
    engine: &dyn Engine,
) -> Result<(), StoreError> {
    let chunks = codec::encode(&state.tree);
    let mut batch = Batch::default();
    // Until its last batch is written there is none.
    state.checkpoint_seq = None;
    batch.remove(Table::Tree, HEAD.to_vec());
    let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let snapshot = engine.snapshot();
    let behind = (Bound::Included(chunk_key(count)), Bound::Unbounded);
    for row in snapshot.range(Table::Tree, behind, Order::Ascending) {
        batch.remove(Table::Tree, row?.0.to_vec());
    }
    let mut bytes = 0;
    for (number, chunk) in (0..count).zip(chunks) {
        bytes += chunk.len();
        batch.put(Table::Tree, chunk_key(number), chunk);
        if bytes >= BATCH_BYTES_TARGET {
            engine.commit(std::mem::take(&mut batch), Sync::System)?;
            bytes = 0;
        }
    }
    batch.changes.retain(|change| change.key != HEAD);
    batch.put(Table::Tree, HEAD.to_vec(), head_row(&key.fingerprint(), local_seq, count));
    engine.commit(batch, Sync::System)?;
    state.checkpoint_seq = Some(local_seq);
    state.has_changed = false;
    Ok(())
}

/// Reads the checkpoint and notes what changed since; without a good one, everything is still to be read.
///
/// # Errors
///
/// The engine cannot read.
pub(crate) fn load(engine: &dyn Engine, key: DigestKey) -> Result<TreeState, StoreError> {
    let snapshot = engine.snapshot();
    // One that is of no use now must not be found later, when it is out of date and its time has come again.
    let has_head = snapshot.get(Table::Tree, &HEAD)?.is_some();
    let Some((tree, local_seq)) = read(&*snapshot, &key)? else {
        return Ok(TreeState::unread(key, has_head.then_some(0)));
    };
    let since = (Bound::Included(log_key(local_seq.saturating_add(1))), Bound::Unbounded);
    let mut touched = BTreeMap::new();
    let end_of = |from: &[u8]| tree.block_end(from).map_or(END.to_vec(), <[u8]>::to_vec);
    for (changes, row) in snapshot.range(Table::Log, since, Order::Ascending).enumerate() {
        let (row_key, value) = row?;
        let (_, key_of_row) = read_log_value(&value)
            .ok_or_else(|| StoreError::corrupt(Table::Log.name(), &row_key, "it cannot be read"))?;
        if changes >= CAUGHT_UP_MAX {
            return Ok(TreeState::unread(key, Some(local_seq)));
        }
        let place = place(key_of_row.namespace, &key_of_row.path, 0);
        let first = tree.block_first(&place);
        if !touched.contains_key(first) {
            touched.insert(first.to_vec(), end_of(first));
        }
    }
    // From the block on in which what expires begins.
    let expiring = tree.block_first(&[EXPIRING]).to_vec();
    touched.retain(|from, _| *from < expiring);
    touched.insert(expiring, END.to_vec());
    Ok(TreeState::caught_up(key, tree, local_seq, touched))
}

fn read(snapshot: &dyn Snapshot, key: &DigestKey) -> Result<Option<(SumTree, u64)>, StoreError> {
    let Some(head) = snapshot.get(Table::Tree, &HEAD)? else {
        return Ok(None);
    };
    let Some((fingerprint, local_seq, count)) = read_head(&head) else {
        tracing::warn!("the checkpoint of the digest cannot be read: the records are read instead");
        return Ok(None);
    };
    if fingerprint != key.fingerprint() {
        return Ok(None);
    }
    let mut chunks = Vec::new();
    for number in 0..count {
        let Some(chunk) = snapshot.get(Table::Tree, &chunk_key(number))? else {
            return Ok(None);
        };
        chunks.push(chunk);
    }
    match codec::decode(&chunks) {
        Ok(tree) => Ok(Some((tree, local_seq))),
        Err(error) => {
            tracing::warn!(%error, "the checkpoint of the digest is damaged: the records are read instead");
            Ok(None)
        }
    }
}
