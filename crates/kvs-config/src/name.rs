//! The path of a configuration from what the user typed, and the name of the instance from that path.
//!
//! The extension is optional: `node1` is `node1.yaml`. An instance is called like its file, `node1.yaml`; PID file and
//! log carry that name. So does the data directory of a configuration that names none: `data` belongs to `config.yaml`,
//! `data-node1` to `node1.yaml`. Configurations of one folder that differ in their ports only are then nodes of their own.

use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::limits::NAME_BYTES_MAX;

/// What a configuration may end in, without the dot.
const EXTENSIONS: [&str; 2] = ["yaml", "yml"];

/// The file that `kvs` without an argument runs, in the current folder.
pub const DEFAULT_FILE: &str = "config.yaml";

/// The absolute path of the configuration that `given` names.
///
/// `given` ends in `.yaml` or `.yml`, or the extension is added; only where `GIVEN.yaml` does not exist and a file of
/// exactly the given name does, that one is meant. The file need not exist. Links in the path of its folder are
/// followed, so that one file has one path.
///
/// # Errors
/// [`ConfigError::Name`] when the path has no usable file name, [`ConfigError::Read`] when there is no current folder.
pub fn resolve(given: &Path) -> Result<PathBuf, ConfigError> {
    // Checks the name before anything is appended: `..` has none.
    instance(given)?;
    let extended = extended(given);
    let chosen = if !extended.exists() && given.is_file() { given } else { &extended };
    absolute(chosen)
}

/// The name of the instance that runs from the configuration at `path`: its file name.
///
/// # Errors
/// [`ConfigError::Name`] when there is none, or it is not UTF-8, holds control characters or is too long.
pub fn instance(path: &Path) -> Result<String, ConfigError> {
    let name = path.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) if name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) => {
            Ok(name.to_owned())
        }
        _ => Err(ConfigError::Name { path: path.to_owned() }),
    }
}

/// The name of the data directory of `instance` (a name of [`instance`]) where its configuration does not say one; it is
/// in the folder of the configuration.
pub(crate) fn data_folder(instance: &str) -> String {
    if instance == DEFAULT_FILE {
        return "data".to_owned();
    }
    format!("data-{}", EXTENSIONS.iter().find_map(|end| stem(instance, end)).unwrap_or(instance))
}

/// `instance` without the extension `end`; `None` when that leaves nothing, or does not stand there.
fn stem<'a>(instance: &'a str, end: &str) -> Option<&'a str> {
    instance.strip_suffix(end)?.strip_suffix('.').filter(|stem| !stem.is_empty())
}

/// `path` from the root, with the links of its folder followed where the folder exists.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    instance(path)?;
    let path =
        std::path::absolute(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ConfigError::Name { path });
    };
    match folder.canonicalize() {
        Ok(folder) => Ok(folder.join(name)),
        // Whoever opens the file says what is wrong with its folder.
        Err(_) => Ok(path),
    }
}

fn extended(given: &Path) -> PathBuf {
    let has_extension = given.extension().is_some_and(|found| EXTENSIONS.iter().any(|end| found == *end));
    if has_extension {
        return given.to_owned();
    }
    let mut extended = given.as_os_str().to_owned();
    extended.push(".yaml");
    PathBuf::from(extended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_optional() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        assert_eq!(resolve(&folder.join("node1")).unwrap(), folder.join("node1.yaml"));
        assert_eq!(resolve(&folder.join("node.1")).unwrap(), folder.join("node.1.yaml"));
        assert_eq!(resolve(&folder.join("node1.yml")).unwrap(), folder.join("node1.yml"));
        std::fs::write(folder.join("plain"), "").unwrap();
        assert_eq!(resolve(&folder.join("plain")).unwrap(), folder.join("plain"));
        std::fs::write(folder.join("plain.yaml"), "").unwrap();
        assert_eq!(resolve(&folder.join("plain")).unwrap(), folder.join("plain.yaml"));
    }

    #[test]
    fn one_file_has_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.join("link")).unwrap();
        assert_eq!(resolve(&folder.join("link/node1")).unwrap(), folder.join("real/node1.yaml"));
        assert_eq!(resolve(&folder.join("real/../link/./node1")).unwrap(), folder.join("real/node1.yaml"));
    }

    #[test]
    fn an_instance_is_called_like_its_file() {
        assert_eq!(instance(Path::new("/etc/kvs/node1.yaml")).unwrap(), "node1.yaml");
        for path in ["", "/", "..", "a/..", "a\nb.yaml", &"x".repeat(241)] {
            assert!(matches!(instance(Path::new(path)), Err(ConfigError::Name { .. })), "{path:?}");
        }
    }

    #[test]
    fn a_data_folder_is_called_like_its_configuration() {
        let cases = [
            ("config.yaml", "data"),
            ("node1.yaml", "data-node1"),
            ("node1.yml", "data-node1"),
            ("node.1.yaml", "data-node.1"),
            ("plain", "data-plain"),
            (".yaml", "data-.yaml"),
        ];
        for (instance, folder) in cases {
            assert_eq!(data_folder(instance), folder);
        }
    }
}
