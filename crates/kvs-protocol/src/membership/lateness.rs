//! Whether this process is late by its own alarms, and for how long it stood still in all.
//!
//! A process that gets no time to run neither sends nor takes the answers that wait for it. What it then misses says
//! nothing about others: a probe that was under way is excused, a suspicion lasts longer by the time that was lost, and nobody
//! is condemned before what waited has been heard.

use std::time::Duration;

use crate::membership::settings::LATE;

/// How late this process was.
#[derive(Debug)]
pub(crate) struct Lateness {
    credit: Duration,
    last_late: Option<Duration>,
}

impl Lateness {
    /// It was never late.
    pub(crate) const fn new() -> Self {
        Self { credit: Duration::ZERO, last_late: None }
    }

    /// Something happens at `now`, and the first alarm was due at this time.
    pub(crate) fn note_event(&mut self, first_due: Duration, now: Duration) {
        if now.saturating_sub(first_due) > LATE {
            self.last_late = Some(now);
        }
    }

    /// The alarms go off, of which the first was due at this time. Answers how late that is, where it is too late.
    pub(crate) fn note_alarms(&mut self, first_due: Duration, now: Duration) -> Option<Duration> {
        let late = now.saturating_sub(first_due);
        if late <= LATE {
            return None;
        }
        self.credit += late;
        Some(late)
    }

    /// Whether an alarm came late since then.
    pub(crate) fn was_late_since(&self, since: Duration) -> bool {
        self.last_late.is_some_and(|at| at >= since)
    }

    /// How long the process stood still in all.
    pub(crate) const fn credit(&self) -> Duration {
        self.credit
    }
}

#[cfg(test)]
mod tests {
    use super::Lateness;
    use crate::membership::settings::LATE;
    use std::time::Duration;

    #[test]
    fn only_what_is_later_than_the_bound_counts_and_only_for_what_began_before() {
        let due = Duration::from_secs(5);
        let mut lateness = Lateness::new();
        lateness.note_event(due, due + LATE);
        assert_eq!(lateness.note_alarms(due, due + LATE), None);
        assert!(!lateness.was_late_since(Duration::ZERO));
        let now = due + LATE * 2;
        lateness.note_event(due, now);
        assert_eq!(lateness.note_alarms(due, now), Some(LATE * 2));
        assert_eq!(lateness.credit(), LATE * 2);
        assert!(lateness.was_late_since(due) && !lateness.was_late_since(now + LATE));
    }
}
