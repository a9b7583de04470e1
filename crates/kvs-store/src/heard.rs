//! What a node has heard of without having received all before it: of each origin the highest number that came to it in some
//! version, above what its vector covers.
//!
//! Such a version came in a session that ended without a claim, or from a node that is no member any more. Before an epoch is
//! folded away every member must cover what any of them has heard of it; else a version that only one of them ever saw would
//! count as received by all.

use std::collections::BTreeMap;

use kvs_core::origin::{Dot, Origin};
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::limits::HEARD_MAX;

/// The highest number heard of for each origin, where the vector does not cover it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard(BTreeMap<Origin, u64>);

impl Heard {
    /// Notes a number. Nothing once there are [`HEARD_MAX`] origins: then [`Heard::is_full`] says that something may be missing.
    pub(crate) fn note(&mut self, dot: &Dot) {
        if self.0.len() < HEARD_MAX || self.0.contains_key(&dot.origin) {
            let held = self.0.entry(dot.origin).or_default();
            *held = dot.seq.max(*held);
        }
    }

    /// Forgets what the vector covers.
    pub(crate) fn forget_covered(&mut self, vector: &Vector) {
        self.0.retain(|origin, seq| vector.seq(origin) < *seq);
    }

    /// Whether the vector covers some of it.
    pub(crate) fn is_covered_in_part(&self, vector: &Vector) -> bool {
        self.0.iter().any(|(origin, seq)| vector.seq(origin) >= *seq)
    }

    /// The highest number heard of; 0 when none is noted.
    #[must_use]
    pub fn seq(&self, origin: &Origin) -> u64 {
        self.0.get(origin).copied().unwrap_or_default()
    }

    /// The epochs of a node that are noted.
    pub fn of_node(&self, node: Uuid) -> impl Iterator<Item = (u64, u64)> {
        let from = Origin { node, epoch: 0 };
        let of_node = self.0.range(from..).take_while(move |(origin, _)| origin.node == node);
        of_node.map(|(origin, seq)| (origin.epoch, *seq))
    }

    /// Everything that is noted.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.0.iter().map(|(origin, seq)| (origin, *seq))
    }

    /// Whether there was no room for more, so that something may be missing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= HEARD_MAX
    }
}
