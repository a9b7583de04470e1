//! Looking at the PID file of an instance: does somebody run, and who?
//!
//! The lock answers the first question, the text only the second. Looking takes the lock for a moment where it is
//! free, so a lock that is held by nobody who can be named may be just another look; [`settled`] waits that out.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::clock::Deadline;
use crate::error::DaemonError;
use crate::folder::Folder;
use crate::home::pid_name;
use crate::limits::{LOCK_WAIT, PID_FILE_BYTES_MAX};
use crate::record::Record;

/// What the PID file of an instance says.
#[derive(Debug)]
pub(crate) enum Probe {
    /// There is none.
    Absent,
    /// It is locked by nobody, so nobody runs. What was written by the one that did, if it can be read.
    Stale(Option<Record>),
    /// It is locked and names a process that runs.
    Held(Record),
    /// It is locked and does not name a process that runs: someone is writing or looking, or it is none of ours.
    Unnamed,
}

/// Looks once.
pub(crate) fn look(folder: &Folder, name: &str) -> Result<Probe, DaemonError> {
    let file_name = pid_name(name);
    let Some(file) = folder.file(&file_name, OFlags::RDONLY)? else { return Ok(Probe::Absent) };
    let path = folder.path_of(&file_name);
    // Shared, so that two looks do not see each other.
    if lock(&file, FlockOperation::NonBlockingLockShared, &path)? {
        return Ok(Probe::Stale(read(&file, &path)?));
    }
    Ok(match read(&file, &path)? {
        Some(record) if record.process.runs() => Probe::Held(record),
        _ => Probe::Unnamed,
    })
}

/// Looks until the holder of the lock has a name.
///
/// # Errors
/// [`DaemonError::UnknownHolder`] when it has none for [`LOCK_WAIT`].
pub(crate) fn settled(folder: &Folder, name: &str) -> Result<Probe, DaemonError> {
    let deadline = Deadline::after(LOCK_WAIT);
    loop {
        match look(folder, name)? {
            Probe::Unnamed if deadline.pause() => {}
            Probe::Unnamed => {
                return Err(DaemonError::UnknownHolder { path: folder.path_of(&pid_name(name)) });
            }
            probe => return Ok(probe),
        }
    }
}

/// Removes the PID file if nobody runs.
pub(crate) fn remove_stale(folder: &Folder, name: &str) -> Result<(), DaemonError> {
    let file_name = pid_name(name);
    let Some(file) = folder.file(&file_name, OFlags::RDWR)? else { return Ok(()) };
    let path = folder.path_of(&file_name);
    // With the lock in hand nobody else can be at this file; it may already be another one.
    if lock(&file, FlockOperation::NonBlockingLockExclusive, &path)? && folder.leads_to(&file_name, &file)? {
        folder.remove(&file_name)?;
    }
    Ok(())
}

/// Takes the lock; `false` when someone else has it.
pub(crate) fn lock(file: &File, operation: FlockOperation, path: &Path) -> Result<bool, DaemonError> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(DaemonError::io("lock", path, error)),
    }
}

/// The record in an open PID file, if there is one.
pub(crate) fn read(file: &File, path: &Path) -> Result<Option<Record>, DaemonError> {
    // One byte more than allowed, so that a file too large does not look like a valid one.
    let mut bytes = vec![0; PID_FILE_BYTES_MAX + 1];
    let mut length = 0;
    while let Some(free) = bytes.get_mut(length..).filter(|free| !free.is_empty()) {
        match file.read_at(free, length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(DaemonError::io("read", path, error)),
        }
    }
    bytes.truncate(length);
    Ok(Record::decode(&bytes))
}

/// The error that this instance, or one of its name, runs already.
pub(crate) fn taken(name: &str, config: &Path, record: Record) -> DaemonError {
    let pid = record.process.pid;
    let address = record.announcement.map(|announcement| announcement.address);
    if record.config == config {
        DaemonError::AlreadyRunning { name: name.to_owned(), pid, address }
    } else {
        DaemonError::OtherFolder { name: name.to_owned(), config: record.config, pid, address }
    }
}
