//! The hash that binds an entry to the one before it.
//!
//! `BLAKE3 derive_key("kvs audit trail 1: entry", bytes)`, where the bytes are those of the line before `,"hash":"`; the
//! hash of the line before is among them. The label keeps these hashes apart from every other use of BLAKE3.

use std::fmt;

/// Length of a hash in hex digits.
pub const HASH_HEX_LEN: usize = 64;

const LABEL: &str = "kvs audit trail 1: entry";

/// The hash of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHash([u8; 32]);

impl EntryHash {
    /// What stands for the hash before the first entry of a trail.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash of an entry whose line begins with `head`, up to and without `,"hash":"`.
    pub fn of(head: &[u8]) -> Self {
        Self(blake3::derive_key(LABEL, head))
    }

    /// The hash that these bytes are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hex digits; nothing else is a hash.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        bytes_from_hex(hex).map(Self)
    }

    /// The 64 lower-case hex digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// Appends the 64 lower-case hex digits.
    pub(crate) fn push_hex(self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_hex())
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_hex())
    }
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [char::from(digit(byte >> 4)), char::from(digit(byte & 15))]).collect()
}

/// The bytes that exactly `2 * N` lower-case hex digits stand for.
pub(crate) fn bytes_from_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    if hex.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryHash, bytes_from_hex};

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = EntryHash::of(b"line");
        assert_eq!(EntryHash::from_hex(hash.to_hex().as_bytes()), Some(hash));
        let mut pushed = Vec::new();
        hash.push_hex(&mut pushed);
        assert_eq!(pushed, hash.to_hex().into_bytes());
        assert_eq!(EntryHash::from_hex(hash.to_hex().to_uppercase().as_bytes()), None);
        assert_eq!(EntryHash::from_hex(b"00"), None);
        assert_eq!(bytes_from_hex::<2>(b"0g00"), None);
        assert_eq!(bytes_from_hex::<2>(b"09af"), Some([0x09, 0xaf]));
    }

    #[test]
    fn the_label_is_part_of_the_format() {
        // A trail of an older version must stay verifiable: this value may never change.
        assert_eq!(
            EntryHash::of(b"").to_hex(),
            blake3::Hasher::new_derive_key("kvs audit trail 1: entry").finalize().to_hex().as_str()
        );
        assert_ne!(EntryHash::of(b"").to_hex(), blake3::hash(b"").to_hex().as_str());
    }
}
