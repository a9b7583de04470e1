//! Parked records: received, and stamped too far ahead of this node's clock to be taken yet.
//!
//! Each has two rows. One is found by its stamp, so that those which have come into range are the first ones; the other by
//! its key, so that it can be told whether a version of a key waits.
//!
//! | key | value |
//! | --- | --- |
//! | stamp in ms (8), dot (28 or 32) | namespace number (1), path: length (2) and bytes, record |
//! | 0xff, namespace number, path, 0x00, dot (28 or 32) | for each log that it came in: the sender's uuid (16) and a vector |
//!
//! In a log a record stands for older versions of its key too, which whoever parks it never gets. So a record that came in the
//! stream of a peer's log remembers how far that log was received before: only that much of it is held until the record is
//! admitted, and only that much was ever received should it be recalled. It may stand for writes of several nodes, in the log of
//! each, and come in another way before it comes in a log.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::record::{Kind, Record};
use kvs_core::record_codec;
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::engine::contract::{Order, Snapshot};
use crate::error::StoreError;
use crate::keys::{dot_key, parked_key, record_key};
use crate::observer::Key;
use crate::read::view::View;
use crate::table::Table;

/// First byte of the rows that are found by a key. No stamp begins with it for half a billion years.
const BY_KEY: u8 = 0xff;

/// A bound behind all rows that are found by a stamp.
#[must_use]
pub fn stamps_end() -> Bound<Vec<u8>> {
    Bound::Excluded(vec![BY_KEY])
}

/// What is parked of each origin, about: the lowest number, and the latest stamp in ms. What was taken away since is counted
/// until everything is counted again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParkedDots {
    dots: BTreeMap<Origin, (u64, u64)>,
    /// How far the logs that brought them are held.
    senders: BTreeMap<Uuid, Vector>,
}

/// The log in whose stream a record came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Whose log.
    pub(crate) sender: Uuid,
    /// What was received of its owner's writes before.
    pub(crate) received: Vector,
}

impl Stream {
    /// The value of a row that is found by a key.
    pub(crate) fn encode(streams: &[Self]) -> Vec<u8> {
        let mut out = Vec::new();
        for Self { sender, received } in streams {
            out.extend_from_slice(sender.as_bytes());
            received.encode_into(&mut out);
        }
        out
    }

    /// Reads such a value: nothing for a record that came in another way.
    pub(crate) fn decode(value: &[u8]) -> Vec<Self> {
        let mut cursor = Cursor::new(value);
        let mut streams = Vec::new();
        while let Ok(sender) = cursor.uuid() {
            let Ok(received) = Vector::decode(&mut cursor) else { break };
            streams.push(Self { sender, received });
        }
        streams
    }

    /// Notes among the streams of a record that it came in this one too; answers whether that says anything new. What was
    /// received the first time counts.
    pub(crate) fn join(self, streams: &mut Vec<Self>) -> bool {
        let Some(held) = streams.iter_mut().find(|held| held.sender == self.sender) else {
            streams.push(self);
            return true;
        };
        let met = held.received.meet(&self.received);
        let is_lower = met != held.received;
        held.received = met;
        is_lower
    }
}

impl ParkedDots {
    pub(crate) fn add(&mut self, dot: &Dot, stamp_ms: u64) {
        let (lowest, latest_ms) = self.dots.entry(dot.origin).or_insert((dot.seq, stamp_ms));
        (*lowest, *latest_ms) = (dot.seq.min(*lowest), stamp_ms.max(*latest_ms));
    }

    pub(crate) fn add_stream(&mut self, stream: &Stream) {
        let received = &stream.received;
        let held = self.senders.entry(stream.sender).or_insert_with(|| received.clone());
        *held = held.meet(received);
    }

    /// The lowest number of an origin.
    pub(crate) fn lowest(&self, origin: &Origin) -> Option<u64> {
        self.dots.get(origin).map(|(lowest, _)| *lowest)
    }

