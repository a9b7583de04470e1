//! The backups in a folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::backup::error::BackupError;
use crate::backup::manifest::Manifest;
use crate::backup::name::SUFFIX;
use crate::backup::reader::read_manifest;

/// Most files that a listing names; a folder with more shows only some of them.
pub const LISTED_MAX: usize = 10_000;

/// A backup in a folder.
#[derive(Debug)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What it says it holds (its blocks were not read), or why it is no good.
    pub manifest: Result<Manifest, BackupError>,
}

/// The backups in a folder, newest first, then the files whose names say backup and whose bytes do not. Only header and
/// trailer of each are read: a backup that is listed well may still have a damaged block, which
/// [`crate::backup::verify::verify`] finds. A folder that is absent holds none.
///
/// # Errors
///
/// The folder cannot be listed.
pub fn list(dir: &Path) -> Result<Vec<Listed>, BackupError> {
    let failed = |source| BackupError::File { operation: "list", path: dir.to_owned(), source };
    let listing = match std::fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut listed = Vec::new();
    for found in listing {
        let found = found.map_err(failed)?;
        let is_backup = found.file_name().to_string_lossy().ends_with(SUFFIX);
        if !is_backup || !found.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = found.path();
        let size_bytes = found.metadata().map_or(0, |metadata| metadata.len());
        let manifest = read_manifest(&path).map(|(manifest, _)| manifest);
        listed.push(Listed { path, size_bytes, manifest });
        if listed.len() == LISTED_MAX {
            break;
        }
    }
    listed.sort_by(|left, right| {
        let made_at = |listed: &Listed| listed.manifest.as_ref().ok().map(|manifest| manifest.created_at_ms);
        made_at(right).cmp(&made_at(left)).then_with(|| left.path.cmp(&right.path))
    });
    Ok(listed)
}
