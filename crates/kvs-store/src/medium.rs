//! Where an engine's files are: what opens it, again if need be, and says how much room is left.

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::contract::{Engine, EngineError};
use crate::engine::device::Device;
use crate::engine::disk::{DiskEngine, DiskOptions};
use crate::engine::memory::MemoryEngine;

/// What holds an engine's files.
pub trait Medium: Send + Sync + 'static {
    /// Opens the engine. The one opened before must be gone.
    ///
    /// # Errors
    ///
    /// The files are in use, damaged or unreadable.
    fn open(&self) -> Result<Arc<dyn Engine>, EngineError>;

    /// Free bytes; `None` when unknown.
    fn free_bytes(&self) -> Option<u64>;
}

/// A folder on a disk.
#[derive(Debug, Clone)]
pub struct DiskMedium {
    /// The engine's own folder.
    pub dir: PathBuf,
    /// How the engine is set up.
    pub options: DiskOptions,
}

impl Medium for DiskMedium {
    fn open(&self) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(Arc::new(DiskEngine::open(&self.dir, &self.options)?))
    }

    fn free_bytes(&self) -> Option<u64> {
        let stats = rustix::fs::statvfs(&self.dir).ok()?;
        Some(stats.f_bavail.saturating_mul(stats.f_frsize))
    }
}

/// A device in memory.
#[derive(Debug, Clone)]
pub struct MemoryMedium {
    /// The device; a clone of it is the same device.
    pub device: Device,
}

impl Medium for MemoryMedium {
    fn open(&self) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(Arc::new(MemoryEngine::open(&self.device)))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.device.reported_free_bytes()
    }
}
