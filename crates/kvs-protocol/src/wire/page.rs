//! Everything that a node holds, page by page in key order, for a node that begins.
//!
//! Request:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 2 |
//! | 1 | 0: only where to begin; 1: stamped at or after the moment; 2: stamped before it |
//! | 8 | the moment, ms since 1970 |
//! | 2 + n | the last key that the asker has: length, bytes; none when the length is 0 |
//!
//! Reply:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 2 |
//! | 16 | end of the answerer's log: epoch, local sequence |
//! | n | the answerer's vector |
//! | 8 | keys that it holds |
//! | 2 + n | the last key looked at; none when this was the last page |
//! | n | records |

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;

use crate::wire::decode_error::DecodeError;
use crate::wire::keyed_record::{KeyedRecord, put_records, take_records};
use crate::wire::replicate::{take_end, take_version};

const VERSION: u8 = 2;

/// Which records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PageOf {
    /// None: where the answerer stands.
    Nothing = 0,
    /// Those stamped at or after the moment.
    Recent = 1,
    /// Those stamped before it.
    Older = 2,
}

impl PageOf {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The choice with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Nothing),
            1 => Some(Self::Recent),
            2 => Some(Self::Older),
            _ => None,
        }
    }
}

/// Asks for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Which records.
    pub of: PageOf,
    /// What divides recent from older.
    pub moment_ms: u64,
    /// The last key that the asker has; empty at the beginning.
    pub after: Vec<u8>,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageReply {
    /// The end of the answerer's log.
    pub log_end: LogPosition,
    /// What the answerer has received.
    pub vector: Vector,
    /// How many keys it holds.
    pub keys: u64,
    /// The last key looked at; empty when nothing follows.
    pub last: Vec<u8>,
    /// The records.
    pub records: Vec<KeyedRecord>,
}

fn put_short(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take_short(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, DecodeError> {
    let len = cursor.u16()?;
    Ok(cursor.take(usize::from(len))?.to_vec())
}

impl PageRequest {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.of.number()];
        out.extend_from_slice(&self.moment_ms.to_be_bytes());
        put_short(&self.after, &mut out);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        take_version(&mut cursor, VERSION)?;
        let request = Self {
            of: PageOf::from_number(cursor.u8()?).ok_or(DecodeError::Field("of"))?,
            moment_ms: cursor.u64()?,
            after: take_short(&mut cursor)?,
        };
        take_end(&cursor).map(|()| request)
    }
}

impl PageReply {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.log_end.encode_into(&mut out);
        self.vector.encode_into(&mut out);
        out.extend_from_slice(&self.keys.to_be_bytes());
        put_short(&self.last, &mut out);
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
        let reply = Self {
            log_end: LogPosition::decode(&mut cursor)?,
            vector: Vector::decode(&mut cursor)?,
            keys: cursor.u64()?,
            last: take_short(&mut cursor)?,
            records: take_records(bytes, &mut cursor)?,
        };
        take_end(&cursor).map(|()| reply)
    }
}

#[cfg(test)]
mod tests {
    use super::{PageOf, PageReply, PageRequest};
    use bytes::Bytes;
    use kvs_core::log_position::LogPosition;
    use kvs_core::vector::Vector;
    use proptest::prelude::{any, proptest};

    #[test]
    fn messages_read_back() {
        let request = PageRequest { of: PageOf::Older, moment_ms: 7, after: b"\x01a".to_vec() };
        assert_eq!(PageRequest::decode(&request.encode()), Ok(request));
        let reply = PageReply {
            log_end: LogPosition { epoch: 1, local_seq: 2 },
            vector: Vector::default(),
            keys: 3,
            last: Vec::new(),
            records: Vec::new(),
        };
        assert_eq!(PageReply::decode(&reply.encode().into()), Ok(reply));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            drop(PageRequest::decode(&bytes));
            drop(PageReply::decode(&Bytes::from(bytes)));
        }
    }
}
