//! A private place to run `kvs` in: a home, a folder with configurations, and an environment without surprises.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::finished::Finished;
use crate::support::pid_file::PidFile;

/// The program under test.
pub(crate) const KVS: &str = env!("CARGO_BIN_EXE_kvs");

/// What every configuration of the tests says unless a test says otherwise.
const CONFIGURED: [(&str, &str); 6] = [
    ("node_id", "tested"),
    ("port", "0"),
    ("auth_enabled", "false"),
    ("clustering_enabled", "false"),
    ("rate_limiting_enabled", "false"),
    ("backup_enabled", "false"),
];

/// A home and a folder. When it is dropped, whatever daemon of it still runs is killed by its pid, and all is removed.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    /// An empty home and an empty folder.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("home")).unwrap();
        std::fs::create_dir(root.path().join("work")).unwrap();
        Self { root }
    }

    /// The folder that commands run in, without links in its path.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("work")
    }

    /// The home.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("home")
    }

    /// Writes the configuration `file` (a path in the folder) with the usual lines of the tests, where `lines` add to
    /// them or replace them.
    pub(crate) fn configure(&self, file: &str, lines: &[(&str, &str)]) -> PathBuf {
        let usual = CONFIGURED.iter().filter(|(key, _)| !lines.iter().any(|(other, _)| key == other));
        let text: String = usual.chain(lines).map(|(key, value)| format!("{key}: {value}\n")).collect();
        self.write(file, &text)
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.folder().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A command that runs in the folder with our home and nothing else of the environment but the search path.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).env_clear().env("HOME", self.home());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    /// `kvs` with arguments, not started yet.
    pub(crate) fn kvs(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(KVS);
        command.args(arguments);
        command
    }

    /// Runs `kvs` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.kvs(arguments), b"")
    }

    /// Runs `kvs` to its end with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        Finished::of(self.kvs(arguments), input)
    }

    /// The folder of the PID files, which need not be there.
    pub(crate) fn pids(&self) -> PathBuf {
        self.home().join(".kvs/pids")
    }

    /// The PID file of the instance with this configuration.
    pub(crate) fn pid_file(&self, config: &Path) -> Option<PidFile> {
        let name = config.file_name().unwrap().to_str().unwrap();
        PidFile::read(&self.pids().join(format!("{name}.pid")))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let Ok(files) = std::fs::read_dir(self.pids()) else { return };
        for file in files.flatten() {
            if let Some(pid_file) = PidFile::read(&file.path()).filter(PidFile::is_kvs) {
                pid_file.kill();
            }
        }
    }
}
