//! What must be true: the writes that were acknowledged, what each machine's disk holds, which deletes were collected,
//! and the promises that follow.
//!
//! The ledger sees every change of every store as it is committed. It knows nothing of cursors, sessions or floors: a
//! mistake in the product's idea of these must not hide here.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_core::origin::Dot;
use kvs_core::path::Path;
use kvs_core::record::{Kind, Record};
use kvs_core::vector::Vector;
use kvs_core::version::Version;
use uuid::Uuid;

/// One version of a key, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What orders it.
    pub version: Version,
    /// Who gave it which number.
    pub dot: Dot,
    /// Value, tombstone or expired.
    pub kind: Kind,
    /// When it expires, ms since 1970; 0 for never.
    pub expires_at_ms: u64,
}

impl Held {
    /// What a record says, without its content.
    #[must_use]
    pub const fn of(record: &Record) -> Self {
        Self {
            version: record.version,
            dot: record.dot,
            kind: record.kind,
            expires_at_ms: record.expires_at_ms,
        }
    }

    fn is_value(&self) -> bool {
        self.kind == Kind::Value
    }

    const fn is_mortal(&self) -> bool {
        self.expires_at_ms != 0
    }
}

/// No tombstone is collected sooner, as the shortest grace is longer than that.
const COLLECTED_AFTER_MIN: Duration = Duration::from_secs(5);

/// Why a change is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A running store committed it.
    Commit,
    /// A store was opened: what was never acknowledged may have been lost, or found.
    Opening,
}

/// A delete that was collected somewhere.
#[derive(Debug, Clone, Copy)]
struct Grave {
    version: Version,
    at: Duration,
}

/// A write that a client was told to be done.
#[derive(Debug, Clone)]
struct Acknowledged {
    path: Path,
    held: Held,
}

/// What one machine's disk holds.
#[derive(Debug, Default, Clone)]
struct Mirror {
    keys: BTreeMap<Path, Held>,
    /// Whether its data came from an old copy: then it may hold for a while what was deleted.
    is_restored: bool,
    is_gone: bool,
    /// Whether it said goodbye, so that nobody waits for it.
    is_away: bool,
}

/// What must be true.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: Vec<Acknowledged>,
    /// Of each key, the newest acknowledged write that no destroyed disk took along.
    newest: BTreeMap<Path, Held>,
    /// When each version was first seen.
    seen: BTreeMap<Uuid, Duration>,
    graves: BTreeMap<Path, Vec<Grave>>,
    mirrors: BTreeMap<usize, Mirror>,
    /// Whether a machine is back for which nobody waited: it may hold for a while what was deleted meanwhile.
    had_return: bool,
    /// How many tombstones were collected, and values dropped at a peer's word.
    pub collected: u64,
    /// Values dropped at a peer's word.
    pub dropped: u64,
}

impl Ledger {
    /// A client was told that its write is done.
    pub fn acknowledge(&mut self, path: &Path, held: Held, now: Duration) {
        self.seen.entry(held.version.uuid).or_insert(now);
        if self.newest.get(path).is_none_or(|newest| newest.version < held.version) {
            self.newest.insert(path.clone(), held);
        }
        self.acknowledged.push(Acknowledged { path: path.clone(), held });
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// What a machine holds for a key, as of its last commit.
    #[must_use]
    pub fn held(&self, place: usize, path: &Path) -> Option<&Held> {
        self.mirrors.get(&place)?.keys.get(path)
    }

    /// A machine holds this for a key now. `is_parked` tells whether a machine has a version of the key parked that is
    /// stamped at or after some millisecond.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn change(
        &mut self,
        place: usize,
        path: &Path,
        held: Option<Held>,
        occasion: Occasion,
        now: Duration,
        is_parked: &dyn Fn(usize, u64) -> bool,
    ) -> Result<(), String> {
        let mirror = self.mirrors.entry(place).or_default();
        let before = match held {
            Some(held) => mirror.keys.insert(path.clone(), held),
            None => mirror.keys.remove(path),
        };
        if before == held {
            return Ok(());
        }
        if let Some(held) = &held {
            self.seen.entry(held.version.uuid).or_insert(now);
        }
        match (before, held) {
            (Some(before), Some(after)) if after.version < before.version => {
                Err(format!("{path:?} on {place} went back from {before:?} to {after:?}"))
            }
            (Some(before), None) if occasion == Occasion::Opening && self.is_recent(&before, now) => {
                Err(format!("{path:?} on {place} was lost in a crash: {before:?}"))
            }
            // A value may expire and be collected within one round: its tombstone has its stamp.
            (Some(before), None) if before.is_value() && !before.is_mortal() => {
                self.drop_value(place, path, before)
            }
            (Some(before), None) => self.bury(place, path, before, now, is_parked),
            (_, Some(after)) if after.is_value() => self.check_arrival(place, path, &after, is_parked),
            _ => Ok(()),
        }
    }

