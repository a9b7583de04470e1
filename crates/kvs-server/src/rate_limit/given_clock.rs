//! The clock of the limiter: the latest time that it was given.
//!
//! The library reads its clock itself, while here time is an argument. Between the two stands this clock. It never goes
//! back, so that callers whose readings overtake each other agree on the time; a reading from earlier counts as the
//! latest one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::nanos::Nanos;

/// Time goes on in steps of this many nanoseconds, so that most requests only read the shared clock and do not take its
/// cache line from the other processors.
const STEP_NS: u64 = 1_000_000;

/// The end of time, in nanoseconds: 146 years, far enough from the end of the numbers that adding a window is safe.
const END_NS: u64 = u64::MAX / 4;

/// A clock that is told the time. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenClock(Arc<AtomicU64>);

impl GivenClock {
    /// Takes note that it is `now`, counted from any fixed moment.
    pub(super) fn tell(&self, now: Duration) {
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(END_NS).min(END_NS);
        let step = now_ns - now_ns % STEP_NS;
        if step > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(step, Ordering::Relaxed);
        }
    }
}

impl Clock for GivenClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_and_has_an_end() {
        let clock = GivenClock::default();
        assert_eq!(clock.now(), Nanos::default());
        clock.tell(Duration::from_micros(1_999));
        assert_eq!(clock.now(), Nanos::from(Duration::from_millis(1)));
        clock.clone().tell(Duration::from_secs(5));
        clock.tell(Duration::from_secs(4));
        assert_eq!(clock.now(), Nanos::from(Duration::from_secs(5)));
        clock.tell(Duration::MAX);
        assert!(clock.now() <= Nanos::from(END_NS));
    }
}
