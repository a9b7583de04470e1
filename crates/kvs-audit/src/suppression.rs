//! A cap on entries about what strangers do: without it, whoever can reach the port could fill the disk.
//!
//! Up to a number of each kind per second is noted; what is beyond is counted, and the count is noted when the second is
//! over. Seconds are those of the events' own times. Each kind has a number of its own, or whoever floods the node with bad
//! tokens would hide what else happens meanwhile.

use std::collections::BTreeMap;

use crate::event::EventKind;

/// The cap.
#[derive(Debug)]
pub(crate) struct Suppression {
    per_second_max: u32,
    second: u64,
    noted: BTreeMap<EventKind, u32>,
    left_out: BTreeMap<EventKind, u64>,
}

impl Suppression {
    /// A cap of so many entries of each kind per second.
    pub(crate) const fn new(per_second_max: u32) -> Self {
        Self { per_second_max, second: 0, noted: BTreeMap::new(), left_out: BTreeMap::new() }
    }

    /// Whether an event of this kind is noted, after [`Self::take_due`] was asked; if not, it is counted.
    pub(crate) fn admit(&mut self, kind: EventKind) -> bool {
        let noted = self.noted.entry(kind).or_default();
        if *noted < self.per_second_max {
            *noted += 1;
            return true;
        }
        let count = self.left_out.entry(kind).or_default();
        *count = count.saturating_add(1);
        false
    }

    /// What was left out in a second that is over at `now_ms`, as the text of an entry.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<String> {
        let second = now_ms / 1000;
        if second == self.second {
            return None;
        }
        self.second = second;
        self.noted.clear();
        self.take()
    }

    /// What was left out so far, as the text of an entry.
    pub(crate) fn take(&mut self) -> Option<String> {
        let left_out = std::mem::take(&mut self.left_out);
        let parts: Vec<String> =
            left_out.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::Suppression;
    use crate::event::EventKind;

    #[test]
    fn what_is_beyond_the_cap_is_counted_and_told_when_the_second_is_over() {
        let mut cap = Suppression::new(2);
        assert_eq!(cap.take_due(10_000), None);
        let admitted: Vec<bool> = (0..4).map(|_| cap.admit(EventKind::LoginFailed)).collect();
        assert_eq!(admitted, [true, true, false, false]);
        assert_eq!(cap.take_due(10_999), None);
        assert_eq!(cap.take_due(11_000).as_deref(), Some("login_failed 2"));
        assert!(cap.admit(EventKind::Denied));
        assert_eq!(cap.take_due(12_000), None);
    }
    #[test]
    fn a_flood_of_one_kind_hides_nothing_of_another() {
        let mut cap = Suppression::new(2);
        for _ in 0..10 {
            cap.admit(EventKind::LoginFailed);
        }
        assert!(cap.admit(EventKind::Denied) && cap.admit(EventKind::PeerCheckpoint));
        assert!(!cap.admit(EventKind::LoginFailed));
        assert_eq!(cap.take_due(1_000).as_deref(), Some("login_failed 9"));
    }
}
