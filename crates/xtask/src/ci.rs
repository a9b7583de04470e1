//! `cargo xtask ci`: every check that a change must pass, cheap ones first, stopping at the first failure.
//!
//! The tests run last and by the very command that the README gives, so that what CI proves is what a reader can
//! repeat. The automation's own tests and the simulator's are no part of that command and have steps of their own before
//! it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::clock;
use crate::tidy;
use crate::workspace::{cargo, is_installed};

/// One step: what is printed, and what is run.
struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// A cargo command line and the variables it needs.
    Cargo { arguments: &'static [&'static str], variables: &'static [(&'static str, &'static str)] },
    /// The text checks, run inside this process.
    Tidy,
}

const fn cargo_step(name: &'static str, arguments: &'static [&'static str]) -> Step {
    Step { name, work: Work::Cargo { arguments, variables: &[] } }
}

/// The steps, in order.
const STEPS: &[Step] = &[
    cargo_step("cargo fmt --all --check", &["fmt", "--all", "--check"]),
    Step { name: "cargo xtask tidy", work: Work::Tidy },
    cargo_step(
        "cargo clippy --workspace --all-targets -- -D warnings",
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ),
    Step {
        name: "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps",
        work: Work::Cargo {
            arguments: &["doc", "--workspace", "--no-deps"],
            variables: &[("RUSTDOCFLAGS", "-D warnings")],
        },
    },
    cargo_step("cargo test --package xtask", &["test", "--package", "xtask"]),
    cargo_step("cargo test --package kvs-sim", &["test", "--package", "kvs-sim"]),
    cargo_step("cargo test", &["test"]),
];

/// Licences, duplicate versions and sources; only where the tool is installed. Advisories are left out: they come from the
/// network and change without a change of ours.
const DENY: Step =
    cargo_step("cargo deny check licenses bans sources", &["deny", "check", "licenses", "bans", "sources"]);

/// Runs every step, printing each with its duration.
///
/// # Errors
///
/// The first step that fails; the later ones were not run.
pub(crate) fn run() -> anyhow::Result<()> {
    let begin = clock::now();
    if is_installed("cargo-deny") {
        run_step(&DENY)?;
    } else {
        println!("ci: skipped: {} (cargo-deny is not installed)", DENY.name);
    }
    for step in STEPS {
        run_step(step)?;
    }
    println!("ci: everything passed in {}", seconds(begin.elapsed()));
    Ok(())
}

fn run_step(step: &Step) -> anyhow::Result<()> {
    println!("ci: {}", step.name);
    let begin = clock::now();
    let outcome = match step.work {
        Work::Tidy => tidy::check::run(),
        Work::Cargo { arguments, variables } => {
            run_command(cargo().args(arguments).envs(variables.iter().copied()))
        }
    };
    let duration = seconds(begin.elapsed());
    outcome.with_context(|| format!("ci: FAILED after {duration}: {}", step.name))?;
    println!("ci: passed in {duration}: {}", step.name);
    Ok(())
}

fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().context("the command could not be started")?;
    if !status.success() {
        bail!("the command ended with {status}");
    }
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_last_step_is_the_test_command_of_the_readme() {
        let last = STEPS.last().unwrap();
        assert_eq!(last.name, "cargo test");
        assert!(matches!(last.work, Work::Cargo { arguments: ["test"], variables: [] }));
    }

    #[test]
    fn a_command_that_fails_fails_its_step() {
        assert!(run_command(&mut Command::new("true")).is_ok());
        let error = run_command(&mut Command::new("false")).unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }
}
