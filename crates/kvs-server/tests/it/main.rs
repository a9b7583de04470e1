//! The server over real sockets: a node on a free port, a temporary data directory, requests as raw bytes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a failing step must fail the test; waiting loops read the clock"
)]

mod batches;
mod conditions;
mod door;
mod histories;
mod http2;
mod lifecycle;
mod listings;
mod parked;
mod peer_attacks;
mod peer_calls;
mod peer_records;
mod peer_support;
mod relayed;
mod support;
mod upkeep;
mod values;
