//! A disk in memory that crashes, tears and fails on demand.
//!
//! It outlives the engine that writes to it, as a disk outlives a process. What was synced survives a crash; of what was
//! not, any prefix may, and its last bytes may be wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the device shall do wrong, counted from its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// This sync (from 1) and all later ones fail.
    pub sync_fails_from: Option<u64>,
    /// Writes that would make the device larger than this fail for want of room.
    pub capacity_bytes: Option<usize>,
    /// What it says when asked for its free bytes.
    pub free_bytes: Option<u64>,
    /// A thread of the engine fails to write in the background, which closes the engine for writes.
    pub background_fails: bool,
}

/// Why the device failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceError {
    /// A sync failed; nothing is known about unsynced bytes.
    SyncFailed,
    /// No room; nothing was written.
    Full,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    synced_len: usize,
    syncs: u64,
    faults: Faults,
}

/// How much of the unsynced bytes a crash leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// Nothing.
    Clean,
    /// This many bytes (at most all).
    After(usize),
    /// This many bytes, the last of them wrong.
    Garbled(usize),
    /// All of it, as when only the process died.
    Nothing,
}

/// A disk with one append-only file.
#[derive(Debug, Clone, Default)]
pub struct Device {
    state: Arc<Mutex<State>>,
}

impl Device {
    /// An empty device without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, do these things wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many syncs were asked for so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// How many bytes it holds, synced or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// How many bytes it says are free; `None` when it does not say.
    #[must_use]
    pub fn reported_free_bytes(&self) -> Option<u64> {
        self.lock().faults.free_bytes
    }

    /// Whether the engine's threads fail.
    pub(crate) fn fails_in_background(&self) -> bool {
        self.lock().faults.background_fails
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The power goes: of the unsynced bytes, only what `torn` says is left, and that counts as synced. Faults end.
    pub fn crash(&self, torn: Torn) {
        let mut state = self.lock();
        let unsynced = state.bytes.len() - state.synced_len;
        let left = match torn {
            Torn::Clean => 0,
            Torn::After(count) | Torn::Garbled(count) => count.min(unsynced),
            Torn::Nothing => unsynced,
        };
        let end = state.synced_len + left;
        state.bytes.truncate(end);
        if matches!(torn, Torn::Garbled(_))
            && left > 0
            && let Some(last) = state.bytes.last_mut()
        {
            *last ^= 0xa5;
        }
        state.synced_len = end;
        state.faults = Faults::default();
    }

    /// Everything it holds.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// Appends bytes, unsynced.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Full`]; nothing was written.
    pub fn append(&self, bytes: &[u8]) -> Result<(), DeviceError> {
        let mut state = self.lock();
        let len = state.bytes.len() + bytes.len();
        if state.faults.capacity_bytes.is_some_and(|capacity| len > capacity) {
            return Err(DeviceError::Full);
        }
        state.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes everything so far survive a crash.
    ///
    /// # Errors
    ///
    /// [`DeviceError::SyncFailed`]; unsynced bytes stay unsynced.
    pub fn sync(&self) -> Result<(), DeviceError> {
        let mut state = self.lock();
        state.syncs += 1;
        if state.faults.sync_fails_from.is_some_and(|from| state.syncs >= from) {
            return Err(DeviceError::SyncFailed);
        }
        state.synced_len = state.bytes.len();
        Ok(())
    }

    /// Cuts off everything behind `len`, as recovery does with a torn tail.
    pub fn truncate(&self, len: usize) {
        let mut state = self.lock();
        state.bytes.truncate(len);
        state.synced_len = state.synced_len.min(len);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
