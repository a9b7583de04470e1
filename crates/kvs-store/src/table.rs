//! The tables of a node: separate keyspaces, each with one kind of key.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `records` | namespace, path | row: local sequence, revision numbers, record |
//! | `history` | namespace, path, 0x00, revision | superseded by, rule, record |
//! | `log` | local sequence | namespace, path; ship mark |
//! | `by_time` | stamp ms, namespace, path | nothing |
//! | `expiry` | expires at ms, namespace, path | nothing |
//! | `tombstones` | origin uuid, epoch, seq | ms since when it is one, namespace, path |
//! | `vectors` | origin uuid, epoch | highest seq up to which everything was received; markers and what was heard of besides |
//! | `cursors` | node uuid | how far this node has that one's log: epoch, local sequence |
//! | `parked` | stamp ms, origin uuid, epoch, seq | namespace, path length, path, record |
//! | `tree` | 0, or 1 and a number | checkpoint of the digest: head, or a chunk |
//! | `node` | a name | identity, counters, marks |
//!
//! Numbers are big-endian, so that key order is number order. Every row of `log`, `by_time`, `expiry` and
//! `tombstones` follows from one row of `records`; they change in the same batch as it does.

/// A table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The current record of each key.
    Records,
    /// The versions that lost.
    History,
    /// Which key changed at which local sequence number; one row per key.
    Log,
    /// Keys by the time of their current version.
    ByTime,
    /// Keys with a value that expires, by when.
    Expiry,
    /// Tombstones by the write that made them.
    Tombstones,
    /// What the node knows about itself.
    Node,
    /// How far this node has received the writes of each origin.
    Vectors,
    /// How far this node has read the logs of its peers.
    Cursors,
    /// Records stamped too far ahead of this node's clock.
    Parked,
    /// A checkpoint of the digest; what it says follows from `records`.
    Tree,
}

impl Table {
    /// Every table, in a fixed order.
    pub const ALL: [Self; 11] = [
        Self::Records,
        Self::History,
        Self::Log,
        Self::ByTime,
        Self::Expiry,
        Self::Tombstones,
        Self::Node,
        Self::Vectors,
        Self::Cursors,
        Self::Parked,
        Self::Tree,
    ];

    /// The table's name on disk; part of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::History => "history",
            Self::Log => "log",
            Self::ByTime => "by_time",
            Self::Expiry => "expiry",
            Self::Tombstones => "tombstones",
            Self::Node => "node",
            Self::Vectors => "vectors",
            Self::Cursors => "cursors",
            Self::Parked => "parked",
            Self::Tree => "tree",
        }
    }

    /// The table's place in [`Table::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn every_table_stands_at_its_index() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.index(), index);
        }
    }
}
