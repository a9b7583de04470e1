//! Finding and reading the configuration that a command names.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kvs_config::config::{Config, load as load_config, load_or_create};
use kvs_config::host::host_name;
use kvs_config::name::{DEFAULT_FILE, resolve};

use crate::printer;

/// A variable of the environment; one that is not UTF-8 counts as missing.
pub(super) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The absolute path of the configuration that `given` names, `config.yaml` in this folder without it.
pub(super) fn config_path(given: Option<&Path>) -> Result<PathBuf> {
    Ok(resolve(given.unwrap_or(Path::new(DEFAULT_FILE)))?)
}

/// Reads the configuration that `given` names, which must exist; without it `config.yaml` in this folder, which is
/// written with its defaults when there is none.
pub(super) fn load(given: Option<&Path>) -> Result<Config> {
    if given.is_some() {
        return read(given);
    }
    let path = config_path(None)?;
    let is_new = !path.exists();
    let config = load_or_create(&path, &env, &host_name())?;
    if is_new {
        printer::note(&format!("wrote {} with the defaults", path.display()));
    }
    Ok(config)
}

/// Reads the configuration that `given` names, `config.yaml` in this folder without it; it must exist.
pub(super) fn read(given: Option<&Path>) -> Result<Config> {
    Ok(load_config(&config_path(given)?, &env, &host_name())?)
}
