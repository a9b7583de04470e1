//! What the committer does for the tree between batches: reading in what is unread, checkpoints, the slow scrub.
//!
//! All of it is done in small steps by the thread that commits, so that nothing changes meanwhile and no two threads have
//! to agree.

use std::ops::Bound;
use std::time::Duration;

use kvs_core::digest::ContentDigest;
use kvs_core::record::Kind;

use crate::compression;
use crate::engine::contract::{Engine, Order};
use crate::error::{StoreError, printable};
use crate::keys::read_record_key;
use crate::row::Row;
use crate::shared::Shared;
use crate::table::Table;
use crate::tree::checkpoint;
use crate::tree::findings::Findings;

/// How often a changed tree is written down.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);
/// Pause between two steps of the scrub: 1,000,000 keys in about an hour and a half.
const SCRUB_INTERVAL: Duration = Duration::from_millis(500);
/// Pause after a step that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Most records, and bytes of JSON, that one step of the scrub checks; one record may be larger.
const SCRUB_ROWS_MAX: u64 = 64;
const SCRUB_BYTES_MAX: usize = 1024 * 1024;

/// When each duty is due, and where the scrub goes on.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    read_at: Duration,
    checkpoint_at: Duration,
    scrub_at: Duration,
    block: Vec<u8>,
    record: Option<Vec<u8>>,
}

impl Upkeep {
    /// When there is something to do, on the monotonic clock.
    pub(crate) fn due_at(&self, shared: &Shared) -> Duration {
        if shared.tree.lock().is_ready() { self.scrub_at } else { self.read_at }
    }

    /// One step of what is due.
    pub(crate) fn run(&mut self, shared: &Shared, now: Duration) -> Result<(), StoreError> {
        let mut tree = shared.tree.lock();
        if !tree.is_ready() {
            if now >= self.read_at {
                // Forgotten when the step succeeds.
                self.read_at = now + RETRY_INTERVAL;
                let engine = shared.engine.current()?;
                tree.read_on(&*engine)?;
                self.read_at = Duration::ZERO;
            }
            return Ok(());
        }
        if self.checkpoint_at == Duration::ZERO {
            self.checkpoint_at = now + CHECKPOINT_INTERVAL;
        }
        if now >= self.checkpoint_at {
            self.checkpoint_at = now + CHECKPOINT_INTERVAL;
            drop(tree);
            self.write_checkpoint(shared)?;
        } else {
            drop(tree);
        }
        if now >= self.scrub_at {
            self.scrub_at = now + SCRUB_INTERVAL;
            self.scrub(shared)?;
        }
        Ok(())
    }

    /// Writes a changed tree down, at the orderly end.
    pub(crate) fn write_checkpoint(&self, shared: &Shared) -> Result<(), StoreError> {
        let mut tree = shared.tree.lock();
        if tree.is_ready() && tree.has_changed {
            let engine = shared.engine.current()?;
            checkpoint::write(&mut tree, shared.last_local_seq(), shared.tree.key(), &*engine)?;
        }
        Ok(())
    }

    fn scrub(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let engine = shared.engine.current()?;
        let mut found = Findings::default();
        self.check_records(&*engine, &mut found)?;
        let block = std::mem::take(&mut self.block);
        let verified = shared.tree.lock().verify_block(&block, &*engine, &mut found);
        if found.repaired_blocks > 0 {
            tracing::error!(block = printable(&block), "the digest was not that of its records; it is now");
        }
        shared.tree.findings.add(&found);
        match verified {
            Ok(next) => self.block = next.unwrap_or_default(),
            // The damage is found and told by the walk over the records.
            Err(StoreError::Corrupt { .. }) => {
                self.block =
                    shared.tree.lock().tree.block_end(&block).map(<[u8]>::to_vec).unwrap_or_default();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn check_records(&mut self, engine: &dyn Engine, found: &mut Findings) -> Result<(), StoreError> {
        let from = self.record.take().map_or(Bound::Unbounded, Bound::Excluded);
        let snapshot = engine.snapshot();
        let mut bytes = 0_usize;
        for stored in snapshot.range(Table::Records, (from, Bound::Unbounded), Order::Ascending) {
            let (row_key, value) = stored?;
            found.checked_records += 1;
            match check_record(&row_key, &value) {
                Ok(len) => bytes = bytes.saturating_add(len),
                Err(error) => {
                    found.damaged_records += 1;
                    tracing::error!(%error, "the scrub found a damaged record");
                }
            }
            if found.checked_records >= SCRUB_ROWS_MAX || bytes >= SCRUB_BYTES_MAX {
                self.record = Some(row_key.to_vec());
                break;
            }
        }
        Ok(())
    }
}

/// Checks a stored record down to its content; answers the length of its JSON.
fn check_record(row_key: &[u8], value: &bytes::Bytes) -> Result<usize, StoreError> {
    let corrupt = |reason: String| StoreError::corrupt(Table::Records.name(), row_key, reason);
    let key = read_record_key(row_key).ok_or_else(|| corrupt("its key is no path".into()))?;
    let record = Row::decode(&key, value)?.record;
    if record.kind != Kind::Value {
        return Ok(0);
    }
    let json = compression::decompress(&record.payload).map_err(|reason| corrupt(reason.to_string()))?;
    if ContentDigest::of(&json) != record.digest {
        return Err(corrupt("its content is not what its digest says".into()));
    }
    Ok(json.len())
}
