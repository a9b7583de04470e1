//! The start of a node: what it finds of itself, and what must be on the disk before it takes a write.
//!
//! Reading comes first and needs no room. Writing (a new epoch where one is due, the count of starts, the note that the
//! node is open) needs some, and comes before any other write: a number is given out only in an epoch that is durable.
//! So a node whose disk is full serves reads as what it was, and the committer makes the start up once there is room.

use std::sync::Arc;

use crate::commit::plan::Selfhood;
use crate::engine::contract::{Batch, Engine, EngineError, Sync};
use crate::epoch_start::EpochStart;
use crate::error::StoreError;
use crate::limits::DISK_RESERVE_BYTES;
use crate::medium::Medium;
use crate::node::{self, Counters, Identity, Left, NewIdentity};
use crate::parked;
use crate::settings::{Durability, Settings};
use crate::standing::{self, Standing};
use crate::table::Table;

/// Whether the engine holds a node already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is empty: this start makes the node.
    Nothing,
    /// The node of an earlier start.
    Node,
}

/// What must be done with the engine before the start is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovered {
    /// Nothing: the node was closed in order, or is new.
    Nothing,
    /// What was recovered from the engine's journal gets files of its own before anything is built on it.
    Journal,
}

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is on the disk.
    Written,
    /// Nothing of it was tried: there is no room. The engine is as it was.
    Untried,
    /// It was tried and did not fit: the engine must be opened again.
    CutShort,
}

/// A start that was read, and is to be written.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) found: Found,
    /// Who the node is without this start.
    pub(crate) before: Selfhood,
    /// Who it is once the start is written.
    pub(crate) after: Selfhood,
    /// How often it was started, this time included.
    pub(crate) generation: u32,
    recovered: Recovered,
    durability: Durability,
    /// Rows of the table `parked` that a directory of an earlier version lacks.
    missing_rows: Vec<Vec<u8>>,
}

impl Start {
    /// Reads who the node is; a new one is made of `random`. Nothing is written.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub(crate) fn read(
        engine: &dyn Engine,
        settings: &Settings,
        now_ms: u64,
        random: NewIdentity,
    ) -> Result<Self, StoreError> {
        let generation = node::load_generation(engine)?.saturating_add(1);
        let durability = settings.durability;
        let Some((mut identity, mut counters, left)) = node::load(engine)? else {
            let identity = Identity::first(random, settings.first_joined, now_ms);
            let start = EpochStart::new(identity.origin.epoch, 0);
            let standing = Standing { epochs: vec![start], ..Standing::default() };
            let after = Selfhood { identity, counters: Counters::default(), standing };
            let (before, recovered) = (after.clone(), Recovered::Nothing);
            return Ok(Self {
                found: Found::Nothing,
                before,
                after,
                generation,
                recovered,
                durability,
                missing_rows: Vec::new(),
            });
        };
        let epochs = standing::load_epochs(engine, &identity, &counters)?;
        let mut standing = Standing::load(engine, epochs)?;
        let before = Selfhood { identity, counters, standing: standing.clone() };
        let recovered = match left {
            Left::InOrder => Recovered::Nothing,
            Left::Open(_) => Recovered::Journal,
        };
        // The directory may have been put back to an earlier moment, or lack what an earlier process wrote without waiting
        // for the disk: numbers that were given out may be forgotten, and nothing here can tell.
        standing::begin_epoch(&mut identity, &mut counters, &mut standing, now_ms, random.epoch);
        let after = Selfhood { identity, counters, standing };
        let missing_rows = parked::missing_rows(&*engine.snapshot())?;
        Ok(Self { found: Found::Node, before, after, generation, recovered, durability, missing_rows })
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// The engine could not write: it must be opened again before this is tried again.
    pub(crate) fn write(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        if self.recovered == Recovered::Journal {
            engine.flush()?;
        }
        let mut batch = Batch::default();
        self.before.standing.put_changes(&self.after.standing, &mut batch);
        batch.changes.retain(|change| change.key != standing::LIVES);
        standing::put_epochs(&mut batch, &self.after.standing.epochs);
        for row_key in &self.missing_rows {
            batch.put(Table::Parked, row_key.clone(), Vec::new());
        }
        node::put_generation(&mut batch, self.generation);
        node::put_identity(&mut batch, &self.after.identity);
        node::put_counters(&mut batch, &self.after.counters);
        node::put_left(&mut batch, Left::Open(self.durability));
        engine.commit(batch, Sync::Disk)
    }

    /// Writes it if there is room. A new node is written in any case: without a durable identity it is nobody.
    ///
    /// # Errors
    ///
    /// It could not be written, and not for want of room; or the node is new.
    pub(crate) fn write_if_there_is_room(
        &self,
        engine: &Arc<dyn Engine>,
        medium: &dyn Medium,
    ) -> Result<Begun, StoreError> {
        if self.found == Found::Node && has_less_than(medium, DISK_RESERVE_BYTES) {
            return Ok(Begun::Untried);
        }
        match self.write(&**engine) {
            Ok(()) => Ok(Begun::Written),
            Err(error) if self.found == Found::Node && is_want_of_room(&error, medium) => Ok(Begun::CutShort),
            Err(EngineError::Full) => Err(StoreError::Full),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a medium is known to have less free bytes than this.
pub(crate) fn has_less_than(medium: &dyn Medium, bytes: u64) -> bool {
    medium.free_bytes().is_some_and(|free| free < bytes)
}

/// Whether a failure of the engine comes from a full disk. A flush in the background that ran out of room closes the
/// engine before any write sees the full disk.
pub(crate) fn is_want_of_room(error: &EngineError, medium: &dyn Medium) -> bool {
    match error {
        EngineError::Full => true,
        EngineError::Poisoned => has_less_than(medium, DISK_RESERVE_BYTES.saturating_mul(2)),
        EngineError::Locked | EngineError::Corrupt(_) | EngineError::Io { .. } => false,
    }
}
