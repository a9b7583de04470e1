//! The merge: of two records of one key, which one stays.
//!
//! Commutative, associative and idempotent, so that nodes end with the same record whatever the order in which records
//! arrive and however often. Every way into the store (local write, peer, repair, restore) ends here.
//!
//! Source: the conflict rules in docs/design/record.md.

use std::cmp::Ordering;

use crate::record::{Kind, Record};
use crate::version::Rule;

/// What becomes of an incoming record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Nothing was there: it is stored.
    First,
    /// It replaces the stored one, which lost by this rule.
    Replaces(Rule),
    /// The stored one stays; the incoming one lost by this rule.
    Loses(Rule),
    /// It is already there.
    Same,
}

/// Decides between what is stored and what comes in.
#[must_use]
pub fn merge(stored: Option<&Record>, incoming: &Record) -> Merge {
    let Some(stored) = stored else {
        return Merge::First;
    };
    match incoming.precedence(stored) {
        Ordering::Equal => Merge::Same,
        Ordering::Greater => Merge::Replaces(rule_between(incoming, stored)),
        Ordering::Less => Merge::Loses(rule_between(incoming, stored)),
    }
}

fn rule_between(left: &Record, right: &Record) -> Rule {
    match left.version.rule_against(&right.version) {
        Some(rule) => rule,
        None if left.kind == Kind::Expired || right.kind == Kind::Expired => Rule::Expired,
        None => Rule::SmallerUuid,
    }
}

#[cfg(test)]
mod tests {
    use super::{Merge, merge};
    use crate::record::{Kind, Record};
    use crate::testing::arbitrary_record;
    use crate::version::Rule;
    use proptest::prelude::proptest;

    fn winner(stored: Record, incoming: Record) -> Record {
        match merge(Some(&stored), &incoming) {
            Merge::First | Merge::Replaces(_) => incoming,
            Merge::Loses(_) | Merge::Same => stored,
        }
    }

    fn same(left: &Record, right: &Record) -> bool {
        left.precedence(right).is_eq()
    }

    proptest! {
        #[test]
        fn merging_is_commutative(a in arbitrary_record(), b in arbitrary_record()) {
            assert!(same(&winner(a.clone(), b.clone()), &winner(b, a)));
        }

        #[test]
        fn merging_is_associative(a in arbitrary_record(), b in arbitrary_record(), c in arbitrary_record()) {
            let left = winner(winner(a.clone(), b.clone()), c.clone());
            let right = winner(a, winner(b, c));
            assert!(same(&left, &right));
        }

        #[test]
        fn merging_is_idempotent(a in arbitrary_record(), b in arbitrary_record()) {
            assert_eq!(merge(Some(&a), &a), Merge::Same);
            let once = winner(a, b.clone());
            assert!(same(&winner(once.clone(), b), &once));
        }

        #[test]
        fn the_order_is_total_and_antisymmetric(a in arbitrary_record(), b in arbitrary_record()) {
            assert_eq!(a.precedence(&b), b.precedence(&a).reverse());
            if a.version != b.version {
                assert!(a.precedence(&b).is_ne());
                assert_eq!(a.precedence(&b), a.version.cmp(&b.version));
            }
        }

        #[test]
        fn the_rule_named_is_the_same_from_both_sides(a in arbitrary_record(), b in arbitrary_record()) {
            match (merge(Some(&a), &b), merge(Some(&b), &a)) {
                (Merge::Same, Merge::Same) => {}
                (Merge::Replaces(left), Merge::Loses(right)) | (Merge::Loses(left), Merge::Replaces(right)) => {
                    assert_eq!(left, right);
                }
                other => panic!("both sides claim the same: {other:?}"),
            }
        }

        #[test]
        fn an_expired_value_beats_itself_and_loses_to_anything_newer(mut value in arbitrary_record()) {
            value.kind = Kind::Value;
            let expired = value.expired();
            assert_eq!(merge(Some(&value), &expired), Merge::Replaces(Rule::Expired));
            let mut newer = value.clone();
            if let Some(stamp) = newer.version.stamp.tick() {
                newer.version.stamp = stamp;
                assert_eq!(merge(Some(&expired), &newer), Merge::Replaces(Rule::Newer));
            }
        }

        #[test]
        fn anything_beats_nothing(a in arbitrary_record()) {
            assert_eq!(merge(None, &a), Merge::First);
        }
    }
}
