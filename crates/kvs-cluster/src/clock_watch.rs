//! What a node knows of its own clock from one moment to the next, and what an earlier process noted of it.

use std::time::Duration;

use kvs_core::cursor::Cursor;
use kvs_protocol::call::Now;
use kvs_store::commit::mark::Note;
use kvs_store::error::StoreError;
use kvs_store::store::Store;

use crate::clocks::{Judgement, Watch};
use crate::limits::UNHEARD_PATIENCE;

/// This node's clock, as far as replication cares.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    pub(crate) judgement: Judgement,
    pub(crate) watch: Watch,
    /// Until when nothing is judged by it although no peer has said that it is wrong: nobody was asked yet.
    pub(crate) unheard_until: Option<Duration>,
    /// By how much it is ahead of the right time, in milliseconds; `None` while nobody knows.
    pub(crate) offset_ms: Option<i64>,
    /// Epochs that ended in this process as the clock was set, and the clock has not agreed with the peers' since.
    pub(crate) unsolved: Vec<Ended>,
    /// What was noted last of the current epoch: by how much the clock is ahead in it.
    pub(crate) noted: Option<(u64, i64)>,
    pub(crate) recall_at: Duration,
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
            watch: Watch::new(now),
            unheard_until: Some(now.monotonic.saturating_add(UNHEARD_PATIENCE)),
            offset_ms: None,
            unsolved: Vec::new(),
            noted: None,
            recall_at: Duration::ZERO,
        }
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
