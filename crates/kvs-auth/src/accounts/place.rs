//! Where the accounts' records lie in the `auth` namespace.
//!
//! | path | what |
//! | --- | --- |
//! | `users/{uuid}` | a user |
//! | `groups/{uuid}` | a group |
//! | `tokens/{jti}` | an issued token, until it expires |
//! | `revoked/{jti}` | a token revoked by itself, for ever |
//! | `floors/{subject}/{seconds}` | every token of this subject that was issued in this second or before is refused, for ever; the seconds are twenty digits, [`FLOOR_FOR_EVER`] for a deleted user |
//!
//! A floor is a place of its own for every height, so that two nodes that raise it at once never write one key: the
//! effective floor is the highest that exists, whatever order they are learnt in.

use std::fmt;

use kvs_core::path::{Path, PathError};
use uuid::Uuid;

use crate::subject::{Subject, canonical_uuid};

/// The floor that no token passes: that of a deleted user.
pub const FLOOR_FOR_EVER: u64 = u64::MAX;

/// The JSON of a floor's record; its place says all.
pub const FLOOR_JSON: &[u8] = b"{}";

/// Digits of a floor's seconds.
const FLOOR_DIGITS: usize = 20;

/// The place of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A user.
    User(Uuid),
    /// A group.
    Group(Uuid),
    /// An issued token.
    Token(Uuid),
    /// A revoked token.
    Revoked(Uuid),
    /// A floor under the tokens of a subject.
    Floor {
        /// Whose tokens.
        of: Subject,
        /// The last second of issue that is refused, since 1970.
        seconds: u64,
    },
}

impl Place {
    /// Reads a path; `None` when no record of ours lies there.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, name) = path.split_once('/')?;
        match kind {
            "users" => canonical_uuid(name).map(Self::User),
            "groups" => canonical_uuid(name).map(Self::Group),
            "tokens" => canonical_uuid(name).map(Self::Token),
            "revoked" => canonical_uuid(name).map(Self::Revoked),
            "floors" => {
                let (subject, digits) = name.split_once('/')?;
                let plain =
                    digits.len() == FLOOR_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
                let seconds = plain.then(|| digits.parse().ok())??;
                Some(Self::Floor { of: Subject::parse(subject)?, seconds })
            }
            _ => None,
        }
    }

    /// The path.
    ///
    /// # Errors
    ///
    /// Never: every written form is a path. The type says so because [`Path`] is made in one way only.
    pub fn path(self) -> Result<Path, PathError> {
        Path::parse(&self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uuid) => write!(formatter, "users/{uuid}"),
            Self::Group(uuid) => write!(formatter, "groups/{uuid}"),
            Self::Token(jti) => write!(formatter, "tokens/{jti}"),
            Self::Revoked(jti) => write!(formatter, "revoked/{jti}"),
            Self::Floor { of, seconds } => write!(formatter, "floors/{of}/{seconds:020}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FLOOR_FOR_EVER, Place};
    use crate::subject::Subject;
    use uuid::Uuid;

    #[test]
    fn every_place_is_written_and_read() {
        let uuid = Uuid::from_u128(5);
        for place in [
            Place::User(uuid),
            Place::Group(uuid),
            Place::Token(uuid),
            Place::Revoked(uuid),
            Place::Floor { of: Subject::User(uuid), seconds: 0 },
            Place::Floor { of: Subject::Root, seconds: 1_700_000_000 },
            Place::Floor { of: Subject::User(uuid), seconds: FLOOR_FOR_EVER },
        ] {
            assert_eq!(Place::parse(&place.to_string()), Some(place));
            assert_eq!(place.path().unwrap().as_str(), place.to_string());
        }
    }

    #[test]
    fn no_other_path_is_a_place() {
        for path in [
            "",
            "users",
            "users/",
            "users/ann",
            "users/00000000-0000-0000-0000-00000000000A",
            "users/00000000-0000-0000-0000-00000000000a/x",
            "people/00000000-0000-0000-0000-00000000000a",
            "floors/root",
            "floors/root/1",
            "floors/root/+0000000000000000001",
            "floors/root/18446744073709551616",
            "floors/root/000000000000000000001",
            "floors/ann/00000000000000000001",
        ] {
            assert_eq!(Place::parse(path), None, "{path}");
        }
    }
}
