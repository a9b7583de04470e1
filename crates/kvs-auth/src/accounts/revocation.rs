//! The record of a revoked token: `revoked/{jti}` holds `{"user":"UUID or root","expires_at":2,"revoked_at":1}`.
//!
//! That the record exists is what revokes the token; what it says is for people. It is never changed or removed. Of a
//! token that was minted on a machine and not by a request, user and end are not known and left out.

use serde::{Deserialize, Serialize};

use super::error::AccountError;
use crate::json::{present, read_object};
use crate::limits::ACCOUNT_BYTES_MAX;
use crate::subject::Subject;

/// A revoked token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Whom it spoke for, where that is known.
    pub user: Option<Subject>,
    /// When it would have ended, in milliseconds since 1970, where that is known.
    pub expires_at_ms: Option<u64>,
    /// In milliseconds since 1970.
    pub revoked_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    revoked_at: u64,
}

impl Revocation {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn read(json: &[u8]) -> Result<Self, AccountError> {
        if json.len() > ACCOUNT_BYTES_MAX {
            return Err(AccountError::TooLong);
        }
        let written: Written = read_object(json).map_err(|_| AccountError::Json)?;
        Ok(Self {
            user: match written.user {
                Some(user) => Some(Subject::parse(&user).ok_or(AccountError::Rights)?),
                None => None,
            },
            expires_at_ms: written.expires_at,
            revoked_at_ms: written.revoked_at,
        })
    }

    /// The record's JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let written = Written {
            user: self.user.map(|user| user.to_string()),
            expires_at: self.expires_at_ms,
            revoked_at: self.revoked_at_ms,
        };
        // Text and numbers are always JSON.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountError, Revocation};
    use crate::subject::Subject;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let revocation = Revocation { user: Some(Subject::Root), expires_at_ms: Some(2), revoked_at_ms: 1 };
        assert_eq!(revocation.write(), br#"{"user":"root","expires_at":2,"revoked_at":1}"#);
        assert_eq!(Revocation::read(&revocation.write()), Ok(revocation));
        let unknown = Revocation { user: None, expires_at_ms: None, revoked_at_ms: 1 };
        assert_eq!(unknown.write(), br#"{"revoked_at":1}"#);
        assert_eq!(Revocation::read(&unknown.write()), Ok(unknown));
        assert_eq!(Revocation::read(br#"{"user":"root","expires_at":2}"#), Err(AccountError::Json));
        assert_eq!(Revocation::read(br#"{"user":null,"revoked_at":2}"#), Err(AccountError::Json));
        assert_eq!(
            Revocation::read(br#"{"user":"","expires_at":2,"revoked_at":1}"#),
            Err(AccountError::Rights)
        );
    }
}
