//! The replicator's part for clocks: what peers say of this node's, what follows from it for ages and writes, and the recall
//! of what was stamped while it was ahead.

use std::time::Duration;

use kvs_core::origin::Origin;
use kvs_protocol::call::Now;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use kvs_store::epoch_start::EpochStart;
use kvs_store::error::StoreError;
use kvs_store::limits::CLOCK_EARLIEST_MS;
use kvs_store::store::Store;

use crate::clock_watch::{ClockWatch, Ended, noted_grace_ms};
use crate::clocks::{Judgement, judge};
use crate::context::Context;
use crate::limits::{RECALL_PAUSE, UNHEARD_PATIENCE};
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::work::{Job, Noted};

/// What this node knows of its clock, and of its peers' graces.
pub(crate) struct Timekeeping {
    clock: ClockWatch,
    /// The shortest grace of tombstones that is known of any member, as noted.
    shortest_grace_ms: u64,
    is_noting_grace: bool,
}

impl Timekeeping {
    /// What a node that starts knows.
    ///
    /// # Errors
    ///
    /// The notes of an earlier process cannot be read.
    pub(crate) fn recall(store: &Store, now: Now) -> Result<Self, StoreError> {
        let (clock, shortest_grace_ms) = (ClockWatch::new(now), noted_grace_ms(store)?);
        Ok(Self { clock, shortest_grace_ms, is_noting_grace: false })
    }

    /// What peers' clocks say of this node's.
    pub(crate) const fn judgement(&self) -> Judgement {
        self.clock.judgement
    }

    /// When it must be judged anew although nothing happens.
    pub(crate) const fn due_at(&self) -> Option<Duration> {
        self.clock.due_at()
    }

    /// Remembers the current epoch, for when the clock is set.
    pub(crate) fn see_epoch(&mut self, context: &Context) {
        self.clock.leads.see_epoch(context.store.identity().origin.epoch);
    }

    /// Notices that the wall clock was set: what peers said of it before means nothing any more.
    pub(crate) fn watch_clock(&mut self, context: &Context, peers: &mut Peers) {
        let Now { wall_ms, monotonic } = context.now;
        let set_by_ms = self.clock.watch.look(wall_ms, monotonic, context.store.clock_skew_ms_max());
        if let Some(set_by_ms) = set_by_ms {
            tracing::warn!(set_by_ms, "this node's clock was set");
            self.end_epoch_by_clock(context, set_by_ms);
            for peer in peers.values_mut() {
                peer.clock_offset_ms = None;
                peer.status_at = Duration::ZERO;
            }
            self.clock.unheard_until = Some(context.now.monotonic + UNHEARD_PATIENCE);
            self.judge_clock(context, peers);
        } else if self.clock.unheard_until.is_some_and(|until| context.now.monotonic >= until) {
            self.clock.unheard_until = None;
            self.judge_clock(context, peers);
        }
    }

    /// Judges this node's clock by its peers', and tells the store.
    pub(crate) fn judge_clock(&mut self, context: &Context, peers: &Peers) {
        let skew_ms = context.store.clock_skew_ms_max();
        let reachable = peers.values().filter(|peer| peer.is_reachable());
        // A clock that was never set says nothing of this one.
        let is_set =
            |offset_ms: &i64| context.now.wall_ms.saturating_add_signed(*offset_ms) >= CLOCK_EARLIEST_MS;
        let offsets = reachable.filter_map(|peer| peer.clock_offset_ms).filter(is_set);
        let mut judgement = judge(offsets, context.now.wall_ms, skew_ms);
        let is_unheard = self.clock.unheard_until.is_some() && peers.counting().next().is_some();
        if judgement.verdict == ClockVerdict::Unknown && is_unheard {
            judgement.verdict = ClockVerdict::Differs;
        }
        if judgement.verdict == ClockVerdict::Agrees {
            self.clock.unheard_until = None;
            self.clock.offset_ms = Some(0);
        }
        // One of several may itself be wrong; the only other one is all that there is.
        let is_witnessed = judgement.is_ahead || peers.counting().nth(1).is_none();
        if judgement.ahead_ms > 0 && is_witnessed {
            self.clock.offset_ms = i64::try_from(judgement.ahead_ms).ok();
        }
        let before = std::mem::replace(&mut self.clock.judgement, judgement);
        self.note_leads(context);
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
        context.store.judge_clock(judgement.verdict, context.now.monotonic);
    }

    /// Begins an epoch since the clock was set: in each the clock is wrong by one amount, so that what was stamped in it can be
    /// stamped right as soon as that is known.
    fn end_epoch_by_clock(&mut self, context: &Context, set_by_ms: i64) {
        for Ended { set_since_ms, .. } in &mut self.clock.leads.unsolved {
            *set_since_ms = set_since_ms.saturating_add(set_by_ms);
        }
        self.clock.offset_ms = self.clock.offset_ms.map(|offset_ms| offset_ms.saturating_add(set_by_ms));
        let marks = vec![Mark::ClockSet(set_by_ms)];
        if let Err(error) = context.store.commit(Transaction { writes: Vec::new(), marks }) {
            tracing::warn!(%error, "that the clock was set is noted with the next write");
        }
        let current = context.store.identity().origin.epoch;
        self.clock.leads.end(current, set_by_ms, context.store.clock_skew_ms_max());
        self.note_leads(context);
    }

