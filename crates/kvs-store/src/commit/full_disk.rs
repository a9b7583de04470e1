//! A full disk: writes are refused until there is room again, and then go on by themselves.

use crate::commit::after_full::AfterFull;
use crate::commit::committer::Committer;
use crate::commit::plan::Selfhood;
use crate::engine::contract::{Batch, EngineError, Sync};
use crate::error::StoreError;
use crate::limits::{DISK_RESERVE_BYTES, RECOVER_INTERVAL, SHORT_OF_ROOM_KEPT};
use crate::medium::Room;
use crate::node::{self, NewIdentity};
use crate::shared::State;
use crate::standing::{self, Standing};
use crate::start::{self, Start};

impl Committer {
    /// Refuses writes while the disk is full or the store poisoned; notices a disk that fills up before it is full.
    pub(super) fn may_write(&mut self) -> Result<(), StoreError> {
        if self.shared.state() == State::Full {
            self.recover_if_due();
        }
        match self.shared.state() {
            State::Open => {}
            State::Full => return Err(StoreError::Full),
            State::Poisoned(reason) => return Err(StoreError::Poisoned(reason)),
        }
        if self.has_less_than(DISK_RESERVE_BYTES) {
            self.become_full(AfterFull::GoOn);
            return Err(StoreError::Full);
        }
        Ok(())
    }

    pub(super) fn has_less_than(&self, bytes: u64) -> bool {
        start::has_less_than(&*self.shared.medium, bytes)
    }

    /// Remembers for a while that the disk was short of room. A flush in the background may have failed for that before
    /// any write notices, and somebody may have made room meanwhile.
    pub(super) fn look_for_room(&mut self) {
        if self.has_less_than(DISK_RESERVE_BYTES.saturating_mul(2)) {
            self.short_until = self.clock.monotonic() + SHORT_OF_ROOM_KEPT;
        }
    }

    /// Notes what an engine failure means for further writes.
    pub(super) fn fail(&mut self, error: EngineError) -> StoreError {
        self.look_for_room();
        let was_short = self.clock.monotonic() < self.short_until;
        match error {
            EngineError::Full => {
                self.become_full(AfterFull::Reopen);
                StoreError::Full
            }
            // Nothing was written by us: an earlier failure in the background closed the engine.
            EngineError::Poisoned if was_short => {
                self.become_full(AfterFull::Reopen);
                StoreError::Full
            }
            error => {
                tracing::error!(%error, "a write failed: writes are refused until the node is restarted");
                self.shared.set_state(State::Poisoned(error.to_string()));
                StoreError::Poisoned(error.to_string())
            }
        }
    }

    pub(super) fn become_full(&mut self, after_full: AfterFull) {
        let place = self.shared.medium.place().map(|place| place.display().to_string()).unwrap_or_default();
        let Room { free_bytes, needed_bytes } = Room::of(&*self.shared.medium);
        tracing::error!(
            path = place,
            free_bytes,
            needed_bytes,
            "disk_full: writes are refused until there is room, reads go on"
        );
        self.after_full = after_full;
        self.recover_at = self.clock.monotonic() + RECOVER_INTERVAL;
        self.shared.set_state(State::Full);
    }

    /// Goes on once a full disk has room again.
    pub(super) fn recover_if_due(&mut self) {
        if self.shared.state() != State::Full || self.clock.monotonic() < self.recover_at {
            return;
        }
        self.recover_at = self.clock.monotonic() + RECOVER_INTERVAL;
        if self.has_less_than(DISK_RESERVE_BYTES + DISK_RESERVE_BYTES / 4) {
            return;
        }
        let recovered = match (self.shared.has_begun(), self.after_full) {
            (true, AfterFull::GoOn) => Ok(()),
            (true, AfterFull::Reopen) => self.reopen(),
            (false, _) => self.begin(),
        };
        match recovered {
            Ok(()) => {
                tracing::info!("the disk has room again: writes go on");
                self.after_full = AfterFull::GoOn;
                self.shared.set_state(State::Open);
            }
            Err(error) => tracing::warn!(%error, "the engine cannot be opened again yet"),
        }
    }

    /// Makes up the start of a node that found the disk full.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        let engine = match self.after_full {
            AfterFull::GoOn => self.shared.engine.current()?,
            AfterFull::Reopen => self.shared.engine.reopen(&*self.shared.medium)?,
        };
        // What is read here is a node that was found: it needs no uuid.
        let random = NewIdentity { node: [0; 16], epoch: rand::RngExt::random(&mut self.random) };
        let start = Start::read(&*engine, &self.settings, self.clock.now_ms(), random)?;
        self.after_full = AfterFull::Reopen;
        start.write(&*engine)?;
        self.selfhood = start.after;
        self.shared.publish_standing(&self.selfhood);
        self.shared.set_begun();
        Ok(())
    }

    /// Opens the engine again after a write that was cut short. Numbers given out by that write may be forgotten, so
    /// a new epoch begins.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        let engine = self.shared.engine.reopen(&*self.shared.medium)?;
        let (mut identity, mut counters, _) =
            node::load(&*engine)?.ok_or_else(|| StoreError::Poisoned("the node table is empty".into()))?;
        let mut standing = Standing::load(&*engine, standing::load_epochs(&*engine, &identity, &counters)?)?;
        let before = standing.clone();
        let random = rand::RngExt::random(&mut self.random);
        let now_ms = self.clock.now_ms();
        let set_by_ms = self.look_at_clock();
        if set_by_ms != 0
            && let Some(current) = standing.epochs.last_mut()
        {
            // This is the epoch that the clock was set in.
            current.ended_ms = now_ms.saturating_sub_signed(set_by_ms);
        }
        standing::begin_epoch(&mut identity, &mut counters, &mut standing, now_ms, random);
        let mut batch = Batch::default();
        node::put_identity(&mut batch, &identity);
        node::put_counters(&mut batch, &counters);
        before.put_changes(&standing, &mut batch);
        engine.commit(batch, Sync::Disk)?;
        engine.flush()?;
        self.clock_notice.note();
        // Nobody knows what became of the batch that was cut short.
        self.shared.tree.lock().restart();
        self.selfhood = Selfhood { identity, counters, standing };
        self.shared.publish_standing(&self.selfhood);
        Ok(())
    }
}
