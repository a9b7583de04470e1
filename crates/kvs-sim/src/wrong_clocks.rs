//! What nobody can know of clocks that were wrong, so that no promise speaks of it.
//!
//! - Most clocks fell back together. They agree, so what right clocks had stamped is recalled; clocks that were all ahead and came
//!   right would look the same.
//! - What a clock stamped ahead came due before anybody could take it back: its life was lost with its directory, or its process
//!   ended before the clock was right and agreed with a peer's, so that nobody saw the clock being set and stamps that are not
//!   ahead any more say nothing. It wins over what was written later. So does what was stamped before most clocks were wrong
//!   together: by how much the clock had been ahead was reckoned from them.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_core::origin::Origin;
use kvs_core::recall::Recalls;
use kvs_core::version::Version;
use kvs_store::observer::Key;

use crate::disks::Disks;
use crate::held::{Held, Moment};
use crate::ledger::Ledger;
use crate::writes::Asked;

/// A clock that goes on agreeing is noted this often.
const AGREEMENT_PAUSE: Duration = Duration::from_millis(500);

/// When processes began and clocks came right, and what was recalled wrongly.
#[derive(Debug, Default)]
pub(crate) struct WrongClocks {
    /// What was recalled though a right clock had stamped it.
    recalls: Recalls,
    /// When each machine's processes began.
    begun: BTreeMap<usize, Vec<Duration>>,
    /// Moments at which each machine's clock was right and known to agree with its peers'.
    right: BTreeMap<usize, Vec<Moment>>,
    /// Moments at which each machine's clock was wrong, and agreed with its peers' all the same.
    misjudged: BTreeMap<usize, Vec<Duration>>,
}

impl WrongClocks {
    /// Whether what a machine stamped ahead came due before its clock was right and agreed, and the process that had stamped it
    /// had ended by then.
    fn came_due_unseen(&self, asked: &Asked, skew_ms: u64) -> bool {
        let stamped_at = asked.at.at;
        let mut right = self.right.get(&asked.place).into_iter().flatten();
        let Some(right) = right.find(|right| right.at >= stamped_at) else { return true };
        let mut misjudged = self.misjudged.get(&asked.place).into_iter().flatten();
        if misjudged.any(|misjudged| (stamped_at..right.at).contains(misjudged)) {
            return true;
        }
        let mut begun = self.begun.get(&asked.place).into_iter().flatten();
        let is_another = begun.any(|begun| *begun > stamped_at && *begun <= right.at);
        // Its own clock may be off by as much as is allowed, too.
        is_another && asked.held.version.stamp.ms <= right.wall_ms.saturating_add(skew_ms.saturating_mul(2))
    }
}

impl Ledger {
    /// A machine whose clock was behind, as most others were, took this back though a right clock had stamped it.
    pub fn note_wrong_recall(&mut self, origin: Origin, until_ms: u64) {
        self.wrong_clocks.recalls.add(origin, until_ms);
    }

    /// A process of a machine began.
    pub fn note_begin(&mut self, place: usize, now: Moment) {
        self.wrong_clocks.begun.entry(place).or_default().push(now.at);
    }

    /// A machine's clock is known to agree with its peers', and is right or not.
    pub fn note_agreement(&mut self, place: usize, is_right: bool, now: Moment) {
        let right = self.wrong_clocks.right.entry(place).or_default();
        let misjudged = self.wrong_clocks.misjudged.entry(place).or_default();
        if !is_right && misjudged.last().is_none_or(|last| *last + AGREEMENT_PAUSE <= now.at) {
            misjudged.push(now.at);
        } else if is_right && right.last().is_none_or(|last| last.at + AGREEMENT_PAUSE <= now.at) {
            right.push(now);
        }
    }

    /// Whether clocks were wrong together since a version was made, and something of its key is void: while they agreed, a history
    /// that holds what is to take the place of the void one may have been cut to its limit.
    pub(crate) fn is_in_doubt(&self, key: &Key, version: &Version, disks: &dyn Disks) -> bool {
        let since = self.seen_at(version);
        let mut misjudged = self.wrong_clocks.misjudged.values().flatten();
        let versions = || self.versions.get(key).into_iter().flat_map(BTreeMap::values);
        misjudged.any(|at| *at >= since)
            && versions().any(|held| self.mirrors.keys().any(|place| disks.is_void(*place, key, held)))
    }

    /// Whether any version of a key was taken back though a right clock had stamped it.
    pub(crate) fn was_recalled_wrongly(&self, key: &Key) -> bool {
        let held = self.versions.get(key).into_iter().flat_map(BTreeMap::values);
        let mut all = held.chain(self.writes.of(key).iter().map(|asked| &asked.held));
        all.any(|held: &Held| {
            let until_ms = self.wrong_clocks.recalls.until_ms(&held.dot.origin);
            until_ms.is_some_and(|until_ms| held.version.stamp.ms > until_ms)
        })
    }

    /// Whether a write that was stamped ahead came to be held which nobody was left to take back, or could know to be ahead: it
    /// wins over what was written later, may have ended since, and may have been written over.
    pub(crate) fn was_ahead_unseen(&self, key: &Key) -> bool {
        self.writes.of(key).iter().any(|asked| {
            let version = &asked.held.version;
            let was_held = || self.mirrors.values().any(|mirror| mirror.known.contains(&version.uuid));
            self.is_ahead(version)
                && (asked.is_lost || self.wrong_clocks.came_due_unseen(asked, self.skew_ms_max))
                && was_held()
        })
    }
}
