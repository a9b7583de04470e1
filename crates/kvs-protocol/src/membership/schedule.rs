//! Alarms in the order in which they are due.

use std::collections::BTreeMap;
use std::time::Duration;

/// Alarms by due time; those of one moment keep the order in which they were set.
#[derive(Debug)]
pub(crate) struct Schedule<A> {
    alarms: BTreeMap<(Duration, u64), A>,
    set: u64,
}

impl<A> Schedule<A> {
    /// None set.
    pub(crate) const fn new() -> Self {
        Self { alarms: BTreeMap::new(), set: 0 }
    }

    /// Sets an alarm.
    pub(crate) fn set(&mut self, due: Duration, alarm: A) {
        self.set += 1;
        self.alarms.insert((due, self.set), alarm);
    }

    /// When the first is due.
    pub(crate) fn first(&self) -> Option<Duration> {
        self.alarms.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes the first that is due.
    pub(crate) fn due(&mut self, now: Duration) -> Option<A> {
        let first = self.alarms.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.alarms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;
    use std::time::Duration;

    #[test]
    fn alarms_come_in_order_and_not_early() {
        let at = Duration::from_millis;
        let mut schedule = Schedule::new();
        schedule.set(at(2), 'b');
        schedule.set(at(1), 'a');
        schedule.set(at(2), 'c');
        assert_eq!(schedule.first(), Some(at(1)));
        assert_eq!(schedule.due(at(0)), None);
        let all: Vec<char> = std::iter::from_fn(|| schedule.due(at(2))).collect();
        assert_eq!(all, ['a', 'b', 'c']);
        assert_eq!(schedule.first(), None);
    }
}
