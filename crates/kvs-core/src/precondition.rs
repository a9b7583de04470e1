//! The conditions of a write: `If-Match` and `If-None-Match` as a value that the commit can decide.
//!
//! They are decided inside the commit, against the version being overwritten, so that two conditional writes can never
//! both find the same version. Source: RFC 9110 section 13.

use uuid::Uuid;

/// What a condition compares the current version with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any current value.
    Any,
    /// These versions; a tag that is no uuid matches nothing and is left out. At most
    /// [`crate::limits::ENTITY_TAGS_MAX`].
    OneOf(Vec<Uuid>),
}

impl Tags {
    /// Whether the current live version (`None`: the key has no live value) is among the tags.
    #[must_use]
    pub fn matches(&self, current: Option<Uuid>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(uuids), Some(current)) => uuids.contains(&current),
        }
    }
}

/// The conditions of one write; the default is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// `If-Match`: the current version must be among these.
    pub if_match: Option<Tags>,
    /// `If-None-Match`: the current version must not be among these.
    pub if_none_match: Option<Tags>,
}

impl Precondition {
    /// Whether a write over the current live version may go on.
    #[must_use]
    pub fn holds(&self, current: Option<Uuid>) -> bool {
        self.if_match.as_ref().is_none_or(|tags| tags.matches(current))
            && self.if_none_match.as_ref().is_none_or(|tags| !tags.matches(current))
    }
}

#[cfg(test)]
mod tests {
    use super::{Precondition, Tags};
    use uuid::Uuid;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn if_match(tags: Tags) -> Precondition {
        Precondition { if_match: Some(tags), if_none_match: None }
    }

    fn if_none_match(tags: Tags) -> Precondition {
        Precondition { if_match: None, if_none_match: Some(tags) }
    }

    #[test]
    fn without_conditions_every_write_goes_on() {
        assert!(Precondition::default().holds(None));
        assert!(Precondition::default().holds(Some(ONE)));
    }

    #[test]
    fn if_match_wants_one_of_its_versions() {
        assert!(if_match(Tags::OneOf(vec![TWO, ONE])).holds(Some(ONE)));
        assert!(!if_match(Tags::OneOf(vec![TWO])).holds(Some(ONE)));
        assert!(!if_match(Tags::OneOf(vec![])).holds(Some(ONE)));
        assert!(!if_match(Tags::OneOf(vec![ONE])).holds(None));
        assert!(if_match(Tags::Any).holds(Some(ONE)));
        assert!(!if_match(Tags::Any).holds(None));
    }

    #[test]
    fn if_none_match_wants_none_of_them() {
        assert!(if_none_match(Tags::Any).holds(None));
        assert!(!if_none_match(Tags::Any).holds(Some(ONE)));
        assert!(if_none_match(Tags::OneOf(vec![TWO])).holds(Some(ONE)));
        assert!(!if_none_match(Tags::OneOf(vec![ONE])).holds(Some(ONE)));
    }
}
