//! Nodes of one cluster: their configuration, their start all at once, and the waits for what they agree on.
//!
//! Everything that a node does by default is on, except what would get in the way of one client with many requests:
//! rate limits and backups, and accounts with their audit trail unless they are what is measured. Each has a home of its own, so they share a secret by their configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::cluster::talk::Talk;
use crate::bench::dialect::Dialect;
use crate::bench::figures::Target;
use crate::bench::node;
use crate::bench::process::Process;
use crate::bench::reader::Protocol;
use crate::bench::server::Server;
use crate::clock;

/// How long the nodes may take for what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often they are asked.
const POLL: Duration = Duration::from_millis(2);

/// Shared by the nodes of a run.
const SECRET: &str = "only-for-the-benchmark-on-loopback";

/// Whether a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accounts {
    /// Nobody is asked, and there is no audit trail.
    Off,
    /// As by default, with the audit trail.
    On,
}

/// Nodes that were started together.
pub(crate) struct Group {
    /// The running nodes.
    pub(crate) nodes: Vec<Server>,
    folder: PathBuf,
    ports: Vec<u16>,
    accounts: Accounts,
    began: Instant,
}

impl Group {
    /// Starts `count` nodes, all at once, on the first of the ports; every one but the first has the first as its seed.
    /// They need not answer yet when this returns.
    ///
    /// # Errors
    ///
    /// The binary is missing, or a process could not be started.
    pub(crate) fn start(folder: PathBuf, ports: &[u16], count: usize) -> anyhow::Result<Self> {
        Self::start_with(folder, ports, count, Accounts::Off)
    }

    /// As [`Group::start`], with or without accounts.
    ///
    /// # Errors
    ///
    /// As [`Group::start`].
    pub(crate) fn start_with(
        folder: PathBuf,
        ports: &[u16],
        count: usize,
        accounts: Accounts,
    ) -> anyhow::Result<Self> {
        let began = clock::now();
        let mut group = Self { nodes: Vec::new(), folder, ports: ports.to_vec(), accounts, began };
        for number in 0..count {
            let node = group.spawn(number)?;
            group.nodes.push(node);
        }
        Ok(group)
    }

    /// Starts one node that was not there from the beginning, or starts one again. It need not answer yet.
    ///
    /// # Errors
    ///
    /// As [`Group::start`].
    pub(crate) fn spawn(&self, number: usize) -> anyhow::Result<Server> {
        let port = *self.ports.get(number).context("there is no such node")?;
        let folder = self.folder_of(number);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("node.yaml");
        std::fs::write(&path, self.configuration(number, port, &folder))
            .with_context(|| format!("{} could not be written", path.display()))?;
        let process = Process::start(&node::binary()?, &[path.to_string_lossy().into_owned()], &folder)?;
        Ok(Server {
            target: Target::Node,
            dialect: Dialect::Node,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            process,
            backend_pid: None,
            started_in: Duration::ZERO,
        })
    }

    /// Where the node of this number runs; its data directory lies within.
    pub(crate) fn folder_of(&self, number: usize) -> PathBuf {
        self.folder.join(format!("node-{number}"))
    }

    fn configuration(&self, number: usize, port: u16, folder: &Path) -> String {
        let seeds = match self.ports.first() {
            Some(first) if number > 0 => format!("seed_nodes: [\"127.0.0.1:{first}\"]\n"),
            _ => String::new(),
        };
        let accounts = self.accounts == Accounts::On;
        format!(
            "node_id: node-{number}\nbind_address: 127.0.0.1\nport: {port}\ndata_dir: {}\ndurability: always\n\
             cluster_secret: {SECRET}\nauth_enabled: {accounts}\nrate_limiting_enabled: false\n\
             tamper_logging_enabled: {accounts}\nbackup_enabled: false\n{seeds}",
            node::data_dir(folder).display()
        )
    }

