//! Removing backups that are older than they need to be kept, without trusting a clock.
//!
//! Backups are put in order by the node's log, not by their times: whatever the clock did, what was made later holds a
//! later place of the log. The age of one is added up from it to the newest, from each to the next, and of each such step
//! at most a day counts, or a seventh of the retention if that is longer; a step backwards counts nothing. So one leap of
//! the clock ages the others by a day, not by the leap. And [`BACKUPS_KEPT_MIN`] verified ones stay in any case.

use std::path::PathBuf;
use std::time::Duration;

use crate::backup::error::BackupError;
use crate::backup::list::{Listed, list};
use crate::backup::manifest::Manifest;
use crate::backup::name::PREFIX;
use crate::backup::verify::{Verified, verify};
use crate::data_dir::sync_dir;

/// So many of the newest backups of a node that are verified stay, however old they are.
pub const BACKUPS_KEPT_MIN: usize = 3;

/// At least so much of the time between two backups counts as age.
const STEP_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The part of the retention that counts at most of the time between two backups.
const STEPS_PER_RETENTION: u64 = 7;

/// What became of old backups.
#[derive(Debug, Default)]
pub struct Retained {
    /// The backups that were removed.
    pub removed: Vec<PathBuf>,
    /// Old backups that could not be removed, and why; and those that were to be kept and turned out to be damaged.
    pub failed: Vec<BackupError>,
}

/// Removes, from the folder of `newest`, the backups of the same node that are older than `retention`, counted as the
/// module says back from `newest`, which the caller has just made or verified.
///
/// Left alone are: `newest` and whatever is later; the newest [`BACKUPS_KEPT_MIN`] that are verified, which are read from
/// end to end for that, before anything is removed; files of other names; files whose manifest cannot be read; backups of
/// another node uuid, which is also what this node was before it was restored. When `newest` is not there any more, nothing
/// is removed.
///
/// # Errors
///
/// The folder cannot be listed; nothing was removed.
pub fn retain(newest: &Verified, retention: Duration) -> Result<Retained, BackupError> {
    let mut retained = Retained::default();
    let Some(dir) = newest.path().parent() else {
        return Ok(retained);
    };
    let listed = list(dir)?;
    let is_newest = |listed: &Listed| {
        listed.path == newest.path()
            && listed.size_bytes == newest.size_bytes()
            && listed.manifest.as_ref().is_ok_and(|manifest| manifest == newest.manifest())
    };
    if !listed.iter().any(is_newest) {
        return Ok(retained);
    }
    let mut earlier: Vec<(PathBuf, Manifest)> = listed
        .into_iter()
        .filter_map(|listed| Some((listed.path, listed.manifest.ok()?)))
        .filter(|(path, manifest)| {
            path != newest.path()
                && manifest.origin.node == newest.manifest().origin.node
                && place(manifest) <= place(newest.manifest())
        })
        .collect();
    // The latest first.
    earlier.sort_by(|(left_path, left), (right_path, right)| {
        place(right).cmp(&place(left)).then_with(|| right_path.cmp(left_path))
    });
    let mut old = old_ones(&earlier, newest.manifest(), retention);
    if old.is_empty() {
        return Ok(retained);
    }
    let mut verified = 1;
    for (path, _) in &earlier {
        if verified >= BACKUPS_KEPT_MIN {
            break;
        }
        match verify(path, &mut |_| {}) {
            Ok(_) => {
                verified += 1;
                old.retain(|old| old != path);
            }
            // It counts for nothing, and is not removed either: it may be of use to somebody.
            Err(error) => {
                old.retain(|old| old != path);
                retained.failed.push(error);
            }
        }
    }
    for path in old {
        match std::fs::remove_file(&path) {
            Ok(()) => retained.removed.push(path),
            Err(source) => {
                retained.failed.push(BackupError::File { operation: "remove", path, source });
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

/// Where in its node's life a backup was made. Of two at one place of the log, which hold the same, the clock decides.
fn place(manifest: &Manifest) -> (u64, u64) {
    (manifest.last_local_seq, manifest.created_at_ms)
}

/// Those of `earlier`, the latest of which comes first, that are older than the retention and may be removed.
fn old_ones(earlier: &[(PathBuf, Manifest)], newest: &Manifest, retention: Duration) -> Vec<PathBuf> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let retention_ms = ms(retention);
    let step_ms_max = ms(STEP_MIN).max(retention_ms / STEPS_PER_RETENTION);
    let (mut age_ms, mut later_ms) = (0_u64, newest.created_at_ms);
    let mut old = Vec::new();
    for (path, manifest) in earlier {
        age_ms = age_ms.saturating_add(later_ms.saturating_sub(manifest.created_at_ms).min(step_ms_max));
        later_ms = manifest.created_at_ms;
        let has_our_name = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if age_ms > retention_ms && has_our_name {
            old.push(path.clone());
        }
    }
    old
}
