//! Writing certificates and keys so that a file is there whole or not at all, and a key never readable by others.

use std::fs::{DirBuilder, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::Builder;

use crate::error::CertsError;

const FOLDER_MODE: u32 = 0o700;
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// What a file holds, and so who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// A private key: its owner.
    Key,
    /// Certificates: anybody who may look into the folder.
    Certificates,
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and that is an error.
    Keep,
    /// It is replaced.
    Replace,
}

/// Makes a folder that only its owner can look into, with the folders above it; one that is there is left as it is.
pub(crate) fn make_folder(path: &Path) -> Result<(), CertsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(|error| CertsError::io("make", path, error))
}

/// Writes a file beside its place and moves it there.
pub(crate) fn write(path: &Path, text: &str, content: Content, existing: Existing) -> Result<(), CertsError> {
    let failed = |error| CertsError::io("write", path, error);
    let mode = match content {
        Content::Key => KEY_MODE,
        Content::Certificates => CERTIFICATE_MODE,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file =
        Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let placed = match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    };
    match placed {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(CertsError::Exists { path: path.to_owned() })
        }
        Err(error) => Err(failed(error.error)),
    }
}
