//! Writing: the one way into the store, from a queued transaction to an answered one.

pub mod asker;
pub(crate) mod committer;
pub(crate) mod housekeeping;
pub mod mark;
pub(crate) mod peer;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod recall;
pub(crate) mod reception;
pub(crate) mod rows;
pub mod write;
