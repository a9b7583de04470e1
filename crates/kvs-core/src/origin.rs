//! Where a write came from: the node, its epoch, and the number it gave the write.
//!
//! A dot is never used twice. The epoch goes up whenever a node may have forgotten numbers that it gave out, so an
//! origin is the node's uuid *and* its epoch.

use uuid::Uuid;

/// A node's identity as the author of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The node's random uuid.
    pub node: Uuid,
    /// Counts how often the node may have forgotten numbers, from 1.
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
