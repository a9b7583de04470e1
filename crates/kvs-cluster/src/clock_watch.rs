//! What a node knows of its own clock from one moment to the next, and what an earlier process noted of it.

use std::time::Duration;

use kvs_core::cursor::Cursor;
use kvs_protocol::call::Now;
use kvs_store::clock_pair::ClockPair;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::commit::mark::Note;
use kvs_store::error::StoreError;
use kvs_store::store::Store;

use crate::clocks::Judgement;
use crate::limits::{UNHEARD_PATIENCE, UNSOLVED_MAX};

/// This node's clock, as far as replication cares.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    pub(crate) judgement: Judgement,
    pub(crate) watch: ClockPair,
    /// Until when nothing is judged by it although no peer has said that it is wrong: nobody was asked yet.
    pub(crate) unheard_until: Option<Duration>,
    /// By how much it is ahead of the right time, in milliseconds; `None` while nobody knows.
    pub(crate) offset_ms: Option<i64>,
    /// By how much it was and is ahead in the epochs of this node.
    pub(crate) leads: Leads,
    pub(crate) recall_at: Duration,
}

/// What was noted of leads, and of which epochs they are not known yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leads {
    /// Epochs that ended in this process as the clock was set, and the clock has not agreed with the peers' since.
    pub(crate) unsolved: Vec<Ended>,
    /// What was noted last of the current epoch: by how much the clock is ahead in it.
    noted: Option<(u64, i64)>,
    /// The epochs in which this process has been since the clock was last set, the current one last. Others than the last one
    /// ended for another reason, as when the disk was full.
    epochs: Vec<u64>,
}

impl Leads {
    /// The current epoch is this one.
    pub(crate) fn see_epoch(&mut self, epoch: u64) {
        if self.epochs.last() != Some(&epoch) {
            self.epochs.push(epoch);
            if self.epochs.len() > UNSOLVED_MAX {
                self.epochs.remove(0);
            }
        }
    }

    /// The clock was set by so much, and the current epoch is this one now; it is one of those that were, where its end could not
    /// be written down. The others ended, those that ended for another reason before, too.
    pub(crate) fn end(&mut self, current: u64, set_by_ms: i64, skew_ms: u64) {
        let mut epochs = std::mem::take(&mut self.epochs);
        if epochs.iter().any(|epoch| *epoch != current) {
            epochs.retain(|epoch| *epoch != current);
        }
        for epoch in epochs {
            // What the store keeps of it: what peers said counts when the clock was set back by as much.
            let noted_ms = self.noted_ms(epoch);
            let is_set_right = noted_ms.saturating_add(set_by_ms).unsigned_abs() <= skew_ms;
            let noted_ms = if is_set_right { noted_ms } else { 0 };
            self.unsolved.push(Ended { epoch, set_since_ms: set_by_ms, noted_ms });
        }
        let too_many = self.unsolved.len().saturating_sub(UNSOLVED_MAX);
        self.unsolved.drain(..too_many);
    }

    /// What was noted last of an epoch that is or was the current one.
    pub(crate) fn noted_ms(&self, epoch: u64) -> i64 {
        self.noted.filter(|(noted, _)| *noted == epoch).map_or(0, |(_, lead_ms)| lead_ms)
    }
}

/// An epoch that ended as the clock was set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) epoch: u64,
    /// By how much the clock was set since, in milliseconds.
    pub(crate) set_since_ms: i64,
    /// By how much it was ahead in it, as it was noted last.
    pub(crate) noted_ms: i64,
}

impl ClockWatch {
    /// The clock of a node that starts.
    pub(crate) const fn new(now: Now) -> Self {
        Self {
            judgement: Judgement::UNKNOWN,
            watch: ClockPair::new(now.wall_ms, now.monotonic),
            unheard_until: Some(now.monotonic.saturating_add(UNHEARD_PATIENCE)),
            offset_ms: None,
            leads: Leads { unsolved: Vec::new(), noted: None, epochs: Vec::new() },
            recall_at: Duration::ZERO,
        }
    }

