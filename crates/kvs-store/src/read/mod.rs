//! Reading: single keys, ranges and histories, from the last commit or a snapshot; never behind the committer.

pub mod history;
pub mod log;
pub mod pages;
pub mod range;
pub mod view;
