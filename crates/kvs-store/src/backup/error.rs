//! Why a backup could not be made, read or restored, and what to do about it.

use std::io::ErrorKind as IoKind;
use std::path::PathBuf;

use crate::backup::format::BACKUP_FORMAT;
use crate::error::{ErrorKind, StoreError};

/// Why a backup could not be made, read or restored. Unless a variant says otherwise, nothing was changed: a new backup
/// that failed left no file with a backup's name, and a refused restore did not touch its target.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file operation failed.
    #[error("cannot {operation} {}: {source}", .path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is no backup of KVS", .0.display())]
    NotABackup(PathBuf),
    /// The file was written by a newer program.
    #[error(
        "{} is a backup of format {found}, this version of KVS reads formats up to {BACKUP_FORMAT}; \
         use the version that wrote it or a newer one",
        .path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format that it names.
        found: u8,
    },
    /// The file ends before its end.
    #[error("{} is cut off: it ends before its end mark; use another backup or a whole copy", .0.display())]
    CutOff(PathBuf),
    /// The file's bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {reason}; use another backup or a good copy", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the part begins that does not make sense.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A new backup does not read back as it was written; it was removed.
    #[error("the new backup does not read back as it was written ({0}); check the disk of the backup folder")]
    Unreadable(Box<BackupError>),
    /// The store that a backup was to be made of cannot be read.
    #[error("the store cannot be backed up: {0}; 'kvs check' on the stopped node says more")]
    Source(StoreError),
    /// The data directory cannot take a restore.
    #[error("cannot restore: {0}")]
    Target(StoreError),
    /// A restore failed half-way. The data directory stays marked and is refused as a node's.
    #[error(
        "the restore into {} failed half-way: {reason}; delete the folder and run the restore again",
        .dir.display()
    )]
    HalfWay {
        /// The data directory.
        dir: PathBuf,
        /// Why it failed.
        reason: Box<BackupError>,
    },
}

impl BackupError {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => match source.kind() {
                IoKind::StorageFull | IoKind::QuotaExceeded => ErrorKind::Full,
                _ => ErrorKind::Config,
            },
            Self::NotABackup(_) | Self::NewerFormat { .. } => ErrorKind::Refused,
            Self::CutOff(_) | Self::Damaged { .. } | Self::Unreadable(_) => ErrorKind::Corrupt,
            Self::Source(error) | Self::Target(error) => error.kind(),
            Self::HalfWay { reason, .. } => reason.kind(),
        }
    }
}
