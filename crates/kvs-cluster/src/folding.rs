//! When the ended epochs of this node are folded away, so that vectors stay small.
//!
//! Each start begins an epoch, and every member's vector has an entry for each in which something was written. Once every
//! member covers an ended epoch, as far as any member has heard of it, the entry says nothing any more: the node raises its
//! marker past it, and the others take the marker over with the next claim.
//!
//! The marker is a moment, so it also covers epochs of which nobody has heard: lives of the node whose directory was put back
//! before anybody saw a write of theirs. An epoch that began lately may still be one of them that turns up, so the marker
//! stays some time behind now. What turns up later than that counts as received: it is a write that no member had for all that
//! time, and where it is found it goes to the history.

use std::collections::{BTreeMap, BTreeSet};

use kvs_core::origin::{Origin, born_s};
use kvs_core::vector::Vector;
use uuid::Uuid;

/// What one member knows of the epochs of the node that folds.
#[derive(Debug, Clone)]
pub(crate) struct Knowledge<'a> {
    /// What it holds.
    pub(crate) vector: &'a Vector,
    /// The highest numbers that it heard of beyond that, by epoch; `None` when some may be missing.
    pub(crate) heard: Option<&'a BTreeMap<u64, u64>>,
}

/// The new marker of a node whose current epoch is `current`, seconds since 1970, if it should have one.
///
/// `listed` are the epochs that the node itself remembers, `own` is what it knows besides and `others` what every other
/// member does. The marker is not after `latest_s`. Nothing is folded while a member has a later marker: then this node was put
/// back to an earlier moment and will get it with a claim.
pub(crate) fn marker(
    current: Origin,
    listed: impl Iterator<Item = u64>,
    own: &Knowledge<'_>,
    others: &[Knowledge<'_>],
    latest_s: u64,
) -> Option<u64> {
    let node = current.node;
    let before_s = own.vector.marker(node);
    let highest = highest_heard_of(current, listed, own, others)?;
    let is_covered = |epoch: u64, seq: u64| {
        let origin = Origin { node, epoch };
        std::iter::once(own).chain(others).all(|member| member.vector.seq(&origin) >= seq)
    };
    let first_to_stay = highest.iter().find(|(epoch, seq)| !is_covered(**epoch, **seq));
    let first_to_stay_s = first_to_stay.map_or(born_s(current.epoch), |(epoch, _)| born_s(*epoch));
    let marker_s = first_to_stay_s.min(born_s(current.epoch)).min(latest_s);
    // One that folds nothing is not worth a write.
    let folds_something = highest.keys().any(|epoch| born_s(*epoch) < marker_s);
    folds_something.then_some(marker_s).filter(|marker_s| *marker_s > before_s)
}

/// The ended epochs of a node that are not covered by it up to the highest number that anybody heard of, with these numbers:
/// what it lacks of lives that its directory has forgotten. `None` when that cannot be said.
pub(crate) fn gaps(
    current: Origin,
    own: &Knowledge<'_>,
    others: &[Knowledge<'_>],
) -> Option<BTreeMap<u64, u64>> {
    let mut gaps = highest_heard_of(current, std::iter::empty(), own, others)?;
    gaps.retain(|epoch, seq| own.vector.seq(&Origin { epoch: *epoch, ..current }) < *seq);
    Some(gaps)
}

/// Every ended epoch of a node that anybody knows and that is not folded, with the highest number that anybody heard of.
fn highest_heard_of(
    current: Origin,
    listed: impl Iterator<Item = u64>,
    own: &Knowledge<'_>,
    others: &[Knowledge<'_>],
) -> Option<BTreeMap<u64, u64>> {
    let node = current.node;
    let before_s = own.vector.marker(node);
    let mut highest: BTreeMap<u64, u64> = listed.map(|epoch| (epoch, 0)).collect();
    for member in std::iter::once(own).chain(others) {
        if member.vector.marker(node) > before_s {
            return None;
        }
        let covered = member.vector.iter().filter(|(origin, _)| origin.node == node);
        let covered = covered.map(|(origin, seq)| (origin.epoch, seq));
        for (epoch, seq) in covered.chain(member.heard?.iter().map(|(epoch, seq)| (*epoch, *seq))) {
            let known = highest.entry(epoch).or_default();
            *known = seq.max(*known);
        }
    }
    highest.retain(|epoch, _| *epoch != current.epoch && born_s(*epoch) >= before_s);
    Some(highest)
}

/// Which members have given this node everything that they have, since it knows what it lacks of its lost lives.
///
/// A number of a lost life that is heard of and that nobody covers would keep its epoch, and all later ones, for ever: whoever
/// could say what came before it is gone. Once every member has given what it has, whatever nobody has is lost with that life,
/// and this node covers the rest.
#[derive(Debug, Default)]
pub(crate) struct Adopting {
    gaps: BTreeMap<u64, u64>,
    gave: BTreeSet<Uuid>,
}

impl Adopting {
    /// A member has just given everything. Answers what is covered now, when it was the last one.
    pub(crate) fn note(
        &mut self,
        from: Uuid,
        gaps: BTreeMap<u64, u64>,
        mut members: impl Iterator<Item = Uuid>,
    ) -> Option<BTreeMap<u64, u64>> {
        if self.gaps != gaps {
            // What it gave it may have given before it heard of this.
            *self = Self { gaps, gave: BTreeSet::new() };
            return None;
        }
        self.gave.insert(from);
        let is_last = !self.gaps.is_empty() && members.all(|member| self.gave.contains(&member));
        is_last.then(|| std::mem::take(self).gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::{Adopting, Knowledge, gaps, marker};
    use kvs_core::origin::{Origin, epoch_at};
    use kvs_core::vector::Vector;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    const NODE: Uuid = Uuid::from_u128(1);

    /// A member: its marker, what it covers and what it heard of, each by the second in which the epoch began.
    type Told<'a> = (u64, &'a [(u32, u64)], Option<&'a [(u32, u64)]>);

    /// What is true, the node's own list, what it knows, what others know, the latest marker, the marker.
    type Row<'a> = (&'a str, &'a [u32], Told<'a>, &'a [Told<'a>], u64, Option<u64>);

    fn told((marker_s, covered, heard): Told<'_>) -> (Vector, Option<BTreeMap<u64, u64>>) {
        let mut vector = Vector::default();
        vector.fold(NODE, marker_s);
        for (born, seq) in covered {
            vector.set(Origin { node: NODE, epoch: epoch_at(*born, 7) }, *seq);
        }
        let by_epoch =
            |heard: &[(u32, u64)]| heard.iter().map(|(born, seq)| (epoch_at(*born, 7), *seq)).collect();
        (vector, heard.map(by_epoch))
    }

    #[test]
    fn the_marker_is_raised_as_far_as_everybody_has_everything() {
        let none: Option<&[(u32, u64)]> = Some(&[]);
        let full: &[(u32, u64)] = &[(10, 5), (20, 6), (30, 7)];
        let table: &[Row<'_>] = &[
            ("everybody has everything", &[10, 20, 30], (0, full, none), &[(0, full, none)], 90, Some(40)),
            ("alone", &[10, 20, 30], (0, full, none), &[], 90, Some(40)),
            ("not old enough", &[10, 20, 30], (0, full, none), &[], 25, Some(25)),
            ("nothing is old enough", &[10, 20, 30], (0, full, none), &[], 10, None),
            (
                "one lacks the second",
                &[],
                (0, full, none),
                &[(0, &[(10, 5), (20, 5), (30, 7)], none)],
                90,
                Some(20),
            ),
            ("one lacks the first", &[], (0, full, none), &[(0, &[(20, 6), (30, 7)], none)], 90, None),
            (
                "this node lacks the second",
                &[],
                (0, &[(10, 5), (30, 7)], none),
                &[(0, full, none)],
                90,
                Some(20),
            ),
            ("more of it was heard of", &[], (0, full, none), &[(0, full, Some(&[(20, 9)]))], 90, Some(20)),
            (
                "an unknown one was heard of",
                &[],
                (0, full, none),
                &[(0, full, Some(&[(15, 1)]))],
                90,
                Some(15),
            ),
            ("this node heard of more", &[], (0, full, Some(&[(30, 8)])), &[(0, full, none)], 90, Some(30)),
            ("one may have heard of more", &[], (0, full, none), &[(0, full, None)], 90, None),
            ("nothing was written in any", &[10, 20], (0, &[], none), &[(0, &[], none)], 90, Some(40)),
            ("there is nothing to fold", &[], (0, &[], none), &[(0, &[], none)], 90, None),
            ("it was folded", &[], (40, &[], none), &[(0, full, none)], 90, None),
            ("a part was folded", &[], (20, &[(20, 6), (30, 7)], none), &[(0, full, none)], 90, Some(40)),
            (
                "a member is behind in a marker",
                &[],
                (20, &[(20, 6)], none),
                &[(10, &[(10, 5), (20, 6)], none)],
                90,
                Some(40),
            ),
            (
                "a member has a later marker",
                &[],
                (0, full, none),
                &[(20, &[(20, 6), (30, 7)], none)],
                90,
                None,
            ),
            (
                "from before beginnings were noted",
                &[0, 10],
                (0, &[(0, 3), (10, 5)], none),
                &[(0, &[(0, 3), (10, 5)], none)],
                90,
                Some(40),
            ),
            (
                "the clock was set back",
                &[50],
                (0, &[(10, 5), (50, 2)], none),
                &[(0, &[(10, 5), (50, 2)], none)],
                90,
                Some(40),
            ),
        ];
        let current = Origin { node: NODE, epoch: epoch_at(40, 7) };
        for (name, listed, own, others, latest_s, expected) in table {
            let listed = listed.iter().map(|born| epoch_at(*born, 7));
            let own = told(*own);
            let others: Vec<_> = others.iter().map(|it| told(*it)).collect();
            let all: Vec<_> =
                others.iter().map(|it| Knowledge { vector: &it.0, heard: it.1.as_ref() }).collect();
            let own = Knowledge { vector: &own.0, heard: own.1.as_ref() };
            assert_eq!(marker(current, listed, &own, &all, *latest_s), *expected, "{name}");
        }
    }

    #[test]
    fn what_a_lost_life_left_is_covered_once_every_member_gave_what_it_has() {
        let current = Origin { node: NODE, epoch: epoch_at(40, 7) };
        let own = told((0, &[(10, 5)], Some(&[(30, 2)])));
        let own = Knowledge { vector: &own.0, heard: own.1.as_ref() };
        let other = told((0, &[(10, 5), (20, 3), (40, 9)], Some(&[(20, 4)])));
        let other = [Knowledge { vector: &other.0, heard: other.1.as_ref() }];
        let lacking: BTreeMap<u64, u64> = [(epoch_at(20, 7), 4), (epoch_at(30, 7), 2)].into();
        assert_eq!(gaps(current, &own, &other), Some(lacking.clone()));
        assert_eq!(gaps(current, &own, &[Knowledge { heard: None, ..other[0].clone() }]), None);

        let (first, second) = (Uuid::from_u128(2), Uuid::from_u128(3));
        let members = || [first, second].into_iter();
        let mut adopting = Adopting::default();
        assert_eq!(adopting.note(first, lacking.clone(), members()), None, "it may have been given before");
        assert_eq!(adopting.note(first, lacking.clone(), members()), None);
        let more: BTreeMap<u64, u64> = [(epoch_at(20, 7), 6)].into();
        assert_eq!(adopting.note(second, more.clone(), members()), None, "more was heard of meanwhile");
        assert_eq!(adopting.note(second, more.clone(), members()), None);
        assert_eq!(adopting.note(first, more.clone(), members()), Some(more));
        assert_eq!(adopting.note(first, BTreeMap::new(), members()), None);
        assert_eq!(adopting.note(second, BTreeMap::new(), members()), None, "there is nothing to cover");
    }

    #[test]
    fn the_current_epoch_is_never_folded() {
        let current = Origin { node: NODE, epoch: epoch_at(40, 7) };
        let own = told((0, &[(10, 5), (40, 9)], Some(&[])));
        let own = Knowledge { vector: &own.0, heard: own.1.as_ref() };
        assert_eq!(marker(current, std::iter::empty(), &own, &[], 1000), Some(40));
    }

    #[test]
    fn epochs_of_other_nodes_are_not_looked_at() {
        let current = Origin { node: NODE, epoch: epoch_at(40, 7) };
        let other = Origin { node: Uuid::from_u128(2), epoch: epoch_at(10, 7) };
        let vector: Vector = [(other, 3)].into_iter().collect();
        let heard = BTreeMap::new();
        let own = Knowledge { vector: &vector, heard: Some(&heard) };
        assert_eq!(marker(current, std::iter::empty(), &own, &[], 1000), None);
    }
}
