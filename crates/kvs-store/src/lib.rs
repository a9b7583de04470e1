//! The store of a node: tables on an engine, one committer, reads from snapshots, history, expiry, backup.
//!
//! Blocking code without an async runtime: the server calls it from threads that may block.

pub mod backup;
pub mod check;
pub mod clock;
pub mod clock_pair;
pub mod clock_verdict;
pub mod commit;
pub mod compression;
pub mod data_dir;
pub mod engine;
mod engine_cell;
pub mod epoch_start;
pub mod error;
pub mod heard;
mod judged_clock;
pub mod keys;
pub mod limits;
pub mod medium;
pub mod node;
pub mod observer;
pub mod parked;
pub mod read;
pub mod rehearsal;
pub mod row;
pub mod settings;
pub mod shared;
pub mod ship_mark;
pub mod standing;
mod start;
pub mod store;
pub mod table;
pub mod tree;
mod vector_rows;
