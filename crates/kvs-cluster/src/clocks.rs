//! What peers' clocks say of this node's: whether it agrees with them, and by how much it is ahead.
//!
//! With one peer nobody can say which of two clocks is wrong: both differ, and go on. A node that at least two peers, and most
//! of those that it hears, find ahead is told to take no writes, since they would beat later ones elsewhere.

use std::time::Duration;

use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::limits::CLOCK_EARLIEST_MS;

/// So many peers at least must find a clock ahead before it is not trusted with writes.
const WITNESSES_MIN: usize = 2;

/// What peers say of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Whether it agrees with theirs.
    pub verdict: ClockVerdict,
    /// Whether a peer was heard, or the clock cannot be right.
    pub is_told: bool,
    /// Whether enough of them find it ahead by more than may be.
    pub is_ahead: bool,
    /// By how much most of them find it ahead, in milliseconds; 0 when they do not.
    pub ahead_ms: u64,
}

impl Judgement {
    /// Nobody said anything.
    pub(crate) const UNKNOWN: Self =
        Self { verdict: ClockVerdict::Unknown, is_told: false, is_ahead: false, ahead_ms: 0 };
}

/// A peer's clock minus this one, in milliseconds: it said `theirs_ms` to a question of `asked_ms`, and the answer was looked at after
/// `round_trip`. The clock was read half-way, as far as anybody knows. Where that took longer than clocks may differ, as on a machine
/// that is short of CPU, it may have been read at any time in between, and the smallest difference is taken that explains it.
pub(crate) fn offset_ms(asked_ms: u64, theirs_ms: u64, round_trip: Duration, skew_ms: u64) -> i64 {
    let passed_ms = u64::try_from(round_trip.as_millis()).unwrap_or(u64::MAX);
    let half_ms = passed_ms / 2;
    let offset_ms = theirs_ms.cast_signed().saturating_sub(asked_ms.saturating_add(half_ms).cast_signed());
    if passed_ms <= skew_ms {
        return offset_ms;
    }
    let sure_ms = i64::try_from(offset_ms.unsigned_abs().saturating_sub(half_ms)).unwrap_or(i64::MAX);
    sure_ms.saturating_mul(offset_ms.signum())
}

/// Judges a clock that reads `wall_ms` by the offsets of peers' clocks from it, in milliseconds.
pub(crate) fn judge(offsets_ms: impl Iterator<Item = i64>, wall_ms: u64, skew_ms: u64) -> Judgement {
    let mut offsets_ms: Vec<i64> = offsets_ms.collect();
    if offsets_ms.is_empty() {
        let verdict = if wall_ms < CLOCK_EARLIEST_MS { ClockVerdict::Differs } else { ClockVerdict::Unknown };
        let is_told = verdict == ClockVerdict::Differs;
        return Judgement { verdict, is_told, ..Judgement::default() };
    }
    offsets_ms.sort_unstable();
    let told = offsets_ms.len();
    let is_beyond = |offset_ms: &&i64| offset_ms.unsigned_abs() > skew_ms;
    let beyond = offsets_ms.iter().filter(is_beyond).count();
    // The peers' clocks that are behind come first.
    let behind = offsets_ms.iter().filter(is_beyond).take_while(|offset_ms| **offset_ms < 0).count();
    let is_most = |count: usize| count.saturating_mul(2) > told;
    let differs = is_most(beyond) || wall_ms < CLOCK_EARLIEST_MS;
    let middle = offsets_ms.get(behind / 2).copied().unwrap_or_default();
    Judgement {
        verdict: if differs { ClockVerdict::Differs } else { ClockVerdict::Agrees },
        is_told: true,
        is_ahead: behind >= WITNESSES_MIN && is_most(behind),
        ahead_ms: if is_most(behind) { middle.unsigned_abs() } else { 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::{Judgement, judge, offset_ms};
    use kvs_store::clock_verdict::ClockVerdict;
    use kvs_store::limits::CLOCK_EARLIEST_MS;
    use std::time::Duration;

    const NOW_MS: u64 = CLOCK_EARLIEST_MS + 1_000_000;

    fn judged(offsets_ms: &[i64]) -> Judgement {
        judge(offsets_ms.iter().copied(), NOW_MS, 100)
    }

    #[test]
    fn an_answer_that_took_long_tells_only_what_nothing_else_explains() {
        let offset =
            |theirs_ms: u64, seconds| offset_ms(NOW_MS, theirs_ms, Duration::from_secs(seconds), 2_000);
        // Clocks that agree, read half-way.
        assert_eq!(offset(NOW_MS + 1_000, 2), 0);
        assert_eq!(offset(NOW_MS + 1_500, 2), 500);
        // The answer waited to be looked at, or the question to be answered.
        assert_eq!(offset(NOW_MS, 148), 0);
        assert_eq!(offset(NOW_MS + 148_000, 148), 0);
        // Whenever it was read in these ten seconds, the peer's clock is ahead by that at least, or behind.
        assert_eq!(offset(NOW_MS + 40_000, 10), 30_000);
        assert_eq!(offset(NOW_MS - 40_000, 10), -40_000);
    }

    #[test]
    fn nobody_says_nothing() {
        assert_eq!(judged(&[]), Judgement::default());
    }

    #[test]
    fn one_peer_cannot_say_who_is_ahead() {
        let judgement = judged(&[-5000]);
        let differs =
            Judgement { verdict: ClockVerdict::Differs, is_told: true, is_ahead: false, ahead_ms: 5000 };
        assert_eq!(judgement, differs);
        assert_eq!(judged(&[5000]).verdict, ClockVerdict::Differs);
        assert_eq!(judged(&[99]).verdict, ClockVerdict::Agrees);
    }

    #[test]
    fn most_peers_and_at_least_two_find_a_clock_ahead() {
        assert!(judged(&[-5000, -5010]).is_ahead);
        assert!(judged(&[-5000, -5010, 3]).is_ahead);
        assert!(!judged(&[-5000, 1, 3]).is_ahead);
        assert_eq!(judged(&[-5000, 1, 3]).verdict, ClockVerdict::Agrees);
        // Two of four are not most.
        assert!(!judged(&[-5000, -5000, 1, 3]).is_ahead);
        // Behind is not ahead.
        assert!(!judged(&[5000, 5000, 5000]).is_ahead);
        assert_eq!(judged(&[5000, 5000, 5000]).ahead_ms, 0);
    }

    #[test]
    fn by_how_much_is_what_the_middle_one_says() {
        assert_eq!(judged(&[-9000, -5000, -4000]).ahead_ms, 5000);
        assert_eq!(judged(&[-5000, -4000, 1]).ahead_ms, 4000);
    }

    #[test]
    fn a_clock_that_was_never_set_agrees_with_nobody() {
        assert_eq!(judge([0, 1].into_iter(), 5000, 100).verdict, ClockVerdict::Differs);
        assert_eq!(judge(std::iter::empty(), 5000, 100).verdict, ClockVerdict::Differs);
    }
}
