//! Where the workspace is and how its cargo is called.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root folder of the workspace that this program was built from.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_path_buf()
}

/// A command that runs the cargo which runs us (or the one on the path), in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Whether a program of this name is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    locate(program).is_some()
}

/// The path of a program: on `PATH`, or in the `sbin` folders that a user's `PATH` often leaves out.
pub(crate) fn locate(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
