//! A row of `records`: the current record and what only this node knows about it; and a row of `history`.
//!
//! | offset | bytes | field of a row of `records` |
//! | --- | --- | --- |
//! | 0 | 8 | local sequence number of the last change; its highest bit says that the ship mark follows |
//! | 8 | 8 | next revision |
//! | 16 | 4 | revisions kept |
//! | 20 | 0 or 12 | ship mark: epoch (4), seq (8) |
//! | 20 or 32 | n | record |
//!
//! | offset | bytes | field of a row of `history` |
//! | --- | --- | --- |
//! | 0 | 16 | uuid of the version that superseded this one |
//! | 16 | 1 | rule that decided; its highest bit says that the version lost when it came and never was current |
//! | 17 | n | record |

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::record::{Kind, Record};
use kvs_core::record_codec;
use kvs_core::version::Rule;
use uuid::Uuid;

use crate::error::StoreError;
use crate::keys::{dot_key, log_key, log_value, record_key, time_key};
use crate::observer::Key;
pub use crate::ship_mark::ShipMark;
use crate::table::Table;

const ROW_PREFIX_BYTES: usize = 20;
const SHIP_MARK_BYTES: usize = 12;
/// Set in the local sequence number of a row that holds a ship mark.
const SHIPS_BIT: u64 = 1 << 63;
const REVISION_PREFIX_BYTES: usize = 17;
/// Set in the rule of a version that lost when it came.
const LATECOMER_BIT: u8 = 0x80;

/// The revisions of a key that `history` holds: the last `kept` numbers before `next`.
///
/// Numbers instead of versions, so that dropping the oldest is a delete of one known key and never a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revisions {
    /// The number that the next revision gets.
    pub next: u64,
    /// How many are kept.
    pub kept: u32,
}

impl Revisions {
    /// The oldest number kept; `next` when none is.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.next.saturating_sub(self.kept as u64)
    }
}

/// The current record of a key as this node holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The number of the key's last change in this node's log, from 1 and below 2^63.
    pub local_seq: u64,
    /// Whether this node sends the row to its peers, and for which write.
    pub ships: Option<ShipMark>,
    /// What `history` holds of the key.
    pub revisions: Revisions,
    /// The record.
    pub record: Record,
}

