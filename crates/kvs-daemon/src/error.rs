//! What can go wrong with an instance as a process, in words for a terminal.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use kvs_config::error::ConfigError;

/// Why an instance was not started, stopped or looked at. No process was signalled unless a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The environment does not say where the home folder is.
    #[error("HOME: expected the absolute path of a folder; PID files and logs are kept in $HOME/.kvs")]
    NoHome,
    /// The path of the configuration has no usable file name.
    #[error(transparent)]
    Name(#[from] ConfigError),
    /// A folder or file under `$HOME/.kvs` is not what it must be. It was left as it is.
    #[error("{}: refused: {reason}", path.display())]
    Refused {
        /// What was refused.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The system refused an operation on a folder or file under `$HOME/.kvs`, or on `/proc`.
    #[error("{}: cannot {operation}: {source}", path.display())]
    Io {
        /// What was to be done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path of the configuration is too long for a PID file.
    #[error("{}: this path is too long for a PID file", config.display())]
    TooLong {
        /// The configuration.
        config: PathBuf,
    },
    /// This very configuration runs already.
    #[error("{name} is already running ({})", running(*pid, *address))]
    AlreadyRunning {
        /// Name of the instance.
        name: String,
        /// Its process.
        pid: u32,
        /// Where it listens; `None` while it is still starting.
        address: Option<SocketAddr>,
    },
    /// An instance of the same name runs from another folder.
    #[error("an instance named {name} is already running from {} ({}); stop that one, or rename the file",
            config.display(), running(*pid, *address))]
    OtherFolder {
        /// Name of both instances.
        name: String,
        /// Configuration of the one that runs.
        config: PathBuf,
        /// Its process.
        pid: u32,
        /// Where it listens; `None` while it is still starting.
        address: Option<SocketAddr>,
    },
    /// The PID file is locked, and it does not name the process that holds it.
    #[error("{}: this PID file is held by a process that it does not name; nothing was signalled", path.display())]
    UnknownHolder {
        /// The PID file.
        path: PathBuf,
    },
    /// No such instance runs. A PID file left by a dead one was removed.
    #[error("{name} is not running")]
    NotRunning {
        /// Name of the instance.
        name: String,
    },
    /// The program of the daemon could not be started.
    #[error("{}: cannot start this program: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon ended before it answered.
    #[error("{name} did not start ({status}){}", tail(log, lines))]
    Died {
        /// Name of the instance.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines that this start added to it, control characters escaped.
        lines: Vec<String>,
    },
    /// The daemon runs, and did not answer in time. It was left running.
    #[error("{name} (pid {pid}) did not answer within {} s; it is still starting, see {}",
            waited.as_secs(), log.display())]
    NotAnswering {
        /// Name of the instance.
        name: String,
        /// Its process.
        pid: u32,
        /// How long was waited.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
    },
    /// The process could not be signalled.
    #[error("{name} (pid {pid}): cannot ask it to stop: {source}")]
    Signal {
        /// Name of the instance.
        name: String,
        /// Its process.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The process was asked to stop and did not end in time. It was left to finish.
    #[error("{name} (pid {pid}) was asked to stop and is still draining after {} s; it will end by itself, look \
             again with status", waited.as_secs())]
    StillDraining {
        /// Name of the instance.
        name: String,
        /// Its process.
        pid: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// The process could not leave the session of its terminal.
    #[error("cannot leave the session of the terminal: {source}")]
    Session {
        /// What the system said.
        source: io::Error,
    },
}

impl DaemonError {
    /// An [`DaemonError::Io`] of an operation on a path.
    pub(crate) fn io(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { operation, path: path.to_owned(), source: source.into() }
    }
}

fn running(pid: u32, address: Option<SocketAddr>) -> String {
    match address {
        Some(address) => format!("pid {pid}, {address}"),
        None => format!("pid {pid}, still starting"),
    }
}

fn tail(log: &Path, lines: &[String]) -> String {
    if lines.is_empty() {
        return format!("; it wrote nothing to {}", log.display());
    }
    let mut text = format!("; the last lines of {}:", log.display());
    for line in lines {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}
