//! The audit trail as its users see it: files written by one side, judged by the other.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failing step must fail the test"
)]

mod foreign;
mod log;
mod mutations;
mod rollback;
mod scene;
mod trail;
