//! Stopping an instance: ask, then wait until it is gone. Never by force.

use std::path::Path;
use std::time::Duration;

use kvs_config::name::instance;

use crate::clock::Deadline;
use crate::error::DaemonError;
use crate::folder::{Absent, Folder};
use crate::home::{Home, pid_name};
use crate::probe::{Probe, look, remove_stale, settled, taken};
use crate::process::Asked;
use crate::record::Record;

/// An instance that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Its name: the file name of its configuration.
    pub name: String,
    /// The process that it was.
    pub pid: u32,
}

/// Asks the instance of the configuration at `config` (an absolute path) to end, with SIGTERM, and waits for that. A
/// PID file that it leaves is removed.
///
/// The signal reaches only the process that holds the lock of the PID file and started when the file says.
///
/// # Errors
/// [`DaemonError::NotRunning`] when it does not run (a stale PID file was removed); [`DaemonError::OtherFolder`] when
/// what runs under this name belongs to another configuration, [`DaemonError::UnknownHolder`] when it cannot be told;
/// nothing was signalled then. [`DaemonError::StillDraining`] when it did not end within `timeout`; it was asked to.
pub fn stop(home: &Home, config: &Path, timeout: Duration) -> Result<Stopped, DaemonError> {
    let name = instance(config)?;
    let not_running = || DaemonError::NotRunning { name: name.clone() };
    let pids = home.pids(Absent::Leave)?.ok_or_else(not_running)?;
    let record = match settled(&pids, &name)? {
        Probe::Held(record) if record.config == config => record,
        Probe::Held(record) => return Err(taken(&name, config, record)),
        Probe::Unnamed => return Err(DaemonError::UnknownHolder { path: pids.path_of(&pid_name(&name)) }),
        Probe::Absent | Probe::Stale(_) => {
            remove_stale(&pids, &name)?;
            return Err(not_running());
        }
    };
    let pid = record.process.pid;
    match record.process.ask_to_end() {
        // It ended between the look and the question; then it is stopped as well.
        Ok(Asked::Sent | Asked::Gone) => {}
        Err(source) => return Err(DaemonError::Signal { name, pid, source }),
    }
    wait(&pids, &name, &record, timeout)?;
    Ok(Stopped { name, pid })
}

/// Waits for the end of the process, and removes what it left.
fn wait(pids: &Folder, name: &str, record: &Record, timeout: Duration) -> Result<(), DaemonError> {
    let deadline = Deadline::after(timeout);
    // The lock is asked too, so that a process whose state cannot be read does not count as ended.
    while record.process.runs() || matches!(look(pids, name)?, Probe::Unnamed) {
        if !deadline.pause() {
            let pid = record.process.pid;
            return Err(DaemonError::StillDraining { name: name.to_owned(), pid, waited: timeout });
        }
    }
    remove_stale(pids, name)
}
