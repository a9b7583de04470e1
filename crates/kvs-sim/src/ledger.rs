//! What must be true: the writes that were acknowledged, what each machine's disk holds, which deletes were collected,
//! and the promises that follow.
//!
//! The ledger sees every change of every store as it is committed. It knows nothing of cursors, sessions or floors: a
//! mistake in the product's idea of these must not hide here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kvs_core::origin::born_s;
use kvs_core::record::Kind;
use kvs_core::vector::Vector;
use kvs_core::version::Version;
use kvs_store::observer::Key;
use uuid::Uuid;

use crate::disks::Disks;
use crate::held::{Held, Moment};
use crate::writes::{Asked, Writes};
use crate::wrong_clocks::WrongClocks;

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
pub(crate) struct Grave {
    /// What was collected.
    pub(crate) delete: Held,
    at: Duration,
}

/// What one machine's disk holds.
#[derive(Debug, Default, Clone)]
pub struct Mirror {
    /// What it holds, by key.
    pub keys: BTreeMap<Key, Held>,
    /// Every version that this disk ever held as a key's current one.
    pub(crate) known: BTreeSet<Uuid>,
    /// Whether its data came from an old copy: then it may hold for a while what was deleted.
    pub(crate) is_restored: bool,
    pub(crate) is_gone: bool,
    /// Whether it said goodbye, so that nobody waits for it.
    pub(crate) is_away: bool,
}

/// What must be true.
#[derive(Debug)]
pub struct Ledger {
    /// What clients asked for.
    pub writes: Writes,
    /// How far a stamp may be ahead of a right clock, in milliseconds.
    pub skew_ms_max: u64,
    /// Of each key, the newest acknowledged write that no destroyed disk took along.
    pub(crate) newest: BTreeMap<Key, Held>,
    /// When each version was first seen.
    seen: BTreeMap<Uuid, Moment>,
    /// Every version of a key that any disk ever held as its current one.
    pub(crate) versions: BTreeMap<Key, BTreeMap<Uuid, Held>>,
    /// What was written anew after a recall, and the version that it stands for.
    stands_for: BTreeMap<Uuid, Version>,
    /// On which machines' disks each version was ever seen as a key's current one, and when first.
    seen_on: BTreeMap<Uuid, BTreeMap<usize, Duration>>,
    /// What nobody can know of them.
    pub(crate) wrong_clocks: WrongClocks,
    pub(crate) graves: BTreeMap<Key, Vec<Grave>>,
    pub(crate) mirrors: BTreeMap<usize, Mirror>,
    /// Whether a machine is back for which nobody waited: it may hold for a while what was deleted meanwhile.
    pub(crate) had_return: bool,
    /// How many tombstones were collected, and values dropped at a peer's word.
    pub collected: u64,
    /// Values dropped at a peer's word.
    pub dropped: u64,
}

impl Ledger {
    /// A ledger of a world whose stamps may be ahead of a right clock by so much, in milliseconds.
    #[must_use]
    pub fn new(skew_ms_max: u64) -> Self {
        Self {
            writes: Writes::default(),
            skew_ms_max,
            newest: BTreeMap::new(),
            seen: BTreeMap::new(),
            versions: BTreeMap::new(),
            stands_for: BTreeMap::new(),
            seen_on: BTreeMap::new(),
            wrong_clocks: WrongClocks::default(),
            graves: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            had_return: false,
            collected: 0,
            dropped: 0,
        }
    }

    /// A client was told that its write is done.
    pub fn acknowledge(&mut self, place: usize, key: &Key, held: Held, now: Moment) {
        self.seen.entry(held.version.uuid).or_insert(now);
        if self.newest.get(key).is_none_or(|newest| newest.version < held.version) {
            self.newest.insert(key.clone(), held);
        }
        self.writes.acknowledged(key, Asked::new(place, held, now));
    }

