//! The key file `~/.kvs/cluster.key`: the secret of a cluster whose nodes were given none, so that the nodes of one user on
//! one machine find each other without set-up.
//!
//! Invariants: what is read is a regular file of this user that nobody else can read, reached without following a link
//! out of `~/.kvs`; the file appears whole, with mode 0600, and is never replaced, so that of several nodes started at
//! once all read the same key.
//!
//! Left out: what is derived from the key, and when it is wanted. Source: the design, section on trust.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::error::ConfigError;

/// Bytes of the key.
pub const CLUSTER_KEY_BYTES: usize = 32;

const FOLDER: &str = ".kvs";
const FILE: &str = "cluster.key";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;

/// Tells the neighbours apart that threads of this process write at once.
static NEIGHBOURS: AtomicU64 = AtomicU64::new(0);

/// The bytes of the key file. Its `Debug` tells only that there are some.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; CLUSTER_KEY_BYTES]);

impl ClusterKey {
    /// The bytes, for deriving keys and nothing else.
    #[must_use]
    pub const fn expose(&self) -> &[u8; CLUSTER_KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClusterKey(hidden)")
    }
}

/// Where the key file of a user is.
#[must_use]
pub fn cluster_key_path(home: &Path) -> PathBuf {
    home.join(FOLDER).join(FILE)
}

/// Reads the key file of the user whose home is at the absolute path `home`. Where there is none it is made of the bytes
/// of `random`, which must be fresh from the system's generator.
///
/// # Errors
/// [`ConfigError::KeyFile`] when it (or its folder) is not this user's alone, or not 32 bytes; it is left as it is.
/// [`ConfigError::KeyFileIo`] when it cannot be made or read; then there is no file or a whole one.
pub fn load_or_create(home: &Path, random: [u8; CLUSTER_KEY_BYTES]) -> Result<ClusterKey, ConfigError> {
    let folder = Folder::open(&home.join(FOLDER))?;
    if let Some(key) = folder.read()? {
        return Ok(key);
    }
    folder.create(random)?;
    // Ours, or the one of another process that was faster.
    folder.read()?.ok_or_else(|| folder.failed("read", Errno::NOENT))
}

/// `~/.kvs`, held open.
struct Folder {
    fd: OwnedFd,
    file_path: PathBuf,
}

impl Folder {
    fn open(path: &Path) -> Result<Self, ConfigError> {
        let failed = |operation, error: Errno| ConfigError::KeyFileIo {
            operation,
            path: path.to_owned(),
            source: error.into(),
        };
        let refused = |reason| Err(ConfigError::KeyFile { path: path.to_owned(), reason });
        match rustix::fs::mkdir(path, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make", error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOTDIR) => return refused("expected a folder and no symbolic link"),
            Err(error) => return Err(failed("open", error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| failed("inspect", error))?;
        if !is_own(&stat) {
            return refused("it belongs to another user");
        }
        if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
            return refused("others can write to it; run chmod 700 on it");
        }
        Ok(Self { fd, file_path: path.join(FILE) })
    }

    fn failed(&self, operation: &'static str, source: impl Into<io::Error>) -> ConfigError {
        ConfigError::KeyFileIo { operation, path: self.file_path.clone(), source: source.into() }
    }

    /// The key; `None` when there is no file.
    fn read(&self) -> Result<Option<ClusterKey>, ConfigError> {
        let refused = |reason| Err(ConfigError::KeyFile { path: self.file_path.clone(), reason });
        // Not blocking, so that opening a pipe returns; it is refused below.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, FILE, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return refused("expected a regular file; it is a symbolic link"),
            Err(Errno::NXIO) => return refused(NO_FILE),
            Err(error) => return Err(self.failed("open", error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| self.failed("inspect", error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return refused(NO_FILE);
        }
        if !is_own(&stat) {
            return refused("it belongs to another user");
        }
        if stat.st_mode & OPEN_TO_OTHERS != 0 {
            return refused(
                "group or others can read it; run chmod 600 on it, and change the key if they did",
            );
        }
        let mut bytes = Vec::with_capacity(CLUSTER_KEY_BYTES + 1);
        let file = File::from(fd);
        file.take(CLUSTER_KEY_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| self.failed("read", source))?;
        match bytes.try_into() {
            Ok(bytes) => Ok(Some(ClusterKey(bytes))),
            Err(_) => {
                refused("expected 32 bytes; copy the one of another node, or remove it to get a new one")
            }
        }
    }

    /// Makes the file, unless there is one by now. It is written to a neighbour first and linked into place, so that
    /// another process never reads half of it.
    fn create(&self, random: [u8; CLUSTER_KEY_BYTES]) -> Result<(), ConfigError> {
        let number = NEIGHBOURS.fetch_add(1, Ordering::Relaxed);
        let neighbour = format!("{FILE}.{}-{number}.new", std::process::id());
        // One of our own, left by a crash of a process with the same number.
        match rustix::fs::unlinkat(&self.fd, &neighbour, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed("make", error)),
        }
        let placed = self.write(&neighbour, random).and_then(|()| Ok(self.place(&neighbour)?));
        // Whatever happened, the neighbour goes; only a move into place took it away already.
        let removed = rustix::fs::unlinkat(&self.fd, &neighbour, AtFlags::empty());
        placed.map_err(|source| self.failed("make", source))?;
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed("make", error)),
        }
        rustix::fs::fsync(&self.fd).map_err(|error| self.failed("make", error))
    }

