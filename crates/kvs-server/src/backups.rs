//! Backups as the server runs them: when, one at a time, and how the last ones went.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// When the last backups of this process succeeded and failed, in ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct LastBackups {
    /// The last success.
    pub(crate) last_success: Option<u64>,
    /// The last failure.
    pub(crate) last_failure: Option<u64>,
}

impl LastBackups {
    /// Whether the last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.last_failure.is_some_and(|failure| self.last_success.is_none_or(|success| success < failure))
    }
}

/// The backups of a node.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    last: Mutex<LastBackups>,
}

impl Backups {
    /// How the last ones went.
    pub(crate) fn last(&self) -> LastBackups {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
