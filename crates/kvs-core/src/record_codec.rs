//! The bytes of a record: the same on disk, between nodes and in backups.
//!
//! Written by hand and versioned, so that what rests can be read for ever and bounds are checked before anything is
//! taken. All integers are big-endian. The checksum covers the key as well, so a record that rests under another key
//! is found out.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | format version: 1, or 2 when the epoch is long |
//! | 1 | 1 | kind: 1 value, 2 tombstone, 3 expired; at rest on one node also 4 dropped, 5 voided |
//! | 2 | 1 | flags: bit 0 the payload is a zstd frame; the others are 0 |
//! | 3 | 8 | stamp, ms since 1970 |
//! | 11 | 2 | stamp, counter |
//! | 13 | 8 | join time of the origin, ms since 1970 |
//! | 21 | 16 | origin, node uuid |
//! | 37 | 4; 8 in format 2 | origin, epoch |
//! | | 8 | origin, seq |
//! | | 16 | uuid of the version |
//! | | 8 | expires at, ms since 1970; 0 never |
//! | | 16 | content digest |
//! | | 1 + n | author: length, UTF-8 |
//! | | 1 + n | owner: length, UTF-8 |
//! | | 4 | payload, length as sent |
//! | | 4 + n | payload: length, bytes |
//! | end - 4 | 4 | CRC-32 (IEEE) of namespace number, path and everything before |
//!
//! A record has one spelling: format 1 when its epoch is below 2^32, format 2 otherwise. So a record that rested in
//! format 1 is written the same by every later version.
//!
//! Left out: the namespace and the path, which are the key the bytes are found under or travel with.

use bytes::Bytes;

use crate::cursor::{Cursor, EndsEarly};
use crate::digest::ContentDigest;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::namespace::Namespace;
use crate::origin::{Dot, EpochWidth, Origin, push_epoch};
use crate::path::Path;
use crate::record::{Kind, Payload, Principal, Record};
use crate::stamp::Stamp;
use crate::version::Version;

/// The newest format that this code writes.
pub const RECORD_FORMAT: u8 = 2;

const FORMAT_SHORT: u8 = 1;
const FORMAT_LONG: u8 = RECORD_FORMAT;

const FLAG_ZSTD: u8 = 1;
/// What stands before the author, without the epoch.
const FIXED_BYTES: usize = 85;
const CHECKSUM_BYTES: usize = 4;

/// Why bytes are no record. Nothing of them was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Too short for their own lengths.
    #[error("the record ends early")]
    EndsEarly,
    /// Written by a newer program, or no record at all.
    #[error("record format {0} is unknown to this version")]
    UnknownFormat(u8),
    /// The checksum does not fit the bytes and the key.
    #[error("the record's checksum does not match")]
    Checksum,
    /// A field has a value that the format does not allow.
    #[error("the record's field '{0}' has a value that is not allowed")]
    Field(&'static str),
    /// Bytes follow the record.
    #[error("bytes follow the record")]
    TrailingBytes,
}

impl From<EndsEarly> for CodecError {
    fn from(_: EndsEarly) -> Self {
        Self::EndsEarly
    }
}

/// How many bytes [`encode_into`] appends for this record.
#[must_use]
pub fn encoded_len(record: &Record) -> usize {
    FIXED_BYTES
        + EpochWidth::of(record.dot.origin.epoch).bytes()
        + 1
        + record.author.as_str().len()
        + 1
        + record.owner.as_str().len()
        + 8
        + record.payload.stored().len()
        + CHECKSUM_BYTES
}

