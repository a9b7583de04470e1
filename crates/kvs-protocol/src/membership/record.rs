//! What a node says of itself, and what the list says of a node.
//!
//! A record is written by its node alone; others pass it on unchanged, and the greater `(generation, revision)` wins.
//! What others observe (suspicion, death, being forgotten) stands beside it in the list's row, never in it.
//!
//! A record:
//!
//! | bytes | field |
//! | --- | --- |
//! | 16 | node uuid |
//! | 4 | generation |
//! | 4 | revision |
//! | 8 | process nonce |
//! | 8 | join time, ms since 1970; all ones before admission |
//! | 1 | mode |
//! | 1 | flags: bit 0 it has left; the others are 0 |
//! | 1 + n | node id: length, UTF-8 without control characters |
//! | 1 + n | address: the same |
//!
//! A row of the list: the record, then
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | rejoins of its life |
//! | 2 | incarnation |
//! | 1 | standing: 0 unknown, 1 alive, 2 suspect, 3 down; bit 7 forgotten |
//! | 4 | age: seconds since somebody heard of it |
//!
//! A list: 2 bytes number of rows, at most `MEMBERS_MAX`, then the rows.

use std::sync::Arc;

use kvs_core::cursor::Cursor;
use uuid::Uuid;

use crate::membership::life::Life;
use crate::membership::settings::{MEMBERS_MAX, MembershipSettings};
use crate::membership::wire::{WireError, put_text, take_text};
use crate::mode::Mode;

const FLAG_LEFT: u8 = 1;
const BIT_FORGOTTEN: u8 = 0x80;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) node: Uuid,
    pub(crate) generation: u32,
    pub(crate) revision: u32,
    pub(crate) nonce: u64,
    pub(crate) joined_ms: u64,
    pub(crate) mode: Mode,
    pub(crate) has_left: bool,
    pub(crate) node_id: String,
    pub(crate) address: String,
}

impl Record {
    /// What a process says of itself at first.
    pub(crate) fn first(settings: &MembershipSettings) -> Self {
        Self {
            node: settings.node,
            generation: settings.generation,
            revision: 1,
            nonce: settings.process_nonce,
            joined_ms: settings.joined_ms,
            mode: settings.mode,
            has_left: false,
            node_id: settings.node_id.clone(),
            address: settings.address.clone(),
        }
    }

    /// The greater wins. The nonce only keeps the order total if two processes ever share a generation.
    pub(crate) const fn order(&self) -> (u32, u32, u64) {
        (self.generation, self.revision, self.nonce)
    }

    /// Its name and address: what an operator knows it by.
    pub(crate) fn place(&self) -> (&str, &str) {
        (&self.node_id, &self.address)
    }

    /// When it joined; nodes that joined together are ordered by uuid, so one of two is always the newcomer.
    pub(crate) const fn seniority(&self) -> (u64, Uuid) {
        (self.joined_ms, self.node)
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.node.as_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out.extend_from_slice(&self.joined_ms.to_be_bytes());
        out.push(self.mode.number());
        out.push(if self.has_left { FLAG_LEFT } else { 0 });
        put_text(&self.node_id, out);
        put_text(&self.address, out);
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let node = cursor.uuid()?;
        let (generation, revision) = (cursor.u32()?, cursor.u32()?);
        let (nonce, joined_ms) = (cursor.u64()?, cursor.u64()?);
        let mode = Mode::from_number(cursor.u8()?).ok_or(WireError::Field("mode"))?;
        let flags = cursor.u8()?;
        if flags & !FLAG_LEFT != 0 {
            return Err(WireError::Field("flags"));
        }
        let node_id = take_text(cursor, "node id")?;
        let address = take_text(cursor, "address")?;
        let has_left = flags & FLAG_LEFT != 0;
        Ok(Self { node, generation, revision, nonce, joined_ms, mode, has_left, node_id, address })
    }
}

/// What was observed of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Unknown = 0,
    Alive = 1,
    Suspect = 2,
    Down = 3,
}

impl Standing {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Unknown),
            1 => Some(Self::Alive),
            2 => Some(Self::Suspect),
            3 => Some(Self::Down),
            _ => None,
        }
    }

    /// Whether the detector talks to it.
    pub(crate) const fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// One row of a member list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) record: Arc<Record>,
    pub(crate) rejoins: u32,
    pub(crate) incarnation: u16,
    pub(crate) standing: Standing,
    pub(crate) is_forgotten: bool,
    pub(crate) age_s: u32,
}

