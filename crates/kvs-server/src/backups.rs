//! Backups as the server runs them: one at a time, old ones removed after a good new one, the last outcomes remembered.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kvs_core::origin::Origin;
use kvs_store::backup::create::{Label, create};
use kvs_store::backup::error::BackupError;
use kvs_store::backup::list::{Listed, list};
use kvs_store::backup::retain::retain;
use kvs_store::backup::verify::Verified;
use kvs_store::clock::Clock;
use kvs_store::error::ErrorKind;
use kvs_store::store::Store;
use serde::Serialize;

use crate::problem::{Code, Problem};

/// When backups last succeeded and failed, in ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct LastBackups {
    /// The last success, of an earlier process too.
    pub(crate) last_success: Option<u64>,
    /// The last failure of this process.
    pub(crate) last_failure: Option<u64>,
    /// Whether the last attempt failed; the times do not say it, as a clock may have been set between them.
    #[serde(skip)]
    has_failed: bool,
}

impl LastBackups {
    /// Whether the last attempt failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.has_failed
    }
}

/// The backups of a node.
#[derive(Debug)]
pub(crate) struct Backups {
    dir: PathBuf,
    node_id: String,
    retention: Duration,
    last: Mutex<LastBackups>,
    /// Held while one is made.
    at_work: Mutex<()>,
}

impl Backups {
    /// Backups in `dir`, each kept for `retention`.
    pub(crate) fn new(dir: PathBuf, node_id: String, retention: Duration) -> Self {
        Self { dir, node_id, retention, last: Mutex::default(), at_work: Mutex::new(()) }
    }

    /// How the last ones went.
    pub(crate) fn last(&self) -> LastBackups {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a backup now, and removes old ones once it is verified. Blocks for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`Code::BackupRunning`], [`Code::DiskFull`] or [`Code::BackupFailed`]; earlier backups are untouched.
    pub(crate) fn make(&self, store: &Store, clock: &dyn Clock) -> Result<Verified, Problem> {
        let Ok(_at_work) = self.at_work.try_lock() else {
            return Err(Problem::new(Code::BackupRunning, "a backup is being made already"));
        };
        let now_ms = clock.now_ms();
        let label = Label {
            node_id: &self.node_id,
            program_version: env!("CARGO_PKG_VERSION"),
            created_at_ms: now_ms,
        };
        let made = store
            .view()
            .map_err(BackupError::Source)
            .and_then(|view| create(view, &self.dir, &label, &mut |_| {}));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.has_failed = made.is_err();
        match &made {
            Ok(_) => last.last_success = Some(now_ms),
            Err(_) => last.last_failure = Some(now_ms),
        }
        drop(last);
        match made {
            Ok(verified) => {
                tracing::info!(file = %verified.path().display(), bytes = verified.size_bytes(), "a backup was made");
                self.remove_old(&verified);
                Ok(verified)
            }
            Err(error) => {
                tracing::error!(%error, "a backup failed");
                Err(problem(&error))
            }
        }
    }

    fn remove_old(&self, newest: &Verified) {
        match retain(newest, self.retention) {
            Ok(retained) => {
                for path in &retained.removed {
                    tracing::info!(file = %path.display(), "an old backup was removed");
                }
                for error in &retained.failed {
                    tracing::warn!(%error, "an old backup could not be removed, or one that is to be kept is damaged");
                }
            }
            Err(error) => tracing::warn!(%error, "old backups could not be looked at"),
        }
    }

    /// The backups in the folder, newest first. Blocks.
    ///
    /// # Errors
    ///
    /// [`Code::BackupFailed`]: the folder cannot be listed.
    pub(crate) fn list(&self) -> Result<Vec<Listed>, Problem> {
        list(&self.dir).map_err(|error| problem(&error))
    }

    /// Looks up when the last backup of this node was made before this process. Blocks.
    pub(crate) fn remember(&self, origin: Origin) {
        let Ok(listed) = list(&self.dir) else { return };
        let ours = listed.iter().filter_map(|listed| listed.manifest.as_ref().ok());
        let newest =
            ours.filter(|manifest| manifest.origin.node == origin.node).map(|ours| ours.created_at_ms).max();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.last_success = last.last_success.max(newest);
    }
}

fn problem(error: &BackupError) -> Problem {
    let inner = Some(error.to_string());
    match error.kind() {
        ErrorKind::Full => {
            Problem { inner, ..Problem::new(Code::DiskFull, "the disk of the backups has no room") }
        }
        _ => Problem {
            inner,
            ..Problem::new(Code::BackupFailed, "the backup failed; the log of the node says why")
        },
    }
}
