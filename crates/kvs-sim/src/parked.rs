//! A store read from outside: all that it holds, and what it has parked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use kvs_core::item::{DigestKey, item};
use kvs_core::namespace::Namespace;
use kvs_core::origin::Dot;
use kvs_core::path::Path;
use kvs_core::record::Kind;
use kvs_core::sum_tree::sum::Sum;
use kvs_store::engine::contract::{Engine, Order};
use kvs_store::engine::device::Device;
use kvs_store::engine::memory::MemoryEngine;
use kvs_store::keys::{read_dot_key, read_record_key};
use kvs_store::observer::Key;
use kvs_store::parked::stamps_end;
use kvs_store::row::Row;
use kvs_store::store::Store;
use kvs_store::table::Table;

use crate::held::Held;
use crate::node::cluster_keys;

/// Everything that clients wrote, as it is held.
///
/// # Errors
///
/// A row that cannot be read.
pub fn all_keys(store: &Store) -> Result<BTreeMap<Key, Held>, String> {
    let view = store.view().map_err(|error| error.to_string())?;
    let mut keys = BTreeMap::new();
    for row in view.range(Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, value) = row.map_err(|error| error.to_string())?;
        let key = read_record_key(&row_key).ok_or("a key of a record cannot be read")?;
        if key.namespace != Namespace::Cluster {
            let row = Row::decode(&key, &value).map_err(|error| error.to_string())?;
            if !row.record.kind.is_placeholder() {
                keys.insert(key, Held::of(&row.record));
            }
        }
    }
    Ok(keys)
}

/// A version that is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedVersion {
    /// When it may be taken at the earliest, ms since 1970: what it is stamped, or when it expired.
    pub due_ms: u64,
    /// Who gave it which number.
    pub dot: Dot,
}

/// The parked versions, by key.
///
/// # Errors
///
/// A row that cannot be read.
pub fn versions(store: &Store) -> Result<BTreeMap<Key, Vec<ParkedVersion>>, String> {
    let mut versions: BTreeMap<Key, Vec<ParkedVersion>> = BTreeMap::new();
    if store.standing().parked == 0 {
        return Ok(versions);
    }
    let view = store.view().map_err(|error| error.to_string())?;
    for row in view.range(Table::Parked, (Bound::Unbounded, stamps_end()), Order::Ascending) {
        let (row_key, value) = row.map_err(|error| error.to_string())?;
        let due_ms = row_key.first_chunk::<8>().map(|ms| u64::from_be_bytes(*ms));
        let dot = row_key.get(8..).and_then(read_dot_key);
        let (Some(due_ms), Some(dot), Some(key)) = (due_ms, dot, parked_key(&value)) else {
            return Err("a parked row cannot be read".into());
        };
        versions.entry(key).or_default().push(ParkedVersion { due_ms, dot });
    }
    Ok(versions)
}

/// The key of a parked record.
fn parked_key(value: &[u8]) -> Option<Key> {
    let namespace = Namespace::from_number(*value.first()?)?;
    let len = usize::from(u16::from_be_bytes(value.get(1..3)?.try_into().ok()?));
    Some(Key { namespace, path: Path::from_stored(value.get(3..3 + len)?).ok()? })
}

/// What a directory has parked, whether or not a process runs on it: the milliseconds and the dot of each version.
#[must_use]
pub fn on_disk(device: &Device) -> BTreeSet<(u64, Dot)> {
    // A copy, as opening cuts a torn end off.
    let Some(device) = copy_of(device) else { return BTreeSet::new() };
    let snapshot = MemoryEngine::open(&device).snapshot();
    let rows = snapshot.range(Table::Parked, (Bound::Unbounded, stamps_end()), Order::Ascending);
    rows.filter_map(|row| {
        let (row_key, _) = row.ok()?;
        let ms = u64::from_be_bytes(*row_key.first_chunk::<8>()?);
        Some((ms, read_dot_key(row_key.get(8..)?)?))
    })
    .collect()
}

/// A copy of a directory as it is now.
#[must_use]
pub fn copy_of(device: &Device) -> Option<Device> {
    let copy = Device::new();
    copy.append(&device.read()).and_then(|()| copy.sync()).ok()?;
    Some(copy)
}

/// The sum of all items, from the records.
///
/// # Errors
///
/// A row that cannot be read.
pub fn rebuilt(store: &Store) -> Result<Sum, String> {
    let key = DigestKey::of(&cluster_keys());
    let view = store.view().map_err(|error| error.to_string())?;
    let mut sum = Sum::default();
    for row in view.range(Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, value) = row.map_err(|error| error.to_string())?;
        let at = read_record_key(&row_key).ok_or("a key of a record cannot be read")?;
        let row = Row::decode(&at, &value).map_err(|error| error.to_string())?;
        if row.record.kind == Kind::Value {
            sum = sum.plus(Sum::of(item(&key, at.namespace, &at.path, &row.record)));
        }
    }
    Ok(sum)
}
