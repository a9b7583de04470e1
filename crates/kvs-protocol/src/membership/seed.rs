//! What is known of the addresses that are asked until they answer.

use std::time::Duration;

use uuid::Uuid;

/// What became of the last call to a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeedOutcome {
    /// None yet.
    Unasked,
    /// The address is this node's own.
    Itself,
    /// It waits to be admitted as well; settled when all its own seeds answered.
    Waits { is_settled: bool },
    /// It is a member.
    Member,
    /// It did not answer.
    Failed,
}

/// An address to join through.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) address: String,
    pub(crate) node: Option<Uuid>,
    pub(crate) outcome: SeedOutcome,
    /// Why the last attempt failed.
    pub(crate) failure: Option<String>,
}

impl Seed {
    pub(crate) fn new(address: String, own: &str) -> Self {
        let outcome = if address == own { SeedOutcome::Itself } else { SeedOutcome::Unasked };
        Self { address, node: None, outcome, failure: None }
    }
}

/// When an address is asked again.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) next: Duration,
    pub(crate) pause: Duration,
    pub(crate) is_under_way: bool,
}
