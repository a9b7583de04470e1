//! What runs: one instance, or all of this user. Looking changes nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kvs_config::name::instance;
use serde::{Serialize, Serializer};

use crate::error::DaemonError;
use crate::folder::{Absent, Folder};
use crate::home::{Home, PID_SUFFIX};
use crate::limits::INSTANCES_MAX;
use crate::probe::{Probe, look, settled, taken};
use crate::record::Record;

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs and listens.
    Running,
    /// It runs and does not listen yet.
    Starting,
    /// It ended without removing its PID file: it was killed, or the machine went down.
    Stale,
    /// Its PID file cannot be used; `problem` says why.
    Unknown,
}

/// One instance. Serialized it is the JSON of `kvs status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceStatus {
    /// Its name: the file name of its configuration.
    pub name: String,
    /// Whether it runs.
    pub state: State,
    /// Absolute path of its configuration; `None` when the PID file does not say.
    #[serde(serialize_with = "path_text")]
    pub config: Option<PathBuf>,
    /// Its process; `None` unless it runs.
    pub pid: Option<u32>,
    /// Where it listens; `None` unless it does.
    pub address: Option<SocketAddr>,
    /// Its `node_id`; `None` unless it listens.
    pub node_id: Option<String>,
    /// When it started, in milliseconds since 1970; `None` when the PID file does not say.
    pub started_at_ms: Option<u64>,
    /// Its log file, which need not exist.
    #[serde(serialize_with = "log_text")]
    pub log: PathBuf,
    /// What is wrong with its PID file.
    pub problem: Option<String>,
}

/// All instances of this user that have a PID file, by name, at most [`INSTANCES_MAX`]. One that cannot be looked at
/// is in the list with its problem.
///
/// # Errors
/// [`DaemonError`] when the folder of the PID files is refused or cannot be read.
pub fn status(home: &Home) -> Result<Vec<InstanceStatus>, DaemonError> {
    let Some(pids) = home.pids(Absent::Leave)? else { return Ok(Vec::new()) };
    let names = pids.names(PID_SUFFIX, INSTANCES_MAX)?;
    Ok(names.into_iter().filter_map(|name| of_file(home, &pids, name)).collect())
}

/// The instance of the configuration at `config`, an absolute path; `None` when it has no PID file.
///
/// # Errors
/// [`DaemonError::OtherFolder`] when what runs under this name belongs to another configuration; another
/// [`DaemonError`] when the PID file cannot be looked at.
pub fn status_of(home: &Home, config: &Path) -> Result<Option<InstanceStatus>, DaemonError> {
    let name = instance(config)?;
    let Some(pids) = home.pids(Absent::Leave)? else { return Ok(None) };
    match settled(&pids, &name)? {
        Probe::Held(record) if record.config != config => Err(taken(&name, config, record)),
        // What a dead instance of another folder left says nothing about this one.
        Probe::Stale(Some(record)) if record.config != config => Ok(None),
        probe => Ok(of_probe(home, name, probe)),
    }
}

/// The instance of a PID file; `None` when the file has gone meanwhile.
fn of_file(home: &Home, pids: &Folder, name: String) -> Option<InstanceStatus> {
    match look(pids, &name) {
        Ok(Probe::Unnamed) => {
            // Perhaps someone else looked at the same moment.
            match settled(pids, &name) {
                Ok(probe) => of_probe(home, name, probe),
                Err(error) => Some(unknown(home, name, &error)),
            }
        }
        Ok(probe) => of_probe(home, name, probe),
        Err(error) => Some(unknown(home, name, &error)),
    }
}

fn of_probe(home: &Home, name: String, probe: Probe) -> Option<InstanceStatus> {
    let bare = bare(home, name, State::Stale);
    match probe {
        Probe::Absent => None,
        Probe::Stale(None) => Some(bare),
        Probe::Stale(Some(record)) => {
            Some(InstanceStatus { config: Some(record.config), started_at_ms: Some(record.since_ms), ..bare })
        }
        Probe::Held(Record { process, since_ms, config, announcement }) => {
            let (address, node_id) = announcement.map(|heard| (heard.address, heard.node_id)).unzip();
            Some(InstanceStatus {
                state: if address.is_some() { State::Running } else { State::Starting },
                config: Some(config),
                pid: Some(process.pid),
                address,
                node_id,
                started_at_ms: Some(since_ms),
                ..bare
            })
        }
        Probe::Unnamed => Some(InstanceStatus { state: State::Unknown, ..bare }),
    }
}

fn unknown(home: &Home, name: String, error: &DaemonError) -> InstanceStatus {
    InstanceStatus { problem: Some(error.to_string()), ..bare(home, name, State::Unknown) }
}

fn bare(home: &Home, name: String, state: State) -> InstanceStatus {
    let log = home.log_path(&name);
    InstanceStatus {
        name,
        state,
        config: None,
        pid: None,
        address: None,
        node_id: None,
        started_at_ms: None,
        log,
        problem: None,
    }
}

/// A path as text, also one that is not UTF-8.
fn path_text<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

fn log_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path.to_string_lossy().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfile::PidFile;

    #[test]
    fn every_instance_is_listed_with_what_is_known_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        assert_eq!(status(&home).unwrap(), []);
        assert!(!folder.path().join(".kvs").exists(), "looking made a folder");

        let mut running = PidFile::acquire(&home, Path::new("/c/b.yaml")).unwrap();
        running.announce("127.0.0.1:7".parse().unwrap(), "beta").unwrap();
        let _starting = PidFile::acquire(&home, Path::new("/c/c.yaml")).unwrap();
        std::fs::write(home.pid_path("a.yaml"), "garbage").unwrap();
        std::os::unix::fs::symlink("/dev/null", home.pid_path("d.yaml")).unwrap();

        let all = status(&home).unwrap();
        let states: Vec<_> = all.iter().map(|status| (status.name.as_str(), status.state)).collect();
        let expected = [
            ("a.yaml", State::Stale),
            ("b.yaml", State::Running),
            ("c.yaml", State::Starting),
            ("d.yaml", State::Unknown),
        ];
        assert_eq!(states, expected);
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json.pointer("/1/address").unwrap(), "127.0.0.1:7");
        assert_eq!(json.pointer("/1/config").unwrap(), "/c/b.yaml");
        assert_eq!(json.pointer("/1/node_id").unwrap(), "beta");
        assert_eq!(json.pointer("/1/state").unwrap(), "running");
        assert_eq!(json.pointer("/1/pid").unwrap(), std::process::id());
        assert!(json.pointer("/3/problem").unwrap().as_str().unwrap().contains("symbolic link"));
        assert!(json.pointer("/0/pid").unwrap().is_null());
    }

    #[test]
    fn one_instance_is_told_from_one_of_the_same_name_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        let config = Path::new("/c/n.yaml");
        assert_eq!(status_of(&home, config).unwrap(), None);
        let running = PidFile::acquire(&home, config).unwrap();
        assert_eq!(status_of(&home, config).unwrap().unwrap().state, State::Starting);
        let elsewhere = status_of(&home, Path::new("/d/n.yaml"));
        assert!(matches!(elsewhere, Err(DaemonError::OtherFolder { config: other, .. }) if other == config));
        drop(running);
        assert_eq!(status_of(&home, config).unwrap(), None);
    }
}
