//! What a token says, and its JSON.
//!
//! ```json
//! {"sub":"UUID or root","iss":"cluster id","iat":1,"exp":2,"jti":"UUID","scopes":["read"],"paths":["home/ann"]}
//! ```
//!
//! Times are whole seconds since 1970. `paths` is left out when there is no limit. Everything is read strictly: every
//! member once, none that is not known, every uuid and path in its one spelling.

use kvs_core::path::Path;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::TokenError;
use crate::json::{present, read_object};
use crate::limits::TOKEN_LIFETIME_MAX_S;
use crate::scopes::{Scope, Scopes};
use crate::subject::{Subject, canonical_uuid};
use crate::subtrees::Subtrees;

/// What a token says. The issuer is not among it: it follows from the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: whom it speaks for.
    pub subject: Subject,
    /// `jti`: its number, random.
    pub jti: Uuid,
    /// `iat`: when it was issued, in seconds since 1970.
    pub issued_at_s: u64,
    /// `exp`: the first second in which it is no longer good, since 1970.
    pub expires_at_s: u64,
    /// `scopes`: what it may do at all; not empty.
    pub scopes: Scopes,
    /// `paths`: where; `None` for everywhere.
    pub paths: Option<Subtrees>,
}

/// The claims as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sub: String,
    iss: String,
    iat: u64,
    exp: u64,
    jti: String,
    scopes: Vec<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
}

impl Claims {
    /// Checks what must hold of every token, whatever the time.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoScope`], or [`TokenError::Lifetime`] when it ends before it begins or lives too long.
    pub fn check(&self) -> Result<(), TokenError> {
        if self.scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        match self.expires_at_s.checked_sub(self.issued_at_s) {
            Some(1..=TOKEN_LIFETIME_MAX_S) => Ok(()),
            Some(_) | None => Err(TokenError::Lifetime),
        }
    }

