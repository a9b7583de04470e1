//! Where an epoch of this node began, what was stamped in it, and what is known of its clock.

use kvs_core::origin::born_s;

/// A clock that is not set is off by less than this part of the time that passed.
const CLOCK_DRIFT_PART: u64 = 1000;

/// Where an epoch of this node began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: u64,
    /// The end of the log when it began.
    pub after_local_seq: u64,
    /// The last number given out in it, as far as this node remembers; 0 while it lasts.
    pub last_seq: u64,
    /// The latest stamp given in it, ms since 1970, as far as this node remembers; 0 while it lasts.
    pub top_ms: u64,
    /// By how much this node's clock was ahead in it, ms; 0 when it was not, or nobody knows.
    pub lead_ms: u64,
    /// What the clock read when it ended because the clock was set, ms since 1970, or the latest stamp where the clock was seen
    /// to be set back only afterwards; 0 where that is not known.
    pub ended_ms: u64,
}

impl EpochStart {
    /// An epoch that begins behind `after_local_seq`.
    #[must_use]
    pub const fn new(epoch: u64, after_local_seq: u64) -> Self {
        Self { epoch, after_local_seq, last_seq: 0, top_ms: 0, lead_ms: 0, ended_ms: 0 }
    }

    /// The stamp (ms since 1970) above which everything in this epoch was stamped by a clock that was ahead by more than
    /// `skew_ms`; `None` where that is not known of it. Peers' word about the clock is not enough, as they may have been wrong
    /// together: the clock must have been set since. Nor may it have drifted there, as most of what it stamped was right then.
    #[must_use]
    pub const fn ahead_from_ms(&self, skew_ms: u64) -> Option<u64> {
        let born_ms = born_s(self.epoch).saturating_mul(1000);
        let drift_ms = self.ended_ms.saturating_sub(born_ms) / CLOCK_DRIFT_PART;
        if self.lead_ms <= skew_ms.saturating_add(drift_ms) || self.ended_ms == 0 || self.last_seq == 0 {
            return None;
        }
        if born_ms <= self.ended_ms {
            return Some(born_ms.saturating_sub(1));
        }
        // It is born later than its clock said, as the one before it was. What was stamped between the setting of the clock and
        // its notice is right.
        Some(self.ended_ms.saturating_sub(self.lead_ms).saturating_add(skew_ms))
    }
}
