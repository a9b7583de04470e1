//! The committer: one thread that owns all writes of a node.
//!
//! Per round it takes what waits, plans it, commits it with one sync, tells the observer, then answers. Persist, then
//! answer. After a failed write or sync it refuses writes: nobody knows what such a failure left behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use kvs_core::record::Record;
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::clock::Clock;
use crate::clock_verdict::ClockVerdict;
use crate::commit::after_full::AfterFull;
use crate::commit::chores::Chores;
use crate::commit::clock_notice::ClockNotice;
use crate::commit::mark::Mark;
use crate::commit::plan::{Plan, Planned, Scene, Selfhood};
use crate::commit::queue::{Job, Woken};
use crate::commit::reception::Ages;
use crate::commit::write::{Outcome, Reply, Transaction};
use crate::engine::contract::{Batch, Engine, Sync};
use crate::error::StoreError;
use crate::limits::{
    CLOCK_EARLIEST_MS, DISK_RESERVE_BYTES, PLACEHOLDER_KEPT_MS, PLACEHOLDER_PAUSE, REAP_INTERVAL,
    SYNC_INTERVAL,
};
use crate::node::{self, Left};
use crate::observer::{BatchStats, Observer, RecordedEnd};
use crate::parked;
use crate::settings::{Durability, Settings};
use crate::shared::{Shared, State};
use crate::standing::Sweep;
use crate::start::Begun;

