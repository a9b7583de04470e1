//! The disk engine: fjall, an LSM tree in Rust, chosen by measurement (docs/design/store.md).
//!
//! Group commit is ours: one merged batch, one fdatasync, nothing visible before it is durable. fjall poisons itself
//! after a failed journal write or sync; opening again discards an unfinished batch. Used sparingly: no `clear`, no
//! FIFO compaction, no transactions of its own.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions,
    PersistMode, Readable,
};

use crate::engine::contract::{
    Batch, Engine, EngineError, EngineStats, KeyRange, Order, Rows, Snapshot, SortedRows, Sync, is_possible,
};
use crate::table::Table;

/// Bytes of journal files after which fjall flushes; bounds the time to open after a crash.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Size of the write buffer of tables with payloads.
const MEMTABLE_BYTES_PAYLOAD: u64 = 16 * 1024 * 1024;
/// Size of the write buffer of index tables.
const MEMTABLE_BYTES_INDEX: u64 = 8 * 1024 * 1024;
/// Payloads from this size on rest in files of their own, which compactions do not rewrite.
const SEPARATED_BYTES_MIN: u32 = 4096;
/// Threads for flushes and compactions.
const WORKER_THREADS: usize = 2;
/// Full write buffers of one table, and runs of its youngest level, from which on a commit waits for those threads.
/// fjall itself would wait from 4 and 30 on, but for ever if the thread it waits for has failed.
const FULL_MEMTABLES_MAX: usize = 3;
const YOUNGEST_RUNS_MAX: usize = 26;
/// How long between two looks at what another thread does.
const WAIT_STEP: Duration = Duration::from_millis(1);

/// How the disk engine is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskOptions {
    /// Block cache in bytes.
    pub cache_bytes: u64,
    /// Whether blocks are compressed (LZ4) below the first two levels.
    pub blocks: Blocks,
}

/// How blocks of rows rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// As they are.
    Plain,
    /// Compressed by LZ4 in all but the youngest levels.
    Compressed,
}

/// The engine on fjall.
pub struct DiskEngine {
    database: Database,
    /// One for each table, in the order of [`Table::ALL`].
    keyspaces: Vec<Keyspace>,
}

impl DiskEngine {
    /// Opens or creates the engine's files in `dir`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Locked`] when another process has them; [`EngineError::Corrupt`] when they cannot be read.
    pub fn open(dir: &Path, options: &DiskOptions) -> Result<Self, EngineError> {
        let database = Database::builder(dir)
            .cache_size(options.cache_bytes)
            .worker_threads(WORKER_THREADS)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .journal_compression(CompressionType::None)
            .open()
            .map_err(|error| failure("opening the engine", &error))?;
        let keyspaces = Table::ALL
            .into_iter()
            .map(|table| database.keyspace(table.name(), || keyspace_options(table, options.blocks)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failure("opening a table", &error))?;
        // The folder itself must outlive a power failure, not only what is in it.
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::File::open(parent.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| io_failure("syncing the folder of the engine", &error))?;
        Ok(Self { database, keyspaces })
    }

    /// Waits for work of the engine's own threads.
    ///
    /// # Errors
    ///
    /// [`EngineError::Poisoned`]: a thread failed, the work will never be done.
    fn wait_until(&self, is_done: impl Fn(&Keyspace) -> bool) -> Result<(), EngineError> {
        while !self.keyspaces.iter().all(&is_done) {
            // Says whether the engine is poisoned; nothing else does.
            self.database
                .persist(PersistMode::Buffer)
                .map_err(|error| failure("waiting for the engine's threads", &error))?;
            std::thread::sleep(WAIT_STEP);
        }
        Ok(())
    }

    fn keyspace(&self, table: Table) -> Result<&Keyspace, EngineError> {
        keyspace(&self.keyspaces, table)
    }
}

fn keyspace(keyspaces: &[Keyspace], table: Table) -> Result<&Keyspace, EngineError> {
    keyspaces
        .get(table.index())
        .ok_or_else(|| EngineError::Corrupt(format!("table {} is missing", table.name())))
}

fn keyspace_options(table: Table, blocks: Blocks) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default();
    let options = match blocks {
        Blocks::Plain => options.data_block_compression_policy(CompressionPolicy::disabled()),
        Blocks::Compressed => options,
    };
    match table {
        Table::Records | Table::History => {
            let separation = KvSeparationOptions::default()
                .separation_threshold(SEPARATED_BYTES_MIN)
                .compression(CompressionType::None);
            options.max_memtable_size(MEMTABLE_BYTES_PAYLOAD).with_kv_separation(Some(separation))
        }
        Table::Log | Table::ByTime | Table::Expiry | Table::Tombstones => options
            .max_memtable_size(MEMTABLE_BYTES_INDEX)
            // Only scanned, never asked for one key.
            .filter_policy(FilterPolicy::disabled()),
        Table::Node | Table::Vectors | Table::Cursors | Table::Parked | Table::Tree => {
            options.max_memtable_size(1024 * 1024).filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
                BloomConstructionPolicy::BitsPerKey(10.0),
            )))
        }
    }
}

