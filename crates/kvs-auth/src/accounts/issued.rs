//! The record of an issued token: `tokens/{jti}` says whose it is and what it allows, never the token itself.
//!
//! `{"user":"UUID or root","scopes":["read"],"paths":["home/ann"],"issued_at":1672531200000,"expires_at":1672617600000}`

use kvs_core::path::Path;
use serde::{Deserialize, Serialize};

use super::error::AccountError;
use crate::json::{present, read_object};
use crate::limits::ACCOUNT_BYTES_MAX;
use crate::scopes::Scopes;
use crate::subject::Subject;
use crate::subtrees::Subtrees;
use crate::token::claims::{Claims, scopes_of, subtrees_of};

/// An issued token, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Whom it speaks for.
    pub user: Subject,
    /// What it allows.
    pub scopes: Scopes,
    /// Where; `None` for everywhere.
    pub paths: Option<Subtrees>,
    /// In milliseconds since 1970.
    pub issued_at_ms: u64,
    /// In milliseconds since 1970.
    pub expires_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    user: String,
    scopes: Vec<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    issued_at: u64,
    expires_at: u64,
}

impl Issued {
    /// What is noted of a token that says this.
    #[must_use]
    pub fn of(claims: &Claims) -> Self {
        Self {
            user: claims.subject,
            scopes: claims.scopes,
            paths: claims.paths.clone(),
            issued_at_ms: claims.issued_at_s.saturating_mul(1000),
            expires_at_ms: claims.expires_at_s.saturating_mul(1000),
        }
    }

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
            user: Subject::parse(&written.user).ok_or(AccountError::Rights)?,
            scopes: scopes_of(&written.scopes).ok_or(AccountError::Rights)?,
            paths: match &written.paths {
                Some(roots) => Some(subtrees_of(roots).ok_or(AccountError::Rights)?),
                None => None,
            },
            issued_at_ms: written.issued_at,
            expires_at_ms: written.expires_at,
        })
    }

    /// The record's JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let written = Written {
            user: self.user.to_string(),
            scopes: self.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            paths: self.paths.as_ref().map(|paths| paths.roots().iter().map(Path::to_string).collect()),
            issued_at: self.issued_at_ms,
            expires_at: self.expires_at_ms,
        };
        // Text and numbers are always JSON.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountError, Issued};
    use crate::scopes::{Scope, Scopes};
    use crate::subject::Subject;
    use crate::subtrees::Subtrees;
    use kvs_core::path::Path;
    use uuid::Uuid;

    #[test]
    fn what_is_written_is_read() {
        let issued = Issued {
            user: Subject::User(Uuid::from_u128(1)),
            scopes: Scopes::NONE.with(Scope::Delete).with(Scope::Read),
            paths: Subtrees::new(vec![Path::parse("home/ann").unwrap()]),
            issued_at_ms: 1000,
            expires_at_ms: 2000,
        };
        assert_eq!(Issued::read(&issued.write()), Ok(issued.clone()));
        let everywhere = Issued { paths: None, ..issued };
        assert_eq!(Issued::read(&everywhere.write()), Ok(everywhere));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            (r#"{"user":"ann","scopes":[],"issued_at":1,"expires_at":2}"#, AccountError::Rights),
            (r#"{"user":"root","scopes":["all"],"issued_at":1,"expires_at":2}"#, AccountError::Rights),
            (
                r#"{"user":"root","scopes":[],"paths":["_"],"issued_at":1,"expires_at":2}"#,
                AccountError::Rights,
            ),
            (r#"{"user":"root","scopes":[],"issued_at":1,"expires_at":2,"token":"x"}"#, AccountError::Json),
        ] {
            assert_eq!(Issued::read(text.as_bytes()), Err(error), "{text}");
        }
    }
}
