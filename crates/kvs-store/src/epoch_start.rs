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

    /// When its last stamp was given, as far as that is known, ms since 1970.
    fn dated_end_ms(&self) -> u64 {
        let end_ms = if self.ended_ms > 0 { self.ended_ms } else { self.top_ms };
        end_ms.saturating_sub(self.lead_ms)
    }

    /// The stamp (ms since 1970) above which everything in this epoch was stamped by a clock that was ahead by more than
    /// `skew_ms`; `None` where that is not known of it. Peers' word about the clock is not enough, as they may have been wrong
    /// together: the clock must have been set since. Nor may it have drifted there, as most of what it stamped was right then.
    /// `before` is the epoch before it.
    #[must_use]
    pub fn ahead_from_ms(&self, before: Option<&Self>, skew_ms: u64) -> Option<u64> {
        let born_ms = born_s(self.epoch).saturating_mul(1000);
        let drift_ms = self.ended_ms.saturating_sub(born_ms) / CLOCK_DRIFT_PART;
        if self.lead_ms <= skew_ms.saturating_add(drift_ms) || self.ended_ms == 0 || self.last_seq == 0 {
            return None;
        }
        if born_ms <= self.ended_ms {
            return Some(born_ms.saturating_sub(1));
        }
        // It is born later than its clock said, as the one before it was. What was stamped between the setting of the clock and
        // its notice is right, unless the epoch lasted for so long that its first stamps look like that, too.
        let right_until_ms = self.ended_ms.saturating_sub(self.lead_ms).saturating_add(skew_ms);
        let set_at_ms = before.filter(|before| before.ended_ms > 0);
        let set_at_ms = set_at_ms.map(|before| before.ended_ms.saturating_sub(before.lead_ms));
        let from_ms = set_at_ms.map(|set_at_ms| set_at_ms.saturating_add(self.lead_ms).saturating_sub(1));
        Some(from_ms.map_or(right_until_ms, |from_ms| from_ms.min(right_until_ms)))
    }
}

/// Puts right what peers said of the clock in ended epochs where they were wrong themselves: by that lead the epoch would have
/// ended later than `now_ms`, which a clock says that is right. Where the setting of the clock in a later process ended it as well,
/// that tells its lead. Else all that is known is that it is over; the lead is noted as if it had ended just now, so that what it
/// stamped is dated the same whenever that is asked.
pub(crate) fn put_leads_right(epochs: &mut [EpochStart], now_ms: u64, skew_ms: u64) {
    let mut set_by_ms = 0;
    for index in (0..epochs.len()).rev() {
        let (earlier, later) = epochs.split_at_mut(index);
        let Some(start) = later.first_mut().filter(|start| start.ended_ms > 0) else { continue };
        let least_ms = start.ended_ms.saturating_sub(now_ms);
        if start.lead_ms > 0 && least_ms > start.lead_ms.saturating_add(skew_ms) {
            // A setting that would date its end before the epochs before it did not end it: the clock was set in between.
            let ends = earlier.iter().rev().map(EpochStart::dated_end_ms);
            let before_ms = ends.into_iter().find(|end_ms| *end_ms <= now_ms).unwrap_or(0);
            let is_told = start.ended_ms.saturating_sub(set_by_ms) >= before_ms;
            start.lead_ms = least_ms.max(if is_told { set_by_ms } else { 0 });
        }
        set_by_ms = start.lead_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::{EpochStart, put_leads_right};
    use kvs_core::origin::epoch_at;

    const SKEW_MS: u64 = 100;

    /// An epoch that began in the second `born_s` by its number, in which the clock was 18 s ahead.
    fn ended(born_s: u32, ended_ms: u64) -> EpochStart {
        EpochStart { last_seq: 1, lead_ms: 18_000, ended_ms, ..EpochStart::new(epoch_at(born_s, 7), 0) }
    }

    #[test]
    fn an_epoch_is_ahead_from_its_beginning() {
        assert_eq!(ended(80, 99_000).ahead_from_ms(None, SKEW_MS), Some(79_999));
        assert_eq!(EpochStart { ended_ms: 0, ..ended(80, 0) }.ahead_from_ms(None, SKEW_MS), None);
        assert_eq!(EpochStart { lead_ms: 100, ..ended(80, 99_000) }.ahead_from_ms(None, SKEW_MS), None);
    }

    #[test]
    fn one_that_is_born_later_than_its_clock_said_is_ahead_beyond_what_was_right_at_its_end() {
        let right_until_ms = Some(99_000 - 18_000 + SKEW_MS);
        assert_eq!(ended(4000, 99_000).ahead_from_ms(None, SKEW_MS), right_until_ms);
        let before = |ended_ms| EpochStart { ended_ms, ..EpochStart::new(epoch_at(4000, 6), 0) };
        // It lasted for less time than the clock was ahead by.
        assert_eq!(ended(4000, 99_000).ahead_from_ms(Some(&before(79_000)), SKEW_MS), right_until_ms);
        // For more: the clock read 81 s as it began, and so it does again when it is right.
        assert_eq!(ended(4000, 99_000).ahead_from_ms(Some(&before(62_000)), SKEW_MS), Some(79_999));
        assert_eq!(ended(4000, 99_000).ahead_from_ms(Some(&before(0)), SKEW_MS), right_until_ms);
    }

    /// One that ended when its clock read so much, by this lead.
    fn led(ended_ms: u64, lead_ms: u64) -> EpochStart {
        EpochStart { lead_ms, ..ended(80, ended_ms) }
    }

    fn put_right<const N: usize>(mut epochs: [EpochStart; N], now_ms: u64) -> [u64; N] {
        put_leads_right(&mut epochs, now_ms, SKEW_MS);
        epochs.map(|start| start.lead_ms)
    }

    #[test]
    fn a_lead_by_which_an_epoch_would_end_later_than_now_is_that_of_the_setting_that_ended_it() {
        // The clock was 18 s ahead in three processes, and peers that were ahead by 9 s and 12 s found it 9 s and 6 s ahead.
        let right = led(81_000, 0);
        let between = EpochStart { ended_ms: 0, ..led(0, 0) };
        assert_eq!(
            put_right(
                [right, led(101_000, 9_000), led(102_000, 6_000), between, led(105_000, 18_000)],
                88_000
            ),
            [0, 18_000, 18_000, 0, 18_000]
        );
        // One that may be right stays as it is, and so does one that was read a little later than now.
        assert_eq!(put_right([led(99_000, 12_000), led(105_000, 18_000)], 88_000), [12_000, 18_000]);
        assert_eq!(put_right([led(100_090, 12_000), led(105_000, 18_000)], 88_000), [12_000, 18_000]);
        // Nobody found this one ahead.
        assert_eq!(put_right([led(101_000, 0), led(105_000, 18_000)], 88_000), [0, 18_000]);
    }

    #[test]
    fn a_lead_that_no_setting_tells_is_such_that_the_epoch_is_over() {
        assert_eq!(put_right([led(101_000, 9_000)], 88_000), [13_000]);
        assert_eq!(put_right([led(101_000, 9_000), led(88_000, 0)], 88_000), [13_000, 0]);
        // The clock was set back by an hour only after it had been set ahead by an hour.
        let hour_ahead = led(3_688_000, 3_600_000);
        assert_eq!(
            put_right([led(81_000, 0), led(101_000, 9_000), hour_ahead], 88_000),
            [0, 13_000, 3_600_000]
        );
    }
}
