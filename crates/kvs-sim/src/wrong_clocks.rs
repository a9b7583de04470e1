//! What nobody can know of clocks that were wrong, so that no promise speaks of it. Kept by the ledger, which judges by it.
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

use crate::held::{Held, Moment};
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
    /// A machine whose clock was behind, as most others were, took this back though a right clock had stamped it.
    pub(crate) fn note_recall(&mut self, origin: Origin, until_ms: u64) {
        self.recalls.add(origin, until_ms);
    }

    /// A process of a machine began.
    pub(crate) fn note_begin(&mut self, place: usize, now: Moment) {
        self.begun.entry(place).or_default().push(now.at);
    }

    /// A machine's clock is known to agree with its peers', and is right or not.
    pub(crate) fn note_agreement(&mut self, place: usize, is_right: bool, now: Moment) {
        let right = self.right.entry(place).or_default();
        let misjudged = self.misjudged.entry(place).or_default();
        if !is_right && misjudged.last().is_none_or(|last| *last + AGREEMENT_PAUSE <= now.at) {
            misjudged.push(now.at);
        } else if is_right && right.last().is_none_or(|last| last.at + AGREEMENT_PAUSE <= now.at) {
            right.push(now);
        }
    }

    /// Whether a version was taken back though a right clock had stamped it.
    pub(crate) fn was_recalled_wrongly(&self, held: &Held) -> bool {
        self.recalls.until_ms(&held.dot.origin).is_some_and(|until_ms| held.version.stamp.ms > until_ms)
    }

    /// Whether any machine's clock was wrong and agreed with its peers' since a moment.
    pub(crate) fn were_misjudged_since(&self, since: Duration) -> bool {
        self.misjudged.values().flatten().any(|at| *at >= since)
    }

    /// Whether what a machine stamped ahead came due before its clock was right and agreed, and the process that had stamped it
    /// had ended by then.
    pub(crate) fn came_due_unseen(&self, asked: &Asked, skew_ms: u64) -> bool {
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
