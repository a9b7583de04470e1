//! Writers that wait until their write is on other nodes (`?w=`).

use std::collections::BTreeMap;

use kvs_core::origin::Dot;
use kvs_core::recall::Recalls;
use kvs_core::vector::Vector;

use crate::contract::Needed;
use crate::limits::WAITING_MAX;

#[derive(Debug, Clone, Copy)]
struct Wait {
    dot: Dot,
    needed: Needed,
}

/// A wait that is over, and on how many other nodes the write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) ticket: u64,
    pub(crate) count: u32,
}

/// Who waits.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements(BTreeMap<u64, Wait>);

/// How many other members there are, reachable or not; `None` while some may not be known.
pub(crate) type Others = Option<u32>;

impl Needed {
    /// How many other nodes that is; `None` while nobody can say.
    fn of(self, others: Others) -> Option<u32> {
        match self {
            Self::AtLeast(count) => Some(count),
            // More than half of others + 1, this node being one of them.
            Self::Majority => others.map(|others| others.div_ceil(2)),
            Self::All => others,
        }
    }
}

impl Acknowledgements {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a wait; answers whether it was taken on, as one too many is not.
    pub(crate) fn add(&mut self, ticket: u64, dot: Dot, needed: Needed) -> bool {
        let is_taken = self.0.len() < WAITING_MAX;
        if is_taken {
            self.0.insert(ticket, Wait { dot, needed });
        }
        is_taken
    }

    /// Ends a wait with what there is. What was recalled is nowhere, whatever vectors cover.
    pub(crate) fn give_up<'a>(
        &mut self,
        ticket: u64,
        vectors: impl Iterator<Item = &'a Vector>,
        recalls: &Recalls,
    ) -> Option<Ended> {
        let wait = self.0.remove(&ticket)?;
        Some(Ended { ticket, count: count(&wait.dot, vectors, recalls) })
    }

    /// Ends the waits that have what they wait for; answers what is to be told.
    pub(crate) fn settle<'a>(
        &mut self,
        others: Others,
        vectors: impl Iterator<Item = &'a Vector> + Clone,
        recalls: &Recalls,
    ) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.0.retain(|ticket, wait| {
            let count = count(&wait.dot, vectors.clone(), recalls);
            let is_done = wait.needed.of(others).is_some_and(|needed| count >= needed);
            if is_done {
                ended.push(Ended { ticket: *ticket, count });
            }
            !is_done
        });
        ended
    }
}

fn count<'a>(dot: &Dot, vectors: impl Iterator<Item = &'a Vector>, recalls: &Recalls) -> u32 {
    // A vector covers a void write as well. What was written anew in its place is another write.
    if recalls.until_ms(&dot.origin).is_some() {
        return 0;
    }
    // Only a number that stands for the epoch itself is proof: an epoch before a marker is one that nobody has heard of.
    u32::try_from(vectors.filter(|vector| vector.entry(&dot.origin) >= dot.seq).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Acknowledgements, Ended};
    use crate::contract::Needed;
    use crate::limits::WAITING_MAX;
    use kvs_core::origin::{Dot, Origin};
    use kvs_core::recall::Recalls;
    use kvs_core::vector::Vector;
    use uuid::Uuid;

    const ORIGIN: Origin = Origin { node: Uuid::from_u128(1), epoch: 1 };

    fn vectors(seqs: &[u64]) -> Vec<Vector> {
        seqs.iter().map(|seq| [(ORIGIN, *seq)].into_iter().collect()).collect()
    }

    fn settled(needed: Needed, seqs: &[u64]) -> Vec<Ended> {
        let mut waiting = Acknowledgements::default();
        assert!(waiting.add(7, Dot { origin: ORIGIN, seq: 5 }, needed));
        let vectors = vectors(seqs);
        waiting.settle(u32::try_from(seqs.len()).ok(), vectors.iter(), &Recalls::default())
    }

    #[test]
    fn a_wait_ends_when_enough_nodes_have_the_write() {
        let done = |count| vec![Ended { ticket: 7, count }];
        assert_eq!(settled(Needed::AtLeast(1), &[4, 5]), done(1));
        assert_eq!(settled(Needed::AtLeast(2), &[4, 5]), []);
        assert_eq!(settled(Needed::All, &[5, 6]), done(2));
        assert_eq!(settled(Needed::All, &[5, 4]), []);
    }

    #[test]
    fn a_majority_counts_this_node_too() {
        let done = |count| vec![Ended { ticket: 7, count }];
        // Three nodes: one other makes two of three.
        assert_eq!(settled(Needed::Majority, &[5, 0]), done(1));
        assert_eq!(settled(Needed::Majority, &[0, 0]), []);
        // Four nodes: two others make three of four.
        assert_eq!(settled(Needed::Majority, &[5, 0, 0]), []);
        assert_eq!(settled(Needed::Majority, &[5, 5, 0]), done(2));
        // Alone: nobody else is needed.
        assert_eq!(settled(Needed::Majority, &[]), done(0));
    }

    #[test]
    fn while_a_member_may_be_missing_only_a_number_can_be_reached() {
        let dot = Dot { origin: ORIGIN, seq: 5 };
        for (needed, ended) in [
            (Needed::All, vec![]),
            (Needed::Majority, vec![]),
            (Needed::AtLeast(2), vec![Ended { ticket: 7, count: 2 }]),
        ] {
            let mut waiting = Acknowledgements::default();
            assert!(waiting.add(7, dot, needed));
            assert_eq!(
                waiting.settle(None, vectors(&[5, 6]).iter(), &Recalls::default()),
                ended,
                "{needed:?}"
            );
        }
    }

    #[test]
    fn whoever_gives_up_is_told_what_there_is() {
        let mut waiting = Acknowledgements::default();
        assert!(waiting.add(7, Dot { origin: ORIGIN, seq: 5 }, Needed::All));
        let vectors = vectors(&[5, 0]);
        assert_eq!(
            waiting.give_up(7, vectors.iter(), &Recalls::default()),
            Some(Ended { ticket: 7, count: 1 })
        );
        assert_eq!(waiting.give_up(7, vectors.iter(), &Recalls::default()), None);
    }

    #[test]
    fn a_write_that_was_recalled_is_nowhere() {
        let mut waiting = Acknowledgements::default();
        assert!(waiting.add(7, Dot { origin: ORIGIN, seq: 5 }, Needed::AtLeast(1)));
        let (vectors, mut recalls) = (vectors(&[9, 9]), Recalls::default());
        recalls.add(ORIGIN, 1000);
        assert_eq!(waiting.settle(Some(2), vectors.iter(), &recalls), []);
        assert_eq!(waiting.give_up(7, vectors.iter(), &recalls), Some(Ended { ticket: 7, count: 0 }));
    }

    #[test]
    fn one_wait_too_many_is_refused_and_not_taken_for_done() {
        let mut waiting = Acknowledgements::default();
        let dot = Dot { origin: ORIGIN, seq: 5 };
        for ticket in 0..u64::try_from(WAITING_MAX).unwrap() {
            assert!(waiting.add(ticket, dot, Needed::All));
        }
        assert!(!waiting.add(u64::MAX, dot, Needed::All));
        assert_eq!(waiting.give_up(u64::MAX, std::iter::empty(), &Recalls::default()), None);
    }
}
