//! What the limiter says about one request, and how it is said in headers.

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Whether a request may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is within the limit and was counted.
    Within(Allowance),
    /// The caller used up its number; this request was not counted.
    Exceeded {
        /// What the caller has: nothing remains.
        allowance: Allowance,
        /// Until the next request may be made, in seconds, rounded up; at least 1.
        retry_after_s: u64,
    },
}

/// What a caller may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per window.
    pub limit: u32,
    /// How many more may be made at once, now.
    pub remaining: u32,
    /// Until the whole number may be made at once again if none is made meanwhile, in seconds, rounded up.
    pub reset_s: u64,
}

impl Verdict {
    /// Writes `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, and for a refusal `Retry-After`.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        let allowance = match self {
            Self::Within(allowance) => allowance,
            Self::Exceeded { allowance, retry_after_s } => {
                headers.insert(RETRY_AFTER, number(*retry_after_s));
                allowance
            }
        };
        headers.insert(RATE_LIMIT_LIMIT, number(allowance.limit.into()));
        headers.insert(RATE_LIMIT_REMAINING, number(allowance.remaining.into()));
        headers.insert(RATE_LIMIT_RESET, number(allowance.reset_s));
    }
}

/// Numbers below this have their digits in [`DIGITS`].
const SMALL: usize = 1_000;

/// The digits of the small numbers, three for each. These headers stand on every limited answer, and so take no memory of
/// their own there.
#[expect(clippy::indexing_slicing, reason = "the compiler fills it, and would say so")]
static DIGITS: [[u8; 3]; SMALL] = {
    let mut digits = [*b"000"; SMALL];
    let mut rest = SMALL - 1;
    while rest > 0 {
        digits[rest] = [DECIMAL[rest / 100], DECIMAL[rest / 10 % 10], DECIMAL[rest % 10]];
        rest -= 1;
    }
    digits
};

const DECIMAL: &[u8; 10] = b"0123456789";

/// A number as the value of a header.
fn number(number: u64) -> HeaderValue {
    let first = match number {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let small = usize::try_from(number).ok().and_then(|number| DIGITS.get(number)?.get(first..));
    match small.and_then(|digits| std::str::from_utf8(digits).ok()) {
        Some(digits) => HeaderValue::from_static(digits),
        None => HeaderValue::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for value in (0..2_000).chain([u64::MAX]) {
            assert_eq!(number(value).to_str().unwrap(), value.to_string());
        }
    }

    fn written(verdict: Verdict) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        verdict.write_to(&mut headers);
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        let mut pairs: Vec<_> = headers.iter().map(pair).collect();
        pairs.sort();
        pairs
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_caller_is_told_what_it_has_and_when_to_come_back() {
        let within = Verdict::Within(Allowance { limit: 100, remaining: 99, reset_s: 1 });
        let told = [("ratelimit-limit", "100"), ("ratelimit-remaining", "99"), ("ratelimit-reset", "1")];
        assert_eq!(written(within), pairs(&told));
        let exceeded = Verdict::Exceeded {
            allowance: Allowance { limit: 100, remaining: 0, reset_s: 60 },
            retry_after_s: 2,
        };
        let told = [
            ("ratelimit-limit", "100"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "60"),
            ("retry-after", "2"),
        ];
        assert_eq!(written(exceeded), pairs(&told));
    }
}
