//! Whether a record's payload is what its digest says.

use kvs_core::digest::ContentDigest;
use kvs_core::record::{Kind, Record};

use crate::compression::decompress;

/// Decompresses the payload of a value and compares it with the digest that it was written with; says what is wrong.
/// Tombstones and expired values have no payload: there is nothing to compare.
pub(crate) fn check_content(record: &Record) -> Result<(), String> {
    if record.kind != Kind::Value {
        return Ok(());
    }
    let json = decompress(&record.payload).map_err(|reason| format!("its payload is damaged: {reason}"))?;
    if ContentDigest::of(&json) == record.digest {
        Ok(())
    } else {
        Err("its payload is not what its digest says".into())
    }
}
