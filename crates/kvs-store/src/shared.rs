//! What the committer and the readers share: the engine in use, the state of writing, the counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::commit::queue::Queue;
use crate::engine_cell::EngineCell;
use crate::medium::Medium;
use crate::node::{Counters, Identity};

/// Whether the store takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does.
    Open,
    /// The disk is full; reads go on, writes go on by themselves once there is room.
    Full,
    /// A write or sync failed, for this reason; reads go on, writes are refused until the store is opened again.
    Poisoned(String),
}

/// The store in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether it takes writes.
    pub state: State,
    /// Keys with a value (expired ones count until they are reaped, within a second).
    pub keys: u64,
    /// Bytes of their JSON as sent.
    pub bytes: u64,
    /// Keys with a tombstone.
    pub tombstones: u64,
    /// The number of the last change in this node's log.
    pub last_local_seq: u64,
    /// Bytes that the engine's files take.
    pub disk_bytes: u64,
    /// Transactions that wait for the committer.
    pub queue_len: usize,
}

pub(crate) struct Shared {
    pub(crate) engine: EngineCell,
    pub(crate) medium: Box<dyn Medium>,
    pub(crate) queue: Queue,
    state: Mutex<State>,
    identity: Mutex<Identity>,
    keys: AtomicU64,
    bytes: AtomicU64,
    tombstones: AtomicU64,
    last_local_seq: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        engine: EngineCell,
        medium: Box<dyn Medium>,
        identity: Identity,
        counters: &Counters,
    ) -> Arc<Self> {
        let shared = Self {
            engine,
            medium,
            queue: Queue::default(),
            state: Mutex::new(State::Open),
            identity: Mutex::new(identity),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            tombstones: AtomicU64::new(0),
            last_local_seq: AtomicU64::new(0),
        };
        shared.publish(counters);
        Arc::new(shared)
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    pub(crate) fn set_state(&self, state: State) {
        *lock(&self.state) = state;
    }

    pub(crate) fn identity(&self) -> Identity {
        *lock(&self.identity)
    }

    pub(crate) fn set_identity(&self, identity: Identity) {
        *lock(&self.identity) = identity;
    }

    pub(crate) fn publish(&self, counters: &Counters) {
        self.keys.store(counters.keys, Ordering::Relaxed);
        self.bytes.store(counters.bytes, Ordering::Relaxed);
        self.tombstones.store(counters.tombstones, Ordering::Relaxed);
        self.last_local_seq.store(counters.next_local_seq.saturating_sub(1), Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            state: self.state(),
            keys: self.keys.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            tombstones: self.tombstones.load(Ordering::Relaxed),
            last_local_seq: self.last_local_seq.load(Ordering::Relaxed),
            disk_bytes: self.engine.current().map(|engine| engine.stats().disk_bytes).unwrap_or_default(),
            queue_len: self.queue.len(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
