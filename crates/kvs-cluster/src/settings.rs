//! What the configuration says about replication.

use std::time::Duration;

use kvs_protocol::reconcile::fingerprint::Secrets;

use crate::limits::{RELAY_ABOVE, RELAY_FAN_OUT};

/// What the configuration says about replication.
#[derive(Clone)]
pub struct ReplicatorSettings {
    /// What digests of this cluster are finalised with.
    pub secrets: Secrets,
    /// Whether clients may write, as configured.
    pub writing: Writing,
    /// Whether this node fetches what its cluster holds when it has never done so.
    pub begins: Begins,
    /// A full session with some peer at least this often.
    pub sync_interval: Duration,
    /// A full session at least this often while a peer's root differs.
    pub catchup_interval: Duration,
    /// Records stamped within this time are fetched first.
    pub bootstrap_recent: Duration,
    /// Pause between two rounds of a session.
    pub throttle_delay: Duration,
    /// Pause between two pages of a bootstrap.
    pub fetch_delay: Duration,
    /// When parts of the log travel by a tree.
    pub tree: Tree,
}

/// When parts of a log travel by a tree of nodes that pass them on, and how wide it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// With more peers than this.
    pub above: usize,
    /// To how many nodes one node passes a part.
    pub fan_out: usize,
}

impl Tree {
    /// That of every node; only tests and the simulator have smaller ones.
    pub const ORDINARY: Self = Self { above: RELAY_ABOVE, fan_out: RELAY_FAN_OUT };
}

/// Whether clients may write, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// They may.
    Allowed,
    /// They may not (`read_only`).
    ReadOnly,
}

/// How a node begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// As the first of its cluster: there is nothing to fetch.
    First,
    /// It has seeds: what its cluster holds is fetched once.
    Joining,
}
