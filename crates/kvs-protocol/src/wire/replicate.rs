//! A part of the sender's log, and what the receiver says to it.
//!
//! Request:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 3 |
//! | 1 + 16 | 1 and the receiver's cursor that this goes on from, or 0 and none |
//! | 8 | where the part begins in the log as it is now |
//! | 16 | where it ends: epoch, local sequence |
//! | n | vector: what of the sender was left out, as the receiver said that it has it |
//! | n | vector: what was received with it |
//! | n | records |
//!
//! Reply:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 3 |
//! | 1 + 16 | 1 and the receiver's cursor now, or 0 and none |
//! | n | the receiver's vector now, as far as it is about the sender |
//! | n | versions that the sender must forget |

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;

use crate::wire::decode_error::DecodeError;
use crate::wire::keyed_record::{
    KeyedRecord, KeyedVersion, put_records, put_versions, take_records, take_versions,
};

const VERSION: u8 = 3;

/// A part of the sender's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicateRequest {
    /// The receiver's cursor that it goes on from.
    pub from: Option<LogPosition>,
    /// Where it begins in the log as it is now.
    pub start_local_seq: u64,
    /// Where it ends.
    pub to: LogPosition,
    /// What of the sender was left out, as the receiver said that it has it: without that, the claim is not true.
    pub left_out: Vector,
    /// What was received with it.
    pub claim: Vector,
    /// The records, in log order.
    pub records: Vec<KeyedRecord>,
}

/// What the receiver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicateReply {
    /// Its cursor now, on its disk.
    pub cursor: Option<LogPosition>,
    /// Its vector now, as far as it is about the sender's writes.
    pub vector: Vector,
    /// Versions that it received, deleted and collected: the sender must forget them.
    pub drops: Vec<KeyedVersion>,
}

impl ReplicateRequest {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_position(self.from, &mut out);
        out.extend_from_slice(&self.start_local_seq.to_be_bytes());
        self.to.encode_into(&mut out);
        self.left_out.encode_into(&mut out);
        self.claim.encode_into(&mut out);
        put_records(&self.records, &mut out);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        take_version(&mut cursor, VERSION)?;
        let request = Self {
            from: take_position(&mut cursor)?,
            start_local_seq: cursor.u64()?,
            to: LogPosition::decode(&mut cursor)?,
            left_out: Vector::decode(&mut cursor)?,
            claim: Vector::decode(&mut cursor)?,
            records: take_records(bytes, &mut cursor)?,
        };
        take_end(&cursor).map(|()| request)
    }
}

impl ReplicateReply {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_position(self.cursor, &mut out);
        self.vector.encode_into(&mut out);
        put_versions(&self.drops, &mut out);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        take_version(&mut cursor, VERSION)?;
        let reply = Self {
            cursor: take_position(&mut cursor)?,
            vector: Vector::decode(&mut cursor)?,
            drops: take_versions(&mut cursor)?,
        };
        take_end(&cursor).map(|()| reply)
    }
}

pub(crate) fn take_version(cursor: &mut Cursor<'_>, version: u8) -> Result<(), DecodeError> {
    match cursor.u8()? {
        told if told == version => Ok(()),
        other => Err(DecodeError::UnknownVersion(other)),
    }
}

/// Nothing may follow.
pub(crate) fn take_end(cursor: &Cursor<'_>) -> Result<(), DecodeError> {
    if cursor.rest().is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
}

pub(crate) fn put_position(position: Option<LogPosition>, out: &mut Vec<u8>) {
    match position {
        Some(position) => {
            out.push(1);
            position.encode_into(out);
        }
        None => out.push(0),
    }
}

pub(crate) fn take_position(cursor: &mut Cursor<'_>) -> Result<Option<LogPosition>, DecodeError> {
    match cursor.u8()? {
        0 => Ok(None),
        1 => Ok(Some(LogPosition::decode(cursor)?)),
        _ => Err(DecodeError::Field("position")),
    }
}

#[cfg(test)]
mod tests {
    use super::{ReplicateReply, ReplicateRequest};
    use crate::wire::decode_error::DecodeError;
    use crate::wire::keyed_record::{KeyedRecord, KeyedVersion};
    use bytes::Bytes;
    use kvs_core::log_position::LogPosition;
    use kvs_core::namespace::Namespace;
    use kvs_core::origin::Origin;
    use kvs_core::path::Path;
    use kvs_core::stamp::Stamp;
    use kvs_core::vector::Vector;
    use kvs_core::version::Version;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    fn vector(seq: u64) -> Vector {
        [(Origin { node: Uuid::from_u128(7), epoch: 2 }, seq)].into_iter().collect()
    }

    proptest! {
        #[test]
        fn messages_read_back(
            text in "[a-z]{1,9}(/[a-z]{1,3}){0,3}",
            record in proptest::collection::vec(any::<u8>(), 0..50),
            seq in 1_u64..,
            from in proptest::option::of(any::<(u64, u64)>()),
        ) {
            let path = Path::parse(&text).unwrap();
            let from = from.map(|(epoch, local_seq)| LogPosition { epoch, local_seq });
            let request = ReplicateRequest {
                from,
                start_local_seq: seq,
                to: LogPosition { epoch: 1, local_seq: seq },
                left_out: vector(seq / 2),
                claim: vector(seq),
                records: vec![KeyedRecord { namespace: Namespace::Data, path: path.clone(), record: record.into() }; 3],
            };
            let mut longer = request.encode();
            assert_eq!(ReplicateRequest::decode(&longer.clone().into()), Ok(request));
            longer.push(0);
            assert_eq!(ReplicateRequest::decode(&longer.into()), Err(DecodeError::TrailingBytes));
            let version = Version { stamp: Stamp { ms: seq, counter: 3 }, origin_joined_ms: 9, uuid: Uuid::from_u128(5) };
            let drops = vec![KeyedVersion { namespace: Namespace::Meta, path, version }];
            let reply = ReplicateReply { cursor: from, vector: vector(seq), drops };
            assert_eq!(ReplicateReply::decode(&reply.encode().into()), Ok(reply));
        }

        #[test]
        fn no_bytes_panic_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = 1;
            }
            let bytes = Bytes::from(bytes);
            drop(ReplicateRequest::decode(&bytes));
            drop(ReplicateReply::decode(&bytes));
        }
    }
}
