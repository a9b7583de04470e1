//! Nodes of the release build, alone, durable, and alike in everything but what is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::auth::caller::Caller;
use crate::bench::dialect::Dialect;
use crate::bench::figures::Target;
use crate::bench::load::{self, Load, Stop};
use crate::bench::node;
use crate::bench::process::Process;
use crate::bench::reader::Protocol;
use crate::bench::scratch::Scratch;
use crate::bench::server::{Server, free_ports};
use crate::bench::transport::Way;
use crate::bench::values::Documents;
use crate::clock;

/// How long a node may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked.
const POLL: Duration = Duration::from_millis(5);

/// Connections that write the keys before anything is measured.
const FILLING: usize = 64;

/// Nobody is asked for a token, and nothing is noted.
pub(crate) const ALL_OFF: &str =
    "auth_enabled: false\ntamper_logging_enabled: false\nrate_limiting_enabled: false\n";

/// Tokens and permissions.
pub(crate) const RIGHTS: &str =
    "auth_enabled: true\ntamper_logging_enabled: false\nrate_limiting_enabled: false\n";

/// Tokens, permissions and the audit trail.
pub(crate) const RIGHTS_AND_TRAIL: &str =
    "auth_enabled: true\ntamper_logging_enabled: true\nrate_limiting_enabled: false\n";

/// A running node and its folder.
pub(crate) struct Node {
    /// The node.
    pub(crate) server: Server,
    /// Where it runs; its data directory lies within.
    pub(crate) folder: PathBuf,
}

/// Starts a node with these lines of configuration and waits until it answers.
///
/// # Errors
///
/// The binary is missing, the node ended, or it did not answer in time.
pub(crate) fn start(scratch: &Scratch, name: &str, lines: &str, way: Way<'_>) -> anyhow::Result<Node> {
    let folder = scratch.folder(name)?;
    let [port] = free_ports()?;
    let text = format!(
        "node_id: {name}\nbind_address: 127.0.0.1\nport: {port}\ndata_dir: {}\ndurability: always\n\
         clustering_enabled: false\nbackup_enabled: false\n{lines}",
        node::data_dir(&folder).display()
    );
    let path = folder.join("node.yaml");
    std::fs::write(&path, text).with_context(|| format!("{} could not be written", path.display()))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let begin = clock::now();
    let mut process = Process::start(&node::binary()?, &[path.to_string_lossy().into_owned()], &folder)?;
    while let Err(error) = probe(address, way) {
        process.check_alive()?;
        if begin.elapsed() > PATIENCE {
            bail!("{name} did not answer within {} s: {error:#}", PATIENCE.as_secs());
        }
        thread::sleep(POLL);
    }
    let server = Server {
        target: Target::Node,
        dialect: Dialect::Node,
        address,
        process,
        backend_pid: None,
        started_in: begin.elapsed(),
    };
    Ok(Node { server, folder })
}

fn probe(address: SocketAddr, way: Way<'_>) -> anyhow::Result<()> {
    let ask = &mut |_, out: &mut Vec<u8>| Caller::nobody().ask(format_args!("GET /health"), out);
    load::run_over(way, load(address, 1, Stop::Count(1)), ask)?.verified().map(drop)
}

/// A load of HTTP on a node.
pub(crate) fn load(address: SocketAddr, connections: usize, stop: Stop) -> Load {
    Load { address, protocol: Protocol::Http, connections, stop, least_body_bytes: 0 }
}

/// Writes keys `0..count` as this caller.
///
/// # Errors
///
/// A write was not answered with success.
pub(crate) fn fill(
    server: &Server,
    caller: &Caller,
    way: Way<'_>,
    documents: &Documents,
    count: u64,
) -> anyhow::Result<()> {
    let write = &mut |number, out: &mut Vec<u8>| caller.put(number, documents.document(number), out);
    let outcome = load::run_over(way, load(server.address, FILLING, Stop::Count(count)), write)?;
    outcome.verified().map(drop).context("the keys could not be written")
}