impl Engine for DiskEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.keyspace(table)?.get(key).map_err(|error| failure("reading a row", &error))?;
        Ok(value.map(Bytes::from))
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(DiskSnapshot { snapshot: self.database.snapshot(), keyspaces: self.keyspaces.clone() })
    }

    fn commit(&self, batch: Batch, sync: Sync) -> Result<(), EngineError> {
        let mut merged = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), batch.changes.len());
        for change in batch.changes {
            let keyspace = self.keyspace(change.table)?;
            match change.value {
                Some(value) => merged.insert(keyspace, change.key, value),
                None => merged.remove(keyspace, change.key),
            }
        }
        self.wait_until(|keyspace| {
            keyspace.tree.sealed_memtable_count() < FULL_MEMTABLES_MAX
                && keyspace.tree.l0_run_count() < YOUNGEST_RUNS_MAX
        })?;
        let mode = match sync {
            Sync::Disk => PersistMode::SyncData,
            Sync::System => PersistMode::Buffer,
        };
        merged.durability(Some(mode)).commit().map_err(|error| failure("committing a batch", &error))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncData).map_err(|error| failure("syncing the journal", &error))
    }

    fn flush(&self) -> Result<(), EngineError> {
        for keyspace in &self.keyspaces {
            keyspace.rotate_memtable().map_err(|error| failure("flushing a table", &error))?;
        }
        self.wait_until(|keyspace| keyspace.tree.sealed_memtable_count() == 0)
    }

    fn ingest(&self, table: Table, rows: SortedRows<'_>) -> Result<(), EngineError> {
        let ingesting = |error: &fjall::Error| failure("ingesting rows", error);
        let mut ingestion = self.keyspace(table)?.start_ingestion().map_err(|error| ingesting(&error))?;
        for (key, value) in rows {
            ingestion.write(key, value).map_err(|error| ingesting(&error))?;
        }
        ingestion.finish().map_err(|error| ingesting(&error))
    }

    fn stats(&self) -> EngineStats {
        EngineStats { disk_bytes: self.database.disk_space().unwrap_or_default() }
    }
}

struct DiskSnapshot {
    snapshot: fjall::Snapshot,
    keyspaces: Vec<Keyspace>,
}

impl Snapshot for DiskSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let keyspace = keyspace(&self.keyspaces, table)?;
        let value = self.snapshot.get(keyspace, key).map_err(|error| failure("reading a row", &error))?;
        Ok(value.map(Bytes::from))
    }

    fn range(&self, table: Table, range: KeyRange, order: Order) -> Rows<'_> {
        if !is_possible(&range) {
            return Box::new(std::iter::empty());
        }
        let keyspace = match keyspace(&self.keyspaces, table) {
            Ok(keyspace) => keyspace,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let rows = self.snapshot.range(keyspace, range);
        let read = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(|error| failure("reading a range", &error))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        };
        match order {
            Order::Ascending => Box::new(rows.map(read)),
            Order::Descending => Box::new(rows.rev().map(read)),
        }
    }
}

fn failure(operation: &'static str, error: &fjall::Error) -> EngineError {
    match error {
        fjall::Error::Locked => EngineError::Locked,
        fjall::Error::Poisoned => EngineError::Poisoned,
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::Unrecoverable => EngineError::Corrupt(error.to_string()),
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => io_failure(operation, io),
        other => EngineError::Io { operation, reason: other.to_string() },
    }
}

fn io_failure(operation: &'static str, error: &std::io::Error) -> EngineError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => EngineError::Full,
        _ => EngineError::Io { operation, reason: error.to_string() },
    }
}
