//! What one connection is doing and since when, as its task writes it and the sweeper reads it.
//!
//! Times are milliseconds of a coarse clock that the sweeper advances, so that noting one costs no reading of a clock.
//! A value read late or torn between two fields shifts a deadline by one sweep and nothing else.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};

use crate::limits::{HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT, SEND_STALL_TIMEOUT};

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The rest of a head whose first byte came, or the first request of a new connection.
    Head,
    /// The node: a request is being served. Its handler has deadlines of its own.
    Service,
    /// The next request.
    Idle,
}

/// What the node wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Serve,
    /// Finish the request in flight, take no other.
    Drain,
    /// End at once.
    Close,
}

/// The coarse clock, in milliseconds since the server started; advanced by the sweeper.
#[derive(Debug, Default)]
pub(crate) struct CoarseClock(AtomicU64);

impl CoarseClock {
    /// The time of the last sweep.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the time; never 0, which means "not at all" in an [`Activity`].
    pub(crate) fn advance(&self, now_ms: u64) {
        self.0.store(now_ms.max(1), Ordering::Relaxed);
    }
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Arc<CoarseClock>,
    /// Phase in the two lowest bits, the time of the last step above them.
    phase_since: AtomicU64,
    /// Since when the client takes no byte of a waiting answer; 0 when it does.
    stalled_since_ms: AtomicU64,
    /// Requests being served: at most one on HTTP/1, several on HTTP/2.
    in_service: AtomicU64,
    order: AtomicU8,
    /// The waker of the connection's task, which stays the same for the task's whole life.
    waker: OnceLock<Waker>,
    /// A head with both `Transfer-Encoding` and `Content-Length` was seen on the wire.
    ambiguous_length: AtomicBool,
    /// A target with a fragment was seen on the wire.
    fragment: AtomicBool,
    /// An answer was given before its request was read to the end.
    leaves_unread: AtomicBool,
}

impl Activity {
    /// A new connection, which owes its first head.
    pub(crate) fn new(clock: Arc<CoarseClock>) -> Self {
        let activity = Self {
            clock,
            phase_since: AtomicU64::new(0),
            stalled_since_ms: AtomicU64::new(0),
            in_service: AtomicU64::new(0),
            order: AtomicU8::new(0),
            waker: OnceLock::new(),
            ambiguous_length: AtomicBool::new(false),
            fragment: AtomicBool::new(false),
            leaves_unread: AtomicBool::new(false),
        };
        activity.enter(Phase::Head);
        activity
    }

    fn enter(&self, phase: Phase) {
        let bits = match phase {
            Phase::Head => 0,
            Phase::Service => 1,
            Phase::Idle => 2,
        };
        self.phase_since.store(self.clock.now_ms() << 2 | bits, Ordering::Relaxed);
    }

    /// The phase, and since when it lasts.
    pub(crate) fn phase(&self) -> (Phase, u64) {
        let bits = self.phase_since.load(Ordering::Relaxed);
        let phase = match bits & 3 {
            0 => Phase::Head,
            1 => Phase::Service,
            _ => Phase::Idle,
        };
        (phase, bits >> 2)
    }

    /// Bytes of an HTTP/1 request came: an idle connection has begun its next head.
    pub(crate) fn has_read(&self) {
        if self.phase().0 == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The client took bytes of an answer: the time of an idle connection begins again.
    pub(crate) fn has_written(&self) {
        if self.stalled_since_ms.load(Ordering::Relaxed) != 0 {
            self.stalled_since_ms.store(0, Ordering::Relaxed);
        }
        if self.phase().0 == Phase::Idle {
            self.enter(Phase::Idle);
        }
    }

    /// The client takes nothing of a waiting answer.
    pub(crate) fn is_stalled(&self) {
        if self.stalled_since_ms.load(Ordering::Relaxed) == 0 {
            self.stalled_since_ms.store(self.clock.now_ms().max(1), Ordering::Relaxed);
        }
    }

    /// A request is being served.
    pub(crate) fn begin_request(&self) {
        self.in_service.fetch_add(1, Ordering::Relaxed);
        self.enter(Phase::Service);
    }

    /// Its answer is ready (or nobody waits for it any more).
    pub(crate) fn end_request(&self) {
        if self.in_service.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enter(Phase::Idle);
        }
    }

    /// Whether one of the deadlines has passed.
    pub(crate) fn is_overdue(&self, now_ms: u64) -> bool {
        let stalled_since = self.stalled_since_ms.load(Ordering::Relaxed);
        if stalled_since != 0 && now_ms.saturating_sub(stalled_since) > millis(SEND_STALL_TIMEOUT) {
            return true;
        }
        let (phase, since) = self.phase();
        let patience = match phase {
            Phase::Head => HEAD_TIMEOUT,
            Phase::Idle => KEEP_ALIVE_TIMEOUT,
            Phase::Service => return false,
        };
        now_ms.saturating_sub(since) > millis(patience)
    }

