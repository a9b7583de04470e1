//! Clients that wait (`?w=`), and what they were told.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_cluster::contract::Needed;
use kvs_store::observer::Key;

use crate::held::Held;

/// A client that waits.
#[derive(Debug, Clone)]
pub(crate) struct Wait {
    pub(crate) place: usize,
    pub(crate) process: u64,
    pub(crate) key: Key,
    pub(crate) held: Held,
    pub(crate) since: Duration,
    pub(crate) needed: Needed,
}

/// What a client was told.
#[derive(Debug, Clone)]
pub struct Told {
    /// Which key it wrote.
    pub key: Key,
    /// What it wrote.
    pub held: Held,
    /// How many other nodes have it.
    pub count: u32,
}

/// Clients that wait, and what those were told that waited.
#[derive(Debug, Default)]
pub struct Waits {
    pub(crate) waiting: BTreeMap<u64, Wait>,
    pub(crate) next_ticket: u64,
    pub(crate) told: BTreeMap<u64, Told>,
}

impl Waits {
    /// A wait ends without a word.
    pub fn remove(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// What a client was told; `None` while it waits, and when its node ended before.
    #[must_use]
    pub fn told(&self, ticket: u64) -> Option<&Told> {
        self.told.get(&ticket)
    }

    /// How many were told something.
    #[must_use]
    pub fn told_count(&self) -> usize {
        self.told.len()
    }
}
