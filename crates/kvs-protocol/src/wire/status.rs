//! Where two nodes stand: asked every few seconds, and at once when a peer comes back.
//!
//! Request:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 2 |
//! | 16 | nonce that the root is finalised with |
//! | 8 | the asker's floor for values that expire, ms since 1970 |
//!
//! Reply:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 3 |
//! | 1 | mode |
//! | 8 | the answerer's clock, ms since 1970 |
//! | 8 | the floor that the root was taken above |
//! | 1 + 8 | 1 and the root; or 0 and none while the digest is still read in |
//! | 8 | records parked |
//! | 8 | how long tombstones stay, ms |
//! | 2 + 16 each | epochs of the asker of which records are parked: epoch (8), the latest stamp parked of it (8), ms |
//! | 1 + 16 | 1 and the answerer's cursor into the asker's log, or 0 and none |
//! | n | what the answerer holds: its vector, lowered below what it has parked |
//! | 1 | 1 when what follows is everything, 0 when nothing follows, as there is too much of it |
//! | 2 + 16 each | epochs of the asker of which the answerer heard more than it holds: epoch (8), highest number (8) |

use kvs_core::cursor::Cursor;
use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;

use crate::mode::Mode;
use crate::wire::decode_error::DecodeError;
use crate::wire::replicate::{put_position, take_end, take_position, take_version};

const VERSION: u8 = 2;
const REPLY_VERSION: u8 = 3;

/// Most epochs of one node that a reply names; those of which the latest stamps are parked are named first.
pub const PARKED_EPOCHS_MAX: usize = 1024;

/// Most epochs of one node of which a reply says that more was heard of.
pub const HEARD_EPOCHS_MAX: usize = 1024;

/// Asks where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRequest {
    /// Finalises the root of the answer.
    pub nonce: [u8; 16],
    /// Values that expire before this are not compared.
    pub floor_ms: u64,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReply {
    /// Its mode.
    pub mode: Mode,
    /// Its clock.
    pub wall_ms: u64,
    /// The later of both floors.
    pub floor_ms: u64,
    /// Its root above the floor, under the nonce; `None` while it still reads its digest in.
    pub root: Option<[u8; 8]>,
    /// How many records it has parked.
    pub parked: u64,
    /// How long a tombstone stays there at least, in milliseconds.
    pub grace_ms: u64,
    /// The asker's epochs of which it has records parked, and the latest stamp parked of each, ms since 1970; at most
    /// [`PARKED_EPOCHS_MAX`].
    pub parked_epochs: Vec<(u64, u64)>,
    /// How far it has the asker's log.
    pub cursor: Option<LogPosition>,
    /// What it holds: what it has received, lowered below what it has parked.
    pub vector: Vector,
    /// The asker's epochs of which it heard more than it holds, and the highest number of each; `None` when they are more than
    /// [`HEARD_EPOCHS_MAX`] or it does not know them all.
    pub heard: Option<Vec<(u64, u64)>>,
}

impl StatusRequest {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.floor_ms.to_be_bytes());
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
        let request = Self { nonce: cursor.array()?, floor_ms: cursor.u64()? };
        take_end(&cursor).map(|()| request)
    }
}

impl StatusReply {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![REPLY_VERSION, self.mode.number()];
        out.extend_from_slice(&self.wall_ms.to_be_bytes());
        out.extend_from_slice(&self.floor_ms.to_be_bytes());
        match self.root {
            Some(root) => {
                out.push(1);
                out.extend_from_slice(&root);
            }
            None => out.push(0),
        }
        out.extend_from_slice(&self.parked.to_be_bytes());
        out.extend_from_slice(&self.grace_ms.to_be_bytes());
        let mut epochs = self.parked_epochs.clone();
        epochs.sort_unstable_by_key(|(_, latest_ms)| std::cmp::Reverse(*latest_ms));
        epochs.truncate(PARKED_EPOCHS_MAX);
        out.extend_from_slice(&u16::try_from(epochs.len()).unwrap_or(u16::MAX).to_be_bytes());
        for (epoch, latest_ms) in epochs {
            out.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(&latest_ms.to_be_bytes());
        }
        put_position(self.cursor, &mut out);
        self.vector.encode_into(&mut out);
        match self.heard.as_ref().filter(|heard| heard.len() <= HEARD_EPOCHS_MAX) {
            Some(heard) => {
                out.push(1);
                out.extend_from_slice(&u16::try_from(heard.len()).unwrap_or(u16::MAX).to_be_bytes());
                for (epoch, seq) in heard {
                    out.extend_from_slice(&epoch.to_be_bytes());
                    out.extend_from_slice(&seq.to_be_bytes());
                }
            }
            None => out.push(0),
        }
        out
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        match cursor.u8()? {
            REPLY_VERSION => {}
            version => return Err(DecodeError::UnknownVersion(version)),
        }
        let reply = Self {
            mode: Mode::from_number(cursor.u8()?).ok_or(DecodeError::Field("mode"))?,
            wall_ms: cursor.u64()?,
            floor_ms: cursor.u64()?,
            root: match cursor.u8()? {
                0 => None,
                1 => Some(cursor.array()?),
                _ => return Err(DecodeError::Field("root")),
            },
            parked: cursor.u64()?,
            grace_ms: cursor.u64()?,
            parked_epochs: take_epochs(&mut cursor, PARKED_EPOCHS_MAX, "parked epochs")?,
            cursor: take_position(&mut cursor)?,
            vector: Vector::decode(&mut cursor)?,
            heard: match cursor.u8()? {
                0 => None,
                1 => Some(take_epochs(&mut cursor, HEARD_EPOCHS_MAX, "epochs heard of")?),
                _ => return Err(DecodeError::Field("epochs heard of")),
            },
        };
        take_end(&cursor).map(|()| reply)
    }
}

fn take_epochs(
    cursor: &mut Cursor<'_>,
    max: usize,
    field: &'static str,
) -> Result<Vec<(u64, u64)>, DecodeError> {
    let count = usize::from(cursor.u16()?);
    if count > max {
        return Err(DecodeError::Field(field));
    }
    (0..count).map(|_| Ok((cursor.u64()?, cursor.u64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::{StatusReply, StatusRequest};
    use crate::mode::Mode;
    use kvs_core::vector::Vector;
    use proptest::prelude::{any, proptest};

    #[test]
    fn messages_read_back() {
        let request = StatusRequest { nonce: [3; 16], floor_ms: 9 };
        assert_eq!(StatusRequest::decode(&request.encode()), Ok(request));
        for (root, heard) in [(Some([4; 8]), None), (None, Some(vec![(1 << 32 | 1, 5)]))] {
            let reply = StatusReply {
                mode: Mode::Syncing,
                wall_ms: 1,
                floor_ms: 2,
                root,
                parked: 5,
                grace_ms: 6,
                parked_epochs: vec![(7, 9), (8, 1)],
                cursor: None,
                vector: Vector::default(),
                heard,
            };
            assert_eq!(StatusReply::decode(&reply.encode()), Ok(reply));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            let _request = StatusRequest::decode(&bytes);
            drop(StatusReply::decode(&bytes));
        }
    }
}
