//! What the committer does between batches: expired values become tombstones, old tombstones are forgotten.
//!
//! Both go through the plan as ordinary writes, decided again inside the commit: between the scan and the commit
//! nothing else can write, but the rule must not depend on that.
//!
//! While this node's clock disagrees with its peers' nothing of this is done: ages mean nothing then.
//!
//! After a recall the current records and the parked ones above its stamp are looked through, a few at a time, and those
//! that it recalls are voided. A crash on the way begins it again: the standing says that it is not done.
//!
//! Age alone is not enough to collect while there are other members: each of them must have the tombstone first, or one
//! that was away would bring the value back. A node alone has no other members.

use std::ops::Bound;
use std::time::Duration;

use kvs_core::origin::born_s;
use kvs_core::precondition::Precondition;
use kvs_core::recall::may_be_recalled;

use crate::commit::asker::Asker;
use crate::commit::chores::Chores;
use crate::commit::committer::Committer;
use crate::commit::mark::Mark;
use crate::commit::write::{Change, Outcome, Transaction, Write};
use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{read_dot_key, read_time_key, record_key};
use crate::limits::{
    ADMIT_INTERVAL, ADMIT_KEYS_MAX, COLLECT_INTERVAL, COLLECT_KEYS_MAX, COLLECT_STEP, REAP_INTERVAL,
    REAP_KEYS_MAX, SWEEP_KEYS_MAX, SWEEP_RETRY,
};
use crate::observer::Key;
use crate::parked;
use crate::row::Row;
use crate::table::Table;

impl Chores {
    pub(crate) fn run(&mut self, committer: &mut Committer) -> Result<(), StoreError> {
        let now = committer.clock.monotonic();
        if now >= self.sweep_at {
            // Forgotten when it succeeds.
            self.sweep_at = now + SWEEP_RETRY;
            if self.sweep(committer)? {
                self.sweep_at = Duration::ZERO;
            }
        }
        if now >= self.reap_at {
            // First, so that a round that fails is not tried again with every batch.
            self.reap_at = now + REAP_INTERVAL;
            if committer.are_ages_sound() {
                self.reap(committer)?;
            }
        }
        if now >= self.admit_at {
            self.admit_at = now + ADMIT_INTERVAL;
            if committer.are_ages_sound() && admit(committer)? == ADMIT_KEYS_MAX {
                self.admit_at = now;
            }
            if committer.is_clock_confirmed() && self.set_aside(committer)? {
                self.admit_at = now;
            }
        }
        if now >= self.collect_at {
            self.collect_at = now + COLLECT_INTERVAL;
            if committer.are_ages_sound() {
                self.collect(committer)?;
            }
        }
        self.upkeep.run(&committer.shared, now)
    }

    /// Looks through the next records above a recalled stamp: the parked ones first, so that none is admitted meanwhile. Answers
    /// whether it may go on at once: not when some could not be voided, which are tried again after a while.
    fn sweep(&mut self, committer: &mut Committer) -> Result<bool, StoreError> {
        let Some(sweep) = committer.sweep() else {
            (self.swept, self.sweep_has_failed) = (None, false);
            return Ok(true);
        };
        let begin = |table| (sweep, table, sweep.above_ms.saturating_add(1).to_be_bytes().to_vec());
        let (_, table, from) = match self.swept.take() {
            Some(swept) if swept.0 == sweep => swept,
            _ => begin(Table::Parked),
        };
        let mut writes = Vec::new();
        let (mut seen, mut last) = (0, None);
        {
            let engine = committer.engine()?;
            let snapshot = engine.snapshot();
            let to = if table == Table::Parked { parked::stamps_end() } else { Bound::Unbounded };
            let range = (Bound::Included(from), to);
            for row in snapshot.range(table, range, Order::Ascending).take(SWEEP_KEYS_MAX) {
                let (row_key, value) = row?;
                seen += 1;
                if table == Table::Parked {
                    let (key, record) = parked::decode(&row_key, &value)?;
                    if committer.is_void(&record) {
                        // What was recalled is not admitted, but kept in the history.
                        writes.push(write(key, Change::Admit(Box::new(record))));
                    }
                } else {
                    let (_, key) = read_time_key(&row_key)
                        .ok_or_else(|| StoreError::corrupt(table.name(), &row_key, "it cannot be read"))?;
                    writes.push(write(key, Change::Void));
                }
                last = Some(row_key.to_vec());
            }
        }
        let done = commit(committer, writes)?;
        self.sweep_has_failed |= done.failed > 0;
        if done.changed > 0 {
            tracing::warn!(
                versions = done.changed,
                "stamped by a clock that was ahead, and recalled: see their histories"
            );
        }
        self.swept = match last.filter(|_| seen == SWEEP_KEYS_MAX) {
            Some(mut last) => {
                last.push(0);
                Some((sweep, table, last))
            }
            None if table == Table::Parked => Some(begin(Table::ByTime)),
            None if std::mem::take(&mut self.sweep_has_failed) => {
                self.swept = None;
                return Ok(false);
            }
            None => {
                let done = Transaction { writes: Vec::new(), marks: vec![Mark::Swept(sweep)] };
                committer.write(vec![done])?.into_iter().collect::<Result<Vec<_>, _>>()?;
                committer.recount_parked()?;
                None
            }
        };
        Ok(true)
    }

