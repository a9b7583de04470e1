//! The outer half of the benchmark: builds the node and the measuring process in release, then starts the latter.
//!
//! `cargo xtask` runs a debug build, which would be too slow to drive a server: the load generator must not be what is
//! measured.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::workspace::cargo;

/// An example program of a crate: the crate and the name.
pub(crate) type Example = (&'static str, &'static str);

/// Builds the node and these examples, and runs the measuring process of this name.
///
/// # Errors
///
/// A build failed, or the run did.
pub(crate) fn run(worker_name: &str, examples: &[Example]) -> anyhow::Result<()> {
    println!("bench: building the release binary and the load generator");
    run_command(cargo().args(["build", "--release", "--package", "kvs"]))?;
    for (package, name) in examples {
        run_command(cargo().args(["build", "--release", "--package", package, "--example", name]))?;
    }
    // The same arguments for the other half: everything after `bench node` and its like.
    let arguments: Vec<OsString> = std::env::args_os().skip(3).collect();
    let mut worker = cargo();
    worker.args(["run", "--release", "--quiet", "--package", "xtask", "--", worker_name]).args(arguments);
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
