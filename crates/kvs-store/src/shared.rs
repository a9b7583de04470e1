//! What the committer and the readers share: the engine in use, the state of writing, the counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock_verdict::ClockVerdict;
use crate::commit::plan::Selfhood;
use crate::commit::queue::Queue;
use crate::engine_cell::EngineCell;
use crate::judged_clock::JudgedClock;
use crate::medium::Medium;
use crate::node::Identity;
use crate::settings::Collection;
use crate::standing::Standing;
use crate::tree::live::LiveTree;
use kvs_core::origin::Dot;
use kvs_core::vector::Vector;

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
    /// Records from peers that are stamped too far ahead and wait.
    pub parked: u64,
}

/// What every member is known to have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Floor {
    /// There is nobody else: age decides.
    Alone,
    /// These writes.
    Covered(Vector),
}

/// Who the node is and what it has received, at one moment.
#[derive(Debug, Clone)]
struct Published {
    identity: Identity,
    last_origin_seq: u64,
    /// The latest stamp of the current epoch.
    top_ms: u64,
    standing: Arc<Standing>,
}

pub(crate) struct Shared {
    pub(crate) engine: EngineCell,
    pub(crate) medium: Box<dyn Medium>,
    pub(crate) queue: Queue,
    pub(crate) tree: LiveTree,
    state: Mutex<State>,
    published: Mutex<Published>,
    floor: Mutex<Floor>,
    clock: Mutex<JudgedClock>,
    shortest_grace_ms: AtomicU64,
    begun: AtomicBool,
    keys: AtomicU64,
    bytes: AtomicU64,
    tombstones: AtomicU64,
    last_local_seq: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        engine: EngineCell,
        medium: Box<dyn Medium>,
        selfhood: &Selfhood,
        (collection, grace_ms): (Collection, u64),
        tree: LiveTree,
    ) -> Arc<Self> {
        // Among others nothing is judged by its clock before they were asked.
        let first_verdict = match collection {
            Collection::Alone => ClockVerdict::Unknown,
            Collection::Covered => ClockVerdict::Differs,
        };
        let shared = Self {
            engine,
            medium,
            queue: Queue::default(),
            tree,
            state: Mutex::new(State::Open),
            published: Mutex::new(Published {
                identity: selfhood.identity,
                last_origin_seq: 0,
                top_ms: 0,
                standing: Arc::new(selfhood.standing.clone()),
            }),
            floor: Mutex::new(match collection {
                Collection::Alone => Floor::Alone,
                Collection::Covered => Floor::Covered(Vector::default()),
            }),
            clock: Mutex::new(JudgedClock::new(first_verdict)),
            shortest_grace_ms: AtomicU64::new(grace_ms),
            begun: AtomicBool::new(false),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            tombstones: AtomicU64::new(0),
            last_local_seq: AtomicU64::new(0),
        };
        shared.publish(selfhood);
        Arc::new(shared)
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// Whether this start is on the disk.
    pub(crate) fn has_begun(&self) -> bool {
        // Whoever sees it sees the identity that was published before.
        self.begun.load(Ordering::Acquire)
    }

    pub(crate) fn set_begun(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn set_state(&self, state: State) {
        *lock(&self.state) = state;
    }

    pub(crate) fn identity(&self) -> Identity {
        lock(&self.published).identity
    }

    /// The standing, the identity that it is told under, and the last number of its current epoch.
    pub(crate) fn standing(&self) -> (Identity, u64, Arc<Standing>) {
        let published = lock(&self.published);
        (published.identity, published.last_origin_seq, Arc::clone(&published.standing))
    }

    /// The latest stamp that this node gave and did not recall, ms since 1970.
    pub(crate) fn top_ms(&self) -> u64 {
        let published = lock(&self.published);
        let ended = published.standing.epochs.iter().map(|start| start.top_ms);
        ended.max().unwrap_or_default().max(published.top_ms)
    }

    pub(crate) fn set_floor(&self, floor: Option<Vector>) {
        *lock(&self.floor) = floor.map_or(Floor::Alone, Floor::Covered);
    }

    /// Whether every member is known to have a tombstone.
    pub(crate) fn is_below_floor(&self, dot: &Dot) -> bool {
        match &*lock(&self.floor) {
            Floor::Alone => true,
            Floor::Covered(vector) => vector.covers(dot),
        }
    }

    /// Whether records are still to be looked through for recalled ones.
    pub(crate) fn is_sweeping(&self) -> bool {
        lock(&self.published).standing.sweep.is_some()
    }

    pub(crate) fn judge_clock(&self, verdict: ClockVerdict, at: Duration) {
        lock(&self.clock).judge(verdict, at);
    }

    pub(crate) fn note_clock_set(&self, noticed_at: Duration) {
        lock(&self.clock).note_set(noticed_at);
    }

    pub(crate) fn clock_verdict(&self) -> ClockVerdict {
        lock(&self.clock).verdict()
    }

    pub(crate) fn set_shortest_grace_ms(&self, grace_ms: u64) {
        self.shortest_grace_ms.store(grace_ms, Ordering::Relaxed);
    }

    /// The shortest time that a tombstone stays on any member, in milliseconds.
    pub(crate) fn shortest_grace_ms(&self) -> u64 {
        self.shortest_grace_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn tombstones(&self) -> u64 {
        self.tombstones.load(Ordering::Relaxed)
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    pub(crate) fn last_local_seq(&self) -> u64 {
        self.last_local_seq.load(Ordering::Relaxed)
    }

    pub(crate) fn publish(&self, selfhood: &Selfhood) {
        let Selfhood { identity, counters, .. } = selfhood;
        {
            let mut published = lock(&self.published);
            published.identity = *identity;
            published.last_origin_seq = counters.next_origin_seq.saturating_sub(1);
            published.top_ms = counters.top_ms;
        }
        self.keys.store(counters.keys, Ordering::Relaxed);
        self.bytes.store(counters.bytes, Ordering::Relaxed);
        self.tombstones.store(counters.tombstones, Ordering::Relaxed);
        self.last_local_seq.store(counters.next_local_seq.saturating_sub(1), Ordering::Relaxed);
    }

    pub(crate) fn publish_standing(&self, selfhood: &Selfhood) {
        let standing = Arc::new(selfhood.standing.clone());
        {
            let mut published = lock(&self.published);
            published.identity = selfhood.identity;
            published.last_origin_seq = selfhood.counters.next_origin_seq.saturating_sub(1);
            published.top_ms = selfhood.counters.top_ms;
            published.standing = standing;
        }
        self.publish(selfhood);
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
            parked: lock(&self.published).standing.parked,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