    /// Remembers the task to wake when an order comes; to be called at each poll before [`Activity::order`].
    pub(crate) fn attend(&self, context: &Context<'_>) {
        if self.waker.get().is_none() {
            // Set by this task alone.
            self.waker.get_or_init(|| context.waker().clone());
        }
    }

    /// What the node wants.
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Close,
        }
    }

    /// Asks the connection to drain or close; a later order never weakens an earlier one.
    pub(crate) fn give(&self, order: Order) {
        let number = match order {
            Order::Serve => 0,
            Order::Drain => 1,
            Order::Close => 2,
        };
        self.order.fetch_max(number, Ordering::Release);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Notes a head with two lengths.
    pub(crate) fn note_ambiguous_length(&self) {
        self.ambiguous_length.store(true, Ordering::Relaxed);
    }

    /// Whether a head with two lengths was seen.
    pub(crate) fn has_ambiguous_length(&self) -> bool {
        self.ambiguous_length.load(Ordering::Relaxed)
    }

    /// Notes a target with a fragment.
    pub(crate) fn note_fragment(&self) {
        self.fragment.store(true, Ordering::Relaxed);
    }

    /// Whether a target with a fragment was seen. The request that has it is the last one of its connection, and so are
    /// those that were sent together with it: which one it was is not known.
    pub(crate) fn has_fragment(&self) -> bool {
        self.fragment.load(Ordering::Relaxed)
    }

    /// Notes that a request was answered before it was read.
    pub(crate) fn note_unread(&self) {
        self.leaves_unread.store(true, Ordering::Relaxed);
    }

    /// Whether bytes of a request may still be on their way.
    pub(crate) fn leaves_unread(&self) -> bool {
        self.leaves_unread.load(Ordering::Relaxed)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Activity, CoarseClock, Order, Phase, millis};
    use crate::limits::{HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT, SEND_STALL_TIMEOUT};
    use std::sync::Arc;

    fn connection() -> (Arc<CoarseClock>, Activity) {
        let clock = Arc::new(CoarseClock::default());
        clock.advance(1000);
        (Arc::clone(&clock), Activity::new(clock))
    }

    #[test]
    fn a_slow_head_is_overdue_however_often_bytes_come() {
        let (clock, activity) = connection();
        for step in 1..=3 {
            clock.advance(1000 + step * 3000);
            activity.has_read();
        }
        assert!(!activity.is_overdue(1000 + millis(HEAD_TIMEOUT)));
        assert!(activity.is_overdue(1001 + millis(HEAD_TIMEOUT)));
    }

    #[test]
    fn a_request_in_service_is_never_overdue() {
        let (_, activity) = connection();
        activity.begin_request();
        assert!(!activity.is_overdue(u64::MAX >> 3));
    }

    #[test]
    fn an_idle_connection_has_its_own_patience_and_then_owes_a_head() {
        let (clock, activity) = connection();
        activity.begin_request();
        clock.advance(2000);
        activity.end_request();
        assert!(!activity.is_overdue(2000 + millis(KEEP_ALIVE_TIMEOUT)));
        assert!(activity.is_overdue(2001 + millis(KEEP_ALIVE_TIMEOUT)));
        clock.advance(5000);
        activity.has_read();
        assert_eq!(activity.phase(), (Phase::Head, 5000));
    }

    #[test]
    fn several_requests_at_once_are_idle_after_the_last() {
        let (_, activity) = connection();
        activity.begin_request();
        activity.begin_request();
        activity.end_request();
        assert_eq!(activity.phase().0, Phase::Service);
        activity.end_request();
        assert_eq!(activity.phase().0, Phase::Idle);
    }

    #[test]
    fn a_client_that_takes_nothing_is_overdue_and_one_that_takes_a_little_is_not() {
        let (clock, activity) = connection();
        activity.begin_request();
        activity.is_stalled();
        assert!(activity.is_overdue(1001 + millis(SEND_STALL_TIMEOUT)));
        activity.has_written();
        clock.advance(9000);
        activity.is_stalled();
        assert!(!activity.is_overdue(9000 + millis(SEND_STALL_TIMEOUT)));
    }

    #[test]
    fn orders_only_get_stronger() {
        let (_, activity) = connection();
        assert_eq!(activity.order(), Order::Serve);
        activity.give(Order::Close);
        activity.give(Order::Drain);
        assert_eq!(activity.order(), Order::Close);
    }
}
