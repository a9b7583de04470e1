//! Removing backups that are older than they need to be kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::backup::error::BackupError;
use crate::backup::list::list;
use crate::backup::name::PREFIX;
use crate::backup::verify::Verified;
use crate::data_dir::sync_dir;

/// What became of old backups.
#[derive(Debug, Default)]
pub struct Retained {
    /// The backups that were removed.
    pub removed: Vec<PathBuf>,
    /// Old backups that could not be removed, and why.
    pub failed: Vec<BackupError>,
}

/// Removes, from the folder of `newest`, the backups of the same node that were made more than `retention` before
/// `now_ms` and before `newest`, which the caller has just made or verified.
///
/// Left alone are: `newest` and whatever is newer; files of other names; files whose manifest cannot be read; backups of
/// another node uuid, which is also what this node was before it was restored. When `newest` is not there any more,
/// nothing is removed.
///
/// # Errors
///
/// The folder cannot be listed; nothing was removed.
pub fn retain(newest: &Verified, retention: Duration, now_ms: u64) -> Result<Retained, BackupError> {
    let mut retained = Retained::default();
    let Some(dir) = newest.path().parent() else {
        return Ok(retained);
    };
    let listed = list(dir)?;
    let is_there = listed.iter().any(|listed| {
        listed.path == newest.path()
            && listed.size_bytes == newest.size_bytes()
            && listed.manifest.as_ref().is_ok_and(|manifest| manifest == newest.manifest())
    });
    if !is_there {
        return Ok(retained);
    }
    let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let newest = newest.manifest();
    for old in listed {
        let is_old = old.manifest.as_ref().is_ok_and(|manifest| {
            manifest.origin.node == newest.origin.node
                && manifest.created_at_ms < newest.created_at_ms
                && manifest.created_at_ms.saturating_add(retention_ms) < now_ms
        });
        let has_our_name =
            old.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if !is_old || !has_our_name {
            continue;
        }
        match std::fs::remove_file(&old.path) {
            Ok(()) => retained.removed.push(old.path),
            Err(source) => {
                retained.failed.push(BackupError::File { operation: "remove", path: old.path, source });
            }
        }
    }
    if !retained.removed.is_empty()
        && let Err(error) = sync_dir(dir)
    {
        tracing::warn!(%error, "a backup that was removed may come back with the power");
    }
    Ok(retained)
}
