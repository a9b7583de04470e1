//! The options of `cargo xtask bench node`, with the bounds that keep a run short.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Reads over many connections
    Get,
    /// Durable writes over many connections
    Put,
    /// Both over one connection
    Latency,
    /// Resident memory
    Memory,
    /// Start to first answer
    Start,
    /// Disk for the cities
    Disk,
}

/// Runs of fewer rounds are not written down.
pub(crate) const LEAST_ROUNDS_TO_WRITE: u32 = 3;

/// The options of a run.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct NodeOptions {
    /// How often each figure is taken; the table holds medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// How many keys of 1 KiB are read and written
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub(crate) keys: u64,
    /// How long each measurement under load takes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// How many keep-alive connections, one request in flight on each
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// How many keys of 1 KiB the memory and start figures are taken with
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub(crate) loaded_keys: u64,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,...")]
    pub(crate) only: Vec<Part>,
    /// The cities for the disk figure, one JSON object a line (`.gz` is unpacked by gzip)
    #[arg(long, value_name = "FILE")]
    pub(crate) cities: Option<PathBuf>,
    /// Write the table to docs/benchmarks.md
    #[arg(long, conflicts_with = "only")]
    pub(crate) write: bool,
}

impl NodeOptions {
    /// Whether this part is wanted.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// The time of one measurement under load.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Refuses to write down a run with too few rounds.
    ///
    /// # Errors
    ///
    /// What to change.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.write && self.rounds < LEAST_ROUNDS_TO_WRITE {
            bail!("--write needs --rounds {LEAST_ROUNDS_TO_WRITE} or more: the document holds medians");
        }
        Ok(())
    }

    /// The command line of these options, as it stands in the document.
    pub(crate) fn command_line(&self) -> String {
        let mut line = format!(
            "cargo xtask bench node --rounds {} --keys {} --seconds {} --connections {} --loaded-keys {}",
            self.rounds, self.keys, self.seconds, self.connections, self.loaded_keys
        );
        if let Some(name) = self.cities.as_ref().and_then(|path| path.file_name()) {
            line.push_str(&format!(" --cities {}", name.to_string_lossy()));
        }
        if self.write {
            line.push_str(" --write");
        }
        line
    }
}