/// Appends the record's bytes under this key to `out`.
///
/// Payloads are bounded where they enter (at most [`PAYLOAD_BYTES_MAX`] bytes), so their lengths fit their fields.
pub fn encode_into(namespace: Namespace, path: &Path, record: &Record, out: &mut Vec<u8>) {
    debug_assert!(record.payload.stored().len() <= PAYLOAD_BYTES_MAX, "bounded at the door");
    debug_assert!(
        record.kind == Kind::Value || record.payload.stored().is_empty(),
        "a tombstone holds nothing"
    );
    let start = out.len();
    out.reserve(encoded_len(record));
    let flags = if matches!(record.payload, Payload::Zstd { .. }) { FLAG_ZSTD } else { 0 };
    let format = match EpochWidth::of(record.dot.origin.epoch) {
        EpochWidth::Short => FORMAT_SHORT,
        EpochWidth::Long => FORMAT_LONG,
    };
    out.extend_from_slice(&[format, record.kind.number(), flags]);
    out.extend_from_slice(&record.version.stamp.ms.to_be_bytes());
    out.extend_from_slice(&record.version.stamp.counter.to_be_bytes());
    out.extend_from_slice(&record.version.origin_joined_ms.to_be_bytes());
    out.extend_from_slice(record.dot.origin.node.as_bytes());
    push_epoch(record.dot.origin.epoch, out);
    out.extend_from_slice(&record.dot.seq.to_be_bytes());
    out.extend_from_slice(record.version.uuid.as_bytes());
    out.extend_from_slice(&record.expires_at_ms.to_be_bytes());
    out.extend_from_slice(&record.digest.0);
    for principal in [&record.author, &record.owner] {
        let name = principal.as_str();
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_bytes());
    }
    let stored = record.payload.stored();
    out.extend_from_slice(&u32::try_from(record.payload.raw_len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&u32::try_from(stored.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(stored);
    let sum = checksum(namespace, path, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum.to_be_bytes());
}

/// The record's bytes under this key.
#[must_use]
pub fn encode(namespace: Namespace, path: &Path, record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(namespace, path, record, &mut out);
    out
}

/// Reads the record that stands under this key; the payload shares `bytes`.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn decode(namespace: Namespace, path: &Path, bytes: &Bytes) -> Result<Record, CodecError> {
    let mut cursor = Cursor::new(bytes);
    let format = cursor.u8()?;
    let epoch_width = match format {
        FORMAT_SHORT => EpochWidth::Short,
        FORMAT_LONG => EpochWidth::Long,
        unknown => return Err(CodecError::UnknownFormat(unknown)),
    };
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CodecError::EndsEarly)?;
    if checksum(namespace, path, content) != u32::from_be_bytes(*sum) {
        return Err(CodecError::Checksum);
    }
    let kind = Kind::from_number(cursor.u8()?).ok_or(CodecError::Field("kind"))?;
    let flags = cursor.u8()?;
    if flags & !FLAG_ZSTD != 0 {
        return Err(CodecError::Field("flags"));
    }
    let stamp = Stamp { ms: cursor.u64()?, counter: cursor.u16()? };
    let origin_joined_ms = cursor.u64()?;
    let node = cursor.uuid()?;
    let epoch = epoch_width.take(&mut cursor).ok_or(CodecError::Field("epoch"))?;
    let origin = Origin { node, epoch };
    let dot = Dot { origin, seq: cursor.u64()? };
    let version = Version { stamp, origin_joined_ms, uuid: cursor.uuid()? };
    let expires_at_ms = cursor.u64()?;
    let digest = ContentDigest(cursor.array()?);
    let author = principal(&mut cursor, "author")?;
    let owner = principal(&mut cursor, "owner")?;
    let raw_len = cursor.u32()?;
    let stored_len = cursor.u32()? as usize;
    if raw_len as usize > PAYLOAD_BYTES_MAX || stored_len > PAYLOAD_BYTES_MAX {
        return Err(CodecError::Field("payload length"));
    }
    let stored = bytes.slice_ref(cursor.take(stored_len)?);
    if cursor.rest().len() != CHECKSUM_BYTES {
        return Err(CodecError::TrailingBytes);
    }
    if kind != Kind::Value && (raw_len != 0 || stored_len != 0 || flags != 0) {
        return Err(CodecError::Field("payload of a tombstone"));
    }
    let payload = if flags & FLAG_ZSTD != 0 {
        Payload::Zstd { raw_len, frame: stored }
    } else if raw_len as usize == stored_len {
        Payload::Raw(stored)
    } else {
        return Err(CodecError::Field("payload length"));
    };
    Ok(Record { version, dot, kind, expires_at_ms, author, owner, digest, payload })
}