    /// Where and when a version was first seen on disks.
    #[must_use]
    pub fn seen_on(&self, version: &Version) -> Option<&BTreeMap<usize, Duration>> {
        self.seen_on.get(&version.uuid)
    }

    /// Whether a version is stamped later than any right clock could have said when it was made. Where a later write
    /// was made over such a version, it is stamped ahead, too.
    #[must_use]
    pub fn is_ahead(&self, version: &Version) -> bool {
        let seen = self.seen.get(&version.uuid);
        seen.is_some_and(|seen| version.stamp.ms > seen.wall_ms.saturating_add(self.skew_ms_max))
    }

    /// What a machine holds for a key, as of its last commit.
    #[must_use]
    pub fn held(&self, place: usize, key: &Key) -> Option<&Held> {
        self.mirrors.get(&place)?.keys.get(key)
    }

    /// A machine holds this for a key now.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn change(
        &mut self,
        place: usize,
        key: &Key,
        held: Option<Held>,
        occasion: Occasion,
        now: Moment,
        disks: &dyn Disks,
    ) -> Result<(), String> {
        let mirror = self.mirrors.entry(place).or_default();
        if let Some(held) = &held {
            mirror.known.insert(held.version.uuid);
            self.seen_on.entry(held.version.uuid).or_default().entry(place).or_insert(now.at);
            self.versions.entry(key.clone()).or_default().insert(held.version.uuid, *held);
        }
        let before = match held {
            Some(held) => mirror.keys.insert(key.clone(), held),
            None => mirror.keys.remove(key),
        };
        if before == held {
            return Ok(());
        }
        if let Some(held) = &held {
            self.seen.entry(held.version.uuid).or_insert(now);
        }
        // A version that this machine knows to have been recalled gives way to what it says, written anew, to an older one
        // or to nothing. One that is stamped ahead of a clock that came right is parked, and gives way to what a client
        // writes. Both only there and then; what comes in their place must not have been deleted, all the same.
        let gives_way =
            |before: &Held| disks.is_void(place, key, before) || disks.has_parked(place, key, before);
        match (before, held) {
            (Some(before), Some(after)) if gives_way(&before) => {
                // One that has expired is written anew with what it said, or as a delete.
                let is_anew = before.dot.origin.node == after.dot.origin.node
                    && (before.kind == Kind::Expired
                        || (before.kind, before.digest) == (after.kind, after.digest));
                if is_anew {
                    // Its origin wrote it anew: it stands for all that the void one did.
                    let version = self.standing_for(&before);
                    self.stands_for.entry(after.version.uuid).or_insert(version);
                }
                if after.is_value() { self.check_arrival(place, key, &after, disks) } else { Ok(()) }
            }
            (Some(before), None) if gives_way(&before) => Ok(()),
            (Some(before), Some(after)) if after.version < before.version => {
                Err(format!("{key:?} on {place} went back from {before:?} to {after:?}"))
            }
            (Some(before), None) if occasion == Occasion::Opening && self.is_recent(&before, now.at) => {
                Err(format!("{key:?} on {place} was lost in a crash: {before:?}"))
            }
            // A value may expire and be collected within one round: its tombstone has its stamp.
            (Some(before), None) if before.is_value() && !before.is_mortal() => {
                self.drop_value(place, key, before, now.at, disks)
            }
            (Some(before), None) => self.bury(place, key, before, now.at, disks),
            (_, Some(after)) if after.is_value() => self.check_arrival(place, key, &after, disks),
            _ => Ok(()),
        }
    }

    /// Whether a version is too young to have been collected or dropped by the last commit before a crash.
    fn is_recent(&self, held: &Held, now: Duration) -> bool {
        !held.is_value() && now.saturating_sub(self.seen_at(&held.version)) < COLLECTED_AFTER_MIN
    }

    fn seen_at(&self, version: &Version) -> Duration {
        self.seen.get(&version.uuid).map(|seen| seen.at).unwrap_or_default()
    }

    /// A value went without a tombstone: at a peer's word.
    fn drop_value(
        &mut self,
        place: usize,
        key: &Key,
        before: Held,
        now: Duration,
        disks: &dyn Disks,
    ) -> Result<(), String> {
        self.dropped += 1;
        // Or its delete came and was collected at once, as it was old and nobody else is there to have it.
        if let Some(delete) = self.writes.newest_delete(key).filter(|delete| delete.version > before.version)
        {
            self.graves.entry(key.clone()).or_default().push(Grave { delete, at: now });
        }
        let is_buried = self.grave_at_least(key, &before.version);
        // What is known to be void is not the newest write there.
        let holds = |asked: &&Asked| {
            asked.is_acknowledged && !asked.is_lost && !disks.is_void(place, key, &asked.held)
        };
        let newest = self.writes.of(key).iter().filter(holds).map(|asked| asked.held.version).max();
        let is_newest = newest.is_some_and(|newest| newest <= before.version);
        if !is_buried && is_newest && !self.is_deleted_by_clock_behind(key, &before.version) {
            return Err(format!("{key:?} on {place}: the newest write was dropped: {before:?}"));
        }
        Ok(())
    }

    /// Whether a client deleted the key after this version was made, by a clock that was behind: the stamps say otherwise, but it is
    /// as clients saw it that the version goes.
    fn is_deleted_by_clock_behind(&self, key: &Key, version: &Version) -> bool {
        let made = self.seen_at(version);
        self.writes.of(key).iter().any(|asked| {
            let is_delete = asked.is_acknowledged && !asked.is_lost && asked.held.kind == Kind::Tombstone;
            let stamp_ms = asked.held.version.stamp.ms;
            is_delete && asked.at.at > made && stamp_ms.saturating_add(self.skew_ms_max) < asked.at.wall_ms
        })
    }

    /// A tombstone was collected: nobody may hold an older value.
    fn bury(
        &mut self,
        place: usize,
        key: &Key,
        before: Held,
        now: Duration,
        disks: &dyn Disks,
    ) -> Result<(), String> {
        self.collected += 1;
        self.graves.entry(key.clone()).or_default().push(Grave { delete: before, at: now });
        for (other, mirror) in self
            .mirrors
            .iter()
            .filter(|(_, mirror)| !mirror.is_gone && !mirror.is_restored && !mirror.is_away)
        {
            let Some(held) = mirror.keys.get(key) else { continue };
            let is_older = held.is_value() && held.version < before.version;
            // Where the delete is known to be void, or waits, an older value is as it should be; so it is where something newer
            // stood for the delete and was recalled. A session with whoever has nothing takes the value away.
            let is_excused = disks.is_void(*other, key, &before)
                || disks.is_parked(*other, key, before.version.stamp.ms)
                || self.is_later(held, &before)
                || self.gave_way(*other, key, &before.version, disks);
            if is_older && !self.had_return && !is_excused {
                return Err(format!(
                    "{key:?}: {place} collected {before:?} while {other} still holds {held:?}"
                ));
            }
        }
        Ok(())
    }

    /// Whether a value was written after a delete that a clock ahead stamped later: its place in the order says nothing.
    fn is_later(&self, value: &Held, delete: &Held) -> bool {
        self.is_ahead(&delete.version) && self.seen_at(&value.version) > self.seen_at(&delete.version)
    }

    /// A value came: it must not be older than a delete that was collected before it came into being.
    fn check_arrival(&self, place: usize, key: &Key, after: &Held, disks: &dyn Disks) -> Result<(), String> {
        let is_restored = self.mirrors.get(&place).is_some_and(|mirror| mirror.is_restored);
        if self.had_return || is_restored {
            return Ok(());
        }
        match self.grave_over(key, after, &|delete| self.is_void_anywhere(key, delete, disks)) {
            Some(grave) if !disks.is_parked(place, key, grave.delete.version.stamp.ms) => Err(format!(
                "{key:?} on {place}: {after:?} came back after a newer delete was collected: {grave:?}"
            )),
            _ => Ok(()),
        }
    }

    /// Whether a clock that was behind wrote the key with an older stamp than that of a delete that was collected. Then something
    /// older is held than what the delete replaced, should that turn up again: it wins, and no rule is about it.
    fn was_undercut(&self, key: &Key, Grave { delete, at }: &Grave) -> bool {
        let is_under =
            |asked: &Asked| asked.is_acknowledged && asked.at.at > *at && asked.held.version < delete.version;
        self.writes.of(key).iter().any(is_under)
    }

    /// The grave of a delete newer than a value that was there before it was dug, unless the delete is void.
    pub(crate) fn grave_over(
        &self,
        key: &Key,
        value: &Held,
        is_void: &dyn Fn(&Held) -> bool,
    ) -> Option<&Grave> {
        let seen = self.seen_at(&value.version);
        let mut graves = self.graves.get(key)?.iter();
        graves.find(|grave @ Grave { delete, at }| {
            let is_over = delete.version > value.version && seen < *at && !self.is_later(value, delete);
            is_over
                && !is_void(delete)
                && !self.was_undercut(key, grave)
                // What is written anew is dated by clocks that fell back together.
                && !self.was_recalled_wrongly(key)
        })
    }

    pub(crate) fn grave_at_least(&self, key: &Key, version: &Version) -> bool {
        let graves = self.graves.get(key).into_iter().flatten();
        graves.into_iter().any(|grave| grave.delete.version >= *version)
    }

    /// What a vector covers is held, or something newer is, or it was deleted and collected.
    ///
    /// # Errors
    ///
    /// The first write that is claimed and missing.
    pub fn check_vector(&self, place: usize, vector: &Vector, disks: &dyn Disks) -> Result<(), String> {
        for (key, asked) in self.writes.all().filter(|(_, asked)| asked.is_acknowledged) {
            let held = &asked.held;
            if !vector.covers(&held.dot) || self.has(place, key, &held.version) {
                continue;
            }
            // A key that changed at the responder while a session went on may be missed by it; the change itself comes
            // with the log, as the vector does not cover it, unless it was lost with its directory meanwhile.
            let is_coming = |newer: &Asked| {
                let is_newer = newer.is_acknowledged && newer.held.version > held.version;
                is_newer && !vector.covers(&newer.held.dot) && !disks.is_void(place, key, &newer.held)
            };
            let is_on_its_way = self.writes.of(key).iter().any(is_coming);
            if is_on_its_way
                || (asked.is_lost && !self.is_anywhere(key, held, disks))
                || (self.is_ahead(&held.version) && !self.is_current_anywhere(key, held))
                || self.is_in_doubt(key, &held.version, disks)
                || disks.is_void(place, key, held)
                || self.gave_way(place, key, &held.version, disks)
            {
                continue;
            }
            let holds = self.held(place, key);
            let by = match vector.marker(held.dot.origin.node) {
                folded_s if born_s(held.dot.origin.epoch) < folded_s => "by its marker",
                _ => "by its number",
            };
            return Err(format!(
                "{place} claims to have received {held:?} of {key:?} {by}, but holds {holds:?}"
            ));
        }
        Ok(())
    }

    /// Whether clocks were wrong together since a version was made, and something of its key is void: while they agreed, a history
    /// that holds what is to take the place of the void one may have been cut to its limit.
    fn is_in_doubt(&self, key: &Key, version: &Version, disks: &dyn Disks) -> bool {
        let versions = || self.versions.get(key).into_iter().flat_map(BTreeMap::values);
        self.wrong_clocks.were_misjudged_since(self.seen_at(version))
            && versions().any(|held| self.is_void_anywhere(key, held, disks))
    }

    /// Whether any machine knows that a version was recalled: what the recall says anew may come to others before itself.
    fn is_void_anywhere(&self, key: &Key, held: &Held, disks: &dyn Disks) -> bool {
        self.mirrors.keys().any(|place| disks.is_void(*place, key, held))
    }

    /// Whether any machine holds a version as its key's current one. What is stamped ahead and stood for by something that was
    /// recalled is claimed by who began from there; it is not old before its time, so it comes back when it is offered.
    fn is_current_anywhere(&self, key: &Key, held: &Held) -> bool {
        let mut there = self.mirrors.values().filter(|mirror| !mirror.is_gone);
        there.any(|mirror| mirror.keys.get(key).is_some_and(|current| current.version == held.version))
    }

    /// Whether any machine holds a version as its key's current one, or has it parked.
    fn is_anywhere(&self, key: &Key, held: &Held, disks: &dyn Disks) -> bool {
        self.is_current_anywhere(key, held)
            || self.mirrors.keys().any(|place| disks.has_parked(*place, key, held))
    }

    /// Whether a machine held this or something newer that it knows to be void now, or lets wait since its clock came
    /// right. That stood for the older versions, which may never have come: the key is doubtful there, and is repaired by a
    /// session. Of others it may have taken their word over, in a session that found no difference.
    pub(crate) fn gave_way(&self, place: usize, key: &Key, version: &Version, disks: &dyn Disks) -> bool {
        let versions_of = |key| self.versions.get(key).into_iter().flat_map(BTreeMap::values);
        versions_of(key).filter(|held| held.version >= *version).any(|held| {
            let had = self.mirrors.iter().filter(|(_, mirror)| mirror.known.contains(&held.version.uuid));
            let is_there = |(other, mirror): (&usize, &Mirror)| {
                // One that lost at once to what is void now never was what the key held.
                let dot = versions_of(key).find(|it| it.version == *version).map(|it| it.dot);
                let had_both = *other == place
                    || mirror.known.contains(&version.uuid)
                    || dot.is_some_and(|dot| disks.has_received(*other, &dot));
                had_both
                    && (disks.is_void(place, key, held)
                        || disks.is_void(*other, key, held)
                        || disks.has_parked(*other, key, held))
            };
            had.into_iter().any(is_there)
        })
    }

    /// Whether a value was written anew after a recall; where there is none, whether any version of the key was.
    pub(crate) fn was_anew(&self, key: &Key, value: Option<&Held>) -> bool {
        let is_anew = |uuid: &Uuid| self.stands_for.contains_key(uuid);
        value.map_or_else(
            || self.versions.get(key).is_some_and(|versions| versions.keys().any(is_anew)),
            |value| is_anew(&value.version.uuid),
        )
    }

    /// Whether a machine has a write or a newer one of its key, or the delete of it was collected.
    #[must_use]
    pub fn has(&self, place: usize, key: &Key, version: &Version) -> bool {
        self.held(place, key).is_some_and(|held| self.standing_for(held) >= *version)
            || self.grave_at_least(key, version)
    }

    /// The version that something held stands for: its own, or that of what it is written anew for.
    fn standing_for(&self, held: &Held) -> Version {
        self.stands_for.get(&held.version.uuid).copied().unwrap_or(held.version).max(held.version)
    }

    /// A machine is forgotten: nobody waits for it until it has begun again.
    pub fn forget(&mut self, place: usize) {
        self.mirrors.entry(place).or_default().is_away = true;
    }

    /// A machine said goodbye, or is back.
    pub fn set_away(&mut self, place: usize, is_away: bool) {
        let mirror = self.mirrors.entry(place).or_default();
        self.had_return |= mirror.is_away && !is_away;
        mirror.is_away = is_away;
    }

    /// What a machine's disk holds, as of its last commit.
    #[must_use]
    pub fn mirror(&self, place: usize) -> Mirror {
        self.mirrors.get(&place).cloned().unwrap_or_default()
    }
}