    /// By how much the clock was ahead in which epochs, in milliseconds, where that is not what was told last: of those that
    /// ended when it was set and of the current one. Leads of up to `skew_ms` are none; 0 takes an earlier one back.
    pub(crate) fn news_of_leads(&mut self, current: u64, skew_ms: u64) -> Vec<(u64, i64)> {
        let mut news = Vec::new();
        let Some(offset_ms) = self.offset_ms else { return news };
        let is_wrong = |lead_ms: i64| lead_ms.unsigned_abs() > skew_ms;
        let is_solved = self.judgement.verdict == ClockVerdict::Agrees;
        for ended in &mut self.leads.unsolved {
            let lead_ms = offset_ms.saturating_sub(ended.set_since_ms);
            // What peers said while the clock was wrong holds until it agrees with theirs, as theirs may have been wrong; and it
            // counts only where the clock was then set right by it.
            let is_news = is_wrong(lead_ms.saturating_sub(ended.noted_ms));
            if is_news && (is_solved || (lead_ms > 0 && !is_wrong(offset_ms))) {
                ended.noted_ms = lead_ms;
                news.push((ended.epoch, lead_ms));
            }
        }
        if is_solved {
            self.leads.unsolved.clear();
        }
        let lead_ms = if offset_ms > 0 && is_wrong(offset_ms) { offset_ms } else { 0 };
        // One that was found ahead and is not, though it was not set, never was: the others were behind.
        if is_wrong(self.leads.noted_ms(current).saturating_sub(lead_ms)) {
            self.leads.noted = Some((current, lead_ms));
            news.push((current, lead_ms));
        }
        news
    }

    /// When it must be judged anew although nothing happens.
    pub(crate) const fn due_at(&self) -> Option<Duration> {
        self.unheard_until
    }
}

/// The shortest grace that an earlier process knew of any member, in milliseconds; [`u64::MAX`] for none.
///
/// # Errors
///
/// The note cannot be read.
pub(crate) fn noted_grace_ms(store: &Store) -> Result<u64, StoreError> {
    Ok(noted_ms(store, Note::ShortestGrace)?.unwrap_or(u64::MAX))
}

fn noted_ms(store: &Store, note: Note) -> Result<Option<u64>, StoreError> {
    Ok(store.note(note)?.and_then(|bytes| Cursor::new(&bytes).u64().ok()))
}

#[cfg(test)]
mod tests {
    use super::{ClockWatch, Ended};
    use kvs_protocol::call::Now;
    use kvs_store::clock_verdict::ClockVerdict;
    use std::time::Duration;

    const SKEW_MS: u64 = 100;
    const CURRENT: u64 = 7;
    const EARLIER: u64 = 6;

    fn watch(verdict: ClockVerdict, offset_ms: Option<i64>) -> ClockWatch {
        let mut watch = ClockWatch::new(Now { monotonic: Duration::ZERO, wall_ms: 1_800_000_000_000 });
        judge(&mut watch, verdict, offset_ms);
        watch
    }

    fn judge(watch: &mut ClockWatch, verdict: ClockVerdict, offset_ms: Option<i64>) {
        watch.judgement.verdict = verdict;
        watch.offset_ms = offset_ms;
    }

    fn news(watch: &mut ClockWatch) -> Vec<(u64, i64)> {
        watch.news_of_leads(CURRENT, SKEW_MS)
    }

    #[test]
    fn a_lead_is_told_once_and_again_when_it_changes() {
        let mut watch = watch(ClockVerdict::Differs, Some(40_000));
        assert_eq!(news(&mut watch), [(CURRENT, 40_000)]);
        assert_eq!(news(&mut watch), []);
        judge(&mut watch, ClockVerdict::Differs, Some(40_050));
        assert_eq!(news(&mut watch), []);
        judge(&mut watch, ClockVerdict::Differs, Some(3_600_000));
        let before = watch.leads.clone();
        assert_eq!(news(&mut watch), [(CURRENT, 3_600_000)]);
        // The disk was full.
        watch.leads = before;
        assert_eq!(news(&mut watch), [(CURRENT, 3_600_000)]);
    }

    #[test]
    fn nothing_is_told_of_a_clock_that_nobody_knows_or_that_is_right_enough() {
        assert_eq!(news(&mut watch(ClockVerdict::Unknown, None)), []);
        assert_eq!(news(&mut watch(ClockVerdict::Agrees, Some(100))), []);
        assert_eq!(news(&mut watch(ClockVerdict::Differs, Some(-40_000))), []);
    }

