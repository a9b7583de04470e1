//! The record and its laws: paths, stamps, the order of versions, the codec and the merge.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no serde. The same functions run in the node, in the
//! offline commands and in tests, so that a rule is written once and proved once.
//!
//! Left out: where records rest (`kvs-store`), how they are asked for (`kvs-server`), who may touch them.

pub mod cluster_keys;
pub mod cursor;
pub mod digest;
pub mod item;
pub mod limits;
pub mod log_position;
pub mod merge;
pub mod namespace;
pub mod origin;
pub mod path;
pub mod precondition;
pub mod recall;
pub mod record;
pub mod record_codec;
pub mod stamp;
pub mod sum_tree;
#[cfg(test)]
mod testing;
pub mod vector;
pub mod version;
