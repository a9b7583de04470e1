//! The one place of this crate that reads a clock: deadlines of waiting loops, and the moment an instance started.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limits::POLL_PAUSE;

/// A moment until which a loop may look again.
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// The moment `timeout` from now; a timeout beyond the range of the clock never passes.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self(now().checked_add(timeout))
    }

    /// Pauses before the next look; `false`, without a pause, when the deadline has passed.
    pub(crate) fn pause(&self) -> bool {
        if self.0.is_some_and(|end| now() >= end) {
            return false;
        }
        sleep(POLL_PAUSE);
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock")]
fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970; 0 before that.
#[expect(clippy::disallowed_methods, reason = "people want to see since when an instance runs")]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
