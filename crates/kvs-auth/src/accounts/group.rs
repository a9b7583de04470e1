//! A group's record: `groups/{uuid}` holds `{"name":"staff","members":["UUID", ...]}`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::AccountError;
use super::nickname::Nickname;
use crate::json::read_object;
use crate::limits::{ACCOUNT_BYTES_MAX, GROUP_MEMBERS_MAX};
use crate::subject::canonical_uuid;

/// A group of users. A member that is no user, or no longer one, does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What people call it.
    pub name: Nickname,
    /// At most [`GROUP_MEMBERS_MAX`] users; [`members_of`] makes the set from words.
    pub members: BTreeSet<Uuid>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    members: Vec<String>,
}

impl Group {
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
        Ok(Self { name: Nickname::new(written.name)?, members: members_of(&written.members)? })
    }

    /// The record's JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let written = Written {
            name: self.name.as_str().to_owned(),
            members: self.members.iter().map(Uuid::to_string).collect(),
        };
        // Text is always JSON.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

/// The set of these members.
///
/// # Errors
///
/// [`AccountError::Members`] for a text that is no uuid in its canonical spelling, one that is named twice, and one too
/// many.
pub fn members_of(words: &[String]) -> Result<BTreeSet<Uuid>, AccountError> {
    if words.len() > GROUP_MEMBERS_MAX {
        return Err(AccountError::Members);
    }
    let mut members = BTreeSet::new();
    for word in words {
        if !members.insert(canonical_uuid(word).ok_or(AccountError::Members)?) {
            return Err(AccountError::Members);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::{AccountError, Group, Nickname, members_of};
    use crate::limits::{ACCOUNT_BYTES_MAX, GROUP_MEMBERS_MAX};
    use uuid::Uuid;

    #[test]
    fn the_largest_group_is_written_and_read() {
        let group = Group {
            name: Nickname::new("\\".repeat(128)).unwrap(),
            members: (0..GROUP_MEMBERS_MAX as u128).map(Uuid::from_u128).collect(),
        };
        let written = group.write();
        assert!(written.len() <= ACCOUNT_BYTES_MAX);
        assert_eq!(Group::read(&written), Ok(group));
    }

    #[test]
    fn members_are_distinct_and_not_too_many() {
        let word = |number: usize| Uuid::from_u128(number as u128).to_string();
        let many: Vec<String> = (0..=GROUP_MEMBERS_MAX).map(word).collect();
        assert_eq!(members_of(&many[1..]).map(|members| members.len()), Ok(GROUP_MEMBERS_MAX));
        assert_eq!(members_of(&many), Err(AccountError::Members));
        assert_eq!(members_of(&[word(1), word(1)]), Err(AccountError::Members));
        assert_eq!(members_of(&["ann".to_owned()]), Err(AccountError::Members));
        assert_eq!(members_of(&["root".to_owned()]), Err(AccountError::Members));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            (r#"{"name":"staff"}"#, AccountError::Json),
            (r#"{"name":"staff","members":[],"members":[]}"#, AccountError::Json),
            (r#"{"name":"staff","members":{}}"#, AccountError::Json),
            (r#"["staff",[]]"#, AccountError::Json),
            (r#"{"name":"a\u0007","members":[]}"#, AccountError::Nickname),
        ] {
            assert_eq!(Group::read(text.as_bytes()), Err(error), "{text}");
        }
    }
}