    /// Lets the next records wait that came while a clock was wrong and are too far ahead; answers whether there may be more to do
    /// at once. What stays where it is, as placeholders do, is looked at again with the next round.
    fn set_aside(&mut self, committer: &mut Committer) -> Result<bool, StoreError> {
        let after_ms = committer.clock.now_ms().saturating_add(committer.settings.clock_skew_ms_max);
        let first = after_ms.saturating_add(1).to_be_bytes().to_vec();
        let from = self.set_aside_from.take().map_or_else(|| first.clone(), |from| from.max(first.clone()));
        let own = committer.node();
        let (mut writes, mut seen, mut last) = (Vec::new(), 0, None);
        {
            let engine = committer.engine()?;
            let snapshot = engine.snapshot();
            let ahead = (Bound::Included(from), Bound::Unbounded);
            for row in snapshot.range(Table::ByTime, ahead, Order::Ascending).take(ADMIT_KEYS_MAX) {
                let (row_key, _) = row?;
                let (_, key) = read_time_key(&row_key).ok_or_else(|| {
                    StoreError::corrupt(Table::ByTime.name(), &row_key, "it cannot be read")
                })?;
                seen += 1;
                last = Some(row_key.to_vec());
                if !may_be_recalled(key.namespace, &key.path) {
                    continue;
                }
                let stored = snapshot.get(Table::Records, &record_key(key.namespace, &key.path))?;
                let row = stored.map(|bytes| Row::decode(&key, &bytes)).transpose()?;
                if row
                    .is_some_and(|row| !row.record.kind.is_placeholder() && row.record.dot.origin.node != own)
                {
                    writes.push(write(key, Change::SetAside));
                }
            }
        }
        let has_more = seen == ADMIT_KEYS_MAX;
        self.set_aside_from = last.filter(|_| has_more).map(|mut last| {
            last.push(0);
            last
        });
        Ok(commit(committer, writes)?.changed > 0 && has_more)
    }

    /// Turns the next values whose expiry has come into tombstones, and takes placeholders away whose time has come.
    fn reap(&mut self, committer: &mut Committer) -> Result<(), StoreError> {
        let end = committer.clock.now_ms().saturating_add(1).to_be_bytes().to_vec();
        // Some placeholders stay: those behind them must have their turn. The clock may have been set back meanwhile.
        let from = self.reaped_up_to.take().filter(|from| *from < end);
        let due = (from.map_or(Bound::Unbounded, Bound::Excluded), Bound::Excluded(end));
        let (mut writes, mut last) = (Vec::new(), None);
        {
            let engine = committer.engine()?;
            let snapshot = engine.snapshot();
            for row in snapshot.range(Table::Expiry, due, Order::Ascending).take(REAP_KEYS_MAX) {
                let (row_key, _) = row?;
                let (_, key) = read_time_key(&row_key).ok_or_else(|| {
                    StoreError::corrupt(Table::Expiry.name(), &row_key, "it cannot be read")
                })?;
                writes.push(write(key, Change::Expire));
                last = Some(row_key.to_vec());
            }
        }
        let seen = writes.len();
        let changed = commit(committer, writes)?.changed;
        if seen == REAP_KEYS_MAX {
            self.reaped_up_to = last;
            if changed > 0 {
                // More is due: the next batch of writes goes first, then the rest.
                self.reap_at = committer.clock.monotonic();
            }
        }
        Ok(())
    }

