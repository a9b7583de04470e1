//! Any bytes as a record, once as they are and once with a checksum that fits: refused, or a record that encodes to
//! the same bytes and whose payload decompresses within its bound or not at all.

#![no_main]

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record_codec::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(path) = Path::parse("fuzz/record") else { return };
    let as_is = Bytes::copy_from_slice(bytes);
    check(&path, &as_is);
    // A stranger can compute a checksum: the fields must hold up behind one that fits.
    let mut summed = vec![Namespace::Data.number()];
    summed.extend_from_slice(path.as_bytes());
    summed.extend_from_slice(bytes);
    let sum = crc32(&summed);
    let mut fitting = bytes.to_vec();
    fitting.extend_from_slice(&sum.to_be_bytes());
    check(&path, &Bytes::from(fitting));
});

fn check(path: &Path, bytes: &Bytes) {
    if let Ok(record) = decode(Namespace::Data, path, bytes) {
        assert_eq!(encode(Namespace::Data, path, &record).as_slice(), bytes.as_ref());
        if let Ok(json) = kvs_store::compression::decompress(&record.payload) {
            assert_eq!(json.len(), record.payload.raw_len());
        }
    }
}

/// CRC-32 (IEEE), bit by bit: independent of the library under test.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}
