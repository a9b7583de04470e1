//! When a client is told that so many others have its write, so many others must have it.

use std::time::Duration;

use kvs_cluster::contract::{Event as ReplicationEvent, Needed};
use kvs_store::observer::Key;

use crate::disks::{Disks as _, Stores};
use crate::held::Held;
use crate::step::Step;
use crate::waits::{Told, Wait};
use crate::world::World;

impl World {
    /// A client waits until others have its write, for so long at the most; answers the wait.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn wait(
        &mut self,
        place: usize,
        key: &Key,
        held: Held,
        needed: Needed,
        patience: Duration,
    ) -> Result<u64, String> {
        let ticket = self.waits.next_ticket;
        self.waits.next_ticket += 1;
        let Some(process) =
            self.node(place).and_then(|node| node.process.as_ref()).map(|process| process.number)
        else {
            return Ok(ticket);
        };
        let wait = Wait { place, process, key: key.clone(), held, since: self.now(), needed };
        self.waits.waiting.insert(ticket, wait);
        self.after(patience, Step::GiveUp { ticket });
        self.drive_replication(place, ReplicationEvent::Await { ticket, dot: held.dot, needed })?;
        Ok(ticket)
    }

    /// A client waits no longer.
    pub(crate) fn give_up(&mut self, ticket: u64) -> Result<(), String> {
        let Some(Wait { place, process, .. }) = self.waits.waiting.get(&ticket).cloned() else {
            return Ok(());
        };
        if self.process_mut(place, process).is_none() {
            self.waits.remove(ticket);
            return Ok(());
        }
        self.drive_replication(place, ReplicationEvent::GiveUp { ticket })
    }

    /// A client is told that so many other nodes have its write: so many other disks hold its version or a newer one of
    /// its key at this moment, visible and not parked.
    ///
    /// A disk that was put back, or began again, since the write was made is excused: it told the truth when it spoke.
    pub(crate) fn confirm(&mut self, ticket: u64, count: u32) -> Result<(), String> {
        let Some(wait) = self.waits.waiting.remove(&ticket) else { return Ok(()) };
        let Wait { place, key, held, since, needed, .. } = wait;
        self.tell(|| {
            format!("client: {place} says that {count} others have {key:?} {held:?}, of {needed:?}")
        });
        let others = (0..self.places()).filter(|other| *other != place);
        let has = |other: &usize| {
            let emptied_at = self.node(*other).and_then(|node| node.emptied_at);
            // What it held when it spoke may have been recalled since, or wait.
            let disks = Stores(&self.nodes);
            emptied_at.is_some_and(|at| at >= since)
                || self.ledger.has(*other, &key, &held.version)
                || disks.is_void(*other, &key, &held)
                || self.ledger.gave_way(*other, &key, &held.version, &disks)
        };
        let as_another = |other: &usize| {
            self.node(*other).and_then(|node| node.began_again_at).is_some_and(|at| at >= since)
        };
        // What it was may count, and what it has become.
        let holders = others.clone().filter(has).count() + others.filter(as_another).count();
        if holders < usize::try_from(count).unwrap_or(usize::MAX) {
            return Err(format!(
                "{place} told a client that {count} others have {held:?} of {key:?}, and {holders} have it"
            ));
        }
        self.waits.told.insert(ticket, Told { key, held, count });
        Ok(())
    }
}
