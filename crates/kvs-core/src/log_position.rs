//! A place in a node's log, as its peers remember it.
//!
//! The bytes below travel; where a position rests, its epoch has the width of [`crate::origin::EpochWidth`].

use crate::cursor::{Cursor, EndsEarly};

/// A place in a node's log. The numbers of another epoch are those of a log whose end may be lost.
///
/// | bytes | field |
/// | --- | --- |
/// | 8 | epoch |
/// | 8 | local sequence number |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    /// The epoch of the log's owner.
    pub epoch: u64,
    /// Everything up to here, inclusive.
    pub local_seq: u64,
}

impl LogPosition {
    /// Appends its bytes.
    pub fn encode_into(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.local_seq.to_be_bytes());
    }

    /// Reads a position.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`].
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, EndsEarly> {
        Ok(Self { epoch: cursor.u64()?, local_seq: cursor.u64()? })
    }
}
