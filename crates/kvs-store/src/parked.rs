//! Parked records: received, and stamped too far ahead of this node's clock to be taken yet.
//!
//! Each has two rows. One is found by its stamp, so that those which have come into range are the first ones; the other by
//! its key, so that it can be told whether a version of a key waits.
//!
//! | key | value |
//! | --- | --- |
//! | stamp in ms (8), dot (28 or 32) | namespace number (1), path: length (2) and bytes, record |
//! | 0xff, namespace number, path, 0x00, dot (28 or 32) | none |

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::record::Record;
use kvs_core::record_codec;
use uuid::Uuid;

use crate::engine::contract::{Batch, Order, Snapshot};
use crate::error::StoreError;
use crate::keys::{dot_key, parked_key, read_dot_key, record_key};
use crate::observer::Key;
use crate::read::view::View;
use crate::table::Table;

/// First byte of the rows that are found by a key. No stamp begins with it for half a billion years.
const BY_KEY: u8 = 0xff;

/// A bound behind all rows that are found by a stamp.
#[must_use]
pub(crate) fn stamps_end() -> Bound<Vec<u8>> {
    Bound::Excluded(vec![BY_KEY])
}

/// What is parked of each origin, about: the lowest number, and the latest stamp in ms. What was taken away since is counted
/// until everything is counted again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParkedDots(BTreeMap<Origin, (u64, u64)>);

impl ParkedDots {
    pub(crate) fn add(&mut self, dot: &Dot, stamp_ms: u64) {
        let (lowest, latest_ms) = self.0.entry(dot.origin).or_insert((dot.seq, stamp_ms));
        (*lowest, *latest_ms) = (dot.seq.min(*lowest), stamp_ms.max(*latest_ms));
    }

    /// The lowest number of an origin.
    pub(crate) fn lowest(&self, origin: &Origin) -> Option<u64> {
        self.0.get(origin).map(|(lowest, _)| *lowest)
    }

    /// Up to which number of an origin nothing is parked; [`u64::MAX`] when nothing of it is.
    pub(crate) fn below(&self, origin: &Origin) -> u64 {
        self.lowest(origin).map_or(u64::MAX, |lowest| lowest.saturating_sub(1))
    }

    /// Whether nothing is parked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The epochs of a node of which something is parked, and the latest stamp of each, ms since 1970.
    pub fn epochs_of(&self, node: Uuid) -> impl Iterator<Item = (u64, u64)> {
        let of_node = self.0.range(Origin { node, epoch: 0 }..).take_while(move |(origin, _)| origin.node == node);
        of_node.map(|(origin, (_, latest_ms))| (origin.epoch, *latest_ms))
    }
}

/// The key of a record's row.
#[must_use]
pub(crate) fn row_key(record: &Record) -> Vec<u8> {
    parked_key(record.version.stamp.ms, &record.dot)
}

/// What the rows of this key that are found by it begin with.
#[must_use]
pub(crate) fn by_key_prefix(key: &Key) -> Vec<u8> {
    let mut prefix = vec![BY_KEY];
    prefix.extend(record_key(key.namespace, &key.path));
    prefix.push(0);
    prefix
}

/// The row of a record that is found by its key.
#[must_use]
pub(crate) fn by_key_row(key: &Key, dot: &Dot) -> Vec<u8> {
    let mut row_key = by_key_prefix(key);
    row_key.extend(dot_key(dot));
    row_key
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

/// How many records are parked, and which numbers they have.
///
/// # Errors
///
/// A row cannot be read.
pub(crate) fn summary(snapshot: &dyn Snapshot) -> Result<(u64, ParkedDots), StoreError> {
    let (mut count, mut dots) = (0, ParkedDots::default());
    for row in snapshot.range(Table::Parked, (Bound::Unbounded, stamps_end()), Order::Ascending) {
        let (row_key, _) = row?;
        let corrupt = || StoreError::corrupt(Table::Parked.name(), &row_key, "it cannot be read");
        let (stamp_ms, dot) = row_key.split_first_chunk::<8>().ok_or_else(corrupt)?;
        let dot = read_dot_key(dot).ok_or_else(corrupt)?;
        dots.add(&dot, u64::from_be_bytes(*stamp_ms));
        count += 1;
    }
    Ok((count, dots))
}

/// The parked records behind a row, the earliest stamps first.
///
/// # Errors
///
/// A row cannot be read.
pub fn page(
    view: &View,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Key, Record)>, StoreError> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = Vec::new();
    for row in view.range(Table::Parked, (from, stamps_end()), Order::Ascending).take(limit) {
        let (row_key, value) = row?;
        let (key, record) = decode(&row_key, &value)?;
        page.push((row_key.to_vec(), key, record));
    }
    Ok(page)
}

/// Adds the rows that are found by keys to a directory from before there were any.
///
/// # Errors
///
/// A row cannot be read.
pub(crate) fn put_missing_rows(snapshot: &dyn Snapshot, batch: &mut Batch) -> Result<(), StoreError> {
    let by_key = (Bound::Included(vec![BY_KEY]), Bound::Unbounded);
    if snapshot.range(Table::Parked, by_key, Order::Ascending).next().is_some() {
        return Ok(());
    }
    for row in snapshot.range(Table::Parked, (Bound::Unbounded, stamps_end()), Order::Ascending) {
        let (row_key, value) = row?;
        let (key, record) = decode(&row_key, &value)?;
        batch.put(Table::Parked, by_key_row(&key, &record.dot), Vec::new());
    }
    Ok(())
}
