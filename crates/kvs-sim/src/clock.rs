//! Virtual time: one clock of the world, and on every node a wall clock of its own that is wrong and may jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use kvs_protocol::call::Now;
use kvs_store::clock::Clock;

/// The wall clock when a world begins, ms since 1970.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

/// The time of the world.
#[derive(Debug, Clone, Default)]
pub struct WorldClock {
    micros: Arc<AtomicU64>,
    /// What all wall clocks were moved on by beyond that, in milliseconds.
    leap_ms: Arc<AtomicU64>,
}

impl WorldClock {
    /// Time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// It is this late now.
    pub fn set(&self, now: Duration) {
        self.micros.store(u64::try_from(now.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Moves all wall clocks on together, as if the nodes had slept.
    pub fn leap(&self, ms: u64) {
        self.leap_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// What a right wall clock says.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        let since_ms = self.micros.load(Ordering::Relaxed) / 1000;
        EPOCH_MS + since_ms + self.leap_ms.load(Ordering::Relaxed)
    }
}

/// The clock of one machine.
#[derive(Debug)]
pub struct NodeClock {
    world: WorldClock,
    offset_ms: AtomicI64,
}

impl NodeClock {
    /// A clock that is wrong by so much.
    #[must_use]
    pub fn new(world: &WorldClock, offset_ms: i64) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), offset_ms: AtomicI64::new(offset_ms) })
    }

    /// It is wrong by so much from now on.
    pub fn set_offset(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Both readings.
    #[must_use]
    pub fn read(&self) -> Now {
        Now { monotonic: self.monotonic(), wall_ms: self.now_ms() }
    }
}

impl Clock for NodeClock {
    fn now_ms(&self) -> u64 {
        self.world.wall_ms().saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.world.now()
    }
}