    /// Waits until every node lists every node as alive and takes writes; gives the time since the start.
    ///
    /// # Errors
    ///
    /// It did not come to that, or a node ended.
    pub(crate) fn wait_formed(&mut self) -> anyhow::Result<Duration> {
        let (count, began) = (self.nodes.len(), self.began);
        let mut known = vec![false; count];
        let mut talks: Vec<Option<Talk>> = self.nodes.iter().map(|_| None).collect();
        let nodes = &mut self.nodes;
        wait_until("all know all", || {
            for ((node, talk), known) in nodes.iter_mut().zip(&mut talks).zip(&mut known) {
                if *known {
                    continue;
                }
                let Some(open) = reached(node, talk) else {
                    node.process.check_alive()?;
                    continue;
                };
                *known = open.json("/members/").is_ok_and(|members| alive(&members) == count);
            }
            Ok(known.iter().all(|known| *known))
        })?;
        let formed = began.elapsed();
        for node in &*nodes {
            wait_mode(node, "normal")?;
        }
        Ok(formed)
    }

    /// Puts a node that was started again in its place.
    ///
    /// # Errors
    ///
    /// As [`Group::start`].
    pub(crate) fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        let node = self.spawn(number)?;
        *self.nodes.get_mut(number).context("there is no such node")? = node;
        Ok(())
    }

    /// The node of this number.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn node(&self, number: usize) -> anyhow::Result<&Server> {
        self.nodes.get(number).context("there is no such node")
    }

    /// Ends every node in order.
    ///
    /// # Errors
    ///
    /// A node had to be killed.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.process.stop())
    }
}

/// An open connection to the node, once it takes one.
fn reached<'a>(node: &Server, talk: &'a mut Option<Talk>) -> Option<&'a mut Talk> {
    if talk.is_none() {
        *talk = Talk::open(node.address, Protocol::Http).ok();
    }
    talk.as_mut()
}

/// How many of the members are alive.
fn alive(members: &Value) -> usize {
    statuses(members).filter(|(_, status)| *status == "alive").count()
}

/// Name and status of each member in an answer of `/members/`.
fn statuses(members: &Value) -> impl Iterator<Item = (&str, &str)> {
    let members = members.as_array().into_iter().flatten();
    members.filter_map(|member| Some((member.get("id")?.as_str()?, member.get("status")?.as_str()?)))
}

/// Waits until each of the nodes lists the node of this name as something else than alive.
///
/// # Errors
///
/// It did not come to that.
pub(crate) fn wait_missed(nodes: &[&Server], name: &str) -> anyhow::Result<()> {
    let mut talks: Vec<Option<Talk>> = nodes.iter().map(|_| None).collect();
    wait_until("the others miss the node", || {
        Ok(nodes.iter().zip(&mut talks).all(|(node, talk)| {
            let members = reached(node, talk).and_then(|talk| talk.json("/members/").ok());
            members.is_some_and(|members| !statuses(&members).any(|it| it == (name, "alive")))
        }))
    })
}

/// Waits until the node is in this mode.
///
/// # Errors
///
/// It did not come to that.
fn wait_mode(node: &Server, mode: &str) -> anyhow::Result<()> {
    let mut talk = None;
    wait_until(mode, || {
        let health = reached(node, &mut talk).and_then(|talk| talk.json("/health").ok());
        Ok(health.is_some_and(|health| health.get("mode").and_then(Value::as_str) == Some(mode)))
    })
}

/// Waits until all nodes have one root and one count; gives the count.
///
/// # Errors
///
/// It did not come to that.
pub(crate) fn wait_equal(nodes: &[&Server]) -> anyhow::Result<u64> {
    let mut talks: Vec<Option<Talk>> = nodes.iter().map(|_| None).collect();
    let mut count = 0;
    wait_until("equal roots", || {
        let mut roots = Vec::with_capacity(nodes.len());
        for (node, talk) in nodes.iter().zip(&mut talks) {
            // A node that starts answers nothing, one that reads its records in answers 503.
            let root = reached(node, talk).map(|talk| talk.json("/sync/merkle/root"));
            match root {
                Some(Ok(root)) => roots.push(root),
                Some(Err(_)) => *talk = None,
                None => {}
            }
        }
        count = roots.first().and_then(|root| root.get("count")).and_then(Value::as_u64).unwrap_or(0);
        Ok(roots.len() == nodes.len() && roots.windows(2).all(|pair| pair.first() == pair.get(1)))
    })?;
    Ok(count)
}

/// Asks again and again until the answer is yes.
///
/// # Errors
///
/// It was not within a minute, or asking failed.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begin = clock::now();
    while !is_so()? {
        if begin.elapsed() > PATIENCE {
            bail!("not within {} s: {what}", PATIENCE.as_secs());
        }
        thread::sleep(POLL);
    }
    Ok(())
}
