//! Any bytes as stored keys and rows: refused, or what encodes to the same bytes.

#![no_main]

use bytes::Bytes;
use kvs_store::keys;
use kvs_store::row::{RevisionRow, Row};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(key) = keys::read_record_key(bytes) {
        assert_eq!(keys::record_key(key.namespace, &key.path), bytes);
    }
    if let Some((key, revision)) = keys::read_history_key(bytes) {
        assert_eq!(keys::history_key(key.namespace, &key.path, revision), bytes);
    }
    if let Some((ms, key)) = keys::read_time_key(bytes) {
        assert_eq!(keys::time_key(ms, key.namespace, &key.path), bytes);
    }
    if let Some(dot) = keys::read_dot_key(bytes) {
        assert_eq!(keys::dot_key(&dot), bytes);
    }
    let Some(key) = keys::read_record_key(b"\x01fuzz/row") else { return };
    let stored = Bytes::copy_from_slice(bytes);
    if let Ok(row) = Row::decode(&key, &stored) {
        assert_eq!(row.encode(&key), bytes);
    }
    if let Ok(row) = RevisionRow::decode(&key, &stored) {
        assert_eq!(row.encode(&key), bytes);
    }
});
