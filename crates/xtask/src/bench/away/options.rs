//! The options of `cargo xtask bench away`, with the bounds that keep a run short.

use std::time::Duration;

use clap::{ValueEnum, value_parser};

/// How the peer goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum How {
    /// It is suspended (SIGSTOP), its connections stay open, and it goes on where it was (SIGCONT)
    Stop,
    /// It is killed (SIGKILL) and started again
    Kill,
}

/// Which keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keys {
    /// 200,000 keys that are all there before, drawn at random
    Fixed,
    /// Each write has a key that was not there
    New,
}

/// How large values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// 200 bytes
    Small,
    /// 1 KiB
    Large,
}

/// What one run of the three phases is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// How the peer goes away.
    pub(crate) how: How,
    /// Which keys are written.
    pub(crate) keys: Keys,
    /// How large values are.
    pub(crate) size: Size,
}

/// The options of a run.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct AwayOptions {
    /// 20 s with all present, 30 s away, at most 60 s of catching up: for looking, not for the document
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// How the peer goes away; with several, one run for each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "stop")]
    how: Vec<How>,
    /// Which keys are written; with several, one run for each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fixed")]
    keys: Vec<Keys>,
    /// How large values are; with several, one run for each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "large")]
    size: Vec<Size>,
    /// Writes a second, all of them to the nodes that stay
    #[arg(long, default_value_t = 1_700, value_parser = value_parser!(u32).range(10..=20_000))]
    pub(crate) rate: u32,
    /// Writes in one batch
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) batch: u32,
    /// For how many seconds all are present before
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u64).range(10..=600))]
    present_seconds: u64,
    /// For how many seconds the peer is away
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u64).range(10..=900))]
    away_seconds: u64,
    /// After how many seconds a peer that has not caught up is given up
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u64).range(10..=900))]
    catch_up_seconds: u64,
    /// Write the section "A peer that is away" of docs/benchmarks.md
    #[arg(long)]
    pub(crate) write: bool,
}

impl AwayOptions {
    /// The cases in their order.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for how in &self.how {
            for keys in &self.keys {
                cases.extend(self.size.iter().map(|size| Case { how: *how, keys: *keys, size: *size }));
            }
        }
        cases
    }

    /// How long all are present before one goes.
    pub(crate) fn present(&self) -> Duration {
        self.by_length(20, self.present_seconds)
    }

    /// How long it is away.
    pub(crate) fn away(&self) -> Duration {
        self.by_length(30, self.away_seconds)
    }

    /// How long it may take to catch up.
    pub(crate) fn catch_up_max(&self) -> Duration {
        self.by_length(60, self.catch_up_seconds)
    }

    fn by_length(&self, quick: u64, full: u64) -> Duration {
        Duration::from_secs(if self.quick { quick } else { full })
    }

    /// The command line of these options, as it stands in the document.
    pub(crate) fn command_line(&self) -> String {
        let list = |names: Vec<String>| names.join(",");
        format!(
            "cargo xtask bench away --how {} --keys {} --size {} --rate {} --batch {} --present-seconds {} --away-seconds {} \
             --catch-up-seconds {} --write",
            list(self.how.iter().map(|how| named(*how)).collect()),
            list(self.keys.iter().map(|keys| named(*keys)).collect()),
            list(self.size.iter().map(|size| named(*size)).collect()),
            self.rate,
            self.batch,
            self.present_seconds,
            self.away_seconds,
            self.catch_up_seconds,
        )
    }
}

/// What a value is called on the command line.
fn named(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl Size {
    /// Bytes of a value.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Small => 200,
            Self::Large => crate::bench::values::DOCUMENT_BYTES,
        }
    }
}

impl Case {
    /// What stands before each figure of this case.
    pub(crate) fn name(&self) -> String {
        let how = match self.how {
            How::Stop => "suspended",
            How::Kill => "killed",
        };
        let keys = match self.keys {
            Keys::Fixed => "200,000 keys",
            Keys::New => "new keys",
        };
        format!("{how}, {keys}, {} B", self.size.bytes())
    }

    /// What its folder is called.
    pub(crate) fn folder(&self) -> String {
        format!("away-{}-{}-{}", named(self.how), named(self.keys), named(self.size))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: AwayOptions,
    }

    fn parse(arguments: &[&str]) -> Option<AwayOptions> {
        let arguments = std::iter::once("bench").chain(arguments.iter().copied());
        Command::try_parse_from(arguments).ok().map(|command| command.options)
    }

    #[test]
    fn every_combination_is_a_case_of_its_own_and_one_is_the_default() {
        assert_eq!(parse(&[]).unwrap().cases().len(), 1);
        let options = parse(&["--how", "stop,kill", "--keys", "fixed,new", "--size", "small,large"]).unwrap();
        let mut folders: Vec<String> = options.cases().iter().map(Case::folder).collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), 8);
    }

    #[test]
    fn a_quick_run_is_short_and_is_not_written_down() {
        assert!(parse(&["--quick", "--write"]).is_none());
        assert_eq!(parse(&["--quick"]).unwrap().away(), Duration::from_secs(30));
        assert_eq!(parse(&["--away-seconds", "10"]).unwrap().away(), Duration::from_secs(10));
        assert!(parse(&["--away-seconds", "901"]).is_none());
    }

    #[test]
    fn the_command_line_of_the_document_gives_the_same_options_again() {
        let line = parse(&["--how", "kill", "--write"]).unwrap().command_line();
        let arguments: Vec<&str> = line.split(' ').skip(4).collect();
        assert_eq!(parse(&arguments).unwrap().command_line(), line);
    }
}
