//! The bytes of a backup file: header, blocks, trailer. All integers are big-endian. The format is 1 when the epoch takes four
//! bytes, 2 when it takes eight; nothing else differs.
//!
//! | offset | bytes | field of the header |
//! | --- | --- | --- |
//! | 0 | 8 | magic: 0x89, `KVSB`, CR, LF, 0x1a (a transfer that changes line ends or bit 7 is seen at once) |
//! | 8 | 1 | format version, 1 or 2 |
//! | 9 | 16 | node uuid |
//! | 25 | 4; 8 in format 2 | epoch |
//! | | 8 | made at, ms since 1970 |
//! | | 32 | tag: BLAKE3 of everything before |
//!
//! | offset | bytes | field of a block |
//! | --- | --- | --- |
//! | 0 | 1 | 1 |
//! | 1 | 4 | n, at most [`BLOCK_STORED_BYTES_MAX`] |
//! | 5 | 4 | bytes of its rows, 1 to [`BLOCK_BYTES_MAX`] |
//! | 9 | n | one zstd frame of its rows |
//! | 9 + n | 32 | tag: BLAKE3 of the tag before (of the header or the last block) and everything before in this block |
//!
//! | offset | bytes | field of a row, many to a block |
//! | --- | --- | --- |
//! | 0 | 1 | 1: a row of `records`; 2: a row of `history` |
//! | 1 | 2 | k, at most [`ROW_KEY_BYTES_MAX`] |
//! | 3 | k | key, as it rests in its table |
//! | 3 + k | 4 | v, at most [`ROW_VALUE_BYTES_MAX`] |
//! | 7 + k | v | value, as it rests in its table |
//!
//! | offset | bytes | field of the trailer |
//! | --- | --- | --- |
//! | 0 | 1 | 2 |
//! | 1 | 4 | m, at most [`MANIFEST_BYTES_MAX`] |
//! | 5 | m | manifest, see [`crate::backup::manifest`] |
//! | 5 + m | 32 | tag: BLAKE3 of the header's tag and everything before in the trailer |
//! | 37 + m | 4 | 37 + m, so that the trailer is found from the end |
//! | 41 + m | 8 | end mark: `KVSBend`, LF; the file ends here |
//!
//! Rows of `records` come in ascending order of keys, each followed by its revisions in ascending order, exactly those
//! that it names. The other tables follow from them and are left out.
//!
//! The tags are a chain: a block that is missing, doubled, moved or taken from another backup does not fit, and the last
//! one stands for all that was read. A CRC-32 of each block would see none of that, and BLAKE3 costs less than the
//! compression. The trailer's own tag lets a listing trust the manifest without reading the blocks.

use kvs_core::limits::{PATH_BYTES_MAX, PAYLOAD_BYTES_MAX};
use kvs_core::origin::{EpochWidth, Origin, push_epoch};

use crate::table::Table;

/// The newest format that this code writes and reads.
pub const BACKUP_FORMAT: u8 = 2;

/// The format of a backup of a node in this epoch.
#[must_use]
pub const fn format_of(epoch: u64) -> u8 {
    match EpochWidth::of(epoch) {
        EpochWidth::Short => 1,
        EpochWidth::Long => 2,
    }
}

/// The width of the epoch in a backup of this format.
pub(crate) const fn epoch_width(format: u8) -> EpochWidth {
    if format < 2 { EpochWidth::Short } else { EpochWidth::Long }
}

/// A block takes no further row once it holds this many bytes of rows.
pub const BLOCK_BYTES_TARGET: usize = 1024 * 1024;

/// Longest key of a row: namespace, path, and what marks a revision.
pub const ROW_KEY_BYTES_MAX: usize = 1 + PATH_BYTES_MAX + 9;

/// Longest value of a row: the largest payload with everything around it (two names of 255 bytes, fixed fields).
pub const ROW_VALUE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 1024;

/// Most bytes of rows in a block: at worst, one row of the largest kind comes last.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES_TARGET + 7 + ROW_KEY_BYTES_MAX + ROW_VALUE_BYTES_MAX;

/// Largest zstd frame of a block: rows that do not shrink, and what zstd adds to them.
pub const BLOCK_STORED_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 128 + 1024;

/// Longest manifest.
pub const MANIFEST_BYTES_MAX: usize = 1024;

pub(crate) const MAGIC: [u8; 8] = *b"\x89KVSB\r\n\x1a";
pub(crate) const END_MARK: [u8; 8] = *b"KVSBend\n";
pub(crate) const TAG_BYTES: usize = 32;
pub(crate) const HEADER_BYTES_MAX: usize = MAGIC.len() + 1 + 16 + 8 + 8 + TAG_BYTES;
pub(crate) const BLOCK_KIND: u8 = 1;
pub(crate) const BLOCK_HEAD_BYTES: usize = 9;
pub(crate) const TRAILER_KIND: u8 = 2;
pub(crate) const TRAILER_HEAD_BYTES: usize = 5;
/// What follows the trailer's tag.
pub(crate) const ENDING_BYTES: usize = 4 + END_MARK.len();

/// A checksum of everything up to its place.
pub(crate) type Tag = [u8; TAG_BYTES];

/// The tag of these bytes, one after the other.
pub(crate) fn tag(parts: &[&[u8]]) -> Tag {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Who made the backup, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) origin: Origin,
    pub(crate) created_at_ms: u64,
}

impl Header {
    /// The header's bytes, without its tag.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES_MAX);
        out.extend_from_slice(&MAGIC);
        out.push(format_of(self.origin.epoch));
        out.extend_from_slice(self.origin.node.as_bytes());
        push_epoch(self.origin.epoch, &mut out);
        out.extend_from_slice(&self.created_at_ms.to_be_bytes());
        out
    }
}

/// The number of a table's rows; `None` for tables that no backup holds.
pub(crate) const fn row_kind(table: Table) -> Option<u8> {
    match table {
        Table::Records => Some(1),
        Table::History => Some(2),
        Table::Log
        | Table::ByTime
        | Table::Expiry
        | Table::Tombstones
        | Table::Node
        | Table::Vectors
        | Table::Cursors
        | Table::Parked
        | Table::Tree => None,
    }
}

/// The table of rows with this number.
pub(crate) const fn row_table(kind: u8) -> Option<Table> {
    match kind {
        1 => Some(Table::Records),
        2 => Some(Table::History),
        _ => None,
    }
}