    #[test]
    fn a_lead_is_taken_back_when_the_peers_turn_out_to_have_been_behind() {
        let mut watch = watch(ClockVerdict::Differs, Some(40_000));
        assert_eq!(news(&mut watch), [(CURRENT, 40_000)]);
        // This clock was not set, and agrees.
        judge(&mut watch, ClockVerdict::Agrees, Some(0));
        assert_eq!(news(&mut watch), [(CURRENT, 0)]);
        assert_eq!(news(&mut watch), []);
    }

    #[test]
    fn the_lead_of_an_epoch_that_ended_is_what_the_clock_was_set_back_by_and_is_still_ahead() {
        let ended = Ended { epoch: EARLIER, set_since_ms: -40_000, noted_ms: 0 };
        let mut right = watch(ClockVerdict::Agrees, Some(0));
        right.leads.unsolved.push(ended);
        assert_eq!(news(&mut right), [(EARLIER, 40_000)]);
        assert!(right.leads.unsolved.is_empty());
        // Set right by what peers said, though they do not agree yet.
        let mut hoped = watch(ClockVerdict::Differs, Some(0));
        hoped.leads.unsolved.push(ended);
        assert_eq!(news(&mut hoped), [(EARLIER, 40_000)]);
        assert_eq!(hoped.leads.unsolved.len(), 1);
        // Set to another wrong time: those who found it ahead may have been wrong.
        for offset_ms in [5_000, -600_000] {
            let mut half = watch(ClockVerdict::Differs, Some(offset_ms));
            half.leads.unsolved.push(ended);
            assert!(news(&mut half).iter().all(|(epoch, _)| *epoch == CURRENT));
            assert_eq!(half.leads.unsolved.len(), 1);
        }
    }

    #[test]
    fn an_epoch_that_ended_for_another_reason_before_the_clock_was_set_is_ahead_too() {
        let mut watch = watch(ClockVerdict::Differs, Some(40_000));
        // As when the disk was full in between, and then the clock was set to another wrong time.
        watch.leads.see_epoch(EARLIER - 1);
        watch.leads.see_epoch(EARLIER);
        watch.leads.end(CURRENT, 20_000, SKEW_MS);
        watch.leads.see_epoch(CURRENT);
        for ended in &mut watch.leads.unsolved {
            ended.set_since_ms -= 60_000;
        }
        judge(&mut watch, ClockVerdict::Agrees, Some(0));
        assert_eq!(news(&mut watch), [(EARLIER - 1, 40_000), (EARLIER, 40_000)]);
        // The next setting ends none of them again.
        watch.leads.end(CURRENT + 1, 9_000, SKEW_MS);
        assert_eq!(watch.leads.unsolved.len(), 1);
    }

    #[test]
    fn an_epoch_that_the_store_began_as_it_noticed_the_clock_was_not_ended_by_that() {
        let mut watch = watch(ClockVerdict::Agrees, Some(0));
        watch.leads.see_epoch(EARLIER);
        watch.leads.see_epoch(CURRENT);
        watch.leads.end(CURRENT, -40_000, SKEW_MS);
        assert_eq!(watch.leads.unsolved.iter().map(|ended| ended.epoch).collect::<Vec<_>>(), [EARLIER]);
        // The disk was full: it is the current one that ended.
        watch.leads.see_epoch(CURRENT);
        watch.leads.end(CURRENT, 9_000, SKEW_MS);
        assert_eq!(watch.leads.unsolved.last().map(|ended| ended.epoch), Some(CURRENT));
    }

    #[test]
    fn the_lead_of_an_epoch_that_ended_is_taken_back_only_by_a_clock_that_agrees() {
        // It was found 40 s ahead and set back; then its peers were set ahead by as much, so that it is behind by that.
        let mut watch = watch(ClockVerdict::Differs, Some(-40_000));
        watch.leads.unsolved.push(Ended { epoch: EARLIER, set_since_ms: -40_000, noted_ms: 40_000 });
        assert_eq!(news(&mut watch), []);
        // It is set right: in the earlier epoch it was.
        watch.leads.unsolved[0].set_since_ms = 0;
        judge(&mut watch, ClockVerdict::Agrees, Some(0));
        assert_eq!(news(&mut watch), [(EARLIER, 0)]);
    }
}
