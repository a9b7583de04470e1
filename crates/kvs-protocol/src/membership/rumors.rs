//! Rumours: whose rows changed lately, and how often each was told on.
//!
//! A change goes from node to node by itself, not with the whole list: a rumour carries the rows that were told least, and the
//! answer tells which of them were news. A row is done with when several members knew it already (then so do most), or when
//! it was told so often that a cluster of this size should have heard of it. What that misses, the hash of the list finds.
//!
//! Each change of a row begins its count anew. All that is kept is bounded by [`RUMOR_ROWS_KEPT_MAX`].

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::membership::settings::{
    RUMOR_KNOWN_MAX, RUMOR_ROWS_KEPT_MAX, RUMOR_ROWS_MAX, RUMOR_TELLINGS, RUMORS_MAX,
};

/// How far the rumour of one row is.
#[derive(Debug)]
struct Rumor {
    /// How often it was told.
    told: u32,
    /// How many knew it already.
    known: u32,
    /// The order in which changes came.
    noted: u64,
}

/// The rows that wait to be told on.
#[derive(Debug)]
pub(crate) struct Rumors {
    rows: BTreeMap<Uuid, Rumor>,
    noted: u64,
    under_way: u32,
}

impl Rumors {
    /// None.
    pub(crate) const fn new() -> Self {
        Self { rows: BTreeMap::new(), noted: 0, under_way: 0 }
    }

    /// This member's row has changed.
    pub(crate) fn note(&mut self, node: Uuid) {
        if self.rows.len() >= RUMOR_ROWS_KEPT_MAX && !self.rows.contains_key(&node) {
            let most_told = self.rows.iter().max_by_key(|(_, rumor)| (rumor.told, u64::MAX - rumor.noted));
            if let Some(node) = most_told.map(|(node, _)| *node) {
                self.rows.remove(&node);
            }
        }
        self.noted += 1;
        self.rows.insert(node, Rumor { told: 0, known: 0, noted: self.noted });
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of the next rumour: those told least, of these the latest.
    pub(crate) fn batch(&self) -> Vec<Uuid> {
        let mut rows: Vec<(&Uuid, &Rumor)> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(_, rumor)| (rumor.told, u64::MAX - rumor.noted));
        rows.into_iter().take(RUMOR_ROWS_MAX).map(|(node, _)| *node).collect()
    }

    /// These went out to somebody, in a cluster of so many.
    pub(crate) fn told(&mut self, nodes: &[Uuid], members: usize) {
        let most = RUMOR_TELLINGS * members.max(2).ilog2() + RUMOR_TELLINGS;
        for node in nodes {
            if let Some(rumor) = self.rows.get_mut(node) {
                rumor.told += 1;
                if rumor.told >= most {
                    self.rows.remove(node);
                }
            }
        }
    }

    /// Somebody answered to these: where the bit of a row is set, the lowest for the first, it was news.
    pub(crate) fn known(&mut self, nodes: &[Uuid], news: u64) {
        for (place, node) in nodes.iter().take(RUMOR_ROWS_MAX).enumerate() {
            let Some(rumor) = self.rows.get_mut(node).filter(|_| news >> place & 1 == 0) else { continue };
            rumor.known += 1;
            if rumor.known >= RUMOR_KNOWN_MAX {
                self.rows.remove(node);
            }
        }
    }

    /// Whether one more rumour may be under way.
    pub(crate) const fn may_begin(&self) -> bool {
        self.under_way < RUMORS_MAX
    }

    /// A rumour goes out.
    pub(crate) const fn begin(&mut self) {
        self.under_way += 1;
    }

    /// A rumour was answered, or not.
    pub(crate) const fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::Rumors;
    use crate::membership::settings::{RUMOR_KNOWN_MAX, RUMOR_ROWS_KEPT_MAX, RUMOR_ROWS_MAX};
    use uuid::Uuid;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_row_is_told_until_several_knew_it_or_it_was_told_often_and_a_change_begins_anew() {
        let mut rumors = Rumors::new();
        rumors.note(A);
        rumors.note(B);
        for _ in 0..RUMOR_KNOWN_MAX {
            assert_eq!(rumors.batch().len(), 2);
            rumors.known(&[A, B], 0b01);
        }
        assert_eq!(rumors.batch(), [A], "B was known to all that were asked");
        let mut times = 0;
        while !rumors.is_empty() {
            rumors.told(&[A], 100);
            times += 1;
        }
        assert_eq!(times, 21);
        rumors.note(A);
        assert_eq!(rumors.batch(), [A]);
    }

    #[test]
    fn the_least_told_go_first_and_no_more_are_kept_than_the_bound() {
        let mut rumors = Rumors::new();
        rumors.note(A);
        rumors.told(&[A], 100);
        for node in 0..RUMOR_ROWS_KEPT_MAX {
            rumors.note(Uuid::from_u128(node as u128 + 100));
        }
        assert_eq!(rumors.rows.len(), RUMOR_ROWS_KEPT_MAX);
        assert_eq!(rumors.batch().len(), RUMOR_ROWS_MAX);
        assert!(!rumors.rows.contains_key(&A), "the one that was told most makes room");
    }
}
