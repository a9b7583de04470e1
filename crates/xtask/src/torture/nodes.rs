//! Five nodes, their folders and what can be done to them.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::node::binary;
use crate::bench::process::Process;
use crate::bench::server::free_ports;
use crate::clock;
use crate::torture::faketime;
use crate::torture::talk::Talk;

/// How many there are.
pub(crate) const NODES: usize = 5;

/// How long a node may take until it answers.
const STARTING: Duration = Duration::from_secs(60);

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Shared by the nodes of a run.
const SECRET: &str = "only-for-a-run-on-loopback";

/// The nodes. They are ended when this is dropped.
pub(crate) struct Nodes {
    folder: PathBuf,
    ports: [u16; NODES],
    processes: Vec<Option<Process>>,
}

impl Nodes {
    /// No node runs yet; their folders are below this one.
    ///
    /// # Errors
    ///
    /// The folders could not be made, or there are no ports.
    pub(crate) fn new(folder: PathBuf) -> anyhow::Result<Self> {
        for node in 0..NODES {
            std::fs::create_dir_all(folder.join(format!("n{node}")))?;
        }
        Ok(Self { folder, ports: free_ports()?, processes: (0..NODES).map(|_| None).collect() })
    }

    /// Where a node runs.
    pub(crate) fn folder_of(&self, node: usize) -> PathBuf {
        self.folder.join(format!("n{node}"))
    }

    /// The data directory of a node.
    pub(crate) fn data_of(&self, node: usize) -> PathBuf {
        self.folder_of(node).join("data")
    }

    /// Where a node listens.
    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.get(node).copied().unwrap_or(0)))
    }

    /// A client of a node.
    pub(crate) fn talk(&self, node: usize) -> Talk {
        Talk::new(self.address(node), Duration::from_secs(20))
    }

    /// Whether a node runs, frozen or not.
    pub(crate) fn runs(&self, node: usize) -> bool {
        self.processes.get(node).is_some_and(Option::is_some)
    }

    /// Starts a node under a clock so many seconds ahead, and waits until it answers.
    ///
    /// # Errors
    ///
    /// It ended, or does not answer.
    pub(crate) fn start(&mut self, node: usize, ahead_s: u64) -> anyhow::Result<()> {
        let folder = self.folder_of(node);
        let config = folder.join("node.yaml");
        std::fs::write(&config, self.configuration(node))?;
        let (mut program, mut arguments) = (binary()?, Vec::new());
        if ahead_s > 0 {
            arguments = faketime::variables(ahead_s);
            arguments.push(program.to_string_lossy().into_owned());
            program = PathBuf::from("/usr/bin/env");
        }
        arguments.push(config.to_string_lossy().into_owned());
        let mut process = Process::start(&program, &arguments, &self.folder_of(node))?;
        let (begin, mut talk) = (clock::now(), Talk::new(self.address(node), Duration::from_secs(2)));
        while talk.json("/ready").is_err() {
            process.check_alive()?;
            if begin.elapsed() > STARTING {
                bail!("node {node} does not answer: {}", process.last_lines());
            }
            thread::sleep(POLL);
        }
        if let Some(place) = self.processes.get_mut(node) {
            *place = Some(process);
        }
        Ok(())
    }

    fn configuration(&self, node: usize) -> String {
        let seeds: Vec<String> = (0..node).map(|other| format!("\"{}\"", self.address(other))).collect();
        format!(
            "node_id: n{node}\nbind_address: 127.0.0.1\nport: {}\ndata_dir: {}\ncluster_secret: {SECRET}\n\
             auth_enabled: false\nrate_limiting_enabled: false\nbackup_enabled: false\nrevision_limit: 10000\n\
             max_clock_skew_ms: 2000\nsync_interval: 5\ncatchup_interval: 5\ngossip_interval_min: 5\n\
             gossip_interval_max: 10\nseed_nodes: [{}]\n",
            self.address(node).port(),
            self.data_of(node).display(),
            seeds.join(", ")
        )
    }

    /// Ends a node in order.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub(crate) fn stop(&mut self, node: usize) -> anyhow::Result<()> {
        self.taken(node).map_or(Ok(()), |mut process| process.stop().with_context(|| format!("node {node}")))
    }

    /// Ends a node as a crash would.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.taken(node) {
            process.kill();
            faketime::clean(process.pid());
        }
    }

    fn taken(&mut self, node: usize) -> Option<Process> {
        self.processes.get_mut(node)?.take()
    }

    /// Has a node stand still.
    pub(crate) fn freeze(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Has it go on.
    pub(crate) fn thaw(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let process = self.processes.get(node).and_then(Option::as_ref);
        // A child that was not waited for keeps its pid, so the signal cannot reach another process.
        if let Some(pid) =
            process.and_then(|process| i32::try_from(process.pid()).ok()).and_then(Pid::from_raw)
        {
            kill_process(pid, signal).ok();
        }
    }

    /// Starts nodes again that ended by themselves; answers what they said.
    ///
    /// # Errors
    ///
    /// One does not start again.
    pub(crate) fn revive(&mut self) -> anyhow::Result<Vec<String>> {
        let mut said = Vec::new();
        for node in 0..NODES {
            let process = self.processes.get_mut(node).and_then(Option::as_mut);
            if let Some(Err(reason)) = process.map(Process::check_alive) {
                said.push(format!("n{node} ended by itself: {reason:#}"));
                self.kill(node);
                self.start(node, 0)?;
            }
        }
        Ok(said)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in 0..NODES {
            self.thaw(node);
            self.kill(node);
        }
    }
}

/// Makes a folder and all that is in it once more. A file that goes away meanwhile is left out, as by `cp -r`.
///
/// # Errors
///
/// Something cannot be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        let (path, target) = (file.path(), to.join(file.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
            continue;
        }
        match std::fs::copy(&path, &target) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(())
}
