//! The folder in which servers of a run keep their data: inside `target`, emptied before and after, one run at a time.
//!
//! It lies on the disk that holds the build, because a folder in memory would make every synced write a lie.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// File systems in memory, by the magic number of `statfs`: tmpfs and ramfs.
const MEMORY_FILE_SYSTEMS: [i128; 2] = [0x0102_1994, 0x8584_58f6];

/// The folder of this run. Dropping it removes it.
pub(crate) struct Scratch {
    root: PathBuf,
    /// Held locked as long as the run lasts.
    _lock: File,
}

impl Scratch {
    /// Takes `target/bench`, next to the program that runs.
    ///
    /// # Errors
    ///
    /// Another run holds it, it cannot be emptied, or it lies in memory.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let target =
            program.parent().and_then(Path::parent).context("the program lies in no target folder")?;
        Self::open_in(target)
    }

    fn open_in(target: &Path) -> anyhow::Result<Self> {
        let lock = File::create(target.join("bench.lock")).context("no lock file in the target folder")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another benchmark is running in {}", target.display()),
            Err(TryLockError::Error(error)) => {
                return Err(error).context("the benchmark could not be locked");
            }
        }
        let root = target.join("bench");
        if root.exists() {
            std::fs::remove_dir_all(&root).context("the folder of the last run could not be removed")?;
        }
        std::fs::create_dir_all(&root)?;
        if MEMORY_FILE_SYSTEMS.contains(&i128::from(rustix::fs::statfs(&root)?.f_type)) {
            bail!(
                "{} lies in memory: synced writes would cost nothing; set CARGO_TARGET_DIR to a disk",
                root.display()
            );
        }
        Ok(Self { root, _lock: lock })
    }

    /// A new, empty folder of this name.
    ///
    /// # Errors
    ///
    /// It exists already or could not be made.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
        Ok(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.root).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_and_nothing_is_left() {
        let target = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let scratch = Scratch::open_in(target.path()).unwrap();
        assert!(Scratch::open_in(target.path()).is_err());
        let folder = scratch.folder("redis").unwrap();
        std::fs::write(folder.join("x"), "x").unwrap();
        assert!(scratch.folder("redis").is_err());
        drop(scratch);
        assert!(!folder.exists());
        // A process that another test starts at this moment holds the lock until it runs its program.
        let again = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Scratch::open_in(target.path()).is_ok()
        });
        assert!(again);
    }
}
