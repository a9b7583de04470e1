//! Whom a token speaks for: a user by its uuid, or the built-in administrator.

use std::fmt;

use kvs_core::record::Principal;
use uuid::Uuid;

use crate::caller::ROOT;

/// Whom a token speaks for.
///
/// Written as the user's uuid in its one canonical spelling (lower case, with hyphens), or [`ROOT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The built-in administrator, which exists on every node without an account.
    Root,
    /// A user.
    User(Uuid),
}

impl Subject {
    /// Reads the written form; another spelling of a uuid is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == ROOT { Some(Self::Root) } else { canonical_uuid(text).map(Self::User) }
    }

    /// The user's uuid; `None` for the built-in administrator.
    #[must_use]
    pub const fn user(self) -> Option<Uuid> {
        match self {
            Self::Root => None,
            Self::User(user) => Some(user),
        }
    }

    /// Its name as author and owner of keys.
    #[must_use]
    pub fn principal(self) -> Principal {
        // Both forms are far shorter than the bound of a name.
        Principal::named(&self.to_string()).unwrap_or_default()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => formatter.write_str(ROOT),
            Self::User(user) => fmt::Display::fmt(user, formatter),
        }
    }
}

/// Reads a uuid in its canonical spelling; `None` for any other, so that one uuid is one text.
#[must_use]
pub fn canonical_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::{Subject, canonical_uuid};
    use uuid::Uuid;

    #[test]
    fn both_kinds_are_written_and_read() {
        for subject in [Subject::Root, Subject::User(Uuid::from_u128(7))] {
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject));
            assert_eq!(subject.principal().as_str(), subject.to_string());
        }
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        let text = "0b0d7f9e-9a1c-4a52-8f3e-6f2d1c0a9b8e";
        assert_eq!(canonical_uuid(text).unwrap().to_string(), text);
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("urn:uuid:{text}"),
            format!(" {text}"),
            String::new(),
            "Root".to_owned(),
        ] {
            assert_eq!(Subject::parse(&other), None, "{other:?}");
        }
    }
}
