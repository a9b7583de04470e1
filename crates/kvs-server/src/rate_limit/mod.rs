//! The limit of requests: so many per window for each principal, and for callers without one for each network address.
//!
//! [`limiter`] decides, by the generic cell rate algorithm of the `governor` crate: a caller may use its whole number at
//! once and gets it back evenly over the window. `ledger` remembers what callers used, in memory that does not grow with
//! their number. [`verdict`] is what callers are told. Whom the limit does not concern (peers, `/health`, admins) is
//! decided by whoever asks.
//!
//! Source: the HTTP contract, sections on the cluster (rate limit) and the configuration.

mod given_clock;
mod ledger;
pub mod limiter;
pub mod verdict;
