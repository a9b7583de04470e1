//! The data directory: locked against a second process, its format known before anything in it is touched.
//!
//! | file | what it is |
//! | --- | --- |
//! | `FORMAT` | one line, `kvs-data 1` |
//! | `LOCK` | locked by the process that has the directory open |
//! | `RESTORING` | there until a restore into the directory is complete; no node opens it meanwhile |
//! | `engine/` | the engine's files |
//! | `IDENTITY` | which node the engine holds, `kvs-node UUID`, and how often it was started, `starts N` |
//! | `lost+found/` | the file system's own, on a volume of its own |
//!
//! `IDENTITY` is written once the node is on the disk, so the engine never says less than it. An engine that does has lost
//! what it held, or is another one: it is refused, as an empty engine would otherwise pass for a new node.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::StoreError;

/// The data directory's format that this program writes.
pub const DATA_FORMAT: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_TEMPORARY: &str = "FORMAT.tmp";
const LOCK_FILE: &str = "LOCK";
const RESTORING_FILE: &str = "RESTORING";
const RESTORING_TEXT: &[u8] =
    b"A restore into this folder was not finished. Delete the folder and run the restore again.\n";
const ENGINE_DIR: &str = "engine";
const IDENTITY_FILE: &str = "IDENTITY";
const IDENTITY_TEMPORARY: &str = "IDENTITY.tmp";
const IDENTITY_WORD: &str = "kvs-node";
const STARTS_WORD: &str = "starts";
const IDENTITY_BYTES_MAX: u64 = 128;
/// What a new file system holds.
const FILE_SYSTEM_DIR: &str = "lost+found";
const FORMAT_WORD: &str = "kvs-data";
const FORMAT_BYTES_MAX: u64 = 64;

/// An opened data directory; the lock is held until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// What a caller expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A data directory, or nothing yet: it is created.
    AnyOrNew,
    /// A data directory with data.
    Existing,
    /// Nothing yet, or an empty folder: it is created.
    New,
}

impl DataDir {
    /// Opens and locks the directory.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`], [`StoreError::Format`] or [`StoreError::File`]; nothing was changed in a directory that is
    /// not ours.
    pub fn open(path: &Path, expect: Expect) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Format { dir: path.to_owned(), reason };
        refuse_half_restored(path)?;
        // Another process may make the directory between two looks: what counts is what is found under the lock.
        let is_new = read_format(path)?.is_none() && is_empty_or_absent(path)? && expect != Expect::Existing;
        let early_lock = if is_new {
            create_folder(path)?;
            Some(lock(path)?)
        } else {
            None
        };
        match (read_format(path)?, expect) {
            (Some(found), _) if found != format_line() => {
                return Err(refuse(format!(
                    "its format is '{}', this version reads '{}'; use the version that wrote it, or a backup",
                    found.escape_debug(),
                    format_line()
                )));
            }
            (Some(_), Expect::New) => {
                return Err(refuse("it already holds data; name a new or empty folder".into()));
            }
            (Some(_), _) => {}
            (None, Expect::Existing) => {
                return Err(refuse("it is no data directory of KVS (no file FORMAT in it)".into()));
            }
            (None, _) if !is_empty_or_absent(path)? => {
                return Err(refuse(
                    "the folder is not empty and no data directory of KVS; name a new or empty folder".into(),
                ));
            }
            (None, _) => create(path)?,
        }
        let lock = early_lock.map_or_else(|| lock(path), Ok)?;
        // A restore that began and died meanwhile.
        refuse_half_restored(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Whether [`Expect::New`] would find a folder that is absent or empty. Nothing is made.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`] or [`StoreError::File`]; nothing was changed.
    pub fn check_new(path: &Path) -> Result<(), StoreError> {
        refuse_half_restored(path)?;
        if read_format(path)?.is_none() && is_empty_or_absent(path)? {
            return Ok(());
        }
        let reason = "it already holds something; name a new or empty folder".into();
        Err(StoreError::Format { dir: path.to_owned(), reason })
    }

    /// Whether a restore could begin in a folder that is absent or empty.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`] or [`StoreError::File`]; nothing was changed.
    pub fn check_restorable(path: &Path) -> Result<(), StoreError> {
        refuse_half_restored(path)?;
        if read_format(path)?.is_none() && is_empty_or_absent(path)? {
            return Ok(());
        }
        let reason = "a restore needs a new or empty folder, and this one holds something".into();
        Err(StoreError::Format { dir: path.to_owned(), reason })
    }

