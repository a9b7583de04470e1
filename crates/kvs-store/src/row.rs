//! A row of `records`: the current record and what only this node knows about it; and a row of `history`.
//!
//! | offset | bytes | field of a row of `records` |
//! | --- | --- | --- |
//! | 0 | 8 | local sequence number of the last change; bit 63 says that the ship mark follows, bit 62 that its epoch is long |
//! | 8 | 8 | next revision |
//! | 16 | 4 | revisions kept |
//! | 20 | 0, 12 or 16 | ship mark: epoch (4 or 8), seq (8) |
//! | | n | record |
//!
//! | offset | bytes | field of a row of `history` |
//! | --- | --- | --- |
//! | 0 | 16 | uuid of the version that superseded this one |
//! | 16 | 1 | rule that decided; its highest bit says that the version lost when it came and never was current |
//! | 17 | n | record |

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::origin::{EpochWidth, push_epoch};
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
const SHIP_MARK_BYTES_MAX: usize = 16;
/// Set in the local sequence number of a row that holds a ship mark.
const SHIPS_BIT: u64 = 1 << 63;
/// Set beside it when the mark's epoch takes eight bytes.
const LONG_BIT: u64 = 1 << 62;
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
    /// The number of the key's last change in this node's log, from 1 and below 2^62.
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
        let prefix_bytes = ROW_PREFIX_BYTES + SHIP_MARK_BYTES_MAX;
        let mut out = Vec::with_capacity(prefix_bytes + record_codec::encoded_len(&self.record));
        let bits = match self.ships.map(|mark| EpochWidth::of(mark.epoch)) {
            None => 0,
            Some(EpochWidth::Short) => SHIPS_BIT,
            Some(EpochWidth::Long) => SHIPS_BIT | LONG_BIT,
        };
        out.extend_from_slice(&(self.local_seq | bits).to_be_bytes());
        out.extend_from_slice(&self.revisions.next.to_be_bytes());
        out.extend_from_slice(&self.revisions.kept.to_be_bytes());
        if let Some(mark) = self.ships {
            push_epoch(mark.epoch, &mut out);
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
        if local_seq & (SHIPS_BIT | LONG_BIT) == LONG_BIT {
            return Err(corrupt("it has the width of a ship mark and none"));
        }
        let mut ships = None;
        if let Some(width) = mark_width(local_seq) {
            let (Some(epoch), Ok(seq)) = (width.take(&mut cursor), cursor.u64()) else {
                return Err(corrupt("its ship mark cannot be read"));
            };
            ships = Some(ShipMark { epoch, seq });
        }
        let record = bytes.slice(bytes.len() - cursor.rest().len()..);
        let record = record_codec::decode(key.namespace, &key.path, &record)
            .map_err(|error| corrupt(&error.to_string()))?;
        Ok(Self {
            local_seq: local_seq & !(SHIPS_BIT | LONG_BIT),
            ships,
            revisions: Revisions { next, kept },
            record,
        })
    }

    /// The encoded record within the stored bytes of a row, undecoded; `None` when they end early.
    #[must_use]
    pub fn record_bytes(stored: &Bytes) -> Option<Bytes> {
        let width = mark_width(stored.first_chunk().copied().map(u64::from_be_bytes)?);
        let prefix_bytes = ROW_PREFIX_BYTES + width.map_or(0, |width| width.bytes() + 8);
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

/// The width of the epoch in the ship mark of a row that begins with this; `None` when it has no mark.
const fn mark_width(local_seq: u64) -> Option<EpochWidth> {
    match (local_seq & SHIPS_BIT != 0, local_seq & LONG_BIT != 0) {
        (false, _) => None,
        (true, false) => Some(EpochWidth::Short),
        (true, true) => Some(EpochWidth::Long),
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

#[cfg(test)]
mod tests {
    use super::{Revisions, Row, ShipMark};
    use crate::observer::Key;
    use bytes::Bytes;
    use kvs_core::digest::ContentDigest;
    use kvs_core::namespace::Namespace;
    use kvs_core::origin::{Dot, Origin};
    use kvs_core::path::Path;
    use kvs_core::record::{Kind, Payload, Principal, Record};
    use kvs_core::record_codec;
    use kvs_core::stamp::Stamp;
    use kvs_core::version::Version;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    fn key() -> Key {
        Key { namespace: Namespace::Data, path: Path::parse("a/b").unwrap() }
    }

    fn row(epoch: u64, ships: Option<ShipMark>) -> Row {
        let origin = Origin { node: Uuid::from_u128(1), epoch };
        let record = Record {
            version: Version { stamp: Stamp::at(9), origin_joined_ms: 1, uuid: Uuid::from_u128(2) },
            dot: Dot { origin, seq: 3 },
            kind: Kind::Value,
            expires_at_ms: 0,
            author: Principal::nobody(),
            owner: Principal::nobody(),
            digest: ContentDigest::of(b"1"),
            payload: Payload::Raw(Bytes::from_static(b"1")),
        };
        Row { local_seq: 5, ships, revisions: Revisions { next: 2, kept: 1 }, record }
    }

    #[test]
    fn a_row_from_before_epochs_were_long_still_reads() {
        let row = row(4, Some(ShipMark { epoch: 4, seq: 3 }));
        let record = record_codec::encode(key().namespace, &key().path, &row.record);
        let old = [
            &[0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1][..],
            &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3],
            &record,
        ]
        .concat();
        assert_eq!(row.encode(&key()), old);
        assert_eq!(Row::decode(&key(), &old.into()).unwrap(), row);
    }

    proptest! {
        #[test]
        fn rows_read_back(epoch in any::<u64>(), short in any::<u32>(), of in 0..3_u8) {
            let ships = match of {
                0 => None,
                1 => Some(ShipMark { epoch: short.into(), seq: 7 }),
                _ => Some(ShipMark { epoch, seq: 7 }),
            };
            let row = row(epoch, ships);
            let bytes = Bytes::from(row.encode(&key()));
            let record = record_codec::encode(key().namespace, &key().path, &row.record);
            assert_eq!(Row::record_bytes(&bytes).unwrap(), record);
            assert_eq!(Row::decode(&key(), &bytes).unwrap(), row);
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            drop(Row::record_bytes(&bytes));
            assert!(Row::decode(&key(), &bytes).is_err());
        }
    }
}
