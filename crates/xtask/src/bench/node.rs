//! How our own node is started: the release binary, a written configuration, everything that is not the store off.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::bench::dialect::Dialect;
use crate::bench::figures::Target;
use crate::bench::server::{Recipe, free_ports};

/// Whether values are compressed on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// As by default.
    On,
    /// Switched off.
    Off,
}

/// The path of the release binary, which lies beside the program that runs.
///
/// # Errors
///
/// It is not there.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("kvs");
    if !path.is_file() {
        bail!("not built ({} is missing)", path.display());
    }
    Ok(path)
}

/// The data directory of a node that was started in `folder`.
pub(crate) fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// A node in `folder`: durable as by default, one process, no accounts, no limits, no audit trail, no cluster, no
/// backups.
///
/// # Errors
///
/// The binary is missing, or its configuration could not be written.
pub(crate) fn recipe(folder: &Path, compression: Compression) -> anyhow::Result<Recipe> {
    let program = binary()?;
    let [port] = free_ports()?;
    let compressed = compression == Compression::On;
    let text = format!(
        "node_id: bench\nbind_address: 127.0.0.1\nport: {port}\ndata_dir: {}\ndurability: always\n\
         compression_enabled: {compressed}\nauth_enabled: false\nrate_limiting_enabled: false\n\
         tamper_logging_enabled: false\nclustering_enabled: false\nbackup_enabled: false\n",
        data_dir(folder).display()
    );
    let path = folder.join("node.yaml");
    std::fs::write(&path, text).with_context(|| format!("{} could not be written", path.display()))?;
    let arguments = vec![path.to_string_lossy().into_owned()];
    let probe = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec();
    Ok(Recipe { target: Target::Node, dialect: Dialect::Node, program, arguments, port, probe })
}
