//! Restoring a backup into an empty data directory.
//!
//! The order: verify the whole file; take and mark the directory; records and history in bulk, each in a pass of its own
//! over the file; the index tables from the records; a new identity and the counters; everything to the disk; the mark
//! off. Until then the directory is refused as a node's.
//!
//! Local sequence numbers are kept from the file, so that the log tells changes in the order in which they were made.
//! The node gets a new uuid: its own sequence numbers begin again, and the old uuid may live on elsewhere.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::backup::error::BackupError;
use crate::backup::manifest::{Manifest, Tally};
use crate::backup::progress::{Progress, Step, Watcher};
use crate::backup::rows::Rows;
use crate::backup::sequence::Payloads;
use crate::backup::verify::verify;
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::engine::contract::{Batch, Engine, EngineError, Order, Sync};
use crate::engine::disk::DiskEngine;
use crate::epoch_start::EpochStart;
use crate::keys::read_record_key;
use crate::node::{self, Counters, Identity, Left, NewIdentity};
use crate::read::view::View;
use crate::row::Row;
use crate::settings::Settings;
use crate::standing::{self, Sweep};
use crate::store::{disk_options, system_random};
use crate::table::Table;

/// Index rows of one engine batch.
const INDEX_BATCH_ROWS: usize = 8192;

/// Records whose index rows are made before the engine must have let go of them. It takes rows faster than it writes its
/// tables, and keeps in memory whatever was written while a view is held; so views are short here.
const INDEX_RECORDS_MAX: usize = 64 * 1024;

/// What a restore made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup held, and what the data directory now holds.
    pub manifest: Manifest,
    /// Who the node is now.
    pub identity: Identity,
}

/// Restores a backup into a data directory that is empty or absent.
///
/// The whole file is verified before anything is written. The data directory is for the settings' engine; history is
/// restored as it was, whatever the settings' `revision_limit`.
///
/// # Errors
///
/// [`BackupError::HalfWay`]: the data directory stays marked, no node opens it. Any other: nothing was written.
pub fn restore(
    file: &Path,
    data_dir: &Path,
    settings: &Settings,
    clock: &dyn Clock,
    watcher: Watcher<'_>,
) -> Result<Restored, BackupError> {
    // A directory that cannot take it is told before a long file is read; it is looked at again when it is taken.
    DataDir::check_restorable(data_dir).map_err(BackupError::Target)?;
    let verified = verify(file, watcher)?;
    let taken = DataDir::begin_restore(data_dir).map_err(BackupError::Target)?;
    let half_way = |reason| BackupError::HalfWay { dir: data_dir.to_owned(), reason: Box::new(reason) };
    let filling = Filling { file, manifest: verified.manifest(), watcher };
    let identity = filling.run(&taken, settings, clock).map_err(half_way)?;
    taken.end_restore().map_err(|error| half_way(BackupError::Target(error)))?;
    Ok(Restored { manifest: verified.manifest().clone(), identity })
}

/// The filling of an empty, marked data directory.
struct Filling<'a> {
    file: &'a Path,
    manifest: &'a Manifest,
    watcher: Watcher<'a>,
}

