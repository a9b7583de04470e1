//! The replicator's part for clocks: what peers say of this node's, what follows from it for ages and writes, and the recall
//! of what was stamped while it was ahead.

use std::time::Duration;

use kvs_core::origin::Origin;
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use kvs_store::shared::ClockVerdict;

use crate::clocks::judge;
use crate::limits::{RECALL_PAUSE, UNHEARD_PATIENCE};
use crate::replicator::Replicator;

impl Replicator {
    /// Notices that the wall clock was set: what peers said of it before means nothing any more.
    pub(crate) fn watch_clock(&mut self) {
        let set_by_ms = self.clock.watch.look(self.now, self.store.clock_skew_ms_max());
        if let Some(set_by_ms) = set_by_ms {
            tracing::warn!(set_by_ms, "this node's clock was set");
            // A clock that is set back to the right time leaves what was noted: that is by how much it was ahead.
            let offset_ms = self.clock.offset_ms.saturating_add(set_by_ms);
            self.clock.offset_ms = offset_ms;
            match u64::try_from(offset_ms) {
                Ok(ahead_ms) if ahead_ms > self.store.clock_skew_ms_max() => self.note_ahead(ahead_ms),
                _ if set_by_ms < 0 && self.clock.ahead_ms == 0 => self.note_ahead(set_by_ms.unsigned_abs()),
                _ => {}
            }
            for peer in self.peers.values_mut() {
                peer.clock_offset_ms = None;
                peer.status_at = Duration::ZERO;
            }
            self.clock.unheard_until = Some(self.now.monotonic + UNHEARD_PATIENCE);
            self.judge_clock();
        } else if self.clock.unheard_until.is_some_and(|until| self.now.monotonic >= until) {
            self.clock.unheard_until = None;
            self.judge_clock();
        }
    }

    /// Judges this node's clock by its peers', and tells the store.
    pub(crate) fn judge_clock(&mut self) {
        let skew_ms = self.store.clock_skew_ms_max();
        let reachable = self.peers.values().filter(|peer| peer.is_reachable());
        let offsets = reachable.filter_map(|peer| peer.clock_offset_ms);
        let mut judgement = judge(offsets, self.now.wall_ms, skew_ms);
        let is_unheard = self.clock.unheard_until.is_some() && self.peers.values().any(|peer| peer.counts());
        if judgement.verdict == ClockVerdict::Unknown && is_unheard {
            judgement.verdict = ClockVerdict::Differs;
        }
        if judgement.verdict == ClockVerdict::Agrees {
            self.clock.unheard_until = None;
            self.clock.offset_ms = 0;
        }
        if judgement.ahead_ms > 0 {
            self.clock.offset_ms = i64::try_from(judgement.ahead_ms).unwrap_or(i64::MAX);
        }
        if judgement.ahead_ms.abs_diff(self.clock.ahead_ms) > skew_ms && judgement.ahead_ms > 0 {
            self.note_ahead(judgement.ahead_ms);
        }
        let before = std::mem::replace(&mut self.clock.judgement, judgement);
        if before.is_ahead != judgement.is_ahead {
            if judgement.is_ahead {
                let ahead_ms = judgement.ahead_ms;
                tracing::error!(
                    ahead_ms,
                    "this node's clock is ahead of most of its peers': it takes no writes until it is right"
                );
            } else {
                tracing::info!("this node's clock is not ahead any more: it takes writes");
            }
        } else if before.verdict != judgement.verdict
            && judgement.verdict == ClockVerdict::Differs
            && !is_unheard
        {
            tracing::warn!(
                "this node's clock differs from most of its peers': nothing is judged by its age until it agrees"
            );
        }
        self.store.set_clock_verdict(judgement.verdict);
    }

    /// Notes by how much the clock is ahead, so that what was stamped meanwhile can be stamped right when that is known.
    fn note_ahead(&mut self, ahead_ms: u64) {
        let marks = vec![Mark::Note(Note::ClockAhead, ahead_ms.to_be_bytes().to_vec())];
        match self.store.commit(Transaction { writes: Vec::new(), marks }) {
            Ok(_) => self.clock.ahead_ms = ahead_ms,
            Err(error) => tracing::warn!(%error, "by how much the clock is ahead could not be noted"),
        }
    }

    /// Takes back what this node stamped while its clock was ahead, once peers say that it is right again.
    pub(crate) fn recall_if_due(&mut self) {
        // A clock that was never set agrees with nobody, so one that fell back to 1970 recalls nothing.
        let is_right = self.clock.judgement.verdict == ClockVerdict::Agrees;
        if !is_right || self.now.monotonic < self.clock.recall_at {
            return;
        }
        let limit_ms = self.now.wall_ms.saturating_add(self.store.clock_skew_ms_max());
        let standing = self.store.standing();
        let is_known = |epoch: u64, latest_ms: u64| {
            let until_ms = standing.recalls.until_ms(&Origin { node: self.own, epoch });
            until_ms.is_some_and(|until_ms| until_ms < latest_ms)
        };
        // Of lives that this directory has forgotten only peers can tell.
        let mut forgotten: Vec<u64> = self
            .peers
            .values()
            .flat_map(|peer| &peer.parked_epochs)
            .filter(|(epoch, latest_ms)| *latest_ms > limit_ms && !is_known(*epoch, *latest_ms))
            .map(|(epoch, _)| *epoch)
            .collect();
        forgotten.sort_unstable();
        forgotten.dedup();
        if self.store.top_ms() <= limit_ms && forgotten.is_empty() {
            if self.clock.ahead_ms > 0 {
                // It wrote nothing while it was ahead, or never was: it was behind, and was set forward.
                self.note_ahead(0);
            }
            return;
        }
        self.clock.recall_at = self.now.monotonic + RECALL_PAUSE;
        let ahead_ms = self.clock.ahead_ms;
        tracing::warn!(
            ahead_ms,
            lives = forgotten.len(),
            "this node's clock was ahead and is right again: what it stamped later than now is recalled everywhere and \
             written anew"
        );
        let marks = vec![
            Mark::Recall { forgotten, ahead_ms },
            Mark::Note(Note::ClockAhead, 0_u64.to_be_bytes().to_vec()),
        ];
        match self.store.commit(Transaction { writes: Vec::new(), marks }) {
            Ok(_) => self.clock.ahead_ms = 0,
            Err(error) => tracing::error!(%error, "what this node stamped ahead could not be recalled"),
        }
    }

    /// Tells the store the shortest grace of all members: what is younger cannot have been collected anywhere.
    pub(crate) fn compare_graces(&mut self) {
        let mut shortest_ms = self.store.tombstone_grace_ms();
        let mut all_told = true;
        for peer in self.peers.values().filter(|peer| peer.counts()) {
            match peer.grace_ms {
                Some(grace_ms) => shortest_ms = shortest_ms.min(grace_ms),
                None => all_told = false,
            }
        }
        if !all_told {
            // Whoever has not told yet may be the one that had the shortest.
            shortest_ms = shortest_ms.min(self.shortest_grace_ms);
        }
        self.store.set_shortest_grace_ms(shortest_ms);
        if shortest_ms == self.shortest_grace_ms {
            return;
        }
        let marks = vec![Mark::Note(Note::ShortestGrace, shortest_ms.to_be_bytes().to_vec())];
        match self.store.commit(Transaction { writes: Vec::new(), marks }) {
            Ok(_) => self.shortest_grace_ms = shortest_ms,
            Err(error) => tracing::warn!(%error, "the shortest grace of all members could not be noted"),
        }
    }
}
