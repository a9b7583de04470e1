//! The server of a node: sockets, HTTP, timers. It decides nothing about records; the store does.
//!
//! [`node`] is the life of a node from start to stop; `http::door` is where every request comes in, and from there one
//! file per resource.

mod access;
mod account_routes;
mod answer;
mod answer_cache;
mod audit;
mod backup_schedule;
mod backups;
mod budget;
pub mod client_address;
pub mod clock;
mod cluster;
mod conditions;
mod conflict_log;
mod connection;
mod context;
pub mod error;
pub mod honesty;
mod host;
mod http;
mod json_check;
pub mod limits;
pub mod listener;
pub mod local_token;
pub mod logging;
mod metrics;
mod metrics_text;
pub mod node;
pub mod peer;
mod problem;
mod random;
mod range_cursor;
pub mod rate_limit;
mod read_pace;
mod request_id;
pub mod root_token;
mod routes;
mod scans;
mod tls;
mod writer;
