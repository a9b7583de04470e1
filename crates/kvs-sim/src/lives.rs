//! What ends one life of a machine and begins another: its directory is put back to an earlier copy of itself, its peers
//! refuse its process, or it learns that they have forgotten it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use kvs_cluster::floors::acknowledged;
use kvs_core::namespace::Namespace;
use kvs_core::origin::Dot;
use kvs_core::record::Kind;
use kvs_store::engine::contract::Order;
use kvs_store::engine::device::{Device, Torn};
use kvs_store::keys::read_record_key;
use kvs_store::observer::Key;
use kvs_store::row::Row;
use kvs_store::store::Store;
use kvs_store::table::Table;

use crate::held::Held;
use crate::node::Standing;
use crate::parked::{copy_of, on_disk};
use crate::step::{Copied, Step};
use crate::world::World;

/// An operator looks at a process that was refused, and starts it again, after this time.
const OPERATOR_PAUSE: Duration = Duration::from_secs(2);

/// A process that was put back is welcome at the latest when it was started so often.
const REFUSALS_MAX: u32 = 200;

impl World {
    /// A copy of a machine's directory as it is now.
    #[must_use]
    pub fn copy(&self, place: usize) -> Option<Copied> {
        let node = self.node(place)?;
        let device = copy_of(&node.device)?;
        Some(Copied { place, node: node.uuid, device, mirror: self.ledger.mirror(place) })
    }

    /// The directory of a machine goes back to an earlier copy of itself. Its process, if there is one, dies; the machine
    /// is to be started again.
    pub fn put_back(&mut self, copied: &Copied) {
        let place = copied.place;
        let now = self.now();
        let Some(device) = copy_of(&copied.device) else { return };
        self.tell(|| format!("fault: the directory of {place} is put back"));
        self.put_backs += 1;
        let Some(node) = self.node_mut(place) else { return };
        node.crash(Torn::Clean);
        node.device = device;
        node.was_put_back = true;
        node.emptied_at = Some(now);
        node.refusals = 0;
        let parked = self.parked_elsewhere(place);
        let is_parked = |ms: u64, dot: &Dot| parked.iter().any(|disk| disk.contains(&(ms, *dot)));
        self.ledger.put_back(place, copied.mirror.clone(), &is_parked);
    }

    /// Machines that left for good count as lost from now on.
    pub(crate) fn note_goodbyes(&mut self) {
        let left = |place: &usize| self.node(*place).is_some_and(|node| node.standing == Standing::Left);
        let left: Vec<usize> = (0..self.places()).filter(left).collect();
        for place in left {
            let parked = self.parked_elsewhere(place);
            let is_parked = |ms: u64, dot: &Dot| parked.iter().any(|disk| disk.contains(&(ms, *dot)));
            self.ledger.leave_for_good(place, &is_parked);
        }
    }

    /// What every other machine that is still there has parked, whether it runs or not.
    #[must_use]
    pub fn parked_elsewhere(&self, place: usize) -> Vec<BTreeSet<(u64, Dot)>> {
        let others = (0..self.places()).filter(|other| *other != place);
        let there =
            others.filter_map(|other| self.node(other)).filter(|node| node.standing != Standing::Gone);
        there.map(|node| on_disk(&node.device)).collect()
    }

    /// A machine's peers refuse its process. That is right for a directory that was put back, and for no other; whoever
    /// is in charge starts it again, and each start counts.
    pub(crate) fn refuse(&mut self, place: usize, reason: &str) -> Result<(), String> {
        self.tell(|| format!("{place} is refused: {reason}"));
        let Some(node) = self.node_mut(place) else { return Ok(()) };
        if !node.was_put_back {
            return Err(format!("{place} was stopped: {reason}"));
        }
        node.refusals += 1;
        if node.refusals > REFUSALS_MAX {
            return Err(format!("{place} is refused for ever: {reason}"));
        }
        node.stop();
        self.after(OPERATOR_PAUSE, Step::Start { place });
        Ok(())
    }

    /// A machine learns that it was forgotten. As the product does: its own values that nobody is known to have are set
    /// aside, and it begins again, empty and as another node.
    ///
    /// What it held is not promised any more, but must not be lost in silence: a value of its own that goes with it must
    /// be among what it set aside. Excused is one that another disk had and lost since, as its machine was forgotten, too;
    /// and one over which a newer write won elsewhere.
    pub(crate) fn begin_again(&mut self, place: usize) -> Result<(), String> {
        let Some(store) = self.store(place) else { return Ok(()) };
        let now = self.now();
        let now_ms = self.node(place).map_or(0, |node| node.clock.read().wall_ms);
        let saved = set_aside(&store, now_ms)?;
        drop(store);
        self.tell(|| format!("{place} was forgotten and begins again; {} writes are set aside", saved.len()));
        let Some(node) = self.node_mut(place) else { return Ok(()) };
        if !node.is_forgotten {
            return Err(format!("{place} was told that it is forgotten"));
        }
        node.stop();
        node.device = Device::new();
        let past = node.uuid;
        node.is_forgotten = false;
        node.was_put_back = false;
        node.emptied_at = Some(now);
        node.began_again_at = Some(now);
        self.past.extend(past);
        let held = self.ledger.mirror(place).keys;
        let parked = self.parked_elsewhere(place);
        let is_parked = |ms: u64, dot: &Dot| parked.iter().any(|disk| disk.contains(&(ms, *dot)));
        let lost = self.ledger.begin_again(place, &is_parked);
        self.after(OPERATOR_PAUSE, Step::Start { place });
        for (key, write) in lost {
            let is_current = held.get(&key).is_some_and(|held| held.version == write.version);
            let is_value = key.namespace == Namespace::Data && write.kind == Kind::Value;
            let is_over = write.expires_at_ms != 0;
            let must_be_saved =
                is_current && is_value && !is_over && !self.was_elsewhere(place, &key, &write);
            let is_saved =
                saved.contains(&write.version.uuid) || is_parked(write.version.stamp.ms, &write.dot);
            if must_be_saved && !is_saved {
                return Err(format!("{key:?}: {write:?} went with {place}, which was forgotten, in silence"));
            }
        }
        Ok(())
    }

    /// Whether another disk ever had a write, or has a newer one of its key.
    fn was_elsewhere(&self, place: usize, key: &Key, write: &Held) -> bool {
        let seen_on = self.ledger.seen_on(&write.version);
        let was_seen = seen_on.is_some_and(|seen| seen.keys().any(|other| *other != place));
        let mut others = (0..self.places()).filter(|other| *other != place);
        was_seen || others.any(|other| self.ledger.has(other, key, &write.version))
    }
}

/// The versions that a node sets aside when it was forgotten: its own values that no peer is known to have.
fn set_aside(store: &Store, now_ms: u64) -> Result<BTreeSet<uuid::Uuid>, String> {
    let known = acknowledged(store).map_err(|error| error.to_string())?;
    let own = store.identity().origin.node;
    let view = store.view().map_err(|error| error.to_string())?;
    let mut saved = BTreeSet::new();
    for row in view.range(Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, value) = row.map_err(|error| error.to_string())?;
        let key = read_record_key(&row_key).ok_or("a key of a record cannot be read")?;
        let record = Row::decode(&key, &value).map_err(|error| error.to_string())?.record;
        let is_own = key.namespace == Namespace::Data && record.dot.origin.node == own;
        if is_own && !known.covers(&record.dot) && record.is_live(now_ms) {
            saved.insert(record.version.uuid);
        }
    }
    Ok(saved)
}
