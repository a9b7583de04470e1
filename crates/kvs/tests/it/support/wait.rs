//! Waiting for a state that can be looked at, within a bound; the only clock of the tests.

use std::time::{Duration, Instant};

/// How long anything may take that should be immediate: generous, because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A moment in the future.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The moment in `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self(now() + limit)
    }

    /// What is left until then; `None` when it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(now()).filter(|left| !left.is_zero())
    }
}

/// Looks until there is something to see, for at most `limit`.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        deadline.left()?;
        std::thread::sleep(PAUSE);
    }
}

/// Looks until there is something to see; the test fails when that is not [`SOON`]. `what` is what was waited for.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(SOON, look).unwrap_or_else(|| panic!("waited {SOON:?} in vain: {what}"))
}

/// Waits until something is true; see [`until`].
pub(crate) fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

#[expect(clippy::disallowed_methods, reason = "tests wait on the real clock, here alone")]
fn now() -> Instant {
    Instant::now()
}

/// The time of the machine's clock, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "tests compare what nodes say with the real clock")]
pub(crate) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

/// How long something took, and what came of it; for comparisons within one run alone.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = now();
    let done = work();
    (now().saturating_duration_since(before), done)
}
