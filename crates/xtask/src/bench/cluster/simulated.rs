//! Figures that programs of the crates themselves print: the digest, sessions over a million keys, simulated membership.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::options::{ClusterOptions, Part};
use crate::bench::launch::Example;
use crate::bench::scratch::Scratch;
use crate::workspace::cargo;

const DIGEST: Example = ("kvs-store", "digest_figures");
const MEMBERSHIP: Example = ("kvs-sim", "membership_figures");

/// The test that holds sessions over a million keys and tells what they cost.
const SESSIONS: &str = "differences_of_1_000_000_keys_are_found_in_few_round_trips_and_bytes";

const COUNT: Unit = Unit { name: "", digits: 0 };
const MICROSECONDS: Unit = Unit { name: "us", digits: 2 };
const SECONDS: Unit = Unit { name: "s", digits: 2 };
const BYTES: Unit = Unit { name: "B", digits: 0 };
const BYTES_PER_SECOND: Unit = Unit { name: "B/s", digits: 0 };

/// The programs that the wanted parts need.
pub(crate) fn examples(options: &ClusterOptions) -> Vec<Example> {
    let all = [(Part::Digest, DIGEST), (Part::Membership, MEMBERSHIP)];
    all.into_iter().filter(|(part, _)| options.wants(*part)).map(|(_, example)| example).collect()
}

/// Adds the figures of the digest and of sessions.
///
/// # Errors
///
/// A program is not built or fails.
pub(crate) fn digest(
    options: &ClusterOptions,
    _scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let line = printed(DIGEST, options.digest_keys())?;
    let keys = number(&line, "keys")?;
    let memory = number(&line, "memory_bytes")?;
    findings.add(
        "digest upkeep, a key overwritten",
        number(&line, "overwrite_us")?,
        MICROSECONDS,
        Goal::AtMost(5.0),
    );
    findings.add("digest upkeep, a new key", number(&line, "insert_us")?, MICROSECONDS, Goal::AtMost(5.0));
    let bound = 2.0 * keys + 1024.0 * 1024.0;
    findings.add(&format!("digest memory, {keys} keys"), memory, BYTES, Goal::AtMost(bound));
    let beside = format!("the scan {:.2} s", number(&line, "scan_s")?);
    let name = format!("digest read in, {keys} keys, beyond the scan");
    findings.add_beside(&name, number(&line, "rebuild_beyond_scan_s")?, SECONDS, Goal::AtMost(1.0), beside);
    sessions(findings)
}

/// Runs the test of sessions, which tells its figures when it is asked to show what it prints.
fn sessions(findings: &mut Findings) -> anyhow::Result<()> {
    let output = cargo()
        .args(["test", "--quiet", "--release", "--package", "kvs-protocol", "--lib", SESSIONS])
        .args(["--", "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .context("cargo could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect();
    if !output.status.success() || lines.is_empty() {
        bail!("the test of sessions failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    for line in lines {
        let differing = line.get("session").and_then(Value::as_str).context("a session without a name")?;
        let keys = number(&line, "keys")?;
        let bound = if differing.starts_with("one") { 2048.0 } else { 20_000.0 };
        let name = format!("{keys} keys on two nodes, {differing}: round trips");
        findings.add(&name, number(&line, "rounds")?, COUNT, Goal::AtMost(4.0));
        findings.add("the same: bytes without payload", number(&line, "bytes")?, BYTES, Goal::AtMost(bound));
    }
    Ok(())
}

/// Adds the figures of simulated membership.
///
/// # Errors
///
/// The program is not built or fails.
pub(crate) fn membership(
    options: &ClusterOptions,
    _scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let line = printed(MEMBERSHIP, options.node_hours())?;
    let name = "simulated: 100 nodes join at once through one seed, all know all";
    findings.add(name, number(&line, "seconds_until_100_nodes_know_all")?, SECONDS, Goal::AtMost(1.0));
    let (deaths, hours) = (number(&line, "false_deaths")?, number(&line, "node_hours")?);
    let name = "simulated: false deaths per node-hour at 5 % loss";
    let unit = Unit { name: "", digits: 4 };
    let beside = format!("{deaths} in {hours} node-hours");
    findings.add_beside(name, deaths / hours, unit, Goal::AtMost(0.001), beside);
    for nodes in [3, 100] {
        let name = format!("simulated: idle membership traffic, {nodes} nodes: bodies that a node sends");
        let both = number(&line, &format!("idle_both_ways_bytes_per_second_{nodes}"))?;
        let beside = format!("sent and received {both} B/s");
        let sent = number(&line, &format!("idle_sent_bytes_per_second_{nodes}"))?;
        findings.add_beside(&name, sent, BYTES_PER_SECOND, Goal::AtMost(1000.0), beside);
    }
    Ok(())
}

/// The line of JSON that an example prints.
fn printed((_, name): Example, argument: u32) -> anyhow::Result<Value> {
    let path = std::env::current_exe()?.with_file_name("examples").join(name);
    let output = Command::new(&path)
        .arg(argument.to_string())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} could not be started", path.display()))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} said no JSON"))
}

fn number(line: &Value, field: &str) -> anyhow::Result<f64> {
    line.get(field).and_then(Value::as_f64).with_context(|| format!("no figure for {field}"))
}
