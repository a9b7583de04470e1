//! Connections: what they may cost, how long they may wait, and how they end.
//!
//! hyper parses and frames; this module is what stands around it. A connection is one task. What it is doing is written
//! into a few atomics by the task, and read by one sweeper, so that deadlines cost a request two stores and no timer.

pub(crate) mod activity;
mod handshake;
pub(crate) mod head_watch;
mod noted;
mod orders;
pub(crate) mod outbox;
pub(crate) mod refusal;
pub(crate) mod registry;
pub(crate) mod serve;
pub(crate) mod socket;
pub(crate) mod wire;
