//! The rows of the tree at rest.
//!
//! | table, key | value |
//! | --- | --- |
//! | `tree`, 0 | format (1), fingerprint of the digest key (8), local sequence (8), chunks (4) |
//! | `tree`, 1, number (4) | a chunk |

use kvs_core::cursor::Cursor;

const FORMAT: u8 = 1;
/// The first row's key.
pub(crate) const HEAD: [u8; 1] = [0];
const CHUNK: u8 = 1;
/// Most chunks: far more than memory has room for.
const CHUNKS_MAX: u32 = 1 << 20;

/// The first row: fingerprint of the key, local sequence, chunks.
pub(super) fn head_row(fingerprint: &[u8; 8], local_seq: u64, chunks: u32) -> Vec<u8> {
    let mut head = vec![FORMAT];
    head.extend_from_slice(fingerprint);
    head.extend_from_slice(&local_seq.to_be_bytes());
    head.extend_from_slice(&chunks.to_be_bytes());
    head
}

/// Reads the first row: fingerprint of the key, local sequence, chunks.
pub(crate) fn read_head(bytes: &[u8]) -> Option<([u8; 8], u64, u32)> {
    let mut cursor = Cursor::new(bytes);
    let format = cursor.u8().ok()?;
    let head = (cursor.array().ok()?, cursor.u64().ok()?, cursor.u32().ok()?);
    (format == FORMAT && head.2 <= CHUNKS_MAX && cursor.rest().is_empty()).then_some(head)
}

/// The key of a chunk's row.
pub(crate) fn chunk_key(number: u32) -> Vec<u8> {
    let mut key = vec![CHUNK];
    key.extend_from_slice(&number.to_be_bytes());
    key
}
