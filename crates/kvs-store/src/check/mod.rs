//! The check of a store: every record, every index row, every revision and every counter, told and never repaired.
//!
//! The records are the truth, the other tables follow from them. One walk over `records` and `history` together reads
//! every version and adds up what the indexes ought to hold; then each index is added up and compared. Only an index
//! that differs is looked at row by row, so a healthy store costs one pass over each table. Memory is bounded whatever
//! the size of the store.
//!
//! Left out: whether payloads are JSON (that is decided at the door), and repair.

mod checkpoint;
pub(crate) mod content;
mod dots;
mod indexes;
pub mod report;
pub mod stopped;
mod versions;
pub mod view;
