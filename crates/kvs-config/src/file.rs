//! The configuration file on disk: read within bounds, and written once when there is none.
//!
//! Invariants: reading never waits (a pipe or device is refused) and never takes more than the bound; writing never
//! replaces a file and leaves the whole text or none of it at the path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use crate::error::ConfigError;
use crate::limits::FILE_BYTES_MAX;

/// Tells the neighbours apart that threads of this process write at once.
static NEIGHBOURS: AtomicU64 = AtomicU64::new(0);

/// The text of the file at `path`.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
        _ => ConfigError::Read { path: path.to_owned(), source },
    };
    // Without blocking, so that opening a pipe that nobody writes to returns.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ConfigError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::NotText { path: path.to_owned() })
}

/// Writes `text` to `path` where nothing is yet; a file that is there already stays as it is.
///
/// The mode is 0600, since a secret may be added to the file. The text is written to a neighbour first and linked into
/// place, so that another process never reads half of it.
pub(crate) fn create(path: &Path, text: &str) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Create { path: path.to_owned(), source };
    if path.exists() {
        return Ok(());
    }
    let mut neighbour = path.as_os_str().to_owned();
    neighbour.push(format!(".{}-{}.new", std::process::id(), NEIGHBOURS.fetch_add(1, Ordering::Relaxed)));
    let neighbour = Path::new(&neighbour);
    // One of our own, left by a crash of a process with the same number.
    match std::fs::remove_file(neighbour) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let linked = write_new(neighbour, text).and_then(|()| std::fs::hard_link(neighbour, path));
    // Whatever happened, the neighbour goes; a second failure would only hide the first.
    let removed = std::fs::remove_file(neighbour);
    match linked {
        Ok(()) => removed.map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // Some file systems know no links.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) =>
        {
            write_new(path, text).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    sync_folder(path).map_err(failed)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_file_is_private_and_an_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        create(&path, "port: 1\n").unwrap();
        create(&path, "port: 2\n").unwrap();
        assert_eq!(read(&path).unwrap(), "port: 1\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_write_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        std::thread::scope(|scope| {
            for port in 1..9 {
                let path = &path;
                scope.spawn(move || create(path, &format!("port: {port}\n")).unwrap());
            }
        });
        let text = read(&path).unwrap();
        assert!((1..9).any(|port| text == format!("port: {port}\n")), "{text:?}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_text_file_of_bounded_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        assert!(matches!(read(&path), Err(ConfigError::Missing { .. })));
        assert!(matches!(read(folder.path()), Err(ConfigError::NotAFile { .. })));
        assert!(matches!(read(Path::new("/dev/zero")), Err(ConfigError::NotAFile { .. })));
        std::fs::write(&path, [b'#', 0xff]).unwrap();
        assert!(matches!(read(&path), Err(ConfigError::NotText { .. })));
        std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX + 1]).unwrap();
        assert!(matches!(read(&path), Err(ConfigError::TooLarge { .. })));
        std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX]).unwrap();
        assert_eq!(read(&path).unwrap().len(), FILE_BYTES_MAX);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(create(&folder.path().join("no/c.yaml"), ""), Err(ConfigError::Create { .. })));
    }
}
