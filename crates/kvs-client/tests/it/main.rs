//! The client against a small HTTP server in this process, which can refuse, wait, break off and lie on demand.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failing step must fail the test")]

mod export;
mod import;
mod requests;
mod server;