    /// Whether a version is too young to have been collected or dropped by the last commit before a crash.
    fn is_recent(&self, held: &Held, now: Duration) -> bool {
        let seen = self.seen.get(&held.version.uuid).copied().unwrap_or_default();
        !held.is_value() && now.saturating_sub(seen) < COLLECTED_AFTER_MIN
    }

    /// A value went without a tombstone: at a peer's word.
    fn drop_value(&mut self, place: usize, path: &Path, before: Held) -> Result<(), String> {
        self.dropped += 1;
        let is_buried = self.grave_at_least(path, &before.version);
        let is_newest = self.newest.get(path).is_some_and(|newest| newest.version <= before.version);
        if is_newest && !is_buried {
            return Err(format!("{path:?} on {place}: the newest write was dropped: {before:?}"));
        }
        Ok(())
    }

    /// A tombstone was collected: nobody may hold an older value.
    fn bury(
        &mut self,
        place: usize,
        path: &Path,
        before: Held,
        now: Duration,
        is_parked: &dyn Fn(usize, u64) -> bool,
    ) -> Result<(), String> {
        self.collected += 1;
        self.graves.entry(path.clone()).or_default().push(Grave { version: before.version, at: now });
        for (other, mirror) in self
            .mirrors
            .iter()
            .filter(|(_, mirror)| !mirror.is_gone && !mirror.is_restored && !mirror.is_away)
        {
            let Some(held) = mirror.keys.get(path) else { continue };
            let is_older = held.is_value() && held.version < before.version;
            if is_older && !self.had_return && !is_parked(*other, before.version.stamp.ms) {
                return Err(format!(
                    "{path:?}: {place} collected {before:?} while {other} still holds {held:?}"
                ));
            }
        }
        Ok(())
    }

    /// A value came: it must not be older than a delete that was collected before it came into being.
    fn check_arrival(
        &self,
        place: usize,
        path: &Path,
        after: &Held,
        is_parked: &dyn Fn(usize, u64) -> bool,
    ) -> Result<(), String> {
        let is_restored = self.mirrors.get(&place).is_some_and(|mirror| mirror.is_restored);
        if self.had_return || is_restored {
            return Ok(());
        }
        match self.grave_over(path, after) {
            Some(grave) if !is_parked(place, grave.version.stamp.ms) => Err(format!(
                "{path:?} on {place}: {after:?} came back after a newer delete was collected: {grave:?}"
            )),
            _ => Ok(()),
        }
    }

    /// The grave of a delete newer than a value that was there before it was dug.
    fn grave_over(&self, path: &Path, value: &Held) -> Option<&Grave> {
        let seen = self.seen.get(&value.version.uuid).copied().unwrap_or_default();
        self.graves.get(path)?.iter().find(|grave| grave.version > value.version && seen < grave.at)
    }

    fn grave_at_least(&self, path: &Path, version: &Version) -> bool {
        self.graves.get(path).is_some_and(|graves| graves.iter().any(|grave| grave.version >= *version))
    }

    /// What a vector covers is held, or something newer is, or it was deleted and collected.
    ///
    /// # Errors
    ///
    /// The first write that is claimed and missing.
    pub fn check_vector(
        &self,
        place: usize,
        vector: &Vector,
        is_parked: &dyn Fn(&Path, u64) -> bool,
    ) -> Result<(), String> {
        for Acknowledged { path, held } in &self.acknowledged {
            if !vector.covers(&held.dot) || self.grave_at_least(path, &held.version) {
                continue;
            }
            // A key that changed at the responder while a session went on may be missed by it; the change itself comes
            // with the log, as the vector does not cover it.
            let is_on_its_way = self
                .newest
                .get(path)
                .is_some_and(|newest| newest.version > held.version && !vector.covers(&newest.dot));
            if is_on_its_way {
                continue;
            }
            let is_there = self.held(place, path).is_some_and(|holds| holds.version >= held.version);
            if !is_there && !is_parked(path, held.version.stamp.ms) {
                let holds = self.held(place, path);
                return Err(format!(
                    "{place} claims to have received {held:?} of {path:?}, but holds {holds:?}"
                ));
            }
        }
        Ok(())
    }

