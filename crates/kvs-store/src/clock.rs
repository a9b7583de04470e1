//! Time as an argument: the store reads it through this trait and nowhere else.

use std::time::Duration;

/// Where the store reads the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC; may jump either way.
    fn now_ms(&self) -> u64;

    /// Time since some fixed moment; never goes back. For durations only.
    fn monotonic(&self) -> Duration;
}
