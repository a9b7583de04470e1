//! `kvs-sim`: runs seeds and tells which of them break a promise, and how to see it again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kvs_sim::profile::Profile;
use kvs_sim::run::{Outcome, run};
use kvs_sim::seeds;
use kvs_sim::world::{Options, Trace};

const USAGE: &str = "usage: kvs-sim [--seeds N | --to M] [--from N] [--profile P] [--threads N] [--seed N [--trace]]

Runs the seeds of seeds.txt, then N seeds (200) from --from (0), or those before --to; or one seed alone.
--profile  ordinary, put-back, clocks, bootstrap, membership or everything, for all seeds, and those of seeds.txt are
           left out; else each draws its own
--threads  how many seeds are run at once (as many as there are cores)
--trace    tells every step of the one seed
--no-waits  no client waits for copies, so that other promises are broken first
--no-trees  no log travels by a tree, whatever the seed draws; so those of seeds.txt are run
--strict  what is known to be open is demanded, too
--forgets-dropped  what is dropped at a peer's word or recalled need not stay in the history
";

/// Seeds between two lines of progress.
const PROGRESS_SEEDS: u64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arguments {
    seeds: u64,
    from: u64,
    threads: Option<usize>,
    seed: Option<u64>,
    options: Options,
    is_traced: bool,
}

/// What all runs of a profile came to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    seeds: u64,
    failed: u64,
    steps: u64,
    acknowledged: usize,
    collected: u64,
    dropped: u64,
    put_backs: u64,
    clocks_turned: u64,
    forgotten: u64,
    told: usize,
    relayed: u64,
}

