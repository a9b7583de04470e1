//! What must be true in the end: by the order of versions where clocks were right, and by the world's own time where they
//! were not.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_store::observer::Key;

use crate::disks::Disks;
use crate::held::Held;
use crate::ledger::Ledger;
use crate::writes::Asked;

/// What decides which of a key's writes must be its value in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The versions: every clock was right, as far as the configuration demands.
    Versions,
    /// The versions or the world's time: some clock was ahead, and all clocks leapt past its stamps before it could take
    /// them all back.
    Either,
    /// The world's time: some clock was further ahead than any leap.
    Time,
}

impl Ledger {
    /// In the end these machines hold the same values, and for each key the newest acknowledged write or a newer one.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    pub fn check_end(
        &self,
        places: &[usize],
        order: Order,
        wall_ms: u64,
        disks: &dyn Disks,
        is_lenient: bool,
    ) -> Result<(), String> {
        // In the end everybody knows of every recall.
        let is_void = |key: &Key, held: &Held| places.iter().any(|place| disks.is_void(*place, key, held));
        let mut keys: Vec<&Key> = self.mirrors.values().flat_map(|mirror| mirror.keys.keys()).collect();
        keys.extend(self.newest.keys());
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let values: Vec<_> = places.iter().map(|place| self.value(*place, key, wall_ms)).collect();
            let first = values.first().copied().flatten();
            if values.iter().any(|value| value.map(|held| held.version) != first.map(|held| held.version)) {
                let held: Vec<_> = places.iter().map(|place| (*place, self.held(*place, key))).collect();
                return Err(format!("{key:?} differs in the end: {held:?}"));
            }
            if let Some(value) = first
                && let Some(grave) = self.grave_over(key, value, &|delete| is_void(key, delete))
            {
                return Err(format!("{key:?}: {value:?} is alive though {grave:?} was collected"));
            }
            let by_version = self.check_newest(places, key, first, wall_ms);
            // What revokes is never recalled, whatever its stamp.
            let order = if key.namespace == Namespace::Auth { Order::Versions } else { order };
            match order {
                Order::Versions => by_version?,
                Order::Either if by_version.is_ok() => {}
                // Open: what was written anew may be stamped too late, where nobody knows by how much the clock was ahead. It
                // may have ended since.
                Order::Either | Order::Time if is_lenient && self.was_anew(key, first) => {}
                // Nobody can know it: see there.
                Order::Either | Order::Time
                    if self.was_recalled_wrongly(key) || self.was_ahead_unseen(key, first) => {}
                Order::Either | Order::Time => self.check_latest(key, first)?,
            }
        }
        Ok(())
    }

    /// The value is what the latest acknowledged write said, by the world's own clock.
    ///
    /// Excused, each for its reason:
    /// - writes closer to each other than two clocks may differ: either may win;
    /// - a write that was lost with a disk, or whose end no client was told: it may be there, and need not;
    /// - a write by a clock that was *behind*: it loses to an earlier write that its machine had not seen, and nobody
    ///   can tell that its stamp is wrong;
    /// - a value with a lifetime: a clock that was ahead made its end come too soon or too late.
    fn check_latest(&self, key: &Key, value: Option<&Held>) -> Result<(), String> {
        let writes = self.writes.of(key);
        let is_promised =
            |asked: &&Asked| asked.is_acknowledged && !asked.is_lost && !self.is_outrun(writes, asked);
        let Some(latest) = writes.iter().filter(is_promised).max_by_key(|asked| asked.at.at) else {
            return Ok(());
        };
        let from = latest.at.at.saturating_sub(Duration::from_millis(2 * self.skew_ms_max));
        let mut near = writes.iter().filter(|asked| asked.at.at >= from);
        let is_kept = match value {
            Some(value) => near.any(|asked| asked.is_said_by(value)),
            None => near.any(|asked| !asked.held.is_value() || asked.held.is_mortal()),
        };
        if is_kept {
            return Ok(());
        }
        let winner = value.and_then(|value| writes.iter().rev().find(|asked| asked.is_said_by(value)));
        let clock = |held: &Held| if self.is_ahead(&held.version) { "ahead" } else { "not ahead" };
        Err(format!(
            "{key:?}: {latest:?} by a clock {} was the latest write, seen on {:?}; in the end is {value:?}, of the write \
             {winner:?} by a clock {}",
            clock(&latest.held),
            self.seen_on(&latest.held.version),
            value.map_or("-", clock)
        ))
    }

    /// Whether any version of a key was taken back though a right clock had stamped it.
    pub(crate) fn was_recalled_wrongly(&self, key: &Key) -> bool {
        let held = self.versions.get(key).into_iter().flat_map(BTreeMap::values);
        let mut all = held.chain(self.writes.of(key).iter().map(|asked| &asked.held));
        all.any(|held| self.wrong_clocks.was_recalled_wrongly(held))
    }

    /// Whether a write that was stamped ahead came to be held which nobody was left to take back, or could know to be ahead: it
    /// wins over what was written later, may have ended since, and may have been written over.
    fn was_ahead_unseen(&self, key: &Key, value: Option<&Held>) -> bool {
        self.writes.of(key).iter().any(|asked| {
            // Of one whose end no client was told only what is found in the end says how it was stamped.
            let found = value.filter(|value| !asked.is_acknowledged && asked.is_said_by(value));
            let asked = &Asked { held: found.copied().unwrap_or(asked.held), ..*asked };
            let version = &asked.held.version;
            let was_held = || self.mirrors.values().any(|mirror| mirror.known.contains(&version.uuid));
            self.is_ahead(version)
                && (asked.is_lost || self.wrong_clocks.came_due_unseen(asked, self.skew_ms_max))
                && was_held()
        })
    }

    /// Whether a write by a clock that was behind lost, by its stamp, to one that was made before it.
    fn is_outrun(&self, writes: &[Asked], asked: &Asked) -> bool {
        let is_behind = asked.held.version.stamp.ms.saturating_add(self.skew_ms_max) < asked.at.wall_ms;
        let is_elder = |other: &&Asked| other.at.at <= asked.at.at && other.held.version > asked.held.version;
        is_behind && writes.iter().any(|other| is_elder(&other))
    }

    fn check_newest(
        &self,
        places: &[usize],
        key: &Key,
        value: Option<&Held>,
        wall_ms: u64,
    ) -> Result<(), String> {
        let Some(newest) = self.newest.get(key) else { return Ok(()) };
        let is_kept = match value {
            Some(value) => value.version >= newest.version,
            None => {
                let is_over = newest.is_mortal() && newest.expires_at_ms <= wall_ms;
                let is_dead = !newest.is_value() || is_over;
                let all_know = places.iter().all(|place| self.has(*place, key, &newest.version));
                is_dead || all_know || self.grave_at_least(key, &newest.version)
            }
        };
        if is_kept {
            Ok(())
        } else {
            Err(format!("{key:?}: {newest:?} was acknowledged, and in the end is {value:?}"))
        }
    }

    fn value(&self, place: usize, key: &Key, wall_ms: u64) -> Option<&Held> {
        let held = self.held(place, key)?;
        let is_over = held.is_mortal() && held.expires_at_ms <= wall_ms;
        (held.is_value() && !is_over).then_some(held)
    }

    /// The tombstones that a machine holds.
    pub fn tombstones(&self, place: usize) -> impl Iterator<Item = (&Key, &Held)> {
        let keys = self.mirrors.get(&place).map(|mirror| &mirror.keys);
        keys.into_iter().flatten().filter(|(_, held)| !held.is_value())
    }
}