    /// Up to which number of an origin what was received is held; [`u64::MAX`] when nothing of it is parked.
    pub(crate) fn below(&self, origin: &Origin) -> u64 {
        let own = self.lowest(origin).map_or(u64::MAX, |lowest| lowest.saturating_sub(1));
        let sender = self.senders.get(&origin.node).map_or(u64::MAX, |received| received.seq(origin));
        own.min(sender)
    }

    /// The epochs of which something is parked, and the latest stamp of each, ms since 1970.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.dots.iter().map(|(origin, (_, latest_ms))| (origin, *latest_ms))
    }

    /// Lowers a vector to what of it is held.
    pub(crate) fn lower(&self, vector: &mut Vector) {
        for (origin, (lowest, _)) in &self.dots {
            vector.lower_to(*origin, lowest.saturating_sub(1));
        }
        for (sender, received) in &self.senders {
            vector.lower(*sender, received);
        }
    }

    /// Whether nothing is parked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dots.is_empty()
    }

    /// The epochs of a node of which something is parked, and the latest stamp of each, ms since 1970.
    pub fn epochs_of(&self, node: Uuid) -> impl Iterator<Item = (u64, u64)> {
        let of_node =
            self.dots.range(Origin { node, epoch: 0 }..).take_while(move |(origin, _)| origin.node == node);
        of_node.map(|(origin, (_, latest_ms))| (origin.epoch, *latest_ms))
    }
}

/// The key of a record's row.
#[must_use]
pub(crate) fn row_key(record: &Record) -> Vec<u8> {
    parked_key(due_ms(record), &record.dot)
}

/// The key of the row of the other state of a record with a lifetime: a value, and what is left when it has expired, are one
/// version with one dot, so both can wait at once. They share the row that is found by the key.
#[must_use]
pub(crate) fn other_row_key(record: &Record) -> Option<Vec<u8>> {
    let kind = match record.kind {
        Kind::Value => Kind::Expired,
        Kind::Expired => Kind::Value,
        _ => return None,
    };
    let other_ms = due_of(kind, record);
    (other_ms != due_ms(record)).then(|| parked_key(other_ms, &record.dot))
}

/// The moment at which a record may be taken at the earliest, ms since 1970: what it is stamped, and of an expired value when it
/// expired.
#[must_use]
pub(crate) fn due_ms(record: &Record) -> u64 {
    due_of(record.kind, record)
}

fn due_of(kind: Kind, record: &Record) -> u64 {
    let expired_ms = if kind == Kind::Expired { record.expires_at_ms } else { 0 };
    record.version.stamp.ms.max(expired_ms)
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
        let (row_key, value) = row?;
        // The row of an expired value is found by its expiry, which says nothing of the clock that stamped it.
        let (_, record) = decode(&row_key, &value)?;
        dots.add(&record.dot, record.version.stamp.ms);
        count += 1;
    }
    let by_key = (Bound::Included(vec![BY_KEY]), Bound::Unbounded);
    for row in snapshot.range(Table::Parked, by_key, Order::Ascending) {
        for stream in Stream::decode(&row?.1) {
            dots.add_stream(&stream);
        }
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

/// The rows that are found by keys and that a directory from before there were any lacks.
///
/// # Errors
///
/// A row cannot be read.
pub(crate) fn missing_rows(snapshot: &dyn Snapshot) -> Result<Vec<Vec<u8>>, StoreError> {
    let by_key = (Bound::Included(vec![BY_KEY]), Bound::Unbounded);
    if snapshot.range(Table::Parked, by_key, Order::Ascending).next().is_some() {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for row in snapshot.range(Table::Parked, (Bound::Unbounded, stamps_end()), Order::Ascending) {
        let (row_key, value) = row?;
        let (key, record) = decode(&row_key, &value)?;
        missing.push(by_key_row(&key, &record.dot));
    }
    Ok(missing)
}
