//! Many nodes of one cluster, started together through one seed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::cluster::talk::Talk;
use crate::bench::node;
use crate::bench::process::Process;
use crate::bench::procfs;
use crate::bench::reader::Protocol;
use crate::clock;

/// How often nodes are asked what they know: each look at a hundred nodes costs the machine as much as they cost it themselves.
const LOOK: Duration = Duration::from_millis(100);

/// Nodes that were started together.
pub(crate) struct Fleet {
    nodes: Vec<Process>,
    addresses: Vec<SocketAddr>,
    began: Instant,
}

/// What one node shows of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    /// How many it shows alive and admitted.
    pub(crate) alive: usize,
    /// How many it shows as failed.
    pub(crate) failed: usize,
}

impl Fleet {
    /// Starts this many nodes at once, on ports that are free now; all but the first have the first as their seed.
    ///
    /// # Errors
    ///
    /// The binary is missing, a port is, or a process could not be started.
    pub(crate) fn start(folder: &Path, count: usize) -> anyhow::Result<Self> {
        let listeners: Vec<std::net::TcpListener> = (0..count)
            .map(|_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()
            .context("there are not enough free ports")?;
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>()?;
        drop(listeners);
        let mut fleet = Self { nodes: Vec::new(), addresses, began: clock::now() };
        let first = fleet.addresses.first().copied().context("a fleet has nodes")?;
        for (number, address) in fleet.addresses.clone().into_iter().enumerate() {
            let folder = folder.join(format!("node-{number}"));
            std::fs::create_dir_all(&folder)?;
            let seeds = if number == 0 { String::new() } else { format!("seed_nodes: [\"{first}\"]\n") };
            let path = folder.join(format!("node-{number}.yaml"));
            let text = format!(
                "node_id: node-{number}\nbind_address: 127.0.0.1\nport: {}\ndata_dir: {}\ncache_size_mb: 8\n\
                 cluster_secret: only-for-the-benchmark-on-loopback\nclustering_enabled: true\nauth_enabled: false\n\
                 rate_limiting_enabled: false\ntamper_logging_enabled: false\nbackup_enabled: false\n{seeds}",
                address.port(),
                node::data_dir(&folder).display()
            );
            std::fs::write(&path, text).with_context(|| format!("{} is not written", path.display()))?;
            let arguments = [path.to_string_lossy().into_owned()];
            fleet.nodes.push(Process::start(&node::binary()?, &arguments, &folder)?);
        }
        Ok(fleet)
    }

    /// How many nodes run.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A connection to a node.
    ///
    /// # Errors
    ///
    /// It takes none.
    pub(crate) fn talk(&self, number: usize) -> anyhow::Result<Talk> {
        Talk::open(*self.addresses.get(number).context("there is no such node")?, Protocol::Http)
    }

    /// Waits until every node shows all as alive; the time since the start.
    ///
    /// # Errors
    ///
    /// It did not come to that in time, or a node ended.
    pub(crate) fn wait_formed(&mut self, patience: Duration) -> anyhow::Result<Duration> {
        let count = self.count();
        let mut lacking: Vec<usize> = (0..count).collect();
        while !lacking.is_empty() {
            if self.began.elapsed() > patience {
                bail!("{} of {count} nodes do not know all after {} s", lacking.len(), patience.as_secs());
            }
            thread::sleep(LOOK);
            let mut still = Vec::new();
            for number in lacking {
                if self.shown(number).is_none_or(|shown| shown.alive != count) {
                    still.push(number);
                }
            }
            lacking = still;
            for process in &mut self.nodes {
                process.check_alive()?;
            }
        }
        Ok(self.began.elapsed())
    }

    /// What a node shows; `None` when it does not answer.
    pub(crate) fn shown(&self, number: usize) -> Option<Shown> {
        let members = self.talk(number).ok()?.json("/members/").ok()?;
        let members = members.as_array()?;
        let has =
            |member: &&Value, status: &str| member.get("status").and_then(Value::as_str) == Some(status);
        let is_in = |member: &&Value| member.get("joined_timestamp").is_some_and(Value::is_u64);
        Some(Shown {
            alive: members.iter().filter(|member| has(member, "alive") && is_in(member)).count(),
            failed: members.iter().filter(|member| has(member, "failed")).count(),
        })
    }

    /// CPU time of all nodes together.
    ///
    /// # Errors
    ///
    /// A process is gone.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.nodes.iter().map(|process| procfs::own_cpu_time(process.pid())).sum()
    }

    /// Memory of a node in the middle, in bytes: its own, and its share of what several map.
    ///
    /// # Errors
    ///
    /// A process is gone.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let shares: anyhow::Result<Vec<u64>> =
            self.nodes.iter().map(|process| procfs::share_bytes(process.pid())).collect();
        let mut shares = shares?;
        shares.sort_unstable();
        shares.get(shares.len() / 2).copied().context("a fleet has nodes")
    }

    /// Kills the last nodes.
    pub(crate) fn kill_last(&mut self, count: usize) {
        for _ in 0..count {
            self.addresses.pop();
            if let Some(mut process) = self.nodes.pop() {
                process.kill();
            }
        }
    }

    /// Ends all at once: what they leave is not looked at.
    pub(crate) fn end(mut self) {
        let all = self.count();
        self.kill_last(all);
    }
}
