//! The pause after calls that failed.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::{RETRY_PAUSE, RETRY_PAUSE_MAX};

/// Failures in a row, and until when nothing is tried again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Duration,
}

impl Backoff {
    /// It failed: pause, longer each time.
    pub(crate) fn fail(&mut self, now: Duration) {
        self.fail_for(RETRY_PAUSE..=RETRY_PAUSE_MAX, now);
    }

    /// It failed: pause for the shortest of these times at first, for twice as long each time it fails again, up to the longest.
    pub(crate) fn fail_for(&mut self, pauses: RangeInclusive<Duration>, now: Duration) {
        let pause = pauses.start().saturating_mul(1 << self.failures.min(6)).min(*pauses.end());
        self.failures = self.failures.saturating_add(1);
        self.until = now + pause;
    }

    /// It succeeded.
    pub(crate) const fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Whether it succeeded last, or was never tried.
    pub(crate) const fn is_clear(&self) -> bool {
        self.failures == 0
    }

    /// Until when to wait; a moment that has passed when there is nothing to wait for.
    pub(crate) const fn until(&self) -> Duration {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use crate::limits::{RETRY_PAUSE, RETRY_PAUSE_MAX};
    use std::time::Duration;

    #[test]
    fn the_pause_doubles_up_to_its_bound_and_begins_anew_after_a_success() {
        let (mut backoff, mut now) = (Backoff::default(), Duration::from_secs(9));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            backoff.fail(now);
            pauses.push(backoff.until() - now);
            now = backoff.until();
        }
        assert_eq!(pauses[..3], [RETRY_PAUSE, RETRY_PAUSE * 2, RETRY_PAUSE * 4]);
        assert_eq!(pauses[8], RETRY_PAUSE_MAX);
        backoff.succeed();
        backoff.fail(now);
        assert_eq!(backoff.until() - now, RETRY_PAUSE);
    }
}
