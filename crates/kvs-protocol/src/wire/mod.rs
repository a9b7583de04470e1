//! The messages of replication, status and bootstrap: byte tables, bounds, encoding and decoding.
//!
//! Each message begins with a version byte. Records travel as the bytes in which they rest; whoever takes one decodes
//! and checks it there.

pub mod decode_error;
pub mod keyed_record;
pub mod page;
pub mod relay;
pub mod replicate;
pub mod status;
