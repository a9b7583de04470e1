//! Where an engine's files are: what opens it, again if need be, and says how much room is left.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use crate::engine::contract::{Engine, EngineError};
use crate::engine::device::Device;
use crate::engine::disk::{DiskEngine, DiskOptions};
use crate::engine::memory::MemoryEngine;
use crate::limits::DISK_RESERVE_BYTES;

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

    /// Where it is, for people; `None` where there is no such place.
    fn place(&self) -> Option<&FilePath> {
        None
    }
}

/// How much room a disk has, and how much it must have for writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free bytes; `None` when unknown.
    pub free_bytes: Option<u64>,
    /// Free bytes below which writes are refused.
    pub needed_bytes: u64,
}

impl Room {
    /// The room of a medium now.
    pub(crate) fn of(medium: &dyn Medium) -> Self {
        Self { free_bytes: medium.free_bytes(), needed_bytes: DISK_RESERVE_BYTES }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.free_bytes {
            Some(free) => write!(out, "{free} bytes are free, {} are needed", self.needed_bytes),
            None => write!(out, "{} free bytes are needed", self.needed_bytes),
        }
    }
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

    fn place(&self) -> Option<&FilePath> {
        Some(&self.dir)
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
