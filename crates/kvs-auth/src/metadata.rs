//! The record of a path in the `meta` namespace: `{"owner":"...","group":"...","mode":3857}`.
//!
//! Source: docs/design/permissions.md. Texts of users and groups are bounded by the record's own bound of principals.

use kvs_core::record::Principal;
use serde::{Deserialize, Serialize};

use crate::mode::Mode;
use crate::rights::Metadata;

/// Largest record, in bytes: two principals with every character escaped, and the mode.
pub const METADATA_BYTES_MAX: usize = 4096;

/// Why bytes are no metadata record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Larger than [`METADATA_BYTES_MAX`].
    #[error("metadata of {size_bytes} bytes is too large")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
    },
    /// Not the JSON that was written.
    #[error("metadata cannot be read: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    owner: std::borrow::Cow<'a, str>,
    group: std::borrow::Cow<'a, str>,
    mode: u16,
}

/// The bytes of a record.
#[must_use]
pub fn encode(metadata: &Metadata) -> Vec<u8> {
    let stored = Stored {
        owner: metadata.owner.as_str().into(),
        group: metadata.group.as_str().into(),
        mode: metadata.mode.bits(),
    };
    // Two texts and a number always serialise.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// Reads a record.
///
/// # Errors
///
/// [`MetadataError`].
pub fn decode(json: &[u8]) -> Result<Metadata, MetadataError> {
    let malformed = |reason: String| MetadataError::Malformed { reason };
    if json.len() > METADATA_BYTES_MAX {
        return Err(MetadataError::TooLarge { size_bytes: json.len() });
    }
    let stored: Stored<'_> = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
    let principal = |name: &str| Principal::named(name).ok_or_else(|| malformed("a name is too long".into()));
    if stored.owner.is_empty() {
        return Err(malformed("the owner is empty".into()));
    }
    Ok(Metadata {
        owner: principal(&stored.owner)?,
        group: principal(&stored.group)?,
        mode: Mode::from_bits(stored.mode).ok_or_else(|| malformed("the mode is above 4095".into()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::{METADATA_BYTES_MAX, decode, encode};
    use crate::mode::Mode;
    use crate::rights::Metadata;
    use kvs_core::record::Principal;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(owner in "[a-z\"\\\\\u{1}]{1,50}", group in ".{0,50}", mode in 0_u16..=4095) {
            let metadata = Metadata {
                owner: Principal::named(&owner).unwrap(),
                group: Principal::named(&group).unwrap(),
                mode: Mode::from_bits(mode).unwrap(),
            };
            let json = encode(&metadata);
            prop_assert!(json.len() <= METADATA_BYTES_MAX);
            prop_assert_eq!(decode(&json), Ok(metadata));
        }

        #[test]
        fn any_bytes_are_read_or_refused(json in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(&json));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for json in [
            "",
            "{}",
            r#"{"owner":"","group":"","mode":1}"#,
            r#"{"owner":"a","group":"","mode":4096}"#,
            r#"{"owner":"a","group":"","mode":-1}"#,
            r#"{"owner":"a","owner":"b","group":"","mode":1}"#,
            r#"{"owner":"a","group":"","mode":1,"more":1}"#,
        ] {
            assert!(decode(json.as_bytes()).is_err(), "{json}");
        }
        assert!(decode(&vec![b' '; METADATA_BYTES_MAX + 1]).is_err());
    }
}
