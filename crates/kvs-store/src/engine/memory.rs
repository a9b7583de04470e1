//! The engine in memory: the contract of the disk engine on a device that crashes, tears and fails on demand.
//!
//! Every batch is a frame in the device's one file: length, checksum, changes. Opening replays the frames up to the
//! first that is not whole. Deterministic: no clock, no threads, no randomness.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};

use crate::engine::contract::{
    Batch, Change, Engine, EngineError, EngineStats, KeyRange, Order, Rows, Snapshot, SortedRows, Sync,
    is_possible,
};
use crate::engine::device::{Device, DeviceError};
use crate::table::Table;

type Tables = [BTreeMap<Bytes, Bytes>; Table::ALL.len()];

const FRAME_HEAD_BYTES: usize = 8;

struct State {
    tables: Arc<Tables>,
    poisoned: bool,
}

/// The engine in memory.
pub struct MemoryEngine {
    device: Device,
    state: RwLock<State>,
}

impl MemoryEngine {
    /// Opens what the device holds; a torn tail is cut off.
    #[must_use]
    pub fn open(device: &Device) -> Self {
        let bytes = device.read();
        let mut tables = Tables::default();
        let mut cursor = Cursor::new(&bytes);
        let mut whole_len = 0;
        while let Some(changes) = read_frame(&mut cursor) {
            apply(&mut tables, changes);
            whole_len = bytes.len() - cursor.rest().len();
        }
        device.truncate(whole_len);
        Self {
            device: device.clone(),
            state: RwLock::new(State { tables: Arc::new(tables), poisoned: false }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, changes: Vec<Change>, sync: Sync) -> Result<(), EngineError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.poisoned |= self.device.fails_in_background();
        if state.poisoned {
            return Err(EngineError::Poisoned);
        }
        let written = self.device.append(&frame(&changes)).and_then(|()| match sync {
            Sync::Disk => self.device.sync(),
            Sync::System => Ok(()),
        });
        if let Err(error) = written {
            // As on a real disk: nobody knows what an interrupted write left, so no further one may follow it.
            state.poisoned = true;
            return Err(failure(error));
        }
        apply(Arc::make_mut(&mut state.tables), changes);
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(rows_of(&self.read().tables, table).get(key).cloned())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(MemorySnapshot { tables: Arc::clone(&self.read().tables) })
    }

    fn commit(&self, batch: Batch, sync: Sync) -> Result<(), EngineError> {
        if batch.changes.is_empty() {
            return Ok(());
        }
        self.write(batch.changes, sync)
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.poisoned {
            return Err(EngineError::Poisoned);
        }
        self.device.sync().map_err(|error| {
            state.poisoned = true;
            failure(error)
        })
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.sync()
    }

    fn ingest(&self, table: Table, rows: SortedRows<'_>) -> Result<(), EngineError> {
        let changes = rows.map(|(key, value)| Change { table, key, value: Some(value) }).collect();
        self.write(changes, Sync::Disk)
    }

    fn stats(&self) -> EngineStats {
        EngineStats { disk_bytes: self.device.len() as u64 }
    }
}

struct MemorySnapshot {
    tables: Arc<Tables>,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(rows_of(&self.tables, table).get(key).cloned())
    }

    fn range(&self, table: Table, range: KeyRange, order: Order) -> Rows<'_> {
        if !is_possible(&range) {
            return Box::new(std::iter::empty());
        }
        let range = (range.0.map(Bytes::from), range.1.map(Bytes::from));
        let rows =
            rows_of(&self.tables, table).range(range).map(|(key, value)| Ok((key.clone(), value.clone())));
        match order {
            Order::Ascending => Box::new(rows),
            Order::Descending => Box::new(rows.rev()),
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "the array has one place for each table, checked by its type")]
fn rows_of(tables: &Tables, table: Table) -> &BTreeMap<Bytes, Bytes> {
    &tables[table.index()]
}

#[expect(clippy::indexing_slicing, reason = "the array has one place for each table, checked by its type")]
fn apply(tables: &mut Tables, changes: Vec<Change>) {
    for Change { table, key, value } in changes {
        let rows = &mut tables[table.index()];
        match value {
            Some(value) => drop(rows.insert(key.into(), value.into())),
            None => drop(rows.remove(key.as_slice())),
        }
    }
}

fn failure(error: DeviceError) -> EngineError {
    match error {
        DeviceError::Full => EngineError::Full,
        DeviceError::SyncFailed => {
            EngineError::Io { operation: "syncing the device", reason: "as told".into() }
        }
    }
}

fn frame(changes: &[Change]) -> Vec<u8> {
    let mut body = Vec::new();
    for Change { table, key, value } in changes {
        body.push(u8::try_from(table.index()).unwrap_or(u8::MAX));
        push_bytes(&mut body, key);
        body.push(u8::from(value.is_some()));
        push_bytes(&mut body, value.as_deref().unwrap_or_default());
    }
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + body.len());
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The next whole frame; `None` at the end, be it clean or torn.
fn read_frame(cursor: &mut Cursor<'_>) -> Option<Vec<Change>> {
    let len = cursor.u32().ok()? as usize;
    let sum = cursor.u32().ok()?;
    let body = cursor.take(len).ok()?;
    if crc32fast::hash(body) != sum {
        return None;
    }
    read_changes(body).ok()
}

fn read_changes(body: &[u8]) -> Result<Vec<Change>, EndsEarly> {
    let mut cursor = Cursor::new(body);
    let mut changes = Vec::new();
    while !cursor.rest().is_empty() {
        let table = *Table::ALL.get(usize::from(cursor.u8()?)).ok_or(EndsEarly)?;
        let key_len = cursor.u32()? as usize;
        let key = cursor.take(key_len)?.to_vec();
        let present = cursor.u8()? == 1;
        let value_len = cursor.u32()? as usize;
        let value = cursor.take(value_len)?;
        changes.push(Change { table, key, value: present.then(|| value.to_vec()) });
    }
    Ok(changes)
}