impl Sum {
    fn add(&mut self, verdict: &Result<Outcome, String>) {
        self.seeds += 1;
        match verdict {
            Ok(outcome) => {
                self.steps += outcome.steps;
                self.acknowledged += outcome.acknowledged;
                self.collected += outcome.collected;
                self.dropped += outcome.dropped;
                self.put_backs += outcome.put_backs;
                self.clocks_turned += outcome.clocks_turned;
                self.forgotten += outcome.forgotten;
                self.told += outcome.told;
                self.relayed += outcome.relayed;
            }
            Err(_) => self.failed += 1,
        }
    }
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let options = arguments.options;
    if let Some(seed) = arguments.seed {
        let trace: Option<Trace> =
            arguments.is_traced.then(|| Box::new(|line: &str| say(&format!("{line}\n"))) as Trace);
        let verdict = run(seed, options, trace);
        tell(seed, options, "", &verdict);
        return if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let Ok(named) = seeds::named() else {
        say("seeds.txt: a line does not begin with a number, or a profile and a number\n");
        return ExitCode::from(2);
    };
    let mut failed = 0;
    for seed in named.iter().filter(|_| options.profile.is_none()) {
        let options = seed.options(options);
        let verdict = run(seed.seed, options, None);
        failed += u64::from(verdict.is_err());
        tell(seed.seed, options, seed.story, &verdict);
    }
    failed += run_all(&arguments);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the seeds on several threads; answers how many failed.
fn run_all(arguments: &Arguments) -> u64 {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let sums: Mutex<BTreeMap<Profile, Sum>> = Mutex::default();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let run_some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let verdict = run(seed, arguments.options, None);
            let profile = arguments.options.profile_of(seed);
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.entry(profile).or_default().add(&verdict);
            if verdict.is_err() {
                tell(seed, Options { profile: Some(profile), ..arguments.options }, "", &verdict);
            }
            let done: u64 = sums.values().map(|sum| sum.seeds).sum();
            if done.is_multiple_of(PROGRESS_SEEDS) {
                let failed: u64 = sums.values().map(|sum| sum.failed).sum();
                say(&format!("{done} of {} seeds, {failed} failed\n", arguments.seeds));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or_else(cores) {
            scope.spawn(run_some);
        }
    });
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (profile, sum) in &sums {
        say(&format!(
            "{}: {} seeds, {} failed; {} steps, {} writes acknowledged, {} waits answered, {} parts by trees, {} tombstones collected, {} \
             values dropped, {} directories put back, {} clocks set wrong, {} members forgotten\n",
            profile.name(),
            sum.seeds,
            sum.failed,
            sum.steps,
            sum.acknowledged,
            sum.told,
            sum.relayed,
            sum.collected,
            sum.dropped,
            sum.put_backs,
            sum.clocks_turned,
            sum.forgotten
        ));
    }
    sums.values().map(|sum| sum.failed).sum()
}

fn tell(seed: u64, options: Options, story: &str, verdict: &Result<Outcome, String>) {
    let profile = options.profile_of(seed).name();
    let trees = if options.has_no_trees { " --no-trees" } else { "" };
    match verdict {
        Ok(outcome) => say(&format!("seed {seed} of {profile}: passed; {outcome:?} {story}\n")),
        Err(broken) => say(&format!(
            "seed {seed} of {profile}: FAILED {broken} {story}\n  see it again: cargo run -p kvs-sim --release -- \
             --profile {profile}{trees} --seed {seed} --trace\n"
        )),
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments {
        seeds: 200,
        from: 0,
        threads: None,
        seed: None,
        options: Options::default(),
        is_traced: false,
    };
    let mut to: Option<u64> = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--trace" => arguments.is_traced = true,
            "--strict" => arguments.options.is_strict = true,
            "--forgets-dropped" => arguments.options.forgets_dropped = true,
            "--no-trees" => arguments.options.has_no_trees = true,
            "--no-waits" => arguments.options.has_no_waits = true,
            "--seeds" => arguments.seeds = words.next()?.parse().ok()?,
            "--from" => arguments.from = words.next()?.parse().ok()?,
            "--to" => to = Some(words.next()?.parse().ok()?),
            "--threads" => arguments.threads = Some(words.next()?.parse().ok().filter(|count| *count > 0)?),
            "--seed" => arguments.seed = Some(words.next()?.parse().ok()?),
            "--profile" => arguments.options.profile = Some(Profile::from_name(&words.next()?)?),
            _ => return None,
        }
    }
    if let Some(to) = to {
        arguments.seeds = to.checked_sub(arguments.from)?;
    }
    Some(arguments)
}

/// Writes to standard output; a reader that is gone wants no more.
fn say(text: &str) {
    if std::io::stdout().lock().write_all(text.as_bytes()).is_err() {
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, parse};
    use kvs_sim::profile::Profile;
    use kvs_sim::world::Options;

    const NONE: Arguments = Arguments {
        seeds: 200,
        from: 0,
        threads: None,
        seed: None,
        options: Options {
            profile: None,
            forgets_dropped: false,
            is_strict: false,
            has_no_waits: false,
            has_no_trees: false,
        },
        is_traced: false,
    };

    fn parsed(line: &str) -> Option<Arguments> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_and_unknown_ones_refused() {
        assert_eq!(parsed("--seeds 7 --from 3"), Some(Arguments { seeds: 7, from: 3, ..NONE }));
        assert_eq!(
            parsed("--from 3 --to 9 --threads 2"),
            Some(Arguments { seeds: 6, from: 3, threads: Some(2), ..NONE })
        );
        assert_eq!(parsed("--seed 9 --trace"), Some(Arguments { seed: Some(9), is_traced: true, ..NONE }));
        let options = Options {
            profile: Some(Profile::PutBack),
            forgets_dropped: true,
            has_no_waits: true,
            has_no_trees: true,
            is_strict: false,
        };
        assert_eq!(
            parsed("--profile put-back --forgets-dropped --no-waits --no-trees"),
            Some(Arguments { options, ..NONE })
        );
        for wrong in ["--seeds", "--sedes 7", "--profile none", "--from 9 --to 3", "--threads 0"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
