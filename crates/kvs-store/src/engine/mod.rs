//! The engine: where rows rest, behind a narrow trait, with the disk engine and a deterministic one in memory.

pub mod contract;
pub mod device;
pub mod disk;
pub mod memory;
