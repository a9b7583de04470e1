//! A server process that the benchmark started and that it ends, by its own pid, whatever happens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// How long a process may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(1);

/// Lines of the log that are shown when a process fails.
const LOG_LINES: usize = 5;

/// A running child. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program in `folder`, which is its working directory, its home and where its output goes.
    ///
    /// Its environment holds nothing but `PATH` and `HOME`: variables of the person who runs this would change what is
    /// measured.
    ///
    /// # Errors
    ///
    /// The program could not be started.
    pub(crate) fn start(program: &Path, arguments: &[String], folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("output.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let child = Command::new(std::env::current_exe()?)
            .args(["bound-exec", "--parent", &std::process::id().to_string(), "--"])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", path)
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        Ok(Self { child, log })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error that quotes the log when the process has ended.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}: {}", self.last_lines()),
        }
    }

    /// The last lines of its output, as one.
    pub(crate) fn last_lines(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text.lines().rev().take(LOG_LINES).collect();
        lines.reverse();
        if lines.is_empty() { "(no output)".to_owned() } else { lines.join(" | ") }
    }

    /// Asks the process to end and waits for it.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM);
        // One that is suspended could not end.
        self.resume();
        let begin = clock::now();
        while begin.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        self.kill();
        bail!("it did not end within {} s of SIGTERM and was killed", PATIENCE.as_secs())
    }

    /// Stops the process where it is, until [`Process::resume`]. Its connections stay open and answer nothing.
    pub(crate) fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a process that was suspended go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the process at once, without a chance to write anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    fn signal(&self, signal: Signal) {
        // A child that was not waited for keeps its pid, so the signal cannot reach another process.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop().ok();
        }
    }
}
