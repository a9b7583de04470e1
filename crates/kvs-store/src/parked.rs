//! Parked records: received, and stamped too far ahead of this node's clock to be taken yet.
//!
//! A row is found by its stamp, so that those which have come into range are the first ones.
//!
//! | bytes | field of a value |
//! | --- | --- |
//! | 1 | namespace number |
//! | 2 + n | path: length, bytes |
//! | rest | record |

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::namespace::Namespace;
use kvs_core::origin::Origin;
use kvs_core::path::Path;
use kvs_core::record::Record;
use kvs_core::record_codec;
use kvs_core::vector::Vector;

use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{parked_key, read_dot_key};
use crate::observer::Key;
use crate::read::view::View;
use crate::table::Table;

/// The key of a record's row.
#[must_use]
pub(crate) fn row_key(record: &Record) -> Vec<u8> {
    parked_key(record.version.stamp.ms, &record.dot)
}

/// The value of a record's row.
#[must_use]
pub(crate) fn encode(key: &Key, record: &Record) -> Vec<u8> {
    let path = key.path.as_bytes();
    let mut out = Vec::with_capacity(3 + path.len() + record_codec::encoded_len(record));
    out.push(key.namespace.number());
    // A path is at most 1,024 bytes.
    out.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(path);
    record_codec::encode_into(key.namespace, &key.path, record, &mut out);
    out
}

/// Reads a row.
///
/// # Errors
///
/// [`StoreError::Corrupt`].
pub(crate) fn decode(row_key: &[u8], value: &Bytes) -> Result<(Key, Record), StoreError> {
    let corrupt = |reason: String| StoreError::corrupt(Table::Parked.name(), row_key, reason);
    let mut cursor = Cursor::new(value);
    let mut head = || {
        let namespace = Namespace::from_number(cursor.u8().ok()?)?;
        let path_len = cursor.u16().ok()?;
        let path = Path::from_stored(cursor.take(usize::from(path_len)).ok()?).ok()?;
        Some(Key { namespace, path })
    };
    let key = head().ok_or_else(|| corrupt("its key cannot be read".into()))?;
    let record = value.slice(value.len() - cursor.rest().len()..);
    let record = record_codec::decode(key.namespace, &key.path, &record)
        .map_err(|error| corrupt(error.to_string()))?;
    Ok((key, record))
}

/// A vector without the writes that are parked, and without those behind them.
///
/// # Errors
///
/// A row cannot be read.
pub(crate) fn held(vector: &Vector, view: &View) -> Result<Vector, StoreError> {
    let mut lowest: BTreeMap<Origin, u64> = BTreeMap::new();
    for row in view.range(Table::Parked, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, _) = row?;
        let dot = row_key
            .get(8..)
            .and_then(read_dot_key)
            .ok_or_else(|| StoreError::corrupt(Table::Parked.name(), &row_key, "it cannot be read"))?;
        let seq = lowest.entry(dot.origin).or_insert(dot.seq);
        *seq = dot.seq.min(*seq);
    }
    let below = |(origin, seq): (&Origin, u64)| {
        let parked = lowest.get(origin).map_or(u64::MAX, |seq| seq.saturating_sub(1));
        (*origin, seq.min(parked))
    };
    Ok(vector.iter().map(below).collect())
}
