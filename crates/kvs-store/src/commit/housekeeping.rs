//! What the committer does between batches: expired values become tombstones, old tombstones are forgotten.
//!
//! Both go through the plan as ordinary writes, decided again inside the commit: between the scan and the commit
//! nothing else can write, but the rule must not depend on that.
//!
//! Age alone would not be enough to collect once there are other members: each of them must hold the tombstone first.
//! A node alone has no other members.

use std::ops::Bound;
use std::time::Duration;

use kvs_core::precondition::Precondition;
use kvs_core::record::Principal;

use crate::commit::committer::Committer;
use crate::commit::write::{Change, Write};
use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{read_dot_key, read_time_key};
use crate::limits::{COLLECT_INTERVAL, COLLECT_KEYS_MAX, REAP_INTERVAL, REAP_KEYS_MAX};
use crate::observer::Key;
use crate::table::Table;

/// When each chore is due, and where collection goes on.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    reap_at: Duration,
    collect_at: Duration,
    /// The last tombstone looked at; the next round starts behind it, at the beginning after the last.
    collected_up_to: Option<Vec<u8>>,
}

impl Chores {
    pub(crate) fn run(&mut self, committer: &mut Committer) -> Result<(), StoreError> {
        let now = committer.clock.monotonic();
        if now >= self.reap_at {
            let reaped = reap(committer)?;
            // A full round means that more is due: the next batch of writes goes first, then the rest.
            self.reap_at = if reaped == REAP_KEYS_MAX { now } else { now + REAP_INTERVAL };
        }
        if now >= self.collect_at {
            self.collect_at = now + COLLECT_INTERVAL;
            self.collect(committer)?;
        }
        Ok(())
    }

    fn collect(&mut self, committer: &mut Committer) -> Result<(), StoreError> {
        let now_ms = committer.clock.now_ms();
        let grace_ms = committer.settings.tombstone_grace_ms;
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
                if stamp_ms.saturating_add(grace_ms) <= now_ms {
                    writes.push(write(key, Change::Collect(dot)));
                }
                if seen == COLLECT_KEYS_MAX {
                    self.collected_up_to = Some(row_key.to_vec());
                    break;
                }
            }
        }
        if seen == COLLECT_KEYS_MAX {
            self.collect_at = committer.clock.monotonic();
        }
        commit(committer, writes)
    }
}

/// Turns values whose expiry has come into tombstones; answers how many it found.
fn reap(committer: &mut Committer) -> Result<usize, StoreError> {
    let now_ms = committer.clock.now_ms();
    let due = (Bound::Unbounded, Bound::Excluded(now_ms.saturating_add(1).to_be_bytes().to_vec()));
    let mut writes = Vec::new();
    {
        let engine = committer.engine()?;
        let snapshot = engine.snapshot();
        for row in snapshot.range(Table::Expiry, due, Order::Ascending).take(REAP_KEYS_MAX) {
            let (row_key, _) = row?;
            let (_, key) = read_time_key(&row_key)
                .ok_or_else(|| StoreError::corrupt(Table::Expiry.name(), &row_key, "it cannot be read"))?;
            writes.push(write(key, Change::Expire));
        }
    }
    let found = writes.len();
    commit(committer, writes)?;
    Ok(found)
}

fn commit(committer: &mut Committer, writes: Vec<Write>) -> Result<(), StoreError> {
    if writes.is_empty() {
        return Ok(());
    }
    for verdict in committer.write(vec![writes])? {
        verdict?;
    }
    Ok(())
}

fn write(key: Key, change: Change) -> Write {
    Write {
        namespace: key.namespace,
        path: key.path,
        change,
        precondition: Precondition::default(),
        author: Principal::nobody(),
    }
}