    /// Takes a folder that is absent or empty for a restore: locked, and marked until [`DataDir::end_restore`].
    ///
    /// # Errors
    ///
    /// As for [`DataDir::check_restorable`], and [`StoreError::InUse`].
    pub fn begin_restore(path: &Path) -> Result<Self, StoreError> {
        Self::check_restorable(path)?;
        create_folder(path)?;
        let lock = lock(path)?;
        // Only now nobody else can take it.
        Self::check_restorable(path)?;
        let mark = path.join(RESTORING_FILE);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&mark)
            .and_then(|mut file| file.write_all(RESTORING_TEXT).and_then(|()| file.sync_all()))
            .map_err(file_error("create", &mark))?;
        sync_dir(path)?;
        create(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Takes the mark of a restore off: the directory is whole. It is let go.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`]; the mark may still be there.
    pub fn end_restore(self) -> Result<(), StoreError> {
        let mark = self.path.join(RESTORING_FILE);
        std::fs::remove_file(&mark).map_err(file_error("remove", &mark))?;
        sync_dir(&self.path)
    }

    /// Whether the engine's folder is there where the directory says that it holds a node.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`]: it is not, and must not be made anew; or [`StoreError::File`].
    pub fn expect_engine(&self) -> Result<(), StoreError> {
        match read_identity(&self.path)? {
            Some((node, _)) if !self.engine_dir().is_dir() => {
                Err(self.lost(node, "the folder 'engine' is not there"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the engine holds what the directory says: `found` is its node and how often that was started.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`]: it does not; or [`StoreError::File`].
    pub fn expect_node(&self, found: Option<(Uuid, u32)>) -> Result<(), StoreError> {
        let Some((node, starts)) = read_identity(&self.path)? else { return Ok(()) };
        match found {
            Some((found, since)) if found == node && since >= starts => Ok(()),
            Some((found, since)) if found == node => {
                let reason = format!(
                    "the engine's files are those after start {since} of {starts}: later ones are not there"
                );
                Err(self.lost(node, &reason))
            }
            Some((found, _)) => {
                Err(self.lost(node, &format!("the engine's files are those of node {found}")))
            }
            None => Err(self.lost(node, "the engine's files hold no node")),
        }
    }

    /// Notes the node that the engine holds for sure. A disk without room leaves the note to the next opening.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub fn note_node(&self, node: Uuid, starts: u32) -> Result<(), StoreError> {
        let text = format!("{IDENTITY_WORD} {node}\n{STARTS_WORD} {starts}\n");
        match write_whole(&self.path, IDENTITY_TEMPORARY, IDENTITY_FILE, &text) {
            Err(StoreError::File { source, path, .. })
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                tracing::warn!(path = %path.display(), "the disk is full: the node is noted at the next start");
                Ok(())
            }
            noted => noted,
        }
    }

    fn lost(&self, node: Uuid, found: &str) -> StoreError {
        let reason = format!(
            "it held the data of node {node} (file {IDENTITY_FILE}), but {found}: data was lost, and a node that starts \
             empty in its place would hide that. Put the engine's files back if you have them; else move the folder \
             aside and restore a backup into a new one, or let the node begin in a new one and fetch all from its cluster"
        );
        StoreError::Format { dir: self.path.clone(), reason }
    }

    /// The folder of the engine's files.
    #[must_use]
    pub fn engine_dir(&self) -> PathBuf {
        self.path.join(ENGINE_DIR)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn refuse_half_restored(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING_FILE);
    if mark.try_exists().map_err(file_error("look for", &mark))? {
        let reason = "a restore into it was not finished; delete the folder and run the restore again".into();
        return Err(StoreError::Format { dir: dir.to_owned(), reason });
    }
    Ok(())
}

fn format_line() -> String {
    format!("{FORMAT_WORD} {DATA_FORMAT}")
}

/// Renames what a data directory holds of its engine to `engine.<word>`, so that the next opening begins empty; answers
/// the new name. The store must be closed.
///
/// # Errors
///
/// [`StoreError::InUse`] while it is open, [`StoreError::File`]; the engine is where it was.
pub fn set_engine_aside(dir: &Path, word: &str) -> Result<PathBuf, StoreError> {
    let _lock = lock(dir)?;
    // First, so that no moment is left in which the directory says that it holds a node and does not.
    let identity = dir.join(IDENTITY_FILE);
    match std::fs::remove_file(&identity) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(file_error("remove", &identity)(error));
        }
        _ => sync_dir(dir)?,
    }
    let aside = dir.join(format!("{ENGINE_DIR}.{word}"));
    std::fs::rename(dir.join(ENGINE_DIR), &aside).map_err(|source| StoreError::File {
        operation: "rename the engine's folder to",
        path: aside.clone(),
        source,
    })?;
    Ok(aside)
}

/// The line in `FORMAT`; `None` when there is no such file.
fn read_format(dir: &Path) -> Result<Option<String>, StoreError> {
    let text = read_small(&dir.join(FORMAT_FILE), FORMAT_BYTES_MAX)?;
    Ok(text.map(|text| text.trim_end().to_owned()))
}

/// What `IDENTITY` says: a node, and how often it was started; `None` when there is no such file.
fn read_identity(dir: &Path) -> Result<Option<(Uuid, u32)>, StoreError> {
    let Some(text) = read_small(&dir.join(IDENTITY_FILE), IDENTITY_BYTES_MAX)? else { return Ok(None) };
    let word = |line: Option<&str>, word: &str| {
        line.and_then(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned())
    };
    let mut lines = text.lines();
    let node = word(lines.next(), IDENTITY_WORD).and_then(|node| node.parse().ok());
    let starts = word(lines.next(), STARTS_WORD).and_then(|starts| starts.parse().ok());
    node.zip(starts).map(Some).ok_or_else(|| StoreError::Format {
        dir: dir.to_owned(),
        reason: format!(
            "its file {IDENTITY_FILE} is damaged; run kvs check, and remove that file if the data is what it should be"
        ),
    })
}

/// The text of a small file; `None` when it is not there.
fn read_small(path: &Path, bytes_max: u64) -> Result<Option<String>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error("open", path)(source)),
    };
    let mut text = Vec::new();
    file.take(bytes_max).read_to_end(&mut text).map_err(file_error("read", path))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Whether nothing is there but perhaps the lock file of an opening that was cut short, and what a new file system has.
fn is_empty_or_absent(dir: &Path) -> Result<bool, StoreError> {
    let listing = match std::fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(source) => return Err(StoreError::File { operation: "list", path: dir.to_owned(), source }),
    };
    for found in listing {
        let found =
            found.map_err(|source| StoreError::File { operation: "list", path: dir.to_owned(), source })?;
        let name = found.file_name();
        let is_file_systems = name == FILE_SYSTEM_DIR && found.file_type().is_ok_and(|kind| kind.is_dir());
        if name != LOCK_FILE && name != FORMAT_TEMPORARY && !is_file_systems {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Creates the folder and those above it, so that they outlive a power failure.
fn create_folder(dir: &Path) -> Result<(), StoreError> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<_> = dir.ancestors().take_while(is_missing).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file_error("create", dir))?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Writes the format into a folder that is there and locked.
fn create(dir: &Path) -> Result<(), StoreError> {
    write_whole(dir, FORMAT_TEMPORARY, FORMAT_FILE, &format!("{}\n", format_line()))
}

/// Writes a small file, whole or not at all, and brings it to the disk.
fn write_whole(dir: &Path, temporary: &str, name: &str, text: &str) -> Result<(), StoreError> {
    let temporary = dir.join(temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(file_error("create", &temporary))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(file_error("write", &temporary))?;
    let path = dir.join(name);
    std::fs::rename(&temporary, &path).map_err(file_error("create", &path))?;
    sync_dir(dir)
}

/// Brings a folder's listing to the disk.
///
/// # Errors
///
/// [`StoreError::File`]; the last change of the listing may be lost with the power.
pub fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|source| StoreError::File {
        operation: "sync",
        path: dir.to_owned(),
        source,
    })
}

fn file_error(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    move |source| StoreError::File { operation, path: path.to_owned(), source }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::File { operation: "open", path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::File { operation: "lock", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::{DataDir, Expect};
    use crate::error::StoreError;

    #[test]
    fn a_second_opening_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::open(&path, Expect::AnyOrNew).unwrap();
        assert!(matches!(DataDir::open(&path, Expect::AnyOrNew), Err(StoreError::InUse(_))));
        drop(first);
        assert!(DataDir::open(&path, Expect::Existing).is_ok());
    }

    #[test]
    fn a_folder_that_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(DataDir::open(dir.path(), Expect::AnyOrNew), Err(StoreError::Format { .. })));
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
        assert_eq!(names, ["thesis.txt"]);
    }

    #[test]
    fn an_unknown_format_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("FORMAT"), "kvs-data 2\n").unwrap();
        let error = DataDir::open(dir.path(), Expect::AnyOrNew).unwrap_err().to_string();
        assert!(error.contains("'kvs-data 2'") && error.contains("'kvs-data 1'"), "{error}");
    }

    #[test]
    fn only_a_new_folder_is_taken_where_a_new_one_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path(), Expect::New).unwrap());
        assert!(matches!(DataDir::open(dir.path(), Expect::New), Err(StoreError::Format { .. })));
        let absent = dir.path().join("absent");
        assert!(matches!(DataDir::open(&absent, Expect::Existing), Err(StoreError::Format { .. })));
        assert!(!absent.exists());
    }
}
