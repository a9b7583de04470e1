//! A record with its key, as it travels.
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | namespace number |
//! | 2 + n | path: length, bytes |
//! | 4 + n | record: length, bytes |

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::stamp::Stamp;
use kvs_core::version::Version;

use crate::wire::decode_error::DecodeError;

/// Most records of one message.
pub const RECORDS_MAX: usize = 8192;

/// A key and the encoded record under it, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRecord {
    /// The key's namespace.
    pub namespace: Namespace,
    /// The key's path.
    pub path: Path,
    /// The record's bytes.
    pub record: Bytes,
}

/// A key and one version under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedVersion {
    /// The key's namespace.
    pub namespace: Namespace,
    /// The key's path.
    pub path: Path,
    /// The version.
    pub version: Version,
}

pub(crate) fn put_key(namespace: Namespace, path: &Path, out: &mut Vec<u8>) {
    out.push(namespace.number());
    let path = path.as_bytes();
    // A path is at most 1,024 bytes.
    out.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(path);
}

pub(crate) fn take_key(cursor: &mut Cursor<'_>) -> Result<(Namespace, Path), DecodeError> {
    let namespace = Namespace::from_number(cursor.u8()?).ok_or(DecodeError::Field("namespace"))?;
    let path_len = cursor.u16()?;
    let path = Path::from_stored(cursor.take(usize::from(path_len))?);
    Ok((namespace, path.map_err(|_| DecodeError::Field("path"))?))
}

/// Appends a list of records.
pub(crate) fn put_records(records: &[KeyedRecord], out: &mut Vec<u8>) {
    put_count(records.len(), out);
    for keyed in records {
        put_key(keyed.namespace, &keyed.path, out);
        put_count(keyed.record.len(), out);
        out.extend_from_slice(&keyed.record);
    }
}

/// Reads a list of records; their bytes stay parts of `message`.
pub(crate) fn take_records(
    message: &Bytes,
    cursor: &mut Cursor<'_>,
) -> Result<Vec<KeyedRecord>, DecodeError> {
    let count = take_count(cursor, RECORDS_MAX)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let (namespace, path) = take_key(cursor)?;
        let len = cursor.u32()? as usize;
        let record = message.slice_ref(cursor.take(len)?);
        records.push(KeyedRecord { namespace, path, record });
    }
    Ok(records)
}

/// Appends a list of versions.
pub(crate) fn put_versions(versions: &[KeyedVersion], out: &mut Vec<u8>) {
    put_count(versions.len(), out);
    for keyed in versions {
        put_key(keyed.namespace, &keyed.path, out);
        out.extend_from_slice(&keyed.version.stamp.ms.to_be_bytes());
        out.extend_from_slice(&keyed.version.stamp.counter.to_be_bytes());
        out.extend_from_slice(&keyed.version.origin_joined_ms.to_be_bytes());
        out.extend_from_slice(keyed.version.uuid.as_bytes());
    }
}

/// Reads a list of versions.
pub(crate) fn take_versions(cursor: &mut Cursor<'_>) -> Result<Vec<KeyedVersion>, DecodeError> {
    let count = take_count(cursor, RECORDS_MAX)?;
    let mut versions = Vec::new();
    for _ in 0..count {
        let (namespace, path) = take_key(cursor)?;
        let stamp = Stamp { ms: cursor.u64()?, counter: cursor.u16()? };
        let version = Version { stamp, origin_joined_ms: cursor.u64()?, uuid: cursor.uuid()? };
        versions.push(KeyedVersion { namespace, path, version });
    }
    Ok(versions)
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn take_count(cursor: &mut Cursor<'_>, max: usize) -> Result<usize, DecodeError> {
    let count = cursor.u32()? as usize;
    if count > max { Err(DecodeError::EndsEarly) } else { Ok(count) }
}