    fn collect(&mut self, committer: &mut Committer) -> Result<(), StoreError> {
        let now_ms = committer.clock.now_ms();
        let grace_ms = committer.settings.tombstone_grace_ms;
        let skew_ms = committer.settings.clock_skew_ms_max;
        let from = self.collected_up_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut writes = Vec::new();
        let mut seen = 0;
        {
            let engine = committer.engine()?;
            let snapshot = engine.snapshot();
            for row in snapshot.range(Table::Tombstones, (from, Bound::Unbounded), Order::Ascending) {
                let (row_key, value) = row?;
                seen += 1;
                let corrupt = || StoreError::corrupt(Table::Tombstones.name(), &row_key, "it cannot be read");
                let dot = read_dot_key(&row_key).ok_or_else(corrupt)?;
                let (stamp_ms, key) = read_time_key(&value).ok_or_else(corrupt)?;
                // What was recalled was written anew with the stamp that it should have had, long before its start began.
                let born_ms = born_s(dot.origin.epoch).saturating_mul(1000);
                let is_older = stamp_ms.saturating_add(skew_ms) < born_ms
                    && born_ms <= now_ms
                    && committer.has_recalls_of(dot.origin.node);
                let since_ms = if is_older { born_ms } else { stamp_ms };
                if since_ms.saturating_add(grace_ms) <= now_ms && committer.shared.is_below_floor(&dot) {
                    writes.push(write(key, Change::Collect(dot)));
                }
                if seen == COLLECT_KEYS_MAX {
                    self.collected_up_to = Some(row_key.to_vec());
                    break;
                }
            }
        }
        let collected = commit(committer, writes)?.changed;
        if seen == COLLECT_KEYS_MAX {
            // Looking at tombstones that stay must not slow writes down; those that go must not pile up.
            let pause = if collected > 0 { Duration::ZERO } else { COLLECT_STEP };
            self.collect_at = committer.clock.monotonic() + pause;
        }
        Ok(())
    }
}

/// Takes parked records that have come into range; answers how many.
fn admit(committer: &mut Committer) -> Result<usize, StoreError> {
    if committer.parked() == 0 {
        return Ok(0);
    }
    let until_ms = committer.clock.now_ms().saturating_add(committer.settings.clock_skew_ms_max);
    // The rows that are found by keys lie behind every stamp.
    let until_ms = until_ms.min(u64::MAX >> 9);
    let due = (Bound::Unbounded, Bound::Excluded(until_ms.saturating_add(1).to_be_bytes().to_vec()));
    let mut writes = Vec::new();
    {
        let engine = committer.engine()?;
        let snapshot = engine.snapshot();
        for row in snapshot.range(Table::Parked, due, Order::Ascending).take(ADMIT_KEYS_MAX) {
            let (row_key, value) = row?;
            let (key, record) = parked::decode(&row_key, &value)?;
            writes.push(write(key, Change::Admit(Box::new(record))));
        }
    }
    let due = writes.len();
    let failed = commit(committer, writes)?.failed;
    if due > 0 {
        committer.recount_parked()?;
    }
    Ok(due - failed)
}

/// What became of writes.
#[derive(Default)]
struct Done {
    /// How many changed something.
    changed: usize,
    /// How many could not be made.
    failed: usize,
}

/// Commits the writes, one by one if they cannot be made together.
fn commit(committer: &mut Committer, writes: Vec<Write>) -> Result<Done, StoreError> {
    let mut done = Done::default();
    if writes.is_empty() {
        return Ok(done);
    }
    for verdict in committer.write(vec![Transaction::from(writes.clone())])? {
        match verdict {
            Ok(outcomes) => done.changed += count_changes(&outcomes),
            Err(error) => {
                tracing::warn!(%error, "a chore of a key fails: it is left out");
                let each = writes.iter().map(|write| Transaction::from(vec![write.clone()])).collect();
                for verdict in committer.write(each)? {
                    match verdict {
                        Ok(outcomes) => done.changed += count_changes(&outcomes),
                        Err(_) => done.failed += 1,
                    }
                }
            }
        }
    }
    Ok(done)
}

fn count_changes(outcomes: &[Outcome]) -> usize {
    let has_changed = |outcome: &&Outcome| {
        matches!(outcome, Outcome::Expired | Outcome::Collected | Outcome::Voided | Outcome::Parked)
    };
    outcomes.iter().filter(has_changed).count()
}

fn write(key: Key, change: Change) -> Write {
    Write {
        namespace: key.namespace,
        path: key.path,
        change,
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    }
}
