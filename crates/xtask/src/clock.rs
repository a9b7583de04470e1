//! The one room of this program where the clock is read.
//!
//! Durations of steps and of requests are what a benchmark is about, so the time is read here; nothing in this program
//! decides anything of the product by it.

use std::time::Instant;

/// The current monotonic time.
#[expect(clippy::disallowed_methods, reason = "the automation measures durations; this is its one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