    /// Whether a machine has a write or a newer one of its key, or the delete of it was collected.
    #[must_use]
    pub fn has(&self, place: usize, path: &Path, version: &Version) -> bool {
        self.held(place, path).is_some_and(|held| held.version >= *version)
            || self.grave_at_least(path, version)
    }

    /// A machine's disk is gone, or was replaced by an older copy on another machine. What nobody else has is lost, and
    /// no promise speaks of it any more.
    pub fn destroy(&mut self, place: usize) {
        if let Some(mirror) = self.mirrors.get_mut(&place) {
            mirror.is_gone = true;
        }
        let survivors: Vec<&Mirror> = self.mirrors.values().filter(|mirror| !mirror.is_gone).collect();
        let graves = &self.graves;
        self.newest.retain(|path, newest| {
            let best =
                survivors.iter().filter_map(|mirror| mirror.keys.get(path)).max_by_key(|held| held.version);
            let is_buried = graves
                .get(path)
                .is_some_and(|graves| graves.iter().any(|grave| grave.version >= newest.version));
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
    pub fn restore(&mut self, place: usize, keys: BTreeMap<Path, Held>) {
        self.had_return = true;
        self.mirrors.insert(place, Mirror { keys, is_restored: true, ..Mirror::default() });
    }

    /// A machine said goodbye, or is back.
    pub fn set_away(&mut self, place: usize, is_away: bool) {
        let mirror = self.mirrors.entry(place).or_default();
        self.had_return |= mirror.is_away && !is_away;
        mirror.is_away = is_away;
    }

    /// All keys of a machine, as of its last commit.
    #[must_use]
    pub fn keys(&self, place: usize) -> BTreeMap<Path, Held> {
        self.mirrors.get(&place).map(|mirror| mirror.keys.clone()).unwrap_or_default()
    }

    /// In the end these machines hold the same values, and for each key the newest acknowledged write or a newer one.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    pub fn check_end(&self, places: &[usize], wall_ms: u64) -> Result<(), String> {
        let mut paths: Vec<&Path> = self.mirrors.values().flat_map(|mirror| mirror.keys.keys()).collect();
        paths.extend(self.newest.keys());
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let values: Vec<_> = places.iter().map(|place| self.value(*place, path, wall_ms)).collect();
            let first = values.first().copied().flatten();
            if values.iter().any(|value| value.map(|held| held.version) != first.map(|held| held.version)) {
                let held: Vec<_> = places.iter().map(|place| (*place, self.held(*place, path))).collect();
                return Err(format!("{path:?} differs in the end: {held:?}"));
            }
            if let Some(value) = first
                && let Some(grave) = self.grave_over(path, value)
            {
                return Err(format!("{path:?}: {value:?} is alive though {grave:?} was collected"));
            }
            self.check_newest(places, path, first, wall_ms)?;
        }
        Ok(())
    }

    fn check_newest(
        &self,
        places: &[usize],
        path: &Path,
        value: Option<&Held>,
        wall_ms: u64,
    ) -> Result<(), String> {
        let Some(newest) = self.newest.get(path) else { return Ok(()) };
        let is_kept = match value {
            Some(value) => value.version >= newest.version,
            None => {
                let is_over = newest.is_mortal() && newest.expires_at_ms <= wall_ms;
                let is_dead = !newest.is_value() || is_over;
                let all_know = places.iter().all(|place| self.has(*place, path, &newest.version));
                is_dead || all_know || self.grave_at_least(path, &newest.version)
            }
        };
        if is_kept {
            Ok(())
        } else {
            Err(format!("{path:?}: {newest:?} was acknowledged, and in the end is {value:?}"))
        }
    }

    fn value(&self, place: usize, path: &Path, wall_ms: u64) -> Option<&Held> {
        let held = self.held(place, path)?;
        let is_over = held.is_mortal() && held.expires_at_ms <= wall_ms;
        (held.is_value() && !is_over).then_some(held)
    }

    /// How many tombstones a machine holds.
    #[must_use]
    pub fn tombstones(&self, place: usize) -> usize {
        let mirror = self.mirrors.get(&place);
        mirror.map_or(0, |mirror| mirror.keys.values().filter(|held| !held.is_value()).count())
    }
}
