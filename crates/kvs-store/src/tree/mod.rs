//! The digest of what the node holds: a summing tree in memory, changed by each commit, kept across restarts.
//!
//! **Invariant:** outside a commit the tree says exactly what the tables say, except for ranges that are still to be read
//! after a start; while there are any, nothing is told.

pub(crate) mod checkpoint;
pub(crate) mod checkpoint_rows;
pub mod digest;
pub mod findings;
pub(crate) mod live;
pub(crate) mod scan;
pub(crate) mod state;
pub mod tombstones;
pub(crate) mod upkeep;
