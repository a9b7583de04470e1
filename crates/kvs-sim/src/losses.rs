//! What is lost with a disk: then the ledger takes it out of what it expects.

use std::collections::BTreeMap;

use kvs_core::origin::Dot;
use kvs_store::observer::Key;

use crate::held::Held;
use crate::ledger::{Ledger, Mirror};

/// Tells whether some machine has a version parked, by its stamp's milliseconds and its dot.
pub type Parked<'a> = &'a dyn Fn(u64, &Dot) -> bool;

impl Ledger {
    /// A machine's disk is gone, or was replaced by an older copy on another machine. What nobody else has is lost, and
    /// no promise speaks of it any more.
    pub fn destroy(&mut self, place: usize) {
        if let Some(mirror) = self.mirrors.get_mut(&place) {
            mirror.is_gone = true;
        }
        let survivors: Vec<&Mirror> = self.mirrors.values().filter(|mirror| !mirror.is_gone).collect();
        let graves = &self.graves;
        self.newest.retain(|key, newest| {
            let best =
                survivors.iter().filter_map(|mirror| mirror.keys.get(key)).max_by_key(|held| held.version);
            let is_buried = graves
                .get(key)
                .is_some_and(|graves| graves.iter().any(|grave| grave.delete.version >= newest.version));
            match best {
                _ if is_buried => true,
                Some(best) if best.version >= newest.version => true,
                Some(best) => {
                    *newest = *best;
                    true
                }
                None => false,
            }
        });
    }

    /// A machine begins with what an old copy holds.
    pub fn restore(&mut self, place: usize, copy: Mirror) {
        self.had_return = true;
        let (keys, known) = (copy.keys, copy.known);
        self.mirrors.insert(place, Mirror { keys, known, is_restored: true, ..Mirror::default() });
    }

    /// A machine's directory went back to what a copy of it holds. What only the life knew that is lost by it is lost
    /// with the disk; what another machine ever held as a key's current version, or has parked, stays promised.
    ///
    /// Two excuses more. What the lost life wrote by a clock that was ahead may be taken back by whoever comes after it,
    /// parked copies included, and nobody is left who could write it anew. And what another disk held is only promised
    /// while that disk itself is there.
    pub fn put_back(&mut self, place: usize, copy: Mirror, is_parked: Parked<'_>) {
        self.had_return = true;
        let is_away = self.mirrors.get(&place).is_some_and(|mirror| mirror.is_away);
        let (keys, known) = (copy.keys, copy.known);
        self.mirrors.insert(place, Mirror { keys, known, is_restored: true, is_away, ..Mirror::default() });
        self.lose(place, is_parked);
    }

    /// A machine left for good: what nobody else has went with it.
    pub fn leave_for_good(&mut self, place: usize, is_parked: Parked<'_>) {
        if let Some(mirror) = self.mirrors.get_mut(&place) {
            mirror.is_gone = true;
        }
        self.lose(place, is_parked);
    }

    /// A machine that was forgotten begins again, empty and as another one; answers the writes that are lost with it:
    /// they must be in what it set aside.
    pub fn begin_again(&mut self, place: usize, is_parked: Parked<'_>) -> Vec<(Key, Held)> {
        self.mirrors.insert(place, Mirror::default());
        self.lose(place, is_parked)
    }

    /// Marks the writes that no disk knows any more; answers those that this machine had acknowledged.
    fn lose(&mut self, place: usize, is_parked: Parked<'_>) -> Vec<(Key, Held)> {
        let (lost, touched) = self.mark_lost(place, is_parked);
        let newest: BTreeMap<Key, Option<Held>> =
            touched.into_iter().map(|key| (key.clone(), self.writes.newest(&key))).collect();
        for (key, newest) in newest {
            match newest {
                Some(newest) => drop(self.newest.insert(key, newest)),
                None => drop(self.newest.remove(&key)),
            }
        }
        lost
    }

    /// Marks the writes that no disk knows any more; answers those that this machine had acknowledged, and the keys of
    /// all.
    pub(crate) fn mark_lost(&mut self, place: usize, is_parked: Parked<'_>) -> (Vec<(Key, Held)>, Vec<Key>) {
        let disks: Vec<(usize, &Mirror)> = self
            .mirrors
            .iter()
            .filter(|(_, mirror)| !mirror.is_gone)
            .map(|(place, disk)| (*place, disk))
            .collect();
        let mut lost = Vec::new();
        let mut touched = Vec::new();
        for (key, asked) in self.writes.all().filter(|(_, asked)| asked.is_acknowledged && !asked.is_lost) {
            let version = asked.held.version;
            let is_ahead_there = asked.place == place
                && self.is_ahead(&version)
                && !disks.iter().any(|(other, disk)| *other == place && disk.known.contains(&version.uuid));
            let is_known = disks.iter().any(|(_, disk)| disk.known.contains(&version.uuid));
            if is_ahead_there || (!is_known && !is_parked(version.stamp.ms, &asked.held.dot)) {
                touched.push((key.clone(), version.uuid));
                if asked.place == place {
                    lost.push((key.clone(), asked.held));
                }
            }
        }
        for (key, uuid) in &touched {
            self.writes.lose(key, uuid);
        }
        (lost, touched.into_iter().map(|(key, _)| key).collect())
    }
}
