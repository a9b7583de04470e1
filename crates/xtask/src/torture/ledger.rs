//! Every write that clients tried: when, on which node, what was answered; and what disks were made to forget.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock;

/// One write of one key. Its number stands in the value.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Its number.
    pub(crate) id: u64,
    /// The key.
    pub(crate) key: String,
    /// Whether it is a delete.
    pub(crate) is_delete: bool,
    /// How long the value lives.
    pub(crate) ttl_ms: Option<u64>,
    /// The node that was asked.
    pub(crate) node: usize,
    /// When it was sent, in milliseconds since the beginning.
    pub(crate) began_ms: u64,
    /// When it was answered; `None` for a write of which nobody knows what became of it.
    pub(crate) ended_ms: Option<u64>,
    /// On how many disks it is by the answer; 0 when it was not acknowledged.
    pub(crate) copies: usize,
    /// The version, where the answer names it.
    pub(crate) uuid: Option<String>,
}

/// A disk that was put back: what the node took between the two moments may be gone from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    /// The node.
    pub(crate) node: usize,
    /// When the copy was begun.
    pub(crate) since_ms: u64,
    /// When the node was stopped to be put back.
    pub(crate) until_ms: u64,
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    began: Instant,
    writes: Mutex<Vec<Write>>,
    losses: Mutex<Vec<Loss>>,
    counts: Mutex<BTreeMap<String, u64>>,
    events: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Ledger {
    /// An empty one; its time begins now.
    pub(crate) fn new() -> Self {
        Self {
            began: clock::now(),
            writes: Mutex::default(),
            losses: Mutex::default(),
            counts: Mutex::default(),
            events: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes writes of which all that will be known is known.
    pub(crate) fn write(&self, writes: Vec<Write>) {
        held(&self.writes).extend(writes);
    }

    /// Notes that a disk was put back.
    pub(crate) fn lose(&self, loss: Loss) {
        held(&self.losses).push(loss);
    }

    /// Counts something by its name.
    pub(crate) fn count(&self, what: &str) {
        *held(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    /// Notes what was done to the nodes, and tells it.
    pub(crate) fn event(&self, what: &str) {
        let line =
            format!("{:>8.3} s  {what}", std::time::Duration::from_millis(self.now_ms()).as_secs_f64());
        println!("{line}");
        held(&self.events).push(line);
    }

    /// Notes something that must not be.
    pub(crate) fn wrong(&self, what: String) {
        held(&self.wrong).push(what);
    }

    /// All writes.
    pub(crate) fn writes(&self) -> Vec<Write> {
        held(&self.writes).clone()
    }

    /// All disks that were put back.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        held(&self.losses).clone()
    }

    /// All counts.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        held(&self.counts).clone()
    }

    /// What was done to the nodes.
    pub(crate) fn events(&self) -> Vec<String> {
        held(&self.events).clone()
    }

    /// What must not be.
    pub(crate) fn wrongs(&self) -> Vec<String> {
        held(&self.wrong).clone()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
