//! What people call a user or a group.

use std::fmt;

use super::error::AccountError;
use crate::limits::NICKNAME_BYTES_MAX;

/// A name for people: 1..=[`NICKNAME_BYTES_MAX`] bytes without control characters.
///
/// It names nobody: rights hang on uuids, and two users may have the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nickname(String);

impl Nickname {
    /// Takes a name.
    ///
    /// # Errors
    ///
    /// [`AccountError::Nickname`].
    pub fn new(name: String) -> Result<Self, AccountError> {
        if name.is_empty() || name.len() > NICKNAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(AccountError::Nickname);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Nickname;

    #[test]
    fn names_are_short_and_printable() {
        for name in ["a", "Jürgen von Köln", &"x".repeat(128)] {
            assert_eq!(Nickname::new(name.to_owned()).unwrap().as_str(), name);
        }
        for name in ["", "a\nb", "a\u{0}", "\u{9b}31m", &"x".repeat(129), &"ü".repeat(65)] {
            assert!(Nickname::new(name.to_owned()).is_err(), "{name:?}");
        }
    }
}
