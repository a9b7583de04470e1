//! The outer half of the benchmark: builds the node and the measuring process in release, then starts the latter.
//!
//! `cargo xtask` runs a debug build, which would be too slow to drive a server: the load generator must not be what is
//! measured.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::bench::options::NodeOptions;
use crate::workspace::cargo;

/// Builds and runs the benchmark.
///
/// # Errors
///
/// A build failed, or the run did.
pub(crate) fn run(options: &NodeOptions) -> anyhow::Result<()> {
    options.check()?;
    println!("bench: building the release binary and the load generator");
    run_command(cargo().args(["build", "--release", "--package", "kvs"]))?;
    // The same arguments for the other half: everything after `bench node`.
    let arguments: Vec<OsString> = std::env::args_os().skip(3).collect();
    let mut worker = cargo();
    worker.args(["run", "--release", "--quiet", "--package", "xtask", "--", "bench-worker"]).args(arguments);
    // Paths among the arguments are relative to where the person stands, not to the root.
    run_command(worker.current_dir(std::env::current_dir()?))
}

fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().context("cargo could not be started")?;
    if !status.success() {
        bail!("the benchmark failed ({status})");
    }
    Ok(())
}
