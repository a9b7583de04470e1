//! The one parser of durations: `"90s"`, `"15m"`, `"1h30m"`, `"7d"`, or a bare number of seconds.
//!
//! The configuration (`default_ttl`, `rate_limit_window`) and the HTTP interface (`?ttl=`, the envelope) share it, so
//! that one text means the same everywhere. A duration of zero means *never*.
//! Invariant: what is returned is at least one second and at most [`DURATION_SECONDS_MAX`].
//! Left out: fractions, signs, spaces, and units below a second or above a day.

use std::time::Duration;

use crate::limits::{DURATION_BYTES_MAX, DURATION_SECONDS_MAX};

/// Units from large to small, in seconds. A text names them in this order, each at most once.
const UNITS: [(u8, u64); 4] = [(b'd', 86_400), (b'h', 3_600), (b'm', 60), (b's', 1)];

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TtlError {
    /// The text is not made of numbers and units in the order d, h, m, s.
    #[error(
        "expected a duration such as \"90s\", \"15m\", \"1h30m\" or \"7d\", a number of seconds, or \"0\" for never"
    )]
    Shape,
    /// The duration is longer than [`DURATION_SECONDS_MAX`].
    #[error("expected a duration of at most 100 years")]
    TooLong,
}

/// Reads a duration; `None` is *never* (a total of zero).
///
/// `text` is either digits alone (seconds), or groups of digits and one of the units `d`, `h`, `m`, `s`, in this
/// order and each at most once. Source: the HTTP contract, section on data.
///
/// # Errors
/// [`TtlError`]; there is no state that could have changed.
pub fn parse_ttl(text: &str) -> Result<Option<Duration>, TtlError> {
    if text.is_empty() || text.len() > DURATION_BYTES_MAX {
        return Err(TtlError::Shape);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return ttl_of_seconds(number(text)?);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(TtlError::Shape)?;
        let (digits, tail) = rest.split_at_checked(end).ok_or(TtlError::Shape)?;
        let (unit, after) = tail.split_at_checked(1).ok_or(TtlError::Shape)?;
        // `by_ref` keeps the place: a unit already passed, or passed over, is not found again.
        let (_, seconds) =
            units.by_ref().find(|(name, _)| unit.as_bytes() == [*name]).ok_or(TtlError::Shape)?;
        let part = number(digits)?.checked_mul(*seconds).ok_or(TtlError::TooLong)?;
        total = total.checked_add(part).ok_or(TtlError::TooLong)?;
        rest = after;
    }
    ttl_of_seconds(total)
}

/// A whole number of seconds as a duration; `None` is *never* (zero).
///
/// # Errors
/// [`TtlError::TooLong`] above [`DURATION_SECONDS_MAX`].
pub const fn ttl_of_seconds(seconds: u64) -> Result<Option<Duration>, TtlError> {
    match seconds {
        0 => Ok(None),
        1..=DURATION_SECONDS_MAX => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(TtlError::TooLong),
    }
}

/// Digits as a number. Too many of them are a duration too long, none at all is no duration.
fn number(digits: &str) -> Result<u64, TtlError> {
    if digits.is_empty() {
        return Err(TtlError::Shape);
    }
    digits.parse().map_err(|_| TtlError::TooLong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn seconds(text: &str) -> Result<Option<u64>, TtlError> {
        parse_ttl(text).map(|ttl| ttl.map(|ttl| ttl.as_secs()))
    }

    #[test]
    fn every_documented_form_is_read() {
        assert_eq!(seconds("90s"), Ok(Some(90)));
        assert_eq!(seconds("15m"), Ok(Some(900)));
        assert_eq!(seconds("1h30m"), Ok(Some(5_400)));
        assert_eq!(seconds("7d"), Ok(Some(604_800)));
        assert_eq!(seconds("1d2h3m4s"), Ok(Some(93_784)));
        assert_eq!(seconds("45"), Ok(Some(45)));
        assert_eq!(seconds("007"), Ok(Some(7)));
    }

    #[test]
    fn zero_means_never_in_every_form() {
        for text in ["0", "00", "0s", "0h0m", "0d0h0m0s"] {
            assert_eq!(seconds(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        let long = "1".repeat(65);
        for text in [
            "", " ", "s", "h", "1h ", " 1h", "1 h", "-1", "+1", "-1s", "1.5h", "1h30", "30m1h", "1h1h",
            "1ms", "1w", "1H", "1hm", "never", "1\u{661}", "\u{661}s", "1é", "0x10", "1e3", "1_000", &long,
        ] {
            assert_eq!(parse_ttl(text), Err(TtlError::Shape), "{text:?}");
        }
    }

    #[test]
    fn a_hundred_years_are_the_longest() {
        assert_eq!(seconds("3155760000"), Ok(Some(3_155_760_000)));
        assert_eq!(seconds("36525d"), Ok(Some(3_155_760_000)));
        for text in [
            "3155760001",
            "36525d1s",
            "99999999999999999999999",
            "18446744073709551615d",
            "213503982334602d1s",
        ] {
            assert_eq!(parse_ttl(text), Err(TtlError::TooLong), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_answered_within_the_bounds(text in any::<String>()) {
            if let Ok(Some(ttl)) = parse_ttl(&text) {
                prop_assert!((1..=DURATION_SECONDS_MAX).contains(&ttl.as_secs()));
            }
        }

        #[test]
        fn the_parts_add_up(days in 0u64..1000, hours in 0u64..100, minutes in 0u64..100, secs in 0u64..100) {
            let total = days * 86_400 + hours * 3_600 + minutes * 60 + secs;
            let expected = (total > 0).then_some(total);
            prop_assert_eq!(seconds(&format!("{days}d{hours}h{minutes}m{secs}s")), Ok(expected));
            prop_assert_eq!(seconds(&total.to_string()), Ok(expected));
        }
    }
}
