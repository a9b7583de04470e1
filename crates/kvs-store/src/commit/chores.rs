//! When the committer has what to do between batches.

use std::time::Duration;

use crate::shared::Shared;
use crate::standing::Sweep;
use crate::table::Table;
use crate::tree::upkeep::Upkeep;

/// When each chore is due, and where collection goes on.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    pub(super) reap_at: Duration,
    pub(super) admit_at: Duration,
    pub(super) collect_at: Duration,
    /// The last expiry looked at, while more are due.
    pub(super) reaped_up_to: Option<Vec<u8>>,
    /// The last tombstone looked at; the next round starts behind it, at the beginning after the last.
    pub(super) collected_up_to: Option<Vec<u8>>,
    pub(super) upkeep: Upkeep,
    pub(super) sweep_at: Duration,
    /// The sweep under way, and where it goes on: at which row of which table.
    pub(super) swept: Option<(Sweep, Table, Vec<u8>)>,
    /// Whether something could not be voided in the sweep under way.
    pub(super) sweep_has_failed: bool,
    /// Where looking for records that are too far ahead goes on; at the first one for `None`.
    pub(super) set_aside_from: Option<Vec<u8>>,
}

impl Chores {
    /// When the next chore is due, on the monotonic clock.
    pub(crate) fn due_at(&self, shared: &Shared) -> Duration {
        if shared.is_sweeping() {
            return self.sweep_at;
        }
        self.reap_at.min(self.collect_at).min(self.admit_at).min(self.upkeep.due_at(shared))
    }

    /// Writes the digest down, at the orderly end.
    pub(crate) fn write_checkpoint(&self, shared: &Shared) {
        if let Err(error) = self.upkeep.write_checkpoint(shared) {
            tracing::warn!(%error, "the digest could not be written down: the next start reads the records");
        }
    }
}
