//! Writing: the one way into the store, from a queued transaction to an answered one.

mod after_full;
pub mod asker;
pub mod change;
pub(crate) mod chores;
mod clock_notice;
pub(crate) mod committer;
mod folding;
mod full_disk;
pub(crate) mod housekeeping;
pub(crate) mod key_state;
pub mod mark;
pub(crate) mod peer;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod recall;
pub(crate) mod reception;
pub mod refusal;
pub(crate) mod rows;
pub(crate) mod sight;
pub mod write;
pub mod written;
