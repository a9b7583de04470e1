//! Becomes another program that ends when the benchmark does.
//!
//! A benchmark that is killed must not leave databases behind. The kernel can send a signal to a child whose parent
//! has died; the wish must be stated by the child itself, before it becomes the program in question.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::bail;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// What to become.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The process that starts this one
    #[arg(long)]
    parent: i32,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Asks for SIGTERM at the parent's death and becomes the program.
///
/// # Errors
///
/// The parent is already gone, or the program cannot be run. On success this never returns.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    if getppid().map(|pid| pid.as_raw_pid()) != Some(options.parent) {
        bail!("the benchmark ended before its server started");
    }
    let Some((program, arguments)) = options.command.split_first() else { bail!("no program was named") };
    Err(Command::new(program).args(arguments).exec().into())
}
