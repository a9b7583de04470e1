//! The audit trail of a node: what was done, by whom, in a form that shows when it was bent.
//!
//! An entry is one line of JSON that carries the hash of the line before it and its own ([`entry`]). Lines rest in
//! segments ([`segment`], [`trail`]). What the chain alone cannot show (an end that was cut off, an old copy put back, a
//! chain computed anew) is shown by signed statements about its head ([`checkpoint`]) that other nodes keep ([`peers`]).
//! [`verify`] reads it all and says what it found. A running node has one [`audit_log::AuditLog`].
//!
//! **Invariant:** no clock and no randomness; both are arguments. **Invariant:** no token and no value is an argument of
//! anything here. **Invariant:** reading (`verify`, `show`) changes nothing, also while a node writes.

mod anchors;
pub mod audit_log;
pub mod checkpoint;
pub mod checkpoint_file;
pub mod entry;
pub mod error;
pub mod event;
pub mod fault;
pub mod files;
pub mod hash;
pub mod limits;
mod link_check;
mod node_key;
pub mod peers;
pub mod position;
pub mod public_key;
mod recovery;
pub mod report;
pub mod segment;
pub mod show;
mod suppression;
mod syncer;
pub mod trail;
pub mod verify;
mod walk;
