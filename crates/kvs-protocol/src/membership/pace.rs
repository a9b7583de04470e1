//! The pace of exchanges that frames ask for: those whose sender has another list.
//!
//! While many join at once lists differ all the time, and each frame says so. Whole lists at each of them cost the time that
//! the answers to probes need, members are suspected, and that changes the lists again. So few are under way at once, and the
//! pause between them grows while lists stay different; it begins anew as soon as a list is found to be equal. News
//! itself does not wait for this: it is told on as it comes.

use std::time::Duration;

use crate::membership::settings::{
    EXCHANGE_TIMEOUT, UNEQUAL_EACH, UNEQUAL_MAX, UNEQUAL_PATIENCE, UNEQUAL_PAUSE, UNEQUAL_PAUSE_MAX,
};

/// When the next such exchange may begin.
#[derive(Debug)]
pub(crate) struct Pace {
    under_way: u32,
    pause: Duration,
    next_at: Duration,
    /// Since when every list that was seen is different.
    unequal_since: Option<Duration>,
    members: u32,
    /// Whether somebody gave this process his list, or had the same one.
    has_met: bool,
    list_asked_at: Option<Duration>,
}

impl Pace {
    /// Nothing was exchanged yet.
    pub(crate) const fn new() -> Self {
        Self {
            under_way: 0,
            pause: UNEQUAL_PAUSE,
            next_at: Duration::ZERO,
            unequal_since: None,
            members: 0,
            has_met: false,
            list_asked_at: None,
        }
    }

    /// There are so many members.
    pub(crate) fn note_members(&mut self, members: usize) {
        self.members = u32::try_from(members).unwrap_or(u32::MAX);
    }

    /// Whether this node asks for a whole list with the call that it makes now. Before it was given one it may know a part of the
    /// cluster only, from those who called it, and would count that for the whole. One that is asked may not answer.
    pub(crate) fn asks_for_list(&mut self, now: Duration) -> bool {
        let is_under_way = self.list_asked_at.is_some_and(|at| now.saturating_sub(at) < EXCHANGE_TIMEOUT);
        let asks = !self.has_met && !is_under_way;
        if asks {
            self.list_asked_at = Some(now);
        }
        asks
    }

    /// Whether somebody gave this process his whole list, or had the same one.
    pub(crate) const fn has_met(&self) -> bool {
        self.has_met
    }

    /// Somebody gave his whole list.
    pub(crate) fn found_list(&mut self) {
        self.has_met = true;
    }

    /// Whether one more may begin.
    pub(crate) fn may_begin(&self, now: Duration) -> bool {
        self.under_way < UNEQUAL_MAX && now >= self.next_at
    }

    /// One begins; the pause to the next is this percentage of what it would be, so that nodes do not ask in step.
    pub(crate) fn begin(&mut self, now: Duration, percent: u32) {
        self.under_way += 1;
        self.next_at = now + self.pause.saturating_mul(percent) / 100;
        self.pause = (self.pause * 2).min(UNEQUAL_PAUSE_MAX.max(UNEQUAL_EACH * self.members));
    }

    /// One has ended, whatever came of it.
    pub(crate) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Somebody has another list.
    pub(crate) fn found_unequal(&mut self, now: Duration) {
        self.unequal_since.get_or_insert(now);
    }

    /// Whether lists have differed for so long that rumours on their way do not explain it.
    pub(crate) fn is_impatient(&self, now: Duration) -> bool {
        let patience = UNEQUAL_PATIENCE.max(UNEQUAL_EACH * self.members);
        self.unequal_since.is_some_and(|since| now.saturating_sub(since) >= patience)
    }

    /// Somebody has the same list.
    pub(crate) fn found_equal(&mut self) {
        self.unequal_since = None;
        self.has_met = true;
        self.pause = UNEQUAL_PAUSE;
        self.next_at = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::membership::settings::{UNEQUAL_MAX, UNEQUAL_PAUSE, UNEQUAL_PAUSE_MAX};
    use std::time::Duration;

    #[test]
    fn few_are_under_way_and_the_pause_grows_until_a_list_is_equal() {
        let mut pace = Pace::new();
        let mut now = Duration::from_secs(1);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert!(pace.may_begin(now));
            pace.begin(now, 100);
            assert!(!pace.may_begin(now));
            pace.end();
            let began = now;
            while !pace.may_begin(now) {
                now += Duration::from_millis(10);
            }
            pauses.push(now - began);
        }
        assert_eq!(pauses[0], UNEQUAL_PAUSE);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses[9], UNEQUAL_PAUSE_MAX);
        pace.begin(now, 100);
        pace.found_equal();
        assert!(pace.may_begin(now));
        for _ in 1..UNEQUAL_MAX {
            pace.begin(now, 0);
        }
        assert!(!pace.may_begin(now + UNEQUAL_PAUSE_MAX * 2), "too many are under way");
    }
}
