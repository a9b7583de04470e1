//! The options of `cargo xtask bench fleet`.

use std::time::Duration;

/// The options of a run.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct FleetOptions {
    /// Short measurements, and no hundred nodes: for looking, not for the document
    #[arg(long, conflicts_with = "write")]
    pub(crate) quick: bool,
    /// For how many minutes living nodes are watched beside other work
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    beside_minutes: u64,
    /// Write the section "Fleet" of docs/benchmarks.md
    #[arg(long)]
    pub(crate) write: bool,
}

impl FleetOptions {
    /// Sizes of the fleets that are formed.
    pub(crate) fn sizes(&self) -> &'static [usize] {
        if self.quick { &[25] } else { &[50, 100] }
    }

    /// Nodes of the fleet that everything else is measured with.
    pub(crate) fn nodes(&self) -> usize {
        if self.quick { 25 } else { 50 }
    }

    /// How long idle nodes are watched.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(if self.quick { 15 } else { 60 })
    }

    /// How long nodes are watched while other work takes one core.
    pub(crate) fn beside_work(&self) -> Duration {
        Duration::from_secs(if self.quick { 30 } else { self.beside_minutes * 60 })
    }

    /// The command line of these options, as it stands in the document.
    pub(crate) fn command_line(&self) -> String {
        format!("cargo xtask bench fleet --beside-minutes {} --write", self.beside_minutes)
    }

    /// Writes that are followed to every node.
    pub(crate) fn followed(&self) -> u64 {
        if self.quick { 50 } else { 200 }
    }

    /// Sizes of the fleets in which the CPU of a write is taken.
    pub(crate) fn costed(&self) -> &'static [usize] {
        if self.quick { &[10, 25] } else { &[10, 25, 50, 100] }
    }
}
