//! The driver of the cluster: real sockets, threads and time for the machines of `kvs-protocol` and `kvs-cluster`.
//!
//! Three threads: membership, which must answer within milliseconds whatever the disk does, the replicator, which ships, and
//! one that waits for the disk in its place. Each takes events from a queue, and calls that it wants made are made on the
//! runtime.

mod address;
mod answering;
mod changes;
mod copies;
mod disk;
pub(crate) mod forgotten;
pub(crate) mod handle;
mod members;
pub(crate) mod part;
mod queue;
mod relaying;
mod replication;
mod service;
pub(crate) mod start;
pub(crate) mod to_members;
mod to_replicator;
pub(crate) mod unrestored;
pub(crate) mod wake;
