//! Reading PID files, the documented place where a node tells its process and its address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::sandbox::KVS;

/// What a PID file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PidFile {
    /// The process.
    pub(crate) pid: u32,
    /// The path of the configuration.
    pub(crate) config: PathBuf,
    /// Where it listens, once it does.
    pub(crate) address: Option<SocketAddr>,
}

impl PidFile {
    /// Reads a PID file; `None` when there is none or it is not whole yet. Links are not followed.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        let text = std::fs::read_to_string(path).ok()?;
        let (whole, _) = text.rsplit_once('\n')?;
        let field = |name: &str| whole.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let address = match (field("address"), field("node")) {
            (Some(address), Some(_)) => Some(address.parse().ok()?),
            _ => None,
        };
        Some(Self { pid: field("pid")?.parse().ok()?, config: field("config")?.into(), address })
    }

    /// Whether the process runs and is the program under test.
    pub(crate) fn is_kvs(&self) -> bool {
        std::fs::read_link(format!("/proc/{}/exe", self.pid)).is_ok_and(|program| program == Path::new(KVS))
    }

    /// Whether the process runs, whatever it is. One that ended and was not waited for does not run.
    pub(crate) fn runs(&self) -> bool {
        runs(self.pid)
    }

    /// Kills the process.
    pub(crate) fn kill(&self) {
        signal(self.pid, Signal::KILL);
    }
}

/// Whether a process runs.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state stands behind the name, which is in parentheses and may hold anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Signals a process; one that has just ended is fine.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("kill {pid:?}: {error}"),
    }
}