fn principal(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Principal, CodecError> {
    let len = usize::from(cursor.u8()?);
    let name = std::str::from_utf8(cursor.take(len)?).map_err(|_| CodecError::Field(field))?;
    Principal::named(name).ok_or(CodecError::Field(field))
}

fn checksum(namespace: Namespace, path: &Path, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[namespace.number()]);
    hasher.update(path.as_bytes());
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::{CodecError, decode, encode, encoded_len};
    use crate::digest::ContentDigest;
    use crate::namespace::Namespace;
    use crate::origin::{Dot, Origin};
    use crate::path::Path;
    use crate::record::{Kind, Payload, Principal, Record};
    use crate::stamp::Stamp;
    use crate::testing::arbitrary_record;
    use crate::version::Version;
    use bytes::Bytes;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    fn path() -> Path {
        Path::parse("home/room/closet/socks").unwrap()
    }

    fn sample() -> Record {
        Record {
            version: Version {
                stamp: Stamp { ms: 1_672_531_200_000, counter: 3 },
                origin_joined_ms: 1_672_530_000_000,
                uuid: Uuid::from_u128(0xa1b2_c3d4_e5f6_7890_1234_5678_90ab_cdef),
            },
            dot: Dot { origin: Origin { node: Uuid::from_u128(7), epoch: 2 }, seq: 41 },
            kind: Kind::Value,
            expires_at_ms: 1_672_534_800_000,
            author: Principal::named("john").unwrap(),
            owner: Principal::named("root").unwrap(),
            digest: ContentDigest::of(b"{\"pairs\":7}"),
            payload: Payload::Raw(Bytes::from_static(b"{\"pairs\":7}")),
        }
    }

    /// Format 1, byte by byte as the table above says. If this test fails, old data can no longer be read: the
    /// format version must go up and this example stay readable.
    const GOLDEN: &str = concat!(
        "01",
        "01",
        "00",
        "000001856aa0c800",
        "0003",
        "000001856a8e7880",
        "00000000000000000000000000000007",
        "00000002",
        "0000000000000029",
        "a1b2c3d4e5f678901234567890abcdef",
        "000001856ad7b680",
        "23b76c2a950551e2d8e4613dc76428fb",
        "046a6f686e",
        "04726f6f74",
        "0000000b",
        "0000000b",
        "7b227061697273223a377d",
        "2fe176e6",
    );

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_golden_bytes_of_format_1_stay_as_they_are() {
        let encoded = encode(Namespace::Data, &path(), &sample());
        assert_eq!(hex(&encoded), GOLDEN);
        assert_eq!(decode(Namespace::Data, &path(), &Bytes::from(encoded)), Ok(sample()));
    }

    #[test]
    fn the_golden_bytes_of_format_2_stay_as_they_are() {
        let mut record = sample();
        record.dot.origin.epoch = 0x63b0_cd00_0000_0002;
        let encoded = encode(Namespace::Data, &path(), &record);
        let longer = GOLDEN.replacen("01", "02", 1).replacen("00000002", "63b0cd0000000002", 1);
        let (content, _) = encoded.split_last_chunk::<4>().unwrap();
        assert!(longer.starts_with(&hex(content)), "{longer}");
        assert_eq!(encoded.len(), encoded_len(&record));
        assert_eq!(decode(Namespace::Data, &path(), &Bytes::from(encoded)), Ok(record));
    }

    #[test]
    fn a_short_epoch_in_the_long_form_is_refused() {
        let mut bytes = encode(Namespace::Data, &path(), &sample());
        bytes[0] = 2;
        bytes.splice(37..37, [0; 4]);
        let end = bytes.len() - 4;
        let sum = super::checksum(Namespace::Data, &path(), &bytes[..end]).to_be_bytes();
        bytes[end..].copy_from_slice(&sum);
        assert_eq!(decode(Namespace::Data, &path(), &Bytes::from(bytes)), Err(CodecError::Field("epoch")));
    }

    #[test]
    fn a_record_under_another_key_is_found_out() {
        let encoded = Bytes::from(encode(Namespace::Data, &path(), &sample()));
        let other = Path::parse("home/room/closet/shoes").unwrap();
        assert_eq!(decode(Namespace::Data, &other, &encoded), Err(CodecError::Checksum));
        assert_eq!(decode(Namespace::Meta, &path(), &encoded), Err(CodecError::Checksum));
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut encoded = encode(Namespace::Data, &path(), &sample());
        encoded[0] = 3;
        assert_eq!(
            decode(Namespace::Data, &path(), &Bytes::from(encoded)),
            Err(CodecError::UnknownFormat(3))
        );
    }

    proptest! {
        #[test]
        fn records_round_trip(record in arbitrary_record()) {
            let encoded = encode(Namespace::Meta, &path(), &record);
            assert_eq!(encoded.len(), encoded_len(&record));
            assert_eq!(decode(Namespace::Meta, &path(), &Bytes::from(encoded)), Ok(record));
        }

        #[test]
        fn no_bytes_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            assert!(decode(Namespace::Data, &path(), &Bytes::from(bytes)).is_err());
        }

        #[test]
        fn every_cut_and_every_changed_byte_is_refused(record in arbitrary_record(), at in any::<usize>(), change in 1..=u8::MAX) {
            let encoded = encode(Namespace::Data, &path(), &record);
            let at = at % encoded.len();
            let cut = Bytes::copy_from_slice(&encoded[..at]);
            assert!(decode(Namespace::Data, &path(), &cut).is_err());
            let mut flipped = encoded;
            flipped[at] ^= change;
            assert!(decode(Namespace::Data, &path(), &Bytes::from(flipped)).is_err());
        }

        /// Fields are checked even when the checksum fits: a forger can compute a checksum.
        #[test]
        fn a_fitting_checksum_does_not_let_wrong_fields_through(mut bytes in proptest::collection::vec(any::<u8>(), 100..180)) {
            bytes[0] = 1 + bytes[0] % 2;
            let end = bytes.len() - 4;
            let sum = super::checksum(Namespace::Data, &path(), &bytes[..end]).to_be_bytes();
            bytes[end..].copy_from_slice(&sum);
            let bytes = Bytes::from(bytes);
            if let Ok(record) = decode(Namespace::Data, &path(), &bytes) {
                assert_eq!(encode(Namespace::Data, &path(), &record), bytes);
            }
        }
    }
}