    /// Checks the times against the clock: it has begun, with `skew_s` seconds of patience for clocks that differ, and has
    /// not ended, with none.
    pub(super) const fn check_times(&self, now_s: u64, skew_s: u64) -> Result<(), TokenError> {
        if self.issued_at_s > now_s.saturating_add(skew_s) {
            return Err(TokenError::FromTheFuture);
        }
        if now_s >= self.expires_at_s {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// The JSON of a token of this issuer.
    pub(super) fn write(&self, issuer: &str) -> Result<Vec<u8>, TokenError> {
        let written = Written {
            sub: self.subject.to_string(),
            iss: issuer.to_owned(),
            iat: self.issued_at_s,
            exp: self.expires_at_s,
            jti: self.jti.to_string(),
            scopes: self.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            paths: self.paths.as_ref().map(|paths| paths.roots().iter().map(Path::to_string).collect()),
        };
        serde_json::to_vec(&written).map_err(|_| TokenError::Signing)
    }

    /// Reads the JSON of a token that this issuer signed, without a look at the clock.
    pub(super) fn read(text: &[u8], issuer: &str) -> Result<Self, TokenError> {
        let written: Written = read_object(text).map_err(|_| TokenError::Payload)?;
        if written.iss != issuer {
            return Err(TokenError::Issuer);
        }
        let claims = Self {
            subject: Subject::parse(&written.sub).ok_or(TokenError::Payload)?,
            jti: canonical_uuid(&written.jti).ok_or(TokenError::Payload)?,
            issued_at_s: written.iat,
            expires_at_s: written.exp,
            scopes: scopes_of(&written.scopes).ok_or(TokenError::Payload)?,
            paths: match &written.paths {
                Some(roots) => Some(subtrees_of(roots).ok_or(TokenError::Payload)?),
                None => None,
            },
        };
        claims.check()?;
        Ok(claims)
    }
}

/// The set of these words; `None` for an unknown or a doubled one.
#[must_use]
pub fn scopes_of(words: &[String]) -> Option<Scopes> {
    let mut scopes = Scopes::NONE;
    for word in words {
        let scope = Scope::named(word)?;
        if scopes.iter().any(|known| known == scope) {
            return None;
        }
        scopes = scopes.with(scope);
    }
    Some(scopes)
}

/// The subtrees under these roots, each written as it is stored; `None` for a bad path, no root, or too many.
#[must_use]
pub fn subtrees_of(roots: &[String]) -> Option<Subtrees> {
    let roots: Result<Vec<Path>, _> = roots.iter().map(|root| Path::from_stored(root.as_bytes())).collect();
    Subtrees::new(roots.ok()?)
}

#[cfg(test)]
mod tests {
    use super::Claims;
    use crate::limits::TOKEN_LIFETIME_MAX_S;
    use crate::scopes::{Scope, Scopes};
    use crate::subject::Subject;
    use crate::token::error::TokenError;
    use uuid::Uuid;

    const JTI: &str = "00000000-0000-0000-0000-000000000007";

    fn claims(issued_at_s: u64, expires_at_s: u64) -> Claims {
        Claims {
            subject: Subject::Root,
            jti: Uuid::from_u128(7),
            issued_at_s,
            expires_at_s,
            scopes: Scopes::NONE.with(Scope::Read),
            paths: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let claims = claims(10, 20);
        let text = claims.write("us").unwrap();
        let expected =
            format!(r#"{{"sub":"root","iss":"us","iat":10,"exp":20,"jti":"{JTI}","scopes":["read"]}}"#);
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
        assert_eq!(Claims::read(&text, "us"), Ok(claims));
        assert_eq!(Claims::read(&text, "them"), Err(TokenError::Issuer));
    }

    #[test]
    fn a_life_is_at_least_a_second_and_at_most_a_year() {
        for (expires_at_s, expected) in [
            (999, Err(TokenError::Lifetime)),
            (1000, Err(TokenError::Lifetime)),
            (1001, Ok(())),
            (1000 + TOKEN_LIFETIME_MAX_S, Ok(())),
            (1001 + TOKEN_LIFETIME_MAX_S, Err(TokenError::Lifetime)),
            (u64::MAX, Err(TokenError::Lifetime)),
        ] {
            assert_eq!(claims(1000, expires_at_s).check(), expected, "{expires_at_s}");
        }
    }

    #[test]
    fn clocks_may_differ_at_the_beginning_and_not_at_the_end() {
        let claims = claims(1000, 2000);
        for (now_s, expected) in [
            (0, Err(TokenError::FromTheFuture)),
            (939, Err(TokenError::FromTheFuture)),
            (940, Ok(())),
            (1999, Ok(())),
            (2000, Err(TokenError::Expired)),
            (u64::MAX, Err(TokenError::Expired)),
        ] {
            assert_eq!(claims.check_times(now_s, 60), expected, "{now_s}");
        }
    }

    #[test]
    fn no_claim_is_taken_in_another_form() {
        let good = format!(
            r#"{{"sub":"root","iss":"us","iat":1,"exp":9,"jti":"{JTI}","scopes":["read"],"paths":["a"]}}"#
        );
        assert!(Claims::read(good.as_bytes(), "us").is_ok());
        for (from, to) in [
            (r#""root""#, r#""Root""#),
            (r#""root""#, r#""""#),
            (r#""root""#, r#"["root"]"#),
            (r#""us""#, r#"["us"]"#),
            (r#""iat":1"#, r#""iat":1.0"#),
            (r#""iat":1"#, r#""iat":-1"#),
            (r#""iat":1"#, r#""iat":"1""#),
            (r#""iat":1"#, r#""iat":1,"iat":1"#),
            (r#""iat":1"#, r#""iat":1,"nbf":1"#),
            (r#""iat":1,"#, ""),
            (r#""exp":9,"#, ""),
            (r#""exp":9"#, r#""exp":18446744073709551616"#),
            (r#""exp":9"#, r#""exp":1"#),
            (JTI, "7"),
            (JTI, "{00000000-0000-0000-0000-000000000007}"),
            (r#"["read"]"#, "[]"),
            (r#"["read"]"#, r#"["Read"]"#),
            (r#"["read"]"#, r#"["read","read"]"#),
            (r#"["read"]"#, r#"["read","root"]"#),
            (r#"["read"]"#, r#""read""#),
            (r#"["a"]"#, "[]"),
            (r#"["a"]"#, "null"),
            (r#"["a"]"#, r#"["/a"]"#),
            (r#"["a"]"#, r#"["a/../b"]"#),
            (r#"["a"]"#, r#"["_x"]"#),
            (r#"["a"]"#, r#"[""]"#),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(Claims::read(bad.as_bytes(), "us").is_err(), "{bad}");
        }
    }
}
