//! The one room of the product where clocks are read.
//!
//! Everything else takes time as an argument or through [`Clock`], so that it can be tested without waiting.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvs_store::clock::Clock;

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    /// Milliseconds since 1970; 0 when the system's clock stands before that.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::SystemClock;
    use kvs_store::clock::Clock;

    #[test]
    fn time_goes_on_and_is_of_this_century() {
        let clock = SystemClock::start();
        let before = clock.monotonic();
        assert!(clock.monotonic() >= before);
        assert!((946_684_800_000..4_102_444_800_000).contains(&clock.now_ms()));
    }
}
