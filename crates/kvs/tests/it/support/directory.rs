//! Data directories as whole folders: copied, and put in the place of others.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Makes a folder and all that is in it once more. A file that goes away meanwhile is left out, as by `cp -r`.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    let Ok(files) = from.read_dir() else { return };
    for file in files.flatten() {
        let path = file.path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
            continue;
        }
        match fs::copy(&path, &target) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// Puts a copy in the place of a folder.
pub(crate) fn replace(folder: &Path, by: &Path) {
    fs::remove_dir_all(folder).unwrap();
    copy(by, folder);
}
