//! Conflicts in the log: a line for some seconds of them, however many there were.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kvs_store::observer::Resolution;

use crate::limits::CONFLICTS_TOLD_INTERVAL;

/// What was resolved since a line was written.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    /// The first of them: its path and the rule.
    first: Option<(String, &'static str)>,
    told_at: Duration,
}

/// Conflicts that were resolved and not told yet.
#[derive(Debug, Default)]
pub(crate) struct ConflictLog(Mutex<Tally>);

impl ConflictLog {
    /// Counts these; each is told at debug.
    pub(crate) fn note(&self, resolutions: &[Resolution]) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Resolution { key, rule, winner, loser } in resolutions {
            tally.count += 1;
            let rule = rule.name();
            if tally.first.is_none() {
                tally.first = Some((key.path.as_str().to_owned(), rule));
            }
            tracing::debug!(
                path = %key.path, rule, winner = %winner.uuid, loser = %loser.uuid,
                "a conflict was resolved; the losing version is in the history"
            );
        }
    }

    /// Writes a line when there is something to tell and the last one is some seconds ago.
    pub(crate) fn tell(&self, now: Duration) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(tally.told_at) < CONFLICTS_TOLD_INTERVAL {
            return;
        }
        let Some((path, rule)) = tally.first.take() else { return };
        let count = std::mem::take(&mut tally.count);
        tally.told_at = now;
        drop(tally);
        tracing::info!(
            count,
            first = path,
            rule,
            "conflicts were resolved; the losing versions are in the histories of their keys"
        );
    }
}
