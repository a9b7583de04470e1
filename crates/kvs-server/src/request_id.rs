//! The id of a request, 16 hexadecimal digits, on every answer and in the log line of every failure.
//!
//! Ids are given by the node alone: one taken from the client could make two requests look like one in the log. They
//! are unique within one run of the process and do not tell how many requests there were.

use bytes::Bytes;
use http::HeaderValue;

/// How many requests of one connection have ids of their own before the next connection's begin; a longer connection
/// may share ids with later ones.
const REQUESTS_PER_CONNECTION_BITS: u32 = 24;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Gives the ids of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestIds {
    key: u64,
    base: u64,
}

impl RequestIds {
    /// The ids of connection number `connection`; `key` is random and the same for the whole process.
    pub(crate) const fn of_connection(key: u64, connection: u64) -> Self {
        Self { key, base: connection << REQUESTS_PER_CONNECTION_BITS }
    }

    /// The id of the connection's request number `request`.
    pub(crate) const fn id(self, request: u64) -> RequestId {
        RequestId(scramble(self.base.wrapping_add(request) ^ self.key))
    }
}

/// One id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(u64);

impl RequestId {
    /// The 16 digits.
    pub(crate) fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        for (byte, pair) in self.0.to_be_bytes().iter().zip(digits.chunks_exact_mut(2)) {
            if let [high, low] = pair {
                *high = digit(byte >> 4);
                *low = digit(byte & 0x0f);
            }
        }
        digits
    }

    /// The value of `X-Request-Id`.
    pub(crate) fn header(self) -> HeaderValue {
        // Hexadecimal digits are a valid value.
        HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&self.digits()))
            .unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

const fn digit(nibble: u8) -> u8 {
    // A nibble is below 16, so the lookup never misses.
    match HEX.as_slice().split_at_checked(nibble as usize) {
        Some((_, [digit, ..])) => *digit,
        _ => b'0',
    }
}

/// A permutation of the 64-bit numbers in which neighbours look unrelated (the finaliser of SplitMix64).
const fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::{RequestId, RequestIds};
    use std::collections::BTreeSet;

    #[test]
    fn digits_are_the_number_in_hexadecimal() {
        let id = RequestId(0x0123_4567_89ab_cdef);
        assert_eq!(&id.digits(), b"0123456789abcdef");
        assert_eq!(id.to_string(), "0123456789abcdef");
        assert_eq!(id.header(), "0123456789abcdef");
    }

    #[test]
    fn no_two_requests_of_any_connections_share_an_id() {
        let mut seen = BTreeSet::new();
        for connection in 0..50 {
            let ids = RequestIds::of_connection(7, connection);
            for request in 0..50 {
                assert!(seen.insert(ids.id(request).digits()));
            }
        }
    }
}
