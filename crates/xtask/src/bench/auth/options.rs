//! The options of `cargo xtask bench auth`, with the bounds that keep a run short.

use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;

use crate::bench::options::LEAST_ROUNDS_TO_WRITE;

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Reads with a token, against none
    Get,
    /// Durable writes with a token and the audit trail, against neither
    Put,
    /// A token revoked on one node until two others refuse it
    Revocation,
    /// Memory for the client addresses that are limited
    Addresses,
    /// Reads over TLS, against plain ones
    Tls,
}

/// The options of a run.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct AuthOptions {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) only: Vec<Part>,
    /// How often each node is driven: 9 times, once in a quick run; the table holds medians
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: Option<u32>,
    /// Few and short rounds: for looking, not for the document
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Write the section "Access" of docs/benchmarks.md
    #[arg(long, conflicts_with = "only")]
    pub(crate) write: bool,
}

impl AuthOptions {
    /// Whether this part is wanted.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// How often each node is driven.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(self.by_length(1, 9))
    }

    /// How long it is driven each time.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.by_length(2, 3))
    }

    /// How many tokens are revoked.
    pub(crate) fn revocations(&self) -> u32 {
        self.by_length(50, 500)
    }

    /// How many client addresses make a request.
    pub(crate) fn addresses(&self) -> u32 {
        self.by_length(200_000, 1_000_000)
    }

    /// Refuses to write down a run with too few rounds.
    ///
    /// # Errors
    ///
    /// What to change.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.write && self.rounds() < LEAST_ROUNDS_TO_WRITE {
            bail!("--write needs --rounds {LEAST_ROUNDS_TO_WRITE} or more: the document holds medians");
        }
        Ok(())
    }

    fn by_length<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The command line of these options, as it stands in the document.
    pub(crate) fn command_line(&self) -> String {
        let rounds = self.rounds.map_or_else(String::new, |rounds| format!(" --rounds {rounds}"));
        format!("cargo xtask bench auth{rounds}{}", if self.write { " --write" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: AuthOptions,
    }

    fn parse(arguments: &[&str]) -> Option<AuthOptions> {
        let arguments = std::iter::once("bench").chain(arguments.iter().copied());
        Command::try_parse_from(arguments).ok().map(|command| command.options)
    }

    #[test]
    fn neither_a_quick_run_nor_a_part_of_one_is_written_down() {
        assert!(parse(&["--write", "--quick"]).is_none());
        assert!(parse(&["--write", "--only", "tls"]).is_none());
        let full = parse(&["--write"]).unwrap();
        assert_eq!(full.command_line(), "cargo xtask bench auth --write");
        assert!(full.revocations() >= 200 && full.addresses() == 1_000_000);
    }

    #[test]
    fn a_run_of_few_rounds_is_not_written_down() {
        assert!(parse(&["--write", "--rounds", "2"]).unwrap().check().is_err());
        assert!(parse(&["--rounds", "1"]).unwrap().check().is_ok());
        let options = parse(&["--write", "--rounds", "3"]).unwrap();
        assert!(options.check().is_ok());
        assert_eq!(options.command_line(), "cargo xtask bench auth --rounds 3 --write");
    }

    #[test]
    fn parts_that_are_not_named_are_not_wanted() {
        let options = parse(&["--only", "get,tls"]).unwrap();
        assert!(options.wants(Part::Get) && options.wants(Part::Tls) && !options.wants(Part::Addresses));
        assert!(parse(&["--quick"]).unwrap().wants(Part::Addresses));
    }
}
