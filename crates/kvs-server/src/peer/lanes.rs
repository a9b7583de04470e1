//! The connections to peers: a small pool for each address and lane, within one bound for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kvs_protocol::call::Lane;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Connection;
use crate::limits::{
    PEER_CONNECTIONS_MAX, PEER_CONTROL_CALLS_MAX, PEER_IDLE_TIMEOUT, PEER_LANES_MAX, PEER_RELAY_CALLS_MAX,
    PEER_REPAIR_CALLS_MAX, PEER_STREAM_CALLS_MAX,
};

/// The connections to one address for one lane.
///
/// **Invariant:** never more of them than turns: a connection is dialled and used under a turn only.
#[derive(Debug)]
pub(super) struct LanePool {
    /// To be held while a call is made.
    pub(super) turns: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl LanePool {
    fn new(lane: Lane) -> Self {
        let calls = match lane {
            Lane::Control => PEER_CONTROL_CALLS_MAX,
            Lane::Stream => PEER_STREAM_CALLS_MAX,
            Lane::Relay => PEER_RELAY_CALLS_MAX,
            Lane::Repair => PEER_REPAIR_CALLS_MAX,
        };
        Self { turns: Semaphore::new(calls), idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, if it is still good; the ones that are not are dropped.
    pub(super) fn take(&self, now: Duration) -> Option<Connection> {
        let mut idle = self.idle();
        drop_stale(&mut idle, now);
        idle.pop()
    }

    /// Keeps a connection for the next call.
    pub(super) fn keep(&self, mut connection: Connection, now: Duration) {
        connection.idle_since = now;
        self.idle().push(connection);
    }
}

fn drop_stale(idle: &mut Vec<Connection>, now: Duration) {
    idle.retain(|connection| {
        connection.is_open() && now.saturating_sub(connection.idle_since) < PEER_IDLE_TIMEOUT
    });
}

/// All pools.
#[derive(Debug)]
pub(super) struct Lanes {
    pools: Mutex<BTreeMap<(String, Lane), Arc<LanePool>>>,
    places: Arc<Semaphore>,
}

impl Lanes {
    /// No connections.
    pub(super) fn new() -> Self {
        Self { pools: Mutex::default(), places: Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX)) }
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<(String, Lane), Arc<LanePool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of an address and lane; `None` when too many others are in use.
    pub(super) fn pool(&self, authority: &str, lane: Lane, now: Duration) -> Option<Arc<LanePool>> {
        let mut pools = self.pools();
        let key = (authority.to_owned(), lane);
        if let Some(pool) = pools.get(&key) {
            return Some(Arc::clone(pool));
        }
        if pools.len() >= PEER_LANES_MAX {
            forget_unused(&mut pools, now);
        }
        if pools.len() >= PEER_LANES_MAX {
            return None;
        }
        Some(Arc::clone(pools.entry(key).or_insert_with(|| Arc::new(LanePool::new(lane)))))
    }

    /// A place for one more connection; idle ones give theirs up for it. `None` when all are in use.
    pub(super) fn place(&self, now: Duration) -> Option<OwnedSemaphorePermit> {
        let take = || Arc::clone(&self.places).try_acquire_owned().ok();
        take()
            .or_else(|| {
                forget_unused(&mut self.pools(), now);
                take()
            })
            .or_else(|| {
                self.pools().values().for_each(|pool| pool.idle().clear());
                take()
            })
    }
}

/// Drops the stale connections, and the pools that nobody uses and that hold none.
fn forget_unused(pools: &mut BTreeMap<(String, Lane), Arc<LanePool>>, now: Duration) {
    pools.retain(|_, pool| {
        let mut idle = pool.idle();
        drop_stale(&mut idle, now);
        !idle.is_empty() || Arc::strong_count(pool) > 1
    });
}

#[cfg(test)]
mod tests {
    use super::Lanes;
    use crate::limits::{PEER_CONNECTIONS_MAX, PEER_LANES_MAX};
    use kvs_protocol::call::Lane;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn an_address_has_one_pool_for_each_lane() {
        let lanes = Lanes::new();
        let pool = |authority: &str, lane| lanes.pool(authority, lane, Duration::ZERO).unwrap();
        assert!(Arc::ptr_eq(&pool("a:1", Lane::Control), &pool("a:1", Lane::Control)));
        assert!(!Arc::ptr_eq(&pool("a:1", Lane::Control), &pool("a:1", Lane::Stream)));
        assert!(!Arc::ptr_eq(&pool("a:1", Lane::Control), &pool("a:2", Lane::Control)));
    }

    #[test]
    fn pools_in_use_are_bounded_and_the_others_make_room() {
        let lanes = Lanes::new();
        let pool = |number: usize| lanes.pool(&format!("a:{number}"), Lane::Control, Duration::ZERO);
        let used: Vec<_> = (0..PEER_LANES_MAX).map(|number| pool(number).unwrap()).collect();
        assert!(pool(PEER_LANES_MAX).is_none());
        drop(used);
        assert!(pool(PEER_LANES_MAX).is_some());
    }

    #[test]
    fn connections_are_bounded() {
        let lanes = Lanes::new();
        let places: Vec<_> = (0..PEER_CONNECTIONS_MAX).map(|_| lanes.place(Duration::ZERO)).collect();
        assert!(places.iter().all(Option::is_some) && lanes.place(Duration::ZERO).is_none());
        drop(places);
        assert!(lanes.place(Duration::ZERO).is_some());
    }
}
