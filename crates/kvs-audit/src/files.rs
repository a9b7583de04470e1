//! The files of a trail: where they lie, and how they are made.
//!
//! | path below `DATA_DIR/audit/` | what it is |
//! | --- | --- |
//! | `<20 digits>.jsonl` | a segment; the digits are the number of its first entry |
//! | `node.key` | the key that signs, 64 hex digits and a line break |
//! | `checkpoints.jsonl` | this node's own checkpoints |
//! | `retired.json` | the signed statement where the kept part of the trail begins |
//! | `peers/<node uuid>.jsonl` | checkpoints of another node, as they came |
//!
//! Folders have mode 0700, files 0600.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::AuditError;

/// The folder of the trail in a data directory.
pub fn audit_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

/// The folder of other nodes' checkpoints in the folder of a trail.
pub fn peers_dir(audit_dir: &Path) -> PathBuf {
    audit_dir.join("peers")
}

/// The file of a node's checkpoints in the folder of other nodes' checkpoints.
pub fn peer_file(peers_dir: &Path, node: Uuid) -> PathBuf {
    peers_dir.join(format!("{node}.jsonl"))
}

/// The file of a node's own checkpoints.
pub fn own_checkpoints(audit_dir: &Path) -> PathBuf {
    audit_dir.join("checkpoints.jsonl")
}

/// The file that says where the kept part of the trail begins.
pub(crate) fn retired_file(audit_dir: &Path) -> PathBuf {
    audit_dir.join("retired.json")
}

/// The file of the key that signs.
pub(crate) fn key_file(audit_dir: &Path) -> PathBuf {
    audit_dir.join("node.key")
}

/// Makes a folder that only its owner can enter, unless it is there.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), AuditError> {
    match DirBuilder::new().mode(0o700).recursive(true).create(path) {
        Ok(()) => Ok(()),
        Err(source) => Err(AuditError::Create { path: path.to_owned(), source }),
    }
}

/// Opens a file for appending; it is made, for its owner alone, when it is not there.
pub(crate) fn open_for_append(path: &Path) -> Result<File, AuditError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| AuditError::Create { path: path.to_owned(), source })
}

/// Makes what was created or removed in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), AuditError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| write_error(dir, source))
}

/// Writes a file that appears whole or not at all, and durably.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), AuditError> {
    let beside = path.with_extension("new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| write_error(path, source))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// The bytes of a file, at most `bytes_max` of them; `None` when it is not there.
///
/// # Errors
///
/// It cannot be read, or is longer.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, AuditError> {
    let failed = |source| AuditError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(AuditError::File { path: path.to_owned(), reason: "it is too long" });
    }
    Ok(Some(bytes))
}

/// A failure to write, by what can be done about it.
pub(crate) fn write_error(path: &Path, source: std::io::Error) -> AuditError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => AuditError::Full { path: path.to_owned() },
        _ => AuditError::Write { path: path.to_owned(), source },
    }
}
