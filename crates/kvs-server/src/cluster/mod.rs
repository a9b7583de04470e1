//! The driver of the cluster: real sockets, threads and time for the machines of `kvs-protocol` and `kvs-cluster`.
//!
//! Two threads: membership, which must answer within milliseconds whatever the disk does, and the replicator, which
//! waits for the disk. Each takes events from a queue, and what it wants done is done on the runtime.

mod address;
mod changes;
mod copies;
pub(crate) mod forgotten;
pub(crate) mod handle;
mod members;
pub(crate) mod part;
mod replication;
mod service;
pub(crate) mod start;
pub(crate) mod to_members;
mod to_replicator;
pub(crate) mod unrestored;
pub(crate) mod wake;