/// The committer's thread.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(super) selfhood: Selfhood,
    pub(super) random: StdRng,
    pub(super) after_full: AfterFull,
    pub(super) recover_at: Duration,
    /// Until when an engine that closed itself is taken to have run out of room.
    pub(super) short_until: Duration,
    /// When unsynced writes must be synced (`durability: interval`).
    sync_at: Option<Duration>,
    /// What it knows of its clock.
    pub(super) clock_notice: ClockNotice,
    chores: Chores,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        selfhood: Selfhood,
        seed: [u8; 32],
        begun: Begun,
    ) -> Self {
        let clock_notice = ClockNotice::new(&*clock, settings.clock_skew_ms_max);
        let mut committer = Self {
            clock_notice,
            shared,
            settings,
            clock,
            observer,
            selfhood,
            random: StdRng::from_seed(seed),
            after_full: AfterFull::GoOn,
            recover_at: Duration::ZERO,
            short_until: Duration::ZERO,
            sync_at: None,
            chores: Chores::default(),
        };
        match begun {
            Begun::Written => {
                committer.shared.set_begun();
                if committer.has_less_than(DISK_RESERVE_BYTES) {
                    committer.become_full(AfterFull::GoOn);
                }
            }
            Begun::Untried => committer.become_full(AfterFull::GoOn),
            Begun::CutShort => committer.become_full(AfterFull::Reopen),
        }
        committer
    }

    /// Works until the queue is closed and empty, then brings everything to the disk and notes the orderly end.
    ///
    /// After a panic (of a reply, of an observer, of the engine) nobody knows what was written: the store is poisoned,
    /// and whoever waits, now or later, is told so instead of waiting for ever.
    pub(crate) fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            tracing::error!("the committer panicked: writes are refused until the node is restarted");
            self.shared.set_state(State::Poisoned("the committer panicked".into()));
        }
        self.finish();
    }

    fn work(&mut self) {
        while self.turn(self.patience()) == Woken::Running {}
    }

    /// One round: what waits, then what is due. Waits up to `wait` for something to do.
    pub(crate) fn turn(&mut self, wait: Duration) -> Woken {
        let mut jobs = Vec::new();
        let woken = self.shared.queue.take(&mut jobs, wait);
        if !jobs.is_empty() {
            self.commit(jobs);
        }
        self.sync_if_due();
        self.look_for_room();
        self.recover_if_due();
        self.do_chores();
        woken
    }

    /// How long to wait for a write before looking at other duties.
    fn patience(&self) -> Duration {
        let chores_at = (self.shared.state() == State::Open).then(|| self.chores.due_at(&self.shared));
        let due_at = self.sync_at.into_iter().chain(chores_at).min();
        due_at.map_or(REAP_INTERVAL, |at| at.saturating_sub(self.clock.monotonic()).min(REAP_INTERVAL))
    }

    fn commit(&mut self, mut jobs: Vec<Job>) {
        self.clock_notice.hear(&*self.clock, jobs.iter_mut().map(|job| &mut job.transaction));
        self.look_at_clock();
        if let Err(refusal) = self.may_write() {
            for job in jobs {
                (job.reply)(Err(refusal.for_each_waiting()));
            }
            return;
        }
        let (transactions, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.transaction, job.reply)).unzip();
        match self.write(transactions) {
            Ok(verdicts) => {
                for (reply, verdict) in replies.into_iter().zip(verdicts) {
                    reply(verdict);
                }
            }
            Err(error) => fail_all(replies, &error),
        }
    }

    /// Notices whether the clock was set: what peers said of it before does not count any more. Answers by how much it was set
    /// since that was last noted, in milliseconds.
    pub(super) fn look_at_clock(&mut self) -> i64 {
        let set_by_ms = self.clock_notice.look(&*self.clock);
        if let Some(noticed_at) = self.clock_notice.noticed_at() {
            self.shared.note_clock_set(noticed_at);
        }
        set_by_ms
    }

    /// Plans and commits transactions together; one verdict for each.
    pub(crate) fn write(
        &mut self,
        mut transactions: Vec<Transaction>,
    ) -> Result<Vec<Result<Vec<Outcome>, StoreError>>, StoreError> {
        // Before anything is stamped by a clock that is another one since.
        let set_by_ms = self.look_at_clock();
        if set_by_ms != 0 {
            let noted = Transaction { writes: Vec::new(), marks: vec![Mark::ClockSet(set_by_ms)] };
            transactions.insert(0, noted);
        }
        let mut verdicts = self.write_all(transactions)?;
        if set_by_ms != 0 {
            verdicts.remove(0)?;
            self.clock_notice.note();
        }
        Ok(verdicts)
    }

    fn write_all(
        &mut self,
        transactions: Vec<Transaction>,
    ) -> Result<Vec<Result<Vec<Outcome>, StoreError>>, StoreError> {
        let engine = self.shared.engine.current()?;
        let now_ms = self.clock.now_ms();
        let skew_ms = self.settings.clock_skew_ms_max;
        let clock = self.shared.clock_verdict();
        let grace_ms = self.shared.shortest_grace_ms();
        let scene = Scene {
            now_ms,
            revision_limit: self.settings.revision_limit,
            ages: Ages {
                are_sound: clock != ClockVerdict::Differs && now_ms >= CLOCK_EARLIEST_MS,
                now_ms,
                young_from_ms: now_ms.saturating_sub(grace_ms.saturating_sub(skew_ms)),
                park_after_ms: now_ms.saturating_add(skew_ms),
            },
            is_clock_confirmed: clock == ClockVerdict::Agrees && now_ms >= CLOCK_EARLIEST_MS,
            placeholder_until_ms: now_ms.saturating_add(PLACEHOLDER_KEPT_MS),
            keeps_placeholders: self.clock_notice.unset_for(&*self.clock) < PLACEHOLDER_PAUSE,
        };
        let random = &mut self.random;
        let mut random_uuid = || node::random_uuid(rand::RngExt::random(random));
        let mut plan = Plan::new(&*engine, scene, &self.selfhood, &mut random_uuid);
        let verdicts: Vec<_> =
            transactions.into_iter().map(|transaction| plan.transact(transaction)).collect();
        let keys = plan.changed_keys();
        let tree_change = self.shared.tree.change_of(plan.changed_rows());
        let mut planned = plan.finish();
        if planned.batch.changes.is_empty() {
            return Ok(verdicts);
        }
        self.shared.tree.lock().guard_checkpoint(&tree_change, &mut planned.batch);
        let mut stats = BatchStats {
            transactions: verdicts.len(),
            keys: keys.len(),
            bytes: planned.batch.size_bytes(),
            ..BatchStats::default()
        };
        let Planned { batch, identity, counters, standing, resolutions, acts } = planned;
        if !acts.is_empty() {
            self.observer.recording(&acts).map_err(StoreError::Unrecorded)?;
        }
        let started = self.clock.monotonic();
        self.observer.committing(&keys);
        // Held over the commit: whoever reads the digest sees it and the tables as of one moment.
        let mut tree = self.shared.tree.lock();
        let committed = engine.commit(batch, self.sync_mode());
        if committed.is_ok() {
            tree.apply(&tree_change, &*engine);
        }
        drop(tree);
        stats.commit_time = self.clock.monotonic().saturating_sub(started);
        drop(engine);
        if committed.is_ok() {
            (self.selfhood.identity, self.selfhood.counters) = (identity, counters);
            if let Some(standing) = standing {
                self.selfhood.standing = standing;
                self.shared.publish_standing(&self.selfhood);
            } else {
                self.shared.publish(&self.selfhood);
            }
        }
        self.observer.committed(&keys);
        if !acts.is_empty() {
            let end = if committed.is_ok() { RecordedEnd::Committed } else { RecordedEnd::Failed };
            if let Err(reason) = self.observer.recorded(end) {
                tracing::error!(
                    reason,
                    "the audit trail failed: writes are refused until the node is restarted"
                );
                self.shared.set_state(State::Poisoned(reason.clone()));
                return Err(StoreError::Poisoned(reason));
            }
        }
        committed.map_err(|error| self.fail(error))?;
        self.observer.batch(&stats);
        if !resolutions.is_empty() {
            self.observer.resolved(&resolutions);
        }
        if self.settings.durability == Durability::Interval && self.sync_at.is_none() {
            self.sync_at = Some(self.clock.monotonic() + SYNC_INTERVAL);
        }
        Ok(verdicts)
    }

    const fn sync_mode(&self) -> Sync {
        match self.settings.durability {
            Durability::Always => Sync::Disk,
            Durability::Interval | Durability::Never => Sync::System,
        }
    }

    fn sync_if_due(&mut self) {
        if self.sync_at.is_some_and(|at| self.clock.monotonic() >= at) {
            self.sync_at = None;
            if self.is_engine_sound() {
                self.sync_engine();
            }
        }
    }

    /// Whether the engine takes writes and syncs. One that failed takes none; opening it again syncs what it holds.
    fn is_engine_sound(&self) -> bool {
        match self.shared.state() {
            State::Open => true,
            State::Full => self.after_full == AfterFull::GoOn,
            State::Poisoned(_) => false,
        }
    }

    fn sync_engine(&mut self) {
        let synced = self.shared.engine.current().and_then(|engine| Ok(engine.sync()?));
        if let Err(StoreError::Engine(error)) = synced {
            self.fail(error);
        }
    }

    fn do_chores(&mut self) {
        self.look_at_clock();
        if self.shared.state() != State::Open {
            return;
        }
        let mut chores = std::mem::take(&mut self.chores);
        if let Err(error) = chores.run(self) {
            tracing::warn!(%error, "expiry or collection is put off");
        }
        self.chores = chores;
    }

    pub(crate) fn finish(&mut self) {
        // A start that was never written has no end: what the last one left stays as it is.
        if !self.is_engine_sound() || !self.shared.has_begun() {
            return;
        }
        self.chores.write_checkpoint(&self.shared);
        self.sync_engine();
        let mut batch = Batch::default();
        node::put_left(&mut batch, Left::InOrder);
        let noted = self.shared.engine.current().and_then(|engine| Ok(engine.commit(batch, Sync::Disk)?));
        if let Err(error) = noted {
            tracing::error!(%error, "the orderly end could not be noted");
        }
    }

    /// How many records are parked.
    pub(crate) const fn parked(&self) -> u64 {
        self.selfhood.standing.parked
    }

    /// What is still to be looked through for recalled records.
    pub(crate) const fn sweep(&self) -> Option<Sweep> {
        self.selfhood.standing.sweep
    }

    /// Whether a version was recalled.
    pub(crate) fn is_void(&self, record: &Record) -> bool {
        self.selfhood.standing.recalls.is_void(record)
    }

    /// Whether anything that a node wrote was recalled.
    pub(crate) fn has_recalls_of(&self, node: Uuid) -> bool {
        self.selfhood.standing.recalls.has_node(node)
    }

    /// Counts anew which numbers are parked, after some were admitted.
    pub(crate) fn recount_parked(&mut self) -> Result<(), StoreError> {
        let (parked, dots) = parked::summary(&*self.engine()?.snapshot())?;
        (self.selfhood.standing.parked, self.selfhood.standing.parked_dots) = (parked, dots);
        self.shared.publish_standing(&self.selfhood);
        Ok(())
    }

    /// This node.
    pub(crate) const fn node(&self) -> Uuid {
        self.selfhood.identity.origin.node
    }

    /// Whether peers say that this clock is right.
    pub(crate) fn is_clock_confirmed(&self) -> bool {
        self.shared.clock_verdict() == ClockVerdict::Agrees && self.clock.now_ms() >= CLOCK_EARLIEST_MS
    }

    /// Whether ages can be told by this clock.
    pub(crate) fn are_ages_sound(&self) -> bool {
        self.shared.clock_verdict() != ClockVerdict::Differs && self.clock.now_ms() >= CLOCK_EARLIEST_MS
    }

    /// The engine, for chores that read before they write.
    pub(crate) fn engine(&self) -> Result<Arc<dyn Engine>, StoreError> {
        self.shared.engine.current()
    }
}

fn fail_all(replies: Vec<Reply>, error: &StoreError) {
    for reply in replies {
        reply(Err(error.for_each_waiting()));
    }
}
