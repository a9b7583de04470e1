//! Whether single reads of the store may run right on the threads that serve connections.
//!
//! Most reads find their blocks in memory and take microseconds; telling the runtime that such a read may block costs it
//! another thread and more than the read itself (measured: 27 us of CPU a read instead of 16). But a read that does wait
//! for a slow disk would hold up every connection of its thread. So reads run in place until one was slow; from then on
//! they are announced to the runtime, until many in a row were fast again.
//!
//! Invariant: after a slow read the next [`CAREFUL_READS`] are announced, whatever else happens.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kvs_store::clock::Clock;

use crate::limits::{CAREFUL_READS, SLOW_READ};

/// How the last reads went.
#[derive(Debug, Default)]
pub(crate) struct ReadPace {
    /// Announced reads that must still be fast; 0 while reads run in place.
    careful: AtomicU32,
}

impl ReadPace {
    /// Runs a single read of the store.
    pub(crate) fn run<T>(&self, clock: &dyn Clock, read: impl FnOnce() -> T) -> T {
        let started = clock.monotonic();
        let found = if self.is_careful() { tokio::task::block_in_place(read) } else { read() };
        self.note(clock.monotonic().saturating_sub(started));
        found
    }

    fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Relaxed) != 0
    }

    fn note(&self, took: Duration) {
        if took > SLOW_READ {
            self.careful.store(CAREFUL_READS, Ordering::Relaxed);
        } else if self.is_careful() {
            // Several threads at once may count one too few, which only prolongs the care.
            self.careful.store(self.careful.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReadPace;
    use crate::limits::{CAREFUL_READS, SLOW_READ};
    use std::time::Duration;

    #[test]
    fn one_slow_read_makes_the_next_ones_careful() {
        let pace = ReadPace::default();
        pace.note(SLOW_READ);
        assert!(!pace.is_careful());
        pace.note(SLOW_READ + Duration::from_nanos(1));
        for _ in 0..CAREFUL_READS {
            assert!(pace.is_careful());
            pace.note(Duration::from_micros(5));
        }
        assert!(!pace.is_careful());
    }

    #[test]
    fn another_slow_read_begins_the_count_anew() {
        let pace = ReadPace::default();
        pace.note(Duration::from_secs(1));
        for _ in 1..CAREFUL_READS {
            pace.note(Duration::ZERO);
        }
        pace.note(Duration::from_secs(1));
        pace.note(Duration::ZERO);
        assert!(pace.is_careful());
    }
}
