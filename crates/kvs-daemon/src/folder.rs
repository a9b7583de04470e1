//! A private folder, held open, and the files in it, opened without following links.
//!
//! Everything goes through the descriptor of the folder, so that what was checked is what is used.
//! Invariant: the folder and every file handed out belong to this user and are no links; nobody else can write to the
//! folder.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::DaemonError;

/// Mode of a folder that this crate makes.
const FOLDER_MODE: u32 = 0o700;
/// Mode of a file that this crate makes.
const FILE_MODE: u32 = 0o600;
/// Bits that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

const FOLDER_LINK: &str = "expected a folder and no symbolic link";
const FOREIGN: &str = "it belongs to another user";
const OPEN_TO_OTHERS: &str = "others can write to it; run chmod 700 on it";
const FILE_LINK: &str = "it is a symbolic link; remove it";
const NO_FILE: &str = "expected a regular file";

/// A folder of this user.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Whether a folder that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Make it, for this user alone.
    Make,
    /// Leave it.
    Leave,
}

impl Folder {
    /// The folder `path/first/second`, where the last two are private; `None` when one is not there and is not to be
    /// made.
    pub(crate) fn open(home: &Path, names: [&str; 2], absent: Absent) -> Result<Option<Self>, DaemonError> {
        let [first, second] = names;
        let first_path = home.join(first);
        let Some(parent) = open_private(CWD, &first_path, &first_path, absent)? else { return Ok(None) };
        let path = first_path.join(second);
        let fd = open_private(&parent, Path::new(second), &path, absent)?;
        Ok(fd.map(|fd| Self { fd, path }))
    }

    /// The path of a file in this folder, for people.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a regular file of this user; `None` when there is none and `flags` do not make one.
    pub(crate) fn file(&self, name: &str, flags: OFlags) -> Result<Option<File>, DaemonError> {
        let path = self.path_of(name);
        let refused = |reason| Err(DaemonError::Refused { path: path.clone(), reason });
        // Not blocking, so that opening a pipe returns; it is refused below.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE)) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return refused(FILE_LINK),
            // A folder, or a pipe that nobody reads.
            Err(Errno::ISDIR | Errno::NXIO) => return refused(NO_FILE),
            Err(error) => return Err(DaemonError::io("open", &path, error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| DaemonError::io("inspect", &path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return refused(NO_FILE);
        }
        if !is_own(&stat) {
            return refused(FOREIGN);
        }
        Ok(Some(File::from(fd)))
    }

    /// Whether `name` still leads to the open `file`: another process may have removed or replaced it.
    pub(crate) fn leads_to(&self, name: &str, file: &File) -> Result<bool, DaemonError> {
        let failed = |error: Errno| DaemonError::io("inspect", &self.path_of(name), error);
        let open = rustix::fs::fstat(file).map_err(failed)?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DaemonError> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|error| DaemonError::io("remove", &self.path_of(name), error))
    }

    /// The names in this folder that end in `suffix`, without it, in order, at most `max`.
    pub(crate) fn names(&self, suffix: &str, max: usize) -> Result<Vec<String>, DaemonError> {
        let failed = |error| DaemonError::io("list", &self.path, error);
        let mut names = Vec::new();
        for file in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            // Our own names are UTF-8; others are none of ours.
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(suffix)) {
                names.push(name.to_owned());
            }
            if names.len() == max {
                break;
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Opens the folder `name` under `parent`. `path` is the whole path, for errors.
fn open_private(
    parent: impl std::os::fd::AsFd,
    name: &Path,
    path: &Path,
    absent: Absent,
) -> Result<Option<OwnedFd>, DaemonError> {
    let refused = |reason| Err(DaemonError::Refused { path: path.to_owned(), reason });
    if absent == Absent::Make {
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(DaemonError::io("make this folder", path, error)),
        }
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(&parent, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return refused(FOLDER_LINK),
        Err(error) => return Err(DaemonError::io("open", path, error)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|error| DaemonError::io("inspect", path, error))?;
    if !is_own(&stat) {
        return refused(FOREIGN);
    }
    if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
        return refused(OPEN_TO_OTHERS);
    }
    Ok(Some(fd))
}

fn is_own(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Result<T, DaemonError>) -> &'static str {
        match result {
            Err(DaemonError::Refused { reason, .. }) => reason,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn folders_and_files_are_made_private() {
        let home = tempfile::tempdir().unwrap();
        assert!(Folder::open(home.path(), ["a", "b"], Absent::Leave).unwrap().is_none());
        let folder = Folder::open(home.path(), ["a", "b"], Absent::Make).unwrap().unwrap();
        folder.file("f", OFlags::RDWR | OFlags::CREATE).unwrap().unwrap();
        for (path, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/f", 0o600)] {
            let found = home.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{path}");
        }
    }

    #[test]
    fn a_folder_that_is_a_link_is_refused() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("real/b")).unwrap();
        symlink("real", home.path().join("a")).unwrap();
        assert_eq!(refusal(Folder::open(home.path(), ["a", "b"], Absent::Make)), FOLDER_LINK);
        symlink("b", home.path().join("real/c")).unwrap();
        assert_eq!(refusal(Folder::open(home.path(), ["real", "c"], Absent::Make)), FOLDER_LINK);
        std::fs::write(home.path().join("real/d"), "").unwrap();
        assert_eq!(refusal(Folder::open(home.path(), ["real", "d"], Absent::Make)), FOLDER_LINK);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(refusal(Folder::open(home.path(), ["a", "b"], Absent::Make)), OPEN_TO_OTHERS);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_left() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), ["a", "b"], Absent::Make).unwrap().unwrap();
        let path = home.path().join("a/b");
        std::fs::write(home.path().join("target"), "precious").unwrap();
        symlink(home.path().join("target"), path.join("link")).unwrap();
        symlink(home.path().join("new"), path.join("dangling")).unwrap();
        std::fs::create_dir(path.join("folder")).unwrap();
        rustix::fs::mknodat(CWD, path.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let flags = OFlags::RDWR | OFlags::CREATE;
        assert_eq!(refusal(folder.file("link", flags)), FILE_LINK);
        assert_eq!(refusal(folder.file("dangling", flags)), FILE_LINK);
        assert_eq!(refusal(folder.file("folder", flags)), NO_FILE);
        assert_eq!(refusal(folder.file("pipe", flags)), NO_FILE);
        assert_eq!(refusal(folder.file("pipe", OFlags::WRONLY)), NO_FILE);
        assert_eq!(std::fs::read_to_string(home.path().join("target")).unwrap(), "precious");
        assert!(!home.path().join("new").exists());
    }

    #[test]
    fn a_replaced_file_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), ["a", "b"], Absent::Make).unwrap().unwrap();
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = folder.file("f", flags).unwrap().unwrap();
        assert!(folder.leads_to("f", &file).unwrap());
        folder.remove("f").unwrap();
        assert!(!folder.leads_to("f", &file).unwrap());
        folder.file("f", flags).unwrap().unwrap();
        assert!(!folder.leads_to("f", &file).unwrap());
    }
}
