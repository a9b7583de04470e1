//! A node in the foreground, as a child of the test.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::faketime;
use crate::support::pid_file::signal;
use crate::support::sandbox::{KVS, Sandbox};
use crate::support::wait::{SOON, until, within};
use crate::support::wire::Wire;

/// A running node. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
    output: PathBuf,
}

impl Node {
    /// Starts a node in a sandbox from a new `config.yaml` with these lines, and waits until it listens.
    pub(crate) fn new(sandbox: &Sandbox, lines: &[(&str, &str)]) -> Self {
        Self::start(sandbox, &sandbox.configure("config.yaml", lines))
    }

    /// Starts a node from an existing configuration, and waits until it listens.
    pub(crate) fn start(sandbox: &Sandbox, config: &Path) -> Self {
        Self::listening(sandbox, config, Spawned::new(sandbox, config))
    }

    /// The same under a clock that is this many seconds ahead.
    pub(crate) fn start_ahead(sandbox: &Sandbox, config: &Path, seconds: i64) -> Self {
        let mut command = sandbox.kvs(&[config.to_str().unwrap()]);
        faketime::ahead(&mut command, seconds);
        Self::listening(sandbox, config, Spawned::by(sandbox, config, command))
    }

    /// Starts a node that may refuse to start: what it printed then.
    pub(crate) fn try_start(sandbox: &Sandbox, config: &Path) -> Result<Self, String> {
        Self::try_listening(sandbox, config, Spawned::new(sandbox, config))
    }

    /// The same in a network namespace.
    pub(crate) fn start_in(sandbox: &Sandbox, config: &Path, namespace: &str) -> Self {
        let mut command = sandbox.command("ip");
        command.args(["netns", "exec", namespace, KVS]).arg(config);
        Self::listening(sandbox, config, Spawned::by(sandbox, config, command))
    }

    fn listening(sandbox: &Sandbox, config: &Path, spawned: Spawned) -> Self {
        Self::try_listening(sandbox, config, spawned).unwrap_or_else(|said| panic!("the node ended: {said}"))
    }

    fn try_listening(sandbox: &Sandbox, config: &Path, mut spawned: Spawned) -> Result<Self, String> {
        let address = until("the node to listen", || {
            if let Some(status) = spawned.child.try_wait().unwrap() {
                return Some(Err(format!("{status}: {}", spawned.said())));
            }
            let pid_file = sandbox.pid_file(config)?;
            pid_file.address.filter(|_| pid_file.pid == spawned.child.id()).map(Ok)
        });
        Ok(Self { address: address?, child: spawned.child, output: spawned.output })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A bare connection to it.
    pub(crate) fn wire(&self) -> Wire {
        Wire::open(self.address)
    }

    /// What it printed so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap()).into_owned()
    }

    /// Kills it as a crash would, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, without waiting.
    pub(crate) fn ask_to_end(&self) {
        signal(self.pid(), Signal::TERM);
    }

    /// Waits for its end, which something else must have caused.
    pub(crate) fn wait(mut self) -> ExitStatus {
        match within(SOON, || self.child.try_wait().unwrap()) {
            Some(status) => status,
            None => panic!("the node did not end: {}", self.said()),
        }
    }

    /// Asks it to end, and waits until it has; it must say that all is well.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.ask_to_end();
        let output = self.output.clone();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&std::fs::read(output).unwrap()));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that was waited for already answers both without doing anything.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        faketime::clean(self.child.id());
        if std::thread::panicking() {
            eprintln!("the node said:\n{}", self.said());
        }
    }
}

/// A node that was started and may not listen, or not ever.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// The process.
    pub(crate) child: Child,
    /// What it prints, standard error included.
    pub(crate) output: PathBuf,
}

impl Spawned {
    /// Starts a node from an existing configuration.
    pub(crate) fn new(sandbox: &Sandbox, config: &Path) -> Self {
        Self::by(sandbox, config, sandbox.kvs(&[config.to_str().unwrap()]))
    }

    /// Starts a node by a command that becomes its process.
    fn by(sandbox: &Sandbox, config: &Path, mut command: Command) -> Self {
        let name = config.file_name().unwrap().to_str().unwrap();
        let output = sandbox.folder().join(format!("{name}.output"));
        let file = File::options().append(true).create(true).open(&output).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, output }
    }

    /// Starts a node that must not run, and waits until it has ended with an error: what it said.
    #[track_caller]
    pub(crate) fn until_refused(sandbox: &Sandbox, config: &Path) -> String {
        let mut spawned = Self::new(sandbox, config);
        let status = until("the node to refuse", || spawned.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(1), "{}", spawned.said());
        spawned.said()
    }

    /// What it printed so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap()).into_owned()
    }
}
