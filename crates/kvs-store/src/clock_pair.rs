//! The wall clock of a process beside its monotonic one: notices when the wall clock is set.

use std::time::Duration;

/// Both clocks as they were last read.
#[derive(Debug, Clone, Copy)]
pub struct ClockPair {
    wall_ms: u64,
    monotonic: Duration,
}

impl ClockPair {
    /// They read this now.
    #[must_use]
    pub const fn new(wall_ms: u64, monotonic: Duration) -> Self {
        Self { wall_ms, monotonic }
    }

    /// By how much the wall clock was set since the last look, in milliseconds, if that is more than `skew_ms`. A clock that is
    /// slewed is followed.
    pub fn look(&mut self, wall_ms: u64, monotonic: Duration, skew_ms: u64) -> Option<i64> {
        let passed = monotonic.saturating_sub(self.monotonic);
        let expected_ms = self.wall_ms.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        let set_by_ms = wall_ms.cast_signed().saturating_sub(expected_ms.cast_signed());
        *self = Self::new(wall_ms, monotonic);
        Some(set_by_ms).filter(|set_by_ms| set_by_ms.unsigned_abs() > skew_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::ClockPair;
    use std::time::Duration;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn a_wall_clock_that_is_set_is_noticed_once() {
        let mut watch = ClockPair::new(NOW_MS, Duration::ZERO);
        let mut look = |seconds, wall_ms| watch.look(wall_ms, Duration::from_secs(seconds), 100);
        assert_eq!(look(1, NOW_MS + 1_020), None);
        assert_eq!(look(2, NOW_MS + 9_020), Some(7_000));
        assert_eq!(look(3, NOW_MS + 10_020), None);
        assert_eq!(look(4, NOW_MS + 1_020), Some(-10_000));
    }
}