impl Filling<'_> {
    fn run(
        mut self,
        data_dir: &DataDir,
        settings: &Settings,
        clock: &dyn Clock,
    ) -> Result<Identity, BackupError> {
        let engine = DiskEngine::open(&data_dir.engine_dir(), &disk_options(settings)).map_err(target)?;
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let Tally { keys, tombstones, revisions, .. } = self.manifest.tally;
        // An engine need not know how to take in nothing.
        // Whoever has revisions has a record, be it a placeholder that is not counted.
        let records = keys.saturating_add(tombstones).saturating_add(revisions);
        let mut passes = vec![(Table::Records, records), (Table::History, revisions)];
        passes.retain(|(_, rows)| *rows > 0);
        for (pass, (table, _)) in passes.iter().enumerate() {
            self.load(&*engine, *table, pass, passes.len())?;
        }
        let counters = self.index(&engine)?;
        let mut random = NewIdentity { node: [0; 16], epoch: [0; 4] };
        system_random(&mut random.node).map_err(BackupError::Target)?;
        system_random(&mut random.epoch).map_err(BackupError::Target)?;
        let identity = Identity::first(random, settings.first_joined, clock.now_ms());
        let mut batch = Batch::default();
        node::put_identity(&mut batch, &identity);
        node::put_counters(&mut batch, &counters);
        // What was restored is not this node's to send: its peers have it, or get it by comparison.
        let after_local_seq = counters.next_local_seq.saturating_sub(1);
        standing::put_epochs(&mut batch, &[EpochStart::new(identity.origin.epoch, after_local_seq)]);
        // A backup may hold recalls and what they recall.
        standing::put_sweep(&mut batch, Some(Sweep { above_ms: 0, recalls: 0 }));
        node::put_left(&mut batch, Left::InOrder);
        node::put_restored(&mut batch, clock.now_ms());
        engine.commit(batch, Sync::Disk).map_err(target)?;
        engine.flush().map_err(target)?;
        data_dir.note_node(identity.origin.node, 0).map_err(BackupError::Target)?;
        Ok(identity)
    }

    /// Fills one of the two tables from a pass over the file.
    fn load(
        &mut self,
        engine: &dyn Engine,
        table: Table,
        pass: usize,
        passes: usize,
    ) -> Result<(), BackupError> {
        let mut rows = Rows::open(self.file, Payloads::Trusted)?;
        let mut failure = None;
        let mut told_bytes = 0;
        let watcher = &mut self.watcher;
        let mut sorted = std::iter::from_fn(|| {
            loop {
                let row = rows.next();
                let (read_bytes, file_bytes) = rows.position();
                if read_bytes != told_bytes {
                    told_bytes = read_bytes;
                    let done_bytes = pass as u64 * file_bytes + read_bytes;
                    let total_bytes = passes as u64 * file_bytes;
                    watcher(Progress { step: Step::Load, done_bytes, total_bytes });
                }
                match row {
                    Ok(Some((found, key, value))) if found == table => {
                        return Some((key.to_vec(), value.to_vec()));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(error) => {
                        failure = Some(error);
                        return None;
                    }
                }
            }
        });
        engine.ingest(table, &mut sorted).map_err(target)?;
        if let Some(error) = failure {
            return Err(error);
        }
        if rows.manifest() != Some(self.manifest) {
            return Err(self.changed());
        }
        Ok(())
    }

    /// Makes the index tables from the records, and counts.
    fn index(&mut self, engine: &Arc<dyn Engine>) -> Result<Counters, BackupError> {
        let mut counters = Counters::default();
        let mut from = Bound::Unbounded;
        while let Some(last) = self.index_some(engine, from, &mut counters)? {
            engine.flush().map_err(target)?;
            from = Bound::Excluded(last);
            let (done_bytes, total_bytes) = (counters.bytes, self.manifest.tally.bytes);
            (self.watcher)(Progress { step: Step::Index, done_bytes, total_bytes });
        }
        Ok(counters)
    }

    /// Makes the index rows of the next records; answers where to go on.
    fn index_some(
        &self,
        engine: &Arc<dyn Engine>,
        from: Bound<Vec<u8>>,
        counters: &mut Counters,
    ) -> Result<Option<Vec<u8>>, BackupError> {
        let mut last = None;
        let mut batch = Batch::default();
        let view = View::of(Arc::clone(engine));
        for stored in
            view.range(Table::Records, (from, Bound::Unbounded), Order::Ascending).take(INDEX_RECORDS_MAX)
        {
            let (row_key, value) = stored.map_err(target)?;
            let key = read_record_key(&row_key).ok_or_else(|| self.changed())?;
            let row = Row::decode(&key, &value).map_err(BackupError::Target)?;
            counters.count(&row.record);
            counters.next_local_seq = counters.next_local_seq.max(row.local_seq.saturating_add(1));
            for (table, index_key, value) in row.index_rows(&key) {
                batch.put(table, index_key, value);
            }
            if batch.changes.len() >= INDEX_BATCH_ROWS {
                engine.commit(std::mem::take(&mut batch), Sync::System).map_err(target)?;
            }
            last = Some(row_key.to_vec());
        }
        engine.commit(batch, Sync::System).map_err(target)?;
        Ok(last)
    }

    fn changed(&self) -> BackupError {
        let reason = "it changed while it was being restored".into();
        BackupError::Damaged { path: self.file.to_owned(), offset: 0, reason }
    }
}

fn target(error: EngineError) -> BackupError {
    BackupError::Target(error.into())
}
