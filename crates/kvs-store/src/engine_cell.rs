//! The engine in use: shared by readers and the committer, replaced when it must be opened again.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::engine::contract::{Engine, EngineError};
use crate::error::StoreError;
use crate::medium::Medium;

/// How long opening again waits for readers to let go of the old engine. New readers wait as long, each time that it is
/// tried while a view is held: short, as reads go on while the disk is full.
const READERS_WAIT_MAX: Duration = Duration::from_millis(100);
const READERS_WAIT_STEP: Duration = Duration::from_millis(1);

/// The engine in use.
pub(crate) struct EngineCell {
    engine: RwLock<Option<Arc<dyn Engine>>>,
}

impl EngineCell {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine: RwLock::new(Some(engine)) }
    }

    /// The engine; hold it for one operation or one snapshot's life only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`] while there is none: it could not be opened again, or the store is closed.
    pub(crate) fn current(&self) -> Result<Arc<dyn Engine>, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.clone().ok_or(StoreError::Closed)
    }

    /// Lets go of the engine and opens it again; readers wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`EngineError::Locked`] when a snapshot still holds the old engine, which then stays in use. Any other: there is
    /// no engine, reads answer [`StoreError::Closed`] until a later call succeeds.
    pub(crate) fn reopen(&self, medium: &dyn Medium) -> Result<Arc<dyn Engine>, EngineError> {
        let mut slot = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = slot.take() {
            let mut waited = Duration::ZERO;
            while Arc::strong_count(&old) > 1 {
                if waited >= READERS_WAIT_MAX {
                    *slot = Some(old);
                    return Err(EngineError::Locked);
                }
                std::thread::sleep(READERS_WAIT_STEP);
                waited += READERS_WAIT_STEP;
            }
            drop(old);
        }
        let engine = medium.open()?;
        *slot = Some(Arc::clone(&engine));
        Ok(engine)
    }

    /// Lets go of the engine for good.
    pub(crate) fn close(&self) {
        drop(self.engine.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}
