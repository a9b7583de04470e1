//! A place in a chain.

use crate::hash::EntryHash;

/// A place in a chain: the number of an entry, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many entries there are up to here.
    pub seq: u64,
    /// The hash of the last of them; [`EntryHash::GENESIS`] when there is none.
    pub head: EntryHash,
}

impl Position {
    /// Before the first entry.
    pub const START: Self = Self { seq: 0, head: EntryHash::GENESIS };
}
