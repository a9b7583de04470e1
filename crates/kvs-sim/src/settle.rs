//! After something happened at a machine: the ledger sees what its store has changed, and what follows of that is done.

use std::collections::BTreeSet;
use std::time::Duration;

use kvs_cluster::contract::Event as ReplicationEvent;
use kvs_core::namespace::Namespace;
use kvs_core::recall::read_recall;
use kvs_protocol::membership::contract::Membership as _;
use kvs_store::clock::Clock as _;
use kvs_store::observer::Key;
use kvs_store::shared::State;
use rand::RngExt;

use crate::disks::Stores;
use crate::held::Held;
use crate::ledger::Occasion;
use crate::parked;
use crate::step::Step;
use crate::world::World;

/// A timer that is due at once goes off after this time, as on a real machine.
const TIMER_MIN: Duration = Duration::from_micros(200);

/// A timer that stays due after going off so often would keep a real machine busy for nothing.
const SPINS_MAX: u32 = 500;

impl World {
    /// What a store holds after it was opened is compared with what it held before.
    pub(crate) fn look_through(&mut self, place: usize) -> Result<(), String> {
        let Some(store) = self.store(place) else { return Ok(()) };
        let held = parked::all_keys(&store)?;
        let before = self.ledger.mirror(place).keys;
        let keys: BTreeSet<Key> = held.keys().chain(before.keys()).cloned().collect();
        let now = self.moment();
        for key in keys {
            let record = held.get(&key).copied();
            self.ledger.change(place, &key, record, Occasion::Opening, now, &Stores(&self.nodes))?;
        }
        Ok(())
    }

    /// After something happened at a machine: the ledger sees what changed, the replicator is told, a process whose
    /// disk failed ends, timers are set.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn settle(&mut self, place: usize) -> Result<(), String> {
        loop {
            self.note_changes(place)?;
            let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) else {
                return Ok(());
            };
            if let State::Poisoned(_) = process.store.state() {
                let kept = self.random.random_range(0..900);
                self.crash(place, kvs_store::engine::device::Torn::After(kept));
                return Ok(());
            }
            let end = process.store.last_local_seq();
            if process.told_local_seq == end {
                break;
            }
            process.told_local_seq = end;
            self.drive_replication(place, ReplicationEvent::Committed)?;
        }
        self.note_clock(place);
        self.set_timers(place)
    }

    pub(crate) fn note_changes(&mut self, place: usize) -> Result<(), String> {
        let now = self.moment();
        let Some(process) = self.nodes.get(place).and_then(|node| node.process.as_ref()) else {
            return Ok(());
        };
        let store = std::sync::Arc::clone(&process.store);
        let mut keys = process.changes.take();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            if key.namespace == Namespace::Cluster {
                self.note_recall(place, &key);
                continue;
            }
            let record = store.read(key.namespace, &key.path).map_err(|error| format!("{place}: {error}"))?;
            let held = record.as_ref().map(Held::of);
            self.tell(|| format!("{place} holds {key:?} {held:?}"));
            let before = self.ledger.held(place, &key).copied();
            self.ledger.change(place, &key, held, Occasion::Commit, now, &Stores(&self.nodes))?;
            if let Some(before) = before {
                self.check_kept(place, &key, &before, held.as_ref())?;
            }
        }
        Ok(())
    }

    /// A machine whose clock is behind, as most others are, takes back what was stamped rightly: nobody can tell it.
    fn note_recall(&mut self, place: usize, key: &Key) {
        let Some((origin, until_ms)) = read_recall(key.namespace, &key.path) else { return };
        self.tell(|| format!("{place} knows that what {origin:?} stamped beyond {until_ms} is recalled"));
        let Some(node) = self.node(place).filter(|node| node.uuid == Some(origin.node)) else { return };
        let truth_ms = self.clock.wall_ms();
        if node.clock.now_ms().saturating_add(self.weather.clock_skew_ms_max) < truth_ms {
            self.ledger.wrong_clocks.note_recall(origin, until_ms);
        }
    }

    pub(crate) fn set_timers(&mut self, place: usize) -> Result<(), String> {
        let now = self.now();
        let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        let number = process.number;
        let mut due = Vec::new();
        if let Some(deadline) = process.swim.deadline() {
            process.swim_spins = if deadline <= now { process.swim_spins + 1 } else { 0 };
            let at = next_tick(deadline.max(now + TIMER_MIN));
            if process.swim_at.is_none_or(|set| at < set) {
                process.swim_at = Some(at);
                due.push((at, Step::MembershipTimer { place, process: number }));
            }
        }
        if let Some(deadline) = process.replicator.deadline() {
            process.replicator_spins = if deadline <= now { process.replicator_spins + 1 } else { 0 };
            let at = next_tick(deadline.max(now + TIMER_MIN));
            if process.replicator_at.is_none_or(|set| at < set) {
                process.replicator_at = Some(at);
                due.push((at, Step::ReplicationTimer { place, process: number }));
            }
        }
        let spins = process.swim_spins.max(process.replicator_spins);
        if spins > SPINS_MAX {
            let (swim, replicator) = (process.swim.deadline(), process.replicator.deadline());
            return Err(format!("{place} spins: its timers stay due at {swim:?} and {replicator:?}"));
        }
        for (at, step) in due {
            self.after(at.saturating_sub(now), step);
        }
        Ok(())
    }
}

/// The first moment at or after this one that the clock of the world can show.
pub(crate) fn next_tick(at: Duration) -> Duration {
    Duration::from_micros(u64::try_from(at.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX))
}
