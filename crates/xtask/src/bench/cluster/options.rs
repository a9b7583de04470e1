//! The options of `cargo xtask bench cluster`, with the bounds that keep a run short.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Nodes started together until all know all
    Formation,
    /// A write on one node until it is visible on the others, beside Redis
    Lag,
    /// Durable writes on one node with peers against one alone
    Put,
    /// A node killed, and started again
    Kill,
    /// A new node fetches the cities
    Join,
    /// Bytes between idle nodes
    Idle,
    /// Digest and sessions, as the store's own programs print them
    Digest,
    /// Simulated membership
    Membership,
}

/// The options of a run.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct ClusterOptions {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) only: Vec<Part>,
    /// Few and short rounds: for looking, not for the document
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// The cities that a new node fetches, one JSON object a line (`.gz` is unpacked by gzip)
    #[arg(long, value_name = "FILE")]
    pub(crate) cities: Option<PathBuf>,
    /// Write the section "Cluster" of docs/benchmarks.md
    #[arg(long, conflicts_with = "only")]
    pub(crate) write: bool,
}

impl ClusterOptions {
    /// Whether this part is wanted.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// How often each figure is taken.
    pub(crate) fn rounds(&self) -> u32 {
        self.by_length(1, 3)
    }

    /// How often a cluster is formed and a node killed: these rounds are short.
    pub(crate) fn short_rounds(&self) -> u32 {
        self.by_length(2, 5)
    }

    /// How long a measurement under load takes.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.by_length(3, 5))
    }

    /// How long the bytes between idle nodes are counted.
    pub(crate) fn idle_duration(&self) -> Duration {
        Duration::from_secs(self.by_length(15, 60))
    }

    /// Node-hours that membership is simulated under loss.
    pub(crate) fn node_hours(&self) -> u32 {
        self.by_length(20, 300)
    }

    /// Keys of the figures of the digest.
    pub(crate) fn digest_keys(&self) -> u32 {
        self.by_length(100_000, 1_000_000)
    }

    fn by_length<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The command line of these options, as it stands in the document.
    pub(crate) fn command_line(&self) -> String {
        let mut line = "cargo xtask bench cluster".to_owned();
        if let Some(name) = self.cities.as_ref().and_then(|path| path.file_name()) {
            line.push_str(&format!(" --cities {}", name.to_string_lossy()));
        }
        if self.write {
            line.push_str(" --write");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: ClusterOptions,
    }

    fn parse(arguments: &[&str]) -> Option<ClusterOptions> {
        let arguments = std::iter::once("bench").chain(arguments.iter().copied());
        Command::try_parse_from(arguments).ok().map(|command| command.options)
    }

    #[test]
    fn neither_a_quick_run_nor_a_part_of_one_is_written_down() {
        assert!(parse(&["--write", "--quick"]).is_none());
        assert!(parse(&["--write", "--only", "lag"]).is_none());
        assert!(parse(&["--write"]).is_some() && parse(&["--quick"]).is_some());
    }

    #[test]
    fn parts_that_are_not_named_are_not_wanted() {
        let options = parse(&["--only", "lag,put"]).unwrap();
        assert!(options.wants(Part::Lag) && options.wants(Part::Put) && !options.wants(Part::Join));
        assert!(parse(&[]).unwrap().wants(Part::Join));
    }

    #[test]
    fn the_command_line_in_the_document_names_the_file_without_its_folder() {
        let options = parse(&["--write", "--cities", "/some/where/cities.jsonl.gz"]).unwrap();
        assert_eq!(options.command_line(), "cargo xtask bench cluster --cities cities.jsonl.gz --write");
    }
}
