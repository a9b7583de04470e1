//! Where PID files and logs are kept: `$HOME/.kvs/pids` and `$HOME/.kvs/logs`, both private to this user.
//!
//! Finding them makes nothing; a folder is made when an instance starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::DaemonError;
use crate::folder::{Absent, Folder};

/// The folder of kvs in the home folder of the user.
const KVS_FOLDER: &str = ".kvs";
const PID_FOLDER: &str = "pids";
const LOG_FOLDER: &str = "logs";

/// The home folder of the user.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The home folder that the environment names; `env` looks up a variable.
    ///
    /// # Errors
    /// [`DaemonError::NoHome`] when `HOME` is missing or no absolute path.
    pub fn from_env(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, DaemonError> {
        let path = PathBuf::from(env("HOME").ok_or(DaemonError::NoHome)?);
        if path.is_absolute() { Ok(Self(path)) } else { Err(DaemonError::NoHome) }
    }

    /// The home folder at an absolute path.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The log file of the instance `name` (the file name of its configuration).
    #[must_use]
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.0.join(KVS_FOLDER).join(LOG_FOLDER).join(log_name(name))
    }

    /// The PID file of the instance `name`.
    #[must_use]
    pub fn pid_path(&self, name: &str) -> PathBuf {
        self.0.join(KVS_FOLDER).join(PID_FOLDER).join(pid_name(name))
    }

    /// The folder of the PID files; `None` when it is not there and is not to be made.
    pub(crate) fn pids(&self, absent: Absent) -> Result<Option<Folder>, DaemonError> {
        Folder::open(&self.0, [KVS_FOLDER, PID_FOLDER], absent)
    }

    /// The folder of the PID files, made when it is not there.
    pub(crate) fn made_pids(&self) -> Result<Folder, DaemonError> {
        made(self.pids(Absent::Make)?, &self.0)
    }

    /// The folder of the logs, made when it is not there.
    pub(crate) fn made_logs(&self) -> Result<Folder, DaemonError> {
        made(Folder::open(&self.0, [KVS_FOLDER, LOG_FOLDER], Absent::Make)?, &self.0)
    }
}

/// A folder that was just made can be missing only when someone removed it again.
fn made(folder: Option<Folder>, home: &Path) -> Result<Folder, DaemonError> {
    folder.ok_or_else(|| DaemonError::io("make the folders of kvs in", home, std::io::ErrorKind::NotFound))
}

/// The suffix of PID files.
pub(crate) const PID_SUFFIX: &str = ".pid";

/// The file name of a PID file.
pub(crate) fn pid_name(name: &str) -> String {
    format!("{name}{PID_SUFFIX}")
}

/// The file name of a log.
pub(crate) fn log_name(name: &str) -> String {
    format!("kvs_{name}.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_the_configuration() {
        let home = Home::from_env(&|name| (name == "HOME").then(|| "/home/ada".into())).unwrap();
        assert_eq!(home.log_path("node1.yaml"), Path::new("/home/ada/.kvs/logs/kvs_node1.yaml.log"));
        assert_eq!(home.pid_path("node1.yaml"), Path::new("/home/ada/.kvs/pids/node1.yaml.pid"));
    }

    #[test]
    fn a_home_must_be_absolute() {
        assert!(matches!(Home::from_env(&|_| None), Err(DaemonError::NoHome)));
        assert!(matches!(Home::from_env(&|_| Some("".into())), Err(DaemonError::NoHome)));
        assert!(matches!(Home::from_env(&|_| Some("ada".into())), Err(DaemonError::NoHome)));
    }
}
