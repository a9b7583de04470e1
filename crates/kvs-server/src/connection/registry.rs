//! All connections of the node: how many there may be, who is overdue, who must drain.
//!
//! One sweep every [`SWEEP_INTERVAL`](crate::limits::SWEEP_INTERVAL) compares each connection with its deadlines; that is
//! a few loads per connection, where timers of their own would cost every request a lock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::activity::{Activity, CoarseClock, Order};

/// The connections of one node.
#[derive(Debug)]
pub(crate) struct Registry {
    clock: Arc<CoarseClock>,
    connections_max: usize,
    peer_reserve: usize,
    open: Mutex<BTreeMap<u64, Arc<Activity>>>,
    count: AtomicUsize,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    overdue: AtomicU64,
    emptied: Notify,
}

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Everything.
    Ordinary,
    /// Calls of peers alone: it was accepted beyond the bound for clients.
    PeersOnly,
}

/// A place in the registry; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    number: u64,
    from: IpAddr,
    standing: Standing,
    activity: Arc<Activity>,
}

impl Place {
    /// The connection's number, unique in this process.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The address at the other end of the socket: of the client, or of a proxy in front of it.
    pub(crate) const fn from(&self) -> IpAddr {
        self.from
    }

    /// What it may be used for.
    pub(crate) const fn standing(&self) -> Standing {
        self.standing
    }

    /// What the connection does.
    pub(crate) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        if self.registry.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.registry.emptied.notify_waiters();
        }
    }
}

/// Numbers for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Open now.
    pub(crate) open: usize,
    /// Accepted since the start.
    pub(crate) accepted: u64,
    /// Closed at once because there were too many.
    pub(crate) turned_away: u64,
    /// Closed because a deadline had passed.
    pub(crate) overdue: u64,
}

impl Registry {
    /// An empty registry for at most `connections_max`, and `peer_reserve` more that peers alone may use.
    pub(crate) fn new(connections_max: usize, peer_reserve: usize) -> Self {
        Self {
            clock: Arc::default(),
            connections_max,
            peer_reserve,
            open: Mutex::default(),
            count: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            overdue: AtomicU64::new(0),
            emptied: Notify::new(),
        }
    }

    /// Takes a place for a new connection from the address `from`; `None` when there are too many.
    pub(crate) fn admit(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let taken = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < self.connections_max.saturating_add(self.peer_reserve)).then_some(count + 1)
        });
        let Ok(before) = taken else {
            self.note_turned_away();
            return None;
        };
        let standing = if before < self.connections_max { Standing::Ordinary } else { Standing::PeersOnly };
        let activity = Arc::new(Activity::new(Arc::clone(&self.clock)));
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(&activity));
        Some(Place { registry: Arc::clone(self), number, from, standing, activity })
    }

    /// Counts a connection that was closed because there were too many.
    pub(crate) fn note_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the clock, then closes what is overdue.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.clock.advance(now_ms);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for activity in open.values().filter(|activity| activity.is_overdue(now_ms)) {
            if activity.order() != Order::Close {
                self.overdue.fetch_add(1, Ordering::Relaxed);
                activity.give(Order::Close);
            }
        }
    }

    /// Gives every connection an order.
    pub(crate) fn order_all(&self, order: Order) {
        for activity in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            activity.give(order);
        }
    }

    /// Waits until the last connection has ended.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Numbers for the metrics.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            open: self.count.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            turned_away: self.turned_away.load(Ordering::Relaxed),
            overdue: self.overdue.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Registry, Standing};
    use crate::connection::activity::Order;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    const FROM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn places_are_bounded_and_given_back() {
        let registry = Arc::new(Registry::new(2, 0));
        let first = registry.admit(FROM).unwrap();
        let second = registry.admit(Ipv4Addr::new(203, 0, 113, 9).into()).unwrap();
        assert_eq!((first.from(), second.from()), (FROM, Ipv4Addr::new(203, 0, 113, 9).into()));
        assert!(registry.admit(FROM).is_none());
        drop(first);
        assert!(registry.admit(FROM).is_some());
        let counts = registry.counts();
        assert_eq!((counts.open, counts.accepted, counts.turned_away), (1, 4, 1));
    }

    #[test]
    fn beyond_the_bound_there_is_room_for_peers_alone() {
        let registry = Arc::new(Registry::new(1, 1));
        let first = registry.admit(FROM).unwrap();
        let second = registry.admit(FROM).unwrap();
        assert_eq!((first.standing(), second.standing()), (Standing::Ordinary, Standing::PeersOnly));
        assert!(registry.admit(FROM).is_none());
        drop(second);
        assert_eq!(registry.admit(FROM).unwrap().standing(), Standing::PeersOnly);
    }

    #[test]
    fn a_sweep_closes_what_is_overdue_and_nothing_else() {
        let registry = Arc::new(Registry::new(2, 0));
        registry.sweep(1000);
        let slow = registry.admit(FROM).unwrap();
        registry.sweep(10_000);
        let young = registry.admit(FROM).unwrap();
        registry.sweep(12_000);
        assert_eq!(slow.activity().order(), Order::Close);
        assert_eq!(young.activity().order(), Order::Serve);
        registry.sweep(13_000);
        assert_eq!(registry.counts().overdue, 1);
    }

    #[test]
    fn everyone_gets_the_order() {
        let registry = Arc::new(Registry::new(2, 0));
        let place = registry.admit(FROM).unwrap();
        registry.order_all(Order::Drain);
        assert_eq!(place.activity().order(), Order::Drain);
    }
}