impl Row {
    /// The life that the standing is about.
    pub(crate) fn life(&self) -> Life {
        Life { node: self.record.node, generation: self.record.generation, rejoins: self.rejoins }
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        self.record.encode_into(out);
        out.extend_from_slice(&self.rejoins.to_be_bytes());
        out.extend_from_slice(&self.incarnation.to_be_bytes());
        out.push(self.standing as u8 | if self.is_forgotten { BIT_FORGOTTEN } else { 0 });
        out.extend_from_slice(&self.age_s.to_be_bytes());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let record = Arc::new(Record::decode(cursor)?);
        let (rejoins, incarnation) = (cursor.u32()?, cursor.u16()?);
        let bits = cursor.u8()?;
        let standing = Standing::from_number(bits & !BIT_FORGOTTEN).ok_or(WireError::Field("standing"))?;
        let is_forgotten = bits & BIT_FORGOTTEN != 0;
        Ok(Self { record, rejoins, incarnation, standing, is_forgotten, age_s: cursor.u32()? })
    }
}

/// Appends a list. Rows beyond the bound are left out; the registry keeps to it.
pub(crate) fn encode_rows(rows: &[Row], out: &mut Vec<u8>) {
    let rows = rows.get(..rows.len().min(MEMBERS_MAX)).unwrap_or_default();
    out.extend_from_slice(&u16::try_from(rows.len()).unwrap_or_default().to_be_bytes());
    for row in rows {
        row.encode_into(out);
    }
}

/// Reads a list of at most [`MEMBERS_MAX`] rows.
pub(crate) fn decode_rows(cursor: &mut Cursor<'_>) -> Result<Vec<Row>, WireError> {
    let count = usize::from(cursor.u16()?);
    if count > MEMBERS_MAX {
        return Err(WireError::TooMany("members"));
    }
    (0..count).map(|_| Row::decode(cursor)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Record, Row, Standing, decode_rows, encode_rows};
    use crate::mode::Mode;
    use kvs_core::cursor::Cursor;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use std::sync::Arc;
    use uuid::Uuid;

    pub(crate) fn rows() -> impl Strategy<Value = Row> {
        let record = (
            any::<u128>(),
            any::<(u32, u32, u64, u64)>(),
            0_u8..3,
            any::<bool>(),
            ("[a-zé]{0,20}", "[a-z0-9.:]{0,30}"),
        )
            .prop_map(|(node, numbers, mode, has_left, (node_id, address))| Record {
                node: Uuid::from_u128(node),
                generation: numbers.0,
                revision: numbers.1,
                nonce: numbers.2,
                joined_ms: numbers.3,
                mode: Mode::from_number(mode).unwrap_or_default(),
                has_left,
                node_id,
                address,
            });
        let standing = prop_oneof![
            Just(Standing::Unknown),
            Just(Standing::Alive),
            Just(Standing::Suspect),
            Just(Standing::Down)
        ];
        (record, any::<(u32, u16, bool, u32)>(), standing).prop_map(|(record, rest, standing)| Row {
            record: Arc::new(record),
            rejoins: rest.0,
            incarnation: rest.1,
            standing,
            is_forgotten: rest.2,
            age_s: rest.3,
        })
    }

    proptest! {
        #[test]
        fn a_list_reads_back(rows in proptest::collection::vec(rows(), 0..9)) {
            let mut bytes = Vec::new();
            encode_rows(&rows, &mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(decode_rows(&mut cursor), Ok(rows));
            assert!(cursor.rest().is_empty());
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decode_rows(&mut Cursor::new(&bytes)));
        }
    }

    #[test]
    fn the_bytes_of_a_row_stay_what_they_are() {
        let record = Record {
            node: Uuid::from_u128(0x0102),
            generation: 3,
            revision: 4,
            nonce: 5,
            joined_ms: 6,
            mode: Mode::Syncing,
            has_left: true,
            node_id: "n1".to_owned(),
            address: "a:1".to_owned(),
        };
        let row = Row {
            record: Arc::new(record),
            rejoins: 7,
            incarnation: 8,
            standing: Standing::Down,
            is_forgotten: true,
            age_s: 9,
        };
        let mut bytes = Vec::new();
        row.encode_into(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "00000000000000000000000000000102000000030000000400000000000000050000000000000006\
             0201026e3103613a31000000070008\
             8300000009"
        );
    }
}
