//! A client of a running node: reads, writes, listings, import and export over the node's HTTP interface.
//!
//! Everything here is blocking and prints nothing: functions return what the program `kvs` shows, or a
//! [`error::ClientError`]. The one exception is the progress bar ([`progress`]), drawn on standard error and only
//! when that is a terminal.
//!
//! Left out: the store's files (`kvs-store`), processes (`kvs-daemon`), tables and exit codes (`kvs`).

pub mod accounts;
pub mod backup;
mod batch;
mod clock;
mod duplicates;
pub mod error;
mod escape;
pub mod export;
pub mod http;
pub mod import;
mod json;
pub mod limits;
mod line;
mod lines;
pub mod list;
pub mod members;
pub mod parked;
mod path;
pub mod progress;
pub mod reads;
pub mod report;
mod retry;
pub mod target;
pub mod template;
mod tls;
pub mod writes;
