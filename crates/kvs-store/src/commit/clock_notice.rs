//! That the clock was set, as the committer notices it: before anything is stamped by it, whoever tells it and when.
//!
//! The replicator notices it, too, and tells: what the committer knew already is not noted twice.

use std::time::Duration;

use crate::clock::Clock;
use crate::clock_pair::ClockPair;
use crate::commit::mark::Mark;
use crate::commit::write::Transaction;

/// How long it is remembered that the clock was set, for whoever tells so later.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// What the committer knows of its clock.
#[derive(Debug)]
pub(super) struct ClockNotice {
    watch: ClockPair,
    skew_ms: u64,
    /// By how much it was set, in milliseconds, as far as that is not noted.
    unnoted_ms: i64,
    /// By how much it was set, as far as nobody has told so, and when.
    untold: Option<(i64, Duration)>,
    /// When that was last noticed, on the monotonic clock.
    noticed_at: Option<Duration>,
    /// When this process began, on the monotonic clock.
    began_at: Duration,
}

impl ClockNotice {
    pub(super) fn new(clock: &dyn Clock, skew_ms: u64) -> Self {
        let began_at = clock.monotonic();
        let watch = ClockPair::new(clock.now_ms(), began_at);
        Self { watch, skew_ms, unnoted_ms: 0, untold: None, noticed_at: None, began_at }
    }

    /// Looks at the clock; answers by how much it was set since that was last noted, in milliseconds.
    pub(super) fn look(&mut self, clock: &dyn Clock) -> i64 {
        let now = clock.monotonic();
        if let Some(set_by_ms) = self.watch.look(clock.now_ms(), now, self.skew_ms) {
            self.unnoted_ms = self.unnoted_ms.saturating_add(set_by_ms);
            let untold_ms = self.untold.map_or(0, |(untold_ms, _)| untold_ms);
            self.untold = Some((untold_ms.saturating_add(set_by_ms), now));
            // After the look: whoever looks at the clock from now on sees it as it was set.
            self.noticed_at = Some(clock.monotonic());
        }
        self.unnoted_ms
    }

    /// When it was last noticed that the clock was set, on the monotonic clock.
    pub(super) const fn noticed_at(&self) -> Option<Duration> {
        self.noticed_at
    }

    /// For how long it has gone without being set, as far as this process knows.
    pub(super) fn unset_for(&self, clock: &dyn Clock) -> Duration {
        clock.monotonic().saturating_sub(self.noticed_at.unwrap_or(self.began_at))
    }

    /// What was not noted is.
    pub(super) const fn note(&mut self) {
        self.unnoted_ms = 0;
    }

    /// Takes what transactions tell of the clock out of them, where it is known or cannot be noted now.
    pub(super) fn hear<'a>(&mut self, clock: &dyn Clock, told: impl Iterator<Item = &'a mut Transaction>) {
        self.look(clock);
        for transaction in told {
            transaction.marks.retain(|mark| {
                let Mark::ClockSet(by_ms) = mark else { return true };
                let known =
                    self.untold.take().filter(|(_, at)| clock.monotonic().saturating_sub(*at) <= TOLD_WITHIN);
                // What both have noticed they may have measured a little apart.
                let news_ms = match known {
                    Some((known_ms, _)) => {
                        let news_ms = by_ms.saturating_sub(known_ms);
                        if news_ms.unsigned_abs() > self.skew_ms { news_ms } else { 0 }
                    }
                    None => *by_ms,
                };
                self.unnoted_ms = self.unnoted_ms.saturating_add(news_ms);
                false
            });
        }
    }
}
