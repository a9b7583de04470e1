//! What peers said of this node's clock, and until when that counts.

use std::time::Duration;

use crate::clock_verdict::ClockVerdict;

/// The latest verdict.
///
/// **Invariant:** that peers agree with a clock means nothing once it was set, whoever notices that first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgedClock {
    verdict: ClockVerdict,
    /// When the clock was looked at for it, on the monotonic clock.
    at: Duration,
    /// When it was last noticed that the clock was set, on the monotonic clock.
    set_noticed_at: Duration,
}

impl JudgedClock {
    pub(crate) const fn new(verdict: ClockVerdict) -> Self {
        Self { verdict, at: Duration::ZERO, set_noticed_at: Duration::ZERO }
    }

    pub(crate) const fn judge(&mut self, verdict: ClockVerdict, at: Duration) {
        (self.verdict, self.at) = (verdict, at);
    }

    pub(crate) const fn note_set(&mut self, noticed_at: Duration) {
        self.set_noticed_at = noticed_at;
    }

    /// What counts now.
    pub(crate) fn verdict(&self) -> ClockVerdict {
        match self.verdict {
            ClockVerdict::Agrees if self.at < self.set_noticed_at => ClockVerdict::Differs,
            verdict => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JudgedClock;
    use crate::clock_verdict::ClockVerdict;
    use std::time::Duration;

    #[test]
    fn that_peers_agree_counts_until_the_clock_is_set_and_again_when_it_was_looked_at_since() {
        let mut judged = JudgedClock::new(ClockVerdict::Differs);
        judged.judge(ClockVerdict::Agrees, Duration::from_secs(1));
        assert_eq!(judged.verdict(), ClockVerdict::Agrees);
        judged.note_set(Duration::from_secs(3));
        assert_eq!(judged.verdict(), ClockVerdict::Differs);
        judged.judge(ClockVerdict::Agrees, Duration::from_secs(2));
        assert_eq!(judged.verdict(), ClockVerdict::Differs, "the answer was under way when it was set");
        judged.judge(ClockVerdict::Agrees, Duration::from_secs(3));
        assert_eq!(judged.verdict(), ClockVerdict::Agrees);
    }

    #[test]
    fn a_node_that_hears_nobody_goes_on_by_its_clock() {
        let mut judged = JudgedClock::new(ClockVerdict::Unknown);
        judged.note_set(Duration::from_secs(1));
        assert_eq!(judged.verdict(), ClockVerdict::Unknown);
    }
}
