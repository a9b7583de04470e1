//! Bytes between three idle nodes: they run in a network namespace of their own, where nobody else sends.
//!
//! The kernel counts every byte on the loopback device: HTTP, TCP, IP and the device's own 14 bytes a packet, in both
//! directions of each connection. A third of them is what one node sends.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::group::Group;
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::scratch::Scratch;
use crate::bench::server::free_ports;

/// Nodes that are watched.
const NODES: usize = 3;

/// How long they are left alone before the counting: what follows a join is not idle.
const SETTLE: Duration = Duration::from_secs(10);

/// What the inner half is told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the nodes keep their data
    #[arg(long)]
    folder: PathBuf,
    /// How long the bytes are counted
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Counts in a namespace and adds the figure.
///
/// # Errors
///
/// This user may make no network namespace, or the nodes do not become a cluster.
pub(crate) fn run(
    options: &ClusterOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let seconds = options.idle_duration().as_secs();
    let output = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe()?)
        .arg("bench-cluster-idle")
        .args(["--seconds", &seconds.to_string()])
        .arg("--folder")
        .arg(scratch.folder("idle")?)
        .stdin(Stdio::null())
        .output()
        .context("unshare could not be started")?;
    if !output.status.success() {
        bail!("no network namespace: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let counted: Value = serde_json::from_slice(&output.stdout).context("the inner half said no JSON")?;
    let bytes = counted.get("bytes").and_then(Value::as_u64).context("no bytes were counted")?;
    let each = bytes as f64 / seconds as f64 / NODES as f64;
    let name = "3 idle nodes, real processes: everything a node sends, TCP and IP included";
    let beside = format!("over {seconds} s");
    findings.add_beside(name, each, Unit { name: "B/s", digits: 0 }, Goal::AtMost(1000.0), beside);
    Ok(())
}

/// The inner half, within the namespace.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_inside(options: &Options) -> anyhow::Result<()> {
    let up =
        Command::new("ip").args(["link", "set", "lo", "up"]).status().context("ip could not be started")?;
    if !up.success() {
        bail!("the loopback device of the namespace does not come up");
    }
    let mut group = Group::start(options.folder.clone(), &free_ports::<NODES>()?, NODES)?;
    group.wait_formed()?;
    thread::sleep(SETTLE);
    let before = loopback_bytes()?;
    thread::sleep(Duration::from_secs(options.seconds));
    let bytes = loopback_bytes()?.saturating_sub(before);
    println!("{{\"bytes\":{bytes}}}");
    group.stop()
}

/// The bytes that this network's loopback device has sent.
///
/// # Errors
///
/// There is none.
pub(crate) fn loopback_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/net/dev").context("/proc/net/dev cannot be read")?;
    parse(&text).context("/proc/net/dev has no loopback device")
}

/// The bytes that the loopback device sent.
fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_ascii_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_bytes_are_the_ninth_number_of_the_loopback_line() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n    lo: 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36\n";
        assert_eq!(parse(text), Some(29));
        assert_eq!(parse("  eth0: 1 2 3 4 5 6 7 8 9\n"), None);
    }
}
