//! The version of a record and the order of versions.
//!
//! The order is total on distinct versions and needs nothing but what was stamped into the record when it was
//! written: looking a join time up in a member table at merge time would give different answers on different nodes.
//!
//! 1. the later stamp wins;
//! 2. on equal stamps, the origin that joined *earlier* wins;
//! 3. then the lexicographically *smaller* uuid wins.

use std::cmp::Ordering;

use uuid::Uuid;

use crate::stamp::Stamp;

/// The join time of a node that no cluster has admitted yet: the youngest, so it wins no tie.
pub const JOINED_YOUNGEST_MS: u64 = u64::MAX;

/// What identifies and orders one version of a key. The greater version wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// When it was written.
    pub stamp: Stamp,
    /// When its origin joined the cluster, in milliseconds since 1970; [`JOINED_YOUNGEST_MS`] before that.
    pub origin_joined_ms: u64,
    /// The version's own random uuid, which is also its entity tag.
    pub uuid: Uuid,
}

/// The rule by which one version won over another, or gave way to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    /// The later stamp.
    Newer = 1,
    /// Equal stamps, the origin that joined earlier.
    OlderNode = 2,
    /// Equal stamps and join times, the smaller uuid.
    SmallerUuid = 3,
    /// One version in two states: an expired value over itself while it was alive.
    Expired = 4,
    /// A peer that had received it holds nothing of the key: it was deleted and the delete collected there.
    DeletedElsewhere = 5,
    /// Its origin took back what it stamped by a clock that was ahead.
    Recalled = 6,
}

impl Rule {
    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The rule with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Newer),
            2 => Some(Self::OlderNode),
            3 => Some(Self::SmallerUuid),
            4 => Some(Self::Expired),
            5 => Some(Self::DeletedElsewhere),
            6 => Some(Self::Recalled),
            _ => None,
        }
    }

    /// The word that users see in the history.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newer => "newer",
            Self::OlderNode => "older_node",
            Self::SmallerUuid => "smaller_uuid",
            Self::Expired => "expired",
            Self::DeletedElsewhere => "deleted_elsewhere",
            Self::Recalled => "recalled",
        }
    }
}

impl Version {
    /// The rule that decides between two versions; `None` when they are the same version.
    #[must_use]
    pub fn rule_against(&self, other: &Self) -> Option<Rule> {
        if self.stamp != other.stamp {
            Some(Rule::Newer)
        } else if self.origin_joined_ms != other.origin_joined_ms {
            Some(Rule::OlderNode)
        } else if self.uuid != other.uuid {
            Some(Rule::SmallerUuid)
        } else {
            None
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.stamp
            .cmp(&other.stamp)
            .then_with(|| other.origin_joined_ms.cmp(&self.origin_joined_ms))
            .then_with(|| other.uuid.cmp(&self.uuid))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::{JOINED_YOUNGEST_MS, Rule, Version};
    use crate::stamp::Stamp;
    use uuid::Uuid;

    fn version(ms: u64, counter: u16, joined: u64, uuid: u128) -> Version {
        Version { stamp: Stamp { ms, counter }, origin_joined_ms: joined, uuid: Uuid::from_u128(uuid) }
    }

    #[test]
    fn the_later_stamp_wins_whatever_the_rest_says() {
        let older = version(1, 9, 1, 1);
        let newer = version(2, 0, 9, 9);
        assert!(newer > older);
        assert!(version(1, 1, 9, 9) > version(1, 0, 1, 1));
        assert_eq!(newer.rule_against(&older), Some(Rule::Newer));
    }

    #[test]
    fn on_equal_stamps_the_node_that_joined_earlier_wins() {
        assert!(version(1, 0, 5, 9) > version(1, 0, 6, 1));
        assert!(version(1, 0, 5, 9) > version(1, 0, JOINED_YOUNGEST_MS, 1));
        assert_eq!(version(1, 0, 5, 9).rule_against(&version(1, 0, 6, 1)), Some(Rule::OlderNode));
    }

    #[test]
    fn on_equal_join_times_the_smaller_uuid_wins() {
        assert!(version(1, 0, 5, 1) > version(1, 0, 5, 2));
        assert_eq!(version(1, 0, 5, 1).rule_against(&version(1, 0, 5, 2)), Some(Rule::SmallerUuid));
        assert_eq!(version(1, 0, 5, 1).rule_against(&version(1, 0, 5, 1)), None);
    }

    #[test]
    fn rules_keep_their_numbers() {
        for (rule, number) in [
            (Rule::Newer, 1),
            (Rule::OlderNode, 2),
            (Rule::SmallerUuid, 3),
            (Rule::Expired, 4),
            (Rule::DeletedElsewhere, 5),
            (Rule::Recalled, 6),
        ] {
            assert_eq!(rule.number(), number);
            assert_eq!(Rule::from_number(number), Some(rule));
        }
        assert_eq!(Rule::from_number(0), None);
    }
}
