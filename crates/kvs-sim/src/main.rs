//! `kvs-sim`: runs seeds and tells which of them break a promise, and how to see it again.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kvs_sim::run::{Outcome, run};
use kvs_sim::seeds;
use kvs_sim::world::Trace;

const USAGE: &str = "usage: kvs-sim [--seeds N] [--from N] [--seed N [--trace]]

Runs the seeds of seeds.txt, then N seeds (200) from --from (0); or one seed alone.
--trace  tells every step of it.
";

/// Seeds between two lines of progress.
const PROGRESS_SEEDS: u64 = 500;

/// Failures that are told; more are counted.
const FAILURES_TOLD_MAX: u64 = 20;

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    seeds: u64,
    from: u64,
    seed: Option<u64>,
    is_traced: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    if let Some(seed) = arguments.seed {
        let trace: Option<Trace> =
            arguments.is_traced.then(|| Box::new(|line: &str| say(&format!("{line}\n"))) as Trace);
        return tell(seed, "", &run(seed, trace));
    }
    let Ok(named) = seeds::named() else {
        say("seeds.txt: a line does not begin with a number\n");
        return ExitCode::from(2);
    };
    for seed in &named {
        if tell(seed.seed, seed.story, &run(seed.seed, None)) == ExitCode::FAILURE {
            return ExitCode::FAILURE;
        }
    }
    run_all(&arguments)
}

/// Runs the seeds on all cores.
fn run_all(arguments: &Arguments) -> ExitCode {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let total = Mutex::new((Outcome::default(), 0_u64, 0_u64));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let verdict = run(seed, None);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    let (sum, done, failed) = &mut *total;
                    *done += 1;
                    match &verdict {
                        Ok(outcome) => {
                            sum.steps += outcome.steps;
                            sum.acknowledged += outcome.acknowledged;
                            sum.collected += outcome.collected;
                            sum.dropped += outcome.dropped;
                        }
                        Err(_) => {
                            *failed += 1;
                            if *failed <= FAILURES_TOLD_MAX {
                                tell(seed, "", &verdict);
                            }
                        }
                    }
                    if *done % PROGRESS_SEEDS == 0 {
                        say(&format!("{done} of {} seeds, {failed} failed\n", arguments.seeds));
                    }
                }
            });
        }
    });
    let (sum, done, failed) = *total.lock().unwrap_or_else(PoisonError::into_inner);
    say(&format!(
        "{done} seeds, {failed} failed; {} steps, {} writes acknowledged, {} tombstones collected, {} values dropped\n",
        sum.steps, sum.acknowledged, sum.collected, sum.dropped
    ));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, story: &str, verdict: &Result<Outcome, String>) -> ExitCode {
    match verdict {
        Ok(outcome) => {
            say(&format!("seed {seed}: passed; {outcome:?} {story}\n"));
            ExitCode::SUCCESS
        }
        Err(broken) => {
            say(&format!(
                "seed {seed}: FAILED {broken}\n  see it again: cargo run -p kvs-sim --release -- --seed {seed} --trace\n"
            ));
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments { seeds: 200, from: 0, seed: None, is_traced: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--trace" => arguments.is_traced = true,
            "--seeds" => arguments.seeds = words.next()?.parse().ok()?,
            "--from" => arguments.from = words.next()?.parse().ok()?,
            "--seed" => arguments.seed = Some(words.next()?.parse().ok()?),
            _ => return None,
        }
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

    fn parsed(line: &str) -> Option<Arguments> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_and_unknown_ones_refused() {
        let expected = Arguments { seeds: 7, from: 3, seed: None, is_traced: false };
        assert_eq!(parsed("--seeds 7 --from 3"), Some(expected));
        let expected = Arguments { seeds: 200, from: 0, seed: Some(9), is_traced: true };
        assert_eq!(parsed("--seed 9 --trace"), Some(expected));
        assert_eq!(parsed("--seeds"), None);
        assert_eq!(parsed("--sedes 7"), None);
    }
}
