//! What files take on the disk: the blocks that the file system has given them, not their lengths.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The blocks that the files below a folder take, in bytes. A file that is removed while they are counted is left out.
///
/// # Errors
///
/// The folder cannot be listed.
pub(crate) fn allocated(folder: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    walk(folder, &mut |_, bytes| total += bytes)?;
    Ok(total)
}

/// The same by the folder in which each file lies, as a path from `folder` on; files in `folder` itself are under "".
///
/// # Errors
///
/// As [`allocated`].
pub(crate) fn allocated_by_folder(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, u64>> {
    let mut by_folder = BTreeMap::new();
    walk(folder, &mut |within, bytes| {
        let name = within.strip_prefix(folder).unwrap_or(within).to_path_buf();
        *by_folder.entry(name).or_default() += bytes;
    })?;
    Ok(by_folder)
}

/// Tells of every file the folder that it lies in and its bytes.
fn walk(root: &Path, tell: &mut dyn FnMut(&Path, u64)) -> anyhow::Result<()> {
    root.metadata().with_context(|| format!("{} could not be listed", root.display()))?;
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // A node that runs removes files and folders at any moment.
        let Ok(entries) = folder.read_dir() else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                // The unit of `blocks` is 512 bytes on every file system.
                tell(&folder, metadata.blocks() * 512);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_in_all_folders_and_holes_do_not() {
        let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        for name in ["a", "inner/b"] {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            std::io::Write::write_all(&mut &file, &[7; 100_000]).unwrap();
            file.set_len(50_000_000).unwrap();
            file.sync_all().unwrap();
        }
        let bytes = allocated(folder.path()).unwrap();
        assert!((200_000..10_000_000).contains(&bytes), "{bytes}");
        let by_folder = allocated_by_folder(folder.path()).unwrap();
        assert_eq!(by_folder.keys().collect::<Vec<_>>(), [Path::new(""), Path::new("inner")]);
        assert_eq!(by_folder.values().sum::<u64>(), bytes);
        assert!(allocated(&folder.path().join("absent")).is_err());
    }
}
