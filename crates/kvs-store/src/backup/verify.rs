//! Verifying a backup: all of it is read and found to be what was written.

use std::path::{Path, PathBuf};

use crate::backup::error::BackupError;
use crate::backup::manifest::Manifest;
use crate::backup::progress::{Progress, Step, Watcher};
use crate::backup::rows::Rows;
use crate::backup::sequence::Payloads;

/// A backup that was read from its first to its last byte and found whole. Only this module makes one, so that whoever
/// needs a backup to be good (as the removal of older ones does) can ask for the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    path: PathBuf,
    size_bytes: u64,
    manifest: Manifest,
}

impl Verified {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What it holds.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same file under another name.
    pub(crate) fn renamed(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }
}

/// Reads a whole backup: every checksum fits, every record decodes and is what its digest says, every revision is there,
/// and the manifest counts what was found. Nothing is written.
///
/// # Errors
///
/// What is wrong with the file, and where.
pub fn verify(path: &Path, watcher: Watcher<'_>) -> Result<Verified, BackupError> {
    let mut rows = Rows::open(path, Payloads::Compared)?;
    let (mut told_bytes, total_bytes) = rows.position();
    let mut tell = |done_bytes| watcher(Progress { step: Step::Verify, done_bytes, total_bytes });
    while rows.next()?.is_some() {
        let (done_bytes, _) = rows.position();
        if done_bytes != told_bytes {
            told_bytes = done_bytes;
            tell(done_bytes);
        }
    }
    tell(total_bytes);
    let manifest = rows.manifest().cloned().ok_or_else(|| BackupError::CutOff(path.to_owned()))?;
    Ok(Verified { path: path.to_owned(), size_bytes: total_bytes, manifest })
}
