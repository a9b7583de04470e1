//! A user's record: `users/{uuid}` holds `{"nickname":"ann","created_at":1672531200000,"disabled":true}`.

use serde::{Deserialize, Serialize};

use super::error::AccountError;
use super::nickname::Nickname;
use crate::json::{present, read_object};
use crate::limits::ACCOUNT_BYTES_MAX;

/// Whether a user's tokens are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// They are.
    #[default]
    Enabled,
    /// They are not, until the user is enabled again.
    Disabled,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What people call it.
    pub nickname: Nickname,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Whether its tokens are taken; written as `"disabled":true` or left out.
    pub standing: Standing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    nickname: String,
    created_at: u64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
}

impl User {
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
            nickname: Nickname::new(written.nickname)?,
            created_at_ms: written.created_at,
            standing: match written.disabled {
                Some(true) => Standing::Disabled,
                Some(false) | None => Standing::Enabled,
            },
        })
    }

    /// The record's JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let written = Written {
            nickname: self.nickname.as_str().to_owned(),
            created_at: self.created_at_ms,
            disabled: (self.standing == Standing::Disabled).then_some(true),
        };
        // Text and numbers are always JSON.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountError, Nickname, Standing, User};

    #[test]
    fn what_is_written_is_read() {
        let mut user = User {
            nickname: Nickname::new("ann".into()).unwrap(),
            created_at_ms: 5,
            standing: Standing::Enabled,
        };
        assert_eq!(user.write(), br#"{"nickname":"ann","created_at":5}"#);
        assert_eq!(User::read(&user.write()), Ok(user.clone()));
        user.standing = Standing::Disabled;
        assert_eq!(user.write(), br#"{"nickname":"ann","created_at":5,"disabled":true}"#);
        assert_eq!(User::read(&user.write()), Ok(user));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            (r#"{"nickname":"","created_at":5}"#, AccountError::Nickname),
            (r#"{"nickname":"ann"}"#, AccountError::Json),
            (r#"{"nickname":"ann","nickname":"eve","created_at":5}"#, AccountError::Json),
            (r#"{"nickname":"ann","created_at":5,"admin":true}"#, AccountError::Json),
            (r#"{"nickname":"ann","created_at":5,"disabled":null}"#, AccountError::Json),
            (r#"["ann",5,true]"#, AccountError::Json),
            ("", AccountError::Json),
        ] {
            assert_eq!(User::read(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(User::read(&[b' '; 70_000]), Err(AccountError::TooLong));
    }
}
