//! The temporary file that a backup is written to, and its way to a name.
//!
//! It stands in the folder of the backup, so that a rename is all that is left to do, and is locked by its writer: a
//! temporary file that nobody has locked was left behind by a crash. Several nodes may share a folder.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::backup::error::BackupError;

const PREFIX: &str = ".kvs-";
const SUFFIX: &str = ".kvsb.tmp";

/// Most names that are tried for one file.
const NAMES_TRIED_MAX: u32 = 1000;

/// A temporary file; removed when it is dropped without having been given a name.
pub(crate) struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// Makes the folder if it is absent (0700), and in it a locked temporary file (0600).
    pub(crate) fn create(dir: &Path, created_at_ms: u64) -> Result<Self, BackupError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))?;
        let process = std::process::id();
        for attempt in 0..NAMES_TRIED_MAX {
            let path = dir.join(format!("{PREFIX}{created_at_ms}-{process}-{attempt}{SUFFIX}"));
            let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            let file = match created {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(source) => return Err(failed("create", &path)(source)),
            };
            // Another node may have taken the file for a stale one before it was locked, and removed it.
            if lock(&file) != Locked::ByAnother && is_at(&file, &path) {
                return Ok(Self { path, file });
            }
        }
        Err(failed("create", dir)(std::io::Error::other("every name for a temporary file is taken")))
    }

    /// The file, for writing.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the file to the disk, and makes the next reader read it from there.
    pub(crate) fn sync(&self) -> Result<(), BackupError> {
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        // Only a hint: a system that keeps its pages verifies what is in memory.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed) {
            tracing::debug!(%error, "a new backup is verified from memory");
        }
        Ok(())
    }

    /// Gives the file the first of these names that is free, and brings that to the disk. The name is there entirely or
    /// not at all, whatever happens meanwhile, and no other file loses it.
    pub(crate) fn publish(self, dir: &Path, name: impl Fn(u32) -> String) -> Result<PathBuf, BackupError> {
        for copy in 1..=NAMES_TRIED_MAX {
            let path = dir.join(name(copy));
            match rename_to_free(&self.path, &path) {
                Ok(()) => {
                    File::open(dir).and_then(|folder| folder.sync_all()).map_err(failed("sync", dir))?;
                    return Ok(path);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed("create", &path)(source)),
            }
        }
        Err(failed("create a backup in", dir)(std::io::Error::other("every name for it is taken")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.path) {
            Ok(()) => {}
            // It was given its name.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a temporary file stays until the next backup");
            }
        }
    }
}

/// Removes temporary files that nobody writes to. One that cannot be removed is left for the next time.
pub(crate) fn remove_stale(dir: &Path) {
    let Ok(listing) = std::fs::read_dir(dir) else { return };
    for found in listing.flatten() {
        let name = found.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        if !is_ours || !found.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = found.path();
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        if lock(&file) != Locked::ByUs {
            continue;
        }
        match std::fs::remove_file(&path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), "removed what a backup that was cut short left behind")
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot remove a stale temporary file")
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locked {
    ByUs,
    ByAnother,
    /// The file system has no locks: nobody can tell.
    Unknown,
}

fn lock(file: &File) -> Locked {
    match file.try_lock() {
        Ok(()) => Locked::ByUs,
        Err(TryLockError::WouldBlock) => Locked::ByAnother,
        Err(TryLockError::Error(_)) => Locked::Unknown,
    }
}

/// Whether this file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(file), Ok(found)) => (file.dev(), file.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

fn rename_to_free(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot do it in one step: the moment in between is only a danger to a backup of the same
        // node id and second.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if to.try_exists()? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(from, to)
        }
        renamed => Ok(renamed?),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    move |source| BackupError::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::{Temporary, remove_stale};
    use std::os::unix::fs::PermissionsExt;

    fn names(dir: &std::path::Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|found| found.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_the_first_free_name_and_takes_none_away() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("1"), "mine").unwrap();
        let temporary = Temporary::create(dir.path(), 5).unwrap();
        assert_eq!(temporary.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let path = temporary.publish(dir.path(), |copy| copy.to_string()).unwrap();
        assert_eq!(path, dir.path().join("2"));
        assert_eq!(std::fs::read(dir.path().join("1")).unwrap(), b"mine");
        assert_eq!(names(dir.path()), ["1", "2"]);
    }

    #[test]
    fn what_a_crash_left_is_removed_and_what_is_being_written_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".kvs-1-2-3.kvsb.tmp"), "half").unwrap();
        std::fs::write(dir.path().join("mine.kvsb.tmp"), "of another program").unwrap();
        let busy = Temporary::create(dir.path(), 5).unwrap();
        remove_stale(dir.path());
        let busy_name = busy.path().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(names(dir.path()), [busy_name, "mine.kvsb.tmp".into()]);
        drop(busy);
        assert_eq!(names(dir.path()), ["mine.kvsb.tmp"]);
    }
}