impl Row {
    /// The stored bytes under this key.
    #[must_use]
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let prefix_bytes = ROW_PREFIX_BYTES + SHIP_MARK_BYTES;
        let mut out = Vec::with_capacity(prefix_bytes + record_codec::encoded_len(&self.record));
        let ships_bit = if self.ships.is_some() { SHIPS_BIT } else { 0 };
        out.extend_from_slice(&(self.local_seq | ships_bit).to_be_bytes());
        out.extend_from_slice(&self.revisions.next.to_be_bytes());
        out.extend_from_slice(&self.revisions.kept.to_be_bytes());
        if let Some(mark) = self.ships {
            out.extend_from_slice(&mark.epoch.to_be_bytes());
            out.extend_from_slice(&mark.seq.to_be_bytes());
        }
        record_codec::encode_into(key.namespace, &key.path, &self.record, &mut out);
        out
    }

    /// Reads the row under this key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`].
    pub fn decode(key: &Key, bytes: &Bytes) -> Result<Self, StoreError> {
        let corrupt = |reason: &str| {
            StoreError::corrupt(Table::Records.name(), &record_key(key.namespace, &key.path), reason)
        };
        let mut cursor = Cursor::new(bytes);
        let (Ok(local_seq), Ok(next), Ok(kept)) = (cursor.u64(), cursor.u64(), cursor.u32()) else {
            return Err(corrupt("it ends early"));
        };
        let mut ships = None;
        if local_seq & SHIPS_BIT != 0 {
            let (Ok(epoch), Ok(seq)) = (cursor.u32(), cursor.u64()) else {
                return Err(corrupt("it ends early"));
            };
            ships = Some(ShipMark { epoch, seq });
        }
        let record = bytes.slice(bytes.len() - cursor.rest().len()..);
        let record = record_codec::decode(key.namespace, &key.path, &record)
            .map_err(|error| corrupt(&error.to_string()))?;
        Ok(Self { local_seq: local_seq & !SHIPS_BIT, ships, revisions: Revisions { next, kept }, record })
    }

    /// The encoded record within the stored bytes of a row, undecoded; `None` when they end early.
    #[must_use]
    pub fn record_bytes(stored: &Bytes) -> Option<Bytes> {
        let has_mark = stored.first()? & 0x80 != 0;
        let prefix_bytes = ROW_PREFIX_BYTES + if has_mark { SHIP_MARK_BYTES } else { 0 };
        (prefix_bytes <= stored.len()).then(|| stored.slice(prefix_bytes..))
    }

    /// Every row of the other tables that follows from this one, in no order.
    ///
    /// The commit writes the difference between two of these lists, and the check compares tables with them: there is
    /// no second place that knows what an index holds.
    #[must_use]
    pub fn index_rows(&self, key: &Key) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        let (namespace, path) = (key.namespace, &key.path);
        let record = &self.record;
        let stamp_ms = record.version.stamp.ms;
        let mut rows = Vec::with_capacity(3);
        rows.push((Table::Log, log_key(self.local_seq), log_value(self.ships, namespace, path)));
        rows.push((Table::ByTime, time_key(stamp_ms, namespace, path), Vec::new()));
        match record.kind {
            // A placeholder is forgotten as a value expires.
            Kind::Value | Kind::Dropped | Kind::Voided if record.expires_at_ms != 0 => {
                rows.push((Table::Expiry, time_key(record.expires_at_ms, namespace, path), Vec::new()));
            }
            Kind::Value | Kind::Dropped | Kind::Voided => {}
            Kind::Tombstone | Kind::Expired => {
                // The grace of an expired value counts from its expiry, however long it lived.
                let since_ms =
                    if record.kind == Kind::Expired { stamp_ms.max(record.expires_at_ms) } else { stamp_ms };
                rows.push((Table::Tombstones, dot_key(&record.dot), time_key(since_ms, namespace, path)));
            }
        }
        rows
    }
}

/// A version that lost, as `history` holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    /// The version it lost to.
    pub superseded_by: Uuid,
    /// The rule that decided.
    pub rule: Rule,
    /// Whether it lost when it came, instead of having been current before.
    pub is_latecomer: bool,
    /// The version.
    pub record: Record,
}

impl RevisionRow {
    /// The stored bytes under this key.
    #[must_use]
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let mut out = Vec::with_capacity(REVISION_PREFIX_BYTES + record_codec::encoded_len(&self.record));
        out.extend_from_slice(self.superseded_by.as_bytes());
        out.push(self.rule.number() | if self.is_latecomer { LATECOMER_BIT } else { 0 });
        record_codec::encode_into(key.namespace, &key.path, &self.record, &mut out);
        out
    }

    /// Reads the row of this key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`].
    pub fn decode(key: &Key, bytes: &Bytes) -> Result<Self, StoreError> {
        let corrupt = |reason: &str| {
            StoreError::corrupt(Table::History.name(), &record_key(key.namespace, &key.path), reason)
        };
        let mut cursor = Cursor::new(bytes);
        let (Ok(superseded_by), Ok(rule)) = (cursor.uuid(), cursor.u8()) else {
            return Err(corrupt("it ends early"));
        };
        let is_latecomer = rule & LATECOMER_BIT != 0;
        let rule = Rule::from_number(rule & !LATECOMER_BIT).ok_or_else(|| corrupt("its rule is unknown"))?;
        let record = bytes.slice(REVISION_PREFIX_BYTES..);
        let record = record_codec::decode(key.namespace, &key.path, &record)
            .map_err(|error| corrupt(&error.to_string()))?;
        Ok(Self { superseded_by, rule, is_latecomer, record })
    }
}
