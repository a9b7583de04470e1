//! When the log had which length, so that it can be told how late a peer is.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::MOMENTS_MAX;

/// The ends of the log at the moments that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Moments(VecDeque<(u64, Duration)>);

impl Moments {
    /// Notes how far the log is now.
    pub(crate) fn note(&mut self, local_seq: u64, now: Duration) {
        if self.0.back().is_some_and(|(last, _)| *last >= local_seq) {
            return;
        }
        if self.0.len() == MOMENTS_MAX {
            // Every other one is forgotten: what is old is told less exactly.
            let mut keep = false;
            self.0.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.0.push_back((local_seq, now));
    }

    /// For how long the log has been longer than `read`, in milliseconds.
    pub(crate) fn lag_ms(&self, read: u64, now: Duration) -> u64 {
        let since = self.0.iter().find(|(local_seq, _)| *local_seq > read).map(|(_, at)| *at);
        let lag = since.map_or_else(Default::default, |at| now.saturating_sub(at));
        u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)
    }
}
