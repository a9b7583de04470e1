//! Backups: one file with everything that a node holds at one moment, independent of the engine.
//!
//! A backup is written from one view while writes go on, into a temporary file beside its final place; it is synced,
//! read back and verified before it gets its name. Whatever happens on the way, the folder holds what it held before,
//! and perhaps a temporary file that the next backup removes.
//!
//! A restore verifies the whole file before it touches the data directory, which must be empty or absent, and marks the
//! directory until it is done, so that a restore that was cut short is never taken for a node.
//!
//! **Invariants:** nothing of a file is believed before its checksum was compared; memory is bounded by the size of one
//! block, whatever the file says; an old backup is removed only after a newer one of the same node was verified.
//!
//! Left out: encryption and signatures. The checksums find every accident; whoever may write to the backup folder can
//! also write a backup, as they could write to the data directory.

pub mod create;
pub mod error;
pub mod format;
pub mod list;
pub mod manifest;
mod name;
pub mod progress;
mod reader;
pub mod restore;
pub mod retain;
mod rows;
mod sequence;
mod temporary;
pub mod verify;
mod writer;
