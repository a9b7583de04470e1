//! The black-box tests: the real program, driven from outside as its users drive it.
//!
//! They are written from the documented contract and know nothing of the crates behind it; only whoever plays a peer
//! (`support/peer.rs`, `cluster_trust.rs`) speaks the peers' protocol by its own code. Every test has a home and a folder of
//! its own and takes free ports, so that nothing of the machine's user is touched and tests run side by side. Waiting is
//! always for a state that can be looked at, within a bound.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a failing step must fail the test, and a skipped one must say so"
)]

mod access_table;
mod accounts;
mod audit;
mod backup;
mod check;
mod cli;
mod clock_ahead;
mod cluster;
mod cluster_faults;
mod cluster_partitions;
mod cluster_trust;
mod config;
mod conflict;
mod daemon;
mod data;
mod deleted_elsewhere;
mod documented;
mod forged;
mod forgotten;
mod framing;
mod full_disk;
mod guards;
mod joining;
mod json;
mod kill9;
mod members;
mod metadata_above;
mod never_shown;
mod no_right_gained;
mod parser;
mod paths;
mod peers;
mod put_back;
mod rate_limit;
mod readme;
mod revocation;
mod script;
mod secret_nowhere;
mod spellings;
mod strangers;
mod support;
mod tls;
mod tls_cluster;
mod token_command;