    fn write(&self, name: &str, random: [u8; CLUSTER_KEY_BYTES]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE))?;
        let mut file = File::from(fd);
        file.write_all(&random)?;
        file.sync_all()
    }

    /// Gives `neighbour` its place where nothing is yet.
    fn place(&self, neighbour: &str) -> Result<(), Errno> {
        let placed = match rustix::fs::linkat(&self.fd, neighbour, &self.fd, FILE, AtFlags::empty()) {
            // Some file systems know no links.
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => {
                rustix::fs::renameat_with(&self.fd, neighbour, &self.fd, FILE, RenameFlags::NOREPLACE)
            }
            placed => placed,
        };
        match placed {
            Err(Errno::EXIST) => Ok(()),
            placed => placed,
        }
    }
}

const NO_FILE: &str = "expected a regular file";

fn is_own(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn refusal(home: &Path) -> (PathBuf, &'static str) {
        match load_or_create(home, [9; 32]) {
            Err(ConfigError::KeyFile { path, reason }) => (path, reason),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn home_with_key(bytes: &[u8], mode: u32) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".kvs")).unwrap();
        std::fs::write(cluster_key_path(home.path()), bytes).unwrap();
        std::fs::set_permissions(cluster_key_path(home.path()), std::fs::Permissions::from_mode(mode))
            .unwrap();
        home
    }

    #[test]
    fn the_first_node_makes_the_key_and_every_other_reads_it() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(load_or_create(home.path(), [1; 32]).unwrap().expose(), &[1; 32]);
        assert_eq!(load_or_create(home.path(), [2; 32]).unwrap().expose(), &[1; 32]);
        let path = cluster_key_path(home.path());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let folder = path.parent().unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(folder.read_dir().unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_end_with_one_key() {
        let home = tempfile::tempdir().unwrap();
        let keys: Vec<ClusterKey> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..16)
                .map(|node| (node, home.path()))
                .map(|(node, home)| scope.spawn(move || load_or_create(home, [node; 32]).unwrap()))
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(home.path().join(".kvs").read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_group_or_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let home = home_with_key(&[1; 32], mode);
            let (path, reason) = refusal(home.path());
            assert_eq!(path, cluster_key_path(home.path()));
            assert!(reason.contains("chmod 600"), "{reason}");
        }
        let read_only = home_with_key(&[1; 32], 0o400);
        assert_eq!(load_or_create(read_only.path(), [9; 32]).unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn a_link_is_not_followed_neither_to_a_key_nor_to_nothing() {
        let elsewhere = home_with_key(&[1; 32], 0o600);
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".kvs")).unwrap();
        let path = cluster_key_path(home.path());
        symlink(cluster_key_path(elsewhere.path()), &path).unwrap();
        assert!(refusal(home.path()).1.contains("symbolic link"));
        std::fs::remove_file(&path).unwrap();
        symlink(home.path().join("new"), &path).unwrap();
        assert!(refusal(home.path()).1.contains("symbolic link"));
        assert!(!home.path().join("new").exists());
        let linked = tempfile::tempdir().unwrap();
        symlink(elsewhere.path().join(".kvs"), linked.path().join(".kvs")).unwrap();
        assert!(refusal(linked.path()).1.contains("symbolic link"));
    }

    #[test]
    fn what_is_no_key_is_refused_and_left() {
        for length in [0, 31, 33, 5000] {
            let home = home_with_key(&vec![1; length], 0o600);
            assert!(refusal(home.path()).1.contains("32 bytes"));
            assert_eq!(std::fs::read(cluster_key_path(home.path())).unwrap().len(), length);
        }
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(cluster_key_path(home.path())).unwrap();
        assert_eq!(refusal(home.path()).1, NO_FILE);
        std::fs::remove_dir(cluster_key_path(home.path())).unwrap();
        rustix::fs::mknodat(CWD, cluster_key_path(home.path()), FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(refusal(home.path()).1, NO_FILE);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let home = home_with_key(&[1; 32], 0o600);
        let folder = home.path().join(".kvs");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(refusal(home.path()).0, folder);
    }

    #[test]
    fn printing_does_not_show_the_key() {
        assert_eq!(format!("{:?}", ClusterKey([7; 32])), "ClusterKey(hidden)");
    }
}
