//! Backups: what is written comes back, what is damaged is refused, what is cut short leaves nothing half.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod damage;
mod forged;
mod format_1;
mod killed;
mod moment;
mod node;
mod restored;
mod retention;
mod round_trip;
