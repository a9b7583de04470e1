//! Which complaints were logged lately, so that a peer with a wrong secret fills no log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::limits::{PEER_COMPLAINT_INTERVAL, PEER_COMPLAINTS_MAX};

/// When each of them was last logged, of at most [`PEER_COMPLAINTS_MAX`].
#[derive(Debug)]
pub(crate) struct Complaints<K>(Mutex<BTreeMap<K, Duration>>);

impl<K> Default for Complaints<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord> Complaints<K> {
    /// Whether a complaint about `subject` is due; then it counts as made. More subjects than are kept wait for their
    /// turn in silence: names that anyone can invent must not become a flood.
    pub(crate) fn is_due(&self, subject: K, now: Duration) -> bool {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, at| now.saturating_sub(*at) < PEER_COMPLAINT_INTERVAL);
        if made.len() >= PEER_COMPLAINTS_MAX || made.contains_key(&subject) {
            return false;
        }
        made.insert(subject, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Complaints;
    use crate::limits::{PEER_COMPLAINT_INTERVAL, PEER_COMPLAINTS_MAX};
    use std::time::Duration;

    #[test]
    fn one_subject_is_complained_about_once_in_a_while() {
        let complaints = Complaints::default();
        let start = Duration::from_secs(5);
        assert!(
            complaints.is_due("a", start) && !complaints.is_due("a", start) && complaints.is_due("b", start)
        );
        assert!(complaints.is_due("a", start + PEER_COMPLAINT_INTERVAL));
    }

    #[test]
    fn invented_subjects_do_not_become_a_flood() {
        let complaints = Complaints::default();
        let logged = (0..10_000).filter(|subject| complaints.is_due(*subject, Duration::ZERO)).count();
        assert_eq!(logged, PEER_COMPLAINTS_MAX);
    }
}
