//! The session under way, and when the next one is due.

use std::time::Duration;

use kvs_protocol::call::CallId;
use kvs_protocol::reconcile::session::Session;
use uuid::Uuid;

/// A session under way.
pub(crate) struct Held {
    pub(crate) node: Uuid,
    pub(crate) session: Session,
    pub(crate) in_flight: Option<CallId>,
    pub(crate) next_at: Duration,
}

/// Sessions.
#[derive(Default)]
pub(crate) struct Repair {
    pub(crate) held: Option<Held>,
    pub(crate) full_at: Duration,
    /// When a peer that waits for its session is looked at again.
    pub(crate) look_at: Option<Duration>,
}

impl Repair {
    /// The first full session is due after an interval.
    pub(crate) fn begin(&mut self, now: Duration, interval: Duration) {
        self.full_at = now + interval;
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.held {
            Some(held) if held.in_flight.is_some() => None,
            Some(held) => Some(held.next_at),
            None => Some(self.look_at.map_or(self.full_at, |at| at.min(self.full_at))),
        }
    }
}