    /// Notes by how much the clock is ahead, and was in the epochs that ended when it was set, once that is known.
    fn note_leads(&mut self, context: &Context) {
        let current = context.store.identity().origin.epoch;
        let before = self.clock.leads.clone();
        let leads = self.clock.news_of_leads(current, context.store.clock_skew_ms_max());
        if leads.is_empty() {
            return;
        }
        let ended = leads.iter().map(|(epoch, _)| *epoch).filter(|epoch| *epoch != current).collect();
        let marks = vec![Mark::EndedByClock(ended), Mark::Leads(leads)];
        if let Err(error) = context.store.commit(Transaction { writes: Vec::new(), marks }) {
            tracing::warn!(%error, "by how much the clock is ahead could not be noted yet");
            self.clock.leads = before;
        }
    }

    /// Takes back what this node stamped while its clock was ahead, once peers say that it is right again.
    pub(crate) fn recall_if_due(&mut self, context: &Context, peers: &Peers) {
        // A clock that was never set agrees with nobody, so one that fell back to 1970 recalls nothing.
        let is_right = self.clock.judgement.verdict == ClockVerdict::Agrees;
        if !is_right || context.now.monotonic < self.clock.recall_at {
            return;
        }
        let skew_ms = context.store.clock_skew_ms_max();
        let limit_ms = context.now.wall_ms.saturating_add(skew_ms);
        let standing = context.store.standing();
        let is_known = |epoch: u64, latest_ms: u64| {
            let until_ms = standing.recalls.until_ms(&Origin { node: context.own, epoch });
            until_ms.is_some_and(|until_ms| until_ms < latest_ms)
        };
        // Of lives that this directory has forgotten only peers can tell.
        let mut forgotten: Vec<u64> = peers
            .values()
            .flat_map(|peer| &peer.parked_epochs)
            .filter(|(epoch, latest_ms)| *latest_ms > limit_ms && !is_known(*epoch, *latest_ms))
            .map(|(epoch, _)| *epoch)
            .collect();
        forgotten.sort_unstable();
        forgotten.dedup();
        // What was stamped ahead is wrong even where its time has come meanwhile.
        let is_ahead = |(index, start): (usize, &EpochStart)| {
            let known_ms = standing.recalls.until_ms(&Origin { node: context.own, epoch: start.epoch });
            let before = index.checked_sub(1).and_then(|before| standing.epochs.get(before));
            start
                .ahead_from_ms(before, skew_ms)
                .is_some_and(|from_ms| known_ms.is_none_or(|known_ms| known_ms > from_ms))
        };
        if context.store.top_ms() <= limit_ms
            && forgotten.is_empty()
            && !standing.epochs.iter().enumerate().any(is_ahead)
        {
            return;
        }
        self.clock.recall_at = context.now.monotonic + RECALL_PAUSE;
        tracing::warn!(
            lives = forgotten.len(),
            "this node's clock was ahead and is right again: what it stamped too late is recalled everywhere and \
             written anew"
        );
        // At once: by the time that work beside this thread is done, the clock may say something else.
        let marks = vec![Mark::Recall { forgotten }];
        if let Err(error) = context.store.commit(Transaction { writes: Vec::new(), marks }) {
            tracing::error!(%error, "what this node stamped ahead could not be recalled");
        }
    }

    /// Tells the store the shortest grace of all members: what is younger cannot have been collected anywhere.
    pub(crate) fn compare_graces(&mut self, context: &Context, peers: &Peers, outbox: &mut Outbox) {
        let mut shortest_ms = context.store.tombstone_grace_ms();
        let mut all_told = true;
        for peer in peers.counting() {
            match peer.grace_ms {
                Some(grace_ms) => shortest_ms = shortest_ms.min(grace_ms),
                None => all_told = false,
            }
        }
        if !all_told {
            // Whoever has not told yet may be the one that had the shortest.
            shortest_ms = shortest_ms.min(self.shortest_grace_ms);
        }
        context.store.set_shortest_grace_ms(shortest_ms);
        if shortest_ms == self.shortest_grace_ms || self.is_noting_grace {
            return;
        }
        self.is_noting_grace = true;
        let mark = Mark::Note(Note::ShortestGrace, shortest_ms.to_be_bytes().to_vec());
        outbox.work(Job::Note(Noted::Grace(shortest_ms), vec![mark]));
    }

    /// The shortest grace was noted, or could not be.
    pub(crate) fn grace_noted(&mut self, shortest_ms: u64, is_noted: bool) {
        self.is_noting_grace = false;
        if is_noted {
            self.shortest_grace_ms = shortest_ms;
        }
    }
}
