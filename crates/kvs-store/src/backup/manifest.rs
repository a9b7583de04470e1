//! The manifest of a backup: what it holds, whose it is and where that node stood.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 32 | tag of the last block; of the header when there is none |
//! | 32 | 8 | blocks |
//! | 40 | 16 | node uuid |
//! | 56 | 4; 8 in format 2 | epoch |
//! | | 8 | made at, ms since 1970 |
//! | | 8 | last local sequence number, 0 for none |
//! | | 8 | last number of the origin's own writes, 0 for none |
//! | | 8 | keys with a value |
//! | | 8 | bytes of their JSON as sent |
//! | | 8 | keys with a tombstone |
//! | | 8 | revisions |
//! | | 1 + n | node id: length, UTF-8 |
//! | | 1 + n | version of the program: length, UTF-8 |

use kvs_core::cursor::Cursor;
use kvs_core::origin::{Origin, push_epoch};

use crate::backup::format::{Tag, epoch_width};

/// Longest text in a manifest, in bytes; longer ones are cut.
pub const MANIFEST_TEXT_BYTES_MAX: usize = 255;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Keys with a value (expired ones count until they are reaped).
    pub keys: u64,
    /// Bytes of their JSON as sent.
    pub bytes: u64,
    /// Keys with a tombstone, or with a value that expired.
    pub tombstones: u64,
    /// Versions that lost, in the history.
    pub revisions: u64,
}

/// What a backup holds, whose it is and where that node stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file's format version.
    pub format: u8,
    /// The tag of the last block: equal for equal content only.
    pub digest: [u8; 32],
    /// How many blocks there are.
    pub blocks: u64,
    /// The node's uuid and epoch.
    pub origin: Origin,
    /// When the backup was begun, ms since 1970.
    pub created_at_ms: u64,
    /// The last number in the node's log; 0 for none.
    pub last_local_seq: u64,
    /// The last number that the node gave a write of its own; 0 for none.
    pub last_origin_seq: u64,
    /// What it holds.
    pub tally: Tally,
    /// The node's name in its configuration, at most 255 bytes.
    pub node_id: String,
    /// The version of the program that wrote it, at most 255 bytes.
    pub program_version: String,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&self.digest);
        out.extend_from_slice(&self.blocks.to_be_bytes());
        out.extend_from_slice(self.origin.node.as_bytes());
        push_epoch(self.origin.epoch, &mut out);
        for number in [
            self.created_at_ms,
            self.last_local_seq,
            self.last_origin_seq,
            self.tally.keys,
            self.tally.bytes,
            self.tally.tombstones,
            self.tally.revisions,
        ] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        push_text(&mut out, &self.node_id);
        push_text(&mut out, &self.program_version);
        out
    }

    /// Reads a manifest of this format; `None` when the bytes are not exactly one.
    pub(crate) fn decode(bytes: &[u8], format: u8) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let manifest = Self::read(&mut cursor, format)?;
        cursor.rest().is_empty().then_some(manifest)
    }

    fn read(cursor: &mut Cursor<'_>, format: u8) -> Option<Self> {
        let digest: Tag = cursor.array().ok()?;
        let blocks = cursor.u64().ok()?;
        let node = cursor.uuid().ok()?;
        let epoch = epoch_width(format).take(cursor)?;
        let mut number = || cursor.u64().ok();
        Some(Self {
            format,
            digest,
            blocks,
            origin: Origin { node, epoch },
            created_at_ms: number()?,
            last_local_seq: number()?,
            last_origin_seq: number()?,
            tally: Tally { keys: number()?, bytes: number()?, tombstones: number()?, revisions: number()? },
            node_id: read_text(cursor)?,
            program_version: read_text(cursor)?,
        })
    }
}

/// As much of a text as a manifest holds.
pub(crate) fn manifest_text(text: &str) -> String {
    let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= MANIFEST_TEXT_BYTES_MAX;
    text.char_indices().take_while(fits).map(|(_, character)| character).collect()
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let text = manifest_text(text);
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn read_text(cursor: &mut Cursor<'_>) -> Option<String> {
    let len = usize::from(cursor.u8().ok()?);
    let bytes = cursor.take(len).ok()?;
    // Behind a tag that fits: what is not UTF-8 there was never written by this program.
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Manifest, Tally, manifest_text};
    use crate::backup::format::MANIFEST_BYTES_MAX;
    use kvs_core::origin::Origin;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    fn sample() -> Manifest {
        Manifest {
            format: 1,
            digest: [0xd1; 32],
            blocks: 2,
            origin: Origin { node: Uuid::from_u128(7), epoch: 3 },
            created_at_ms: 1_672_531_200_000,
            last_local_seq: 4,
            last_origin_seq: 5,
            tally: Tally { keys: 6, bytes: 7, tombstones: 8, revisions: 9 },
            node_id: "node-alpha".into(),
            program_version: "0.1.0".into(),
        }
    }

    #[test]
    fn the_golden_bytes_of_format_1_stay_as_they_are() {
        let hex: String = sample().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = [
            "d1".repeat(32).as_str(),
            "0000000000000002",
            "00000000000000000000000000000007",
            "00000003",
            "000001856aa0c800",
            "0000000000000004",
            "0000000000000005",
            "0000000000000006",
            "0000000000000007",
            "0000000000000008",
            "0000000000000009",
            "0a6e6f64652d616c706861",
            "05302e312e30",
        ]
        .concat();
        assert_eq!(hex, golden);
        assert_eq!(Manifest::decode(&sample().encode(), 1), Some(sample()));
    }

    #[test]
    fn a_manifest_with_a_long_epoch_reads_back_as_format_2_alone() {
        let origin = Origin { epoch: 0x63b0_cd00_0000_0003, ..sample().origin };
        let manifest = Manifest { format: 2, origin, ..sample() };
        assert_eq!(Manifest::decode(&manifest.encode(), 2), Some(manifest.clone()));
        assert_eq!(Manifest::decode(&manifest.encode(), 1), None);
        assert_eq!(Manifest::decode(&sample().encode(), 2), None);
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_still_fit() {
        let long = "é".repeat(200);
        assert_eq!(manifest_text(&long), "é".repeat(127));
        let manifest = Manifest { node_id: long.clone(), program_version: long, ..sample() };
        assert!(manifest.encode().len() <= MANIFEST_BYTES_MAX);
        assert!(Manifest::decode(&manifest.encode(), 1).is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..300), format in 1..3_u8) {
            if let Some(manifest) = Manifest::decode(&bytes, format) {
                assert!(manifest.node_id.len() <= 3 * 255);
            }
        }
    }
}
