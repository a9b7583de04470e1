//! Where a write came from: the node, its epoch, and the number it gave the write.
//!
//! A dot is never used twice. Each start of a node, and whatever else may have made it forget numbers that it gave out,
//! begins an epoch, so an origin is the node's uuid *and* its epoch. An epoch is a random number: a directory that was put
//! back to an earlier moment counts as its lost life did, and would give out that life's numbers again.

use uuid::Uuid;

/// A node's identity as the author of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The node's random uuid.
    pub node: Uuid,
    /// Drawn at random when the epoch began, never 0. Epochs are in no order.
    pub epoch: u32,
}

/// One write of one origin; unique for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who accepted the write.
    pub origin: Origin,
    /// Its number there, from 1, without gaps.
    pub seq: u64,
}
