//! The simulator's seeds: those that failed once, three hundred others, and that a seed gives the same run twice.

use std::sync::atomic::{AtomicU64, Ordering};

use kvs_sim::profile::Profile;
use kvs_sim::run::run;
use kvs_sim::seeds;
use kvs_sim::world::Options;

/// Seeds that are run beside the named ones.
const SEEDS: u64 = 300;

fn of(profile: Profile) -> Options {
    Options { profile: Some(profile), ..Options::default() }
}

#[test]
fn no_seed_that_ever_failed_breaks_a_promise() {
    let named = seeds::named().unwrap_or_else(|line| panic!("seeds.txt: {line}"));
    for seed in named {
        if let Err(broken) = run(seed.seed, seed.options(Options::default()), None) {
            panic!("seed {} of profile {} ({}): {broken}", seed.seed, seed.profile.name(), seed.story);
        }
    }
}

#[test]
fn three_hundred_seeds_break_no_promise() {
    let next = AtomicU64::new(0);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(|| run_some(&next))).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_default()).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn run_some(next: &AtomicU64) -> Vec<String> {
    let mut failed = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= SEEDS {
            return failed;
        }
        if let Err(broken) = run(seed, Options::default(), None) {
            failed.push(format!(
                "seed {seed}: {broken}; see it again: cargo run -p kvs-sim --release -- --seed {seed} --trace"
            ));
        }
    }
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for profile in Profile::ALL {
        assert_eq!(run(2, of(profile), None), run(2, of(profile), None));
    }
}

#[test]
fn runs_write_and_collect() {
    let outcomes: Vec<_> = (10..14).filter_map(|seed| run(seed, of(Profile::Ordinary), None).ok()).collect();
    assert!(outcomes.iter().map(|outcome| outcome.acknowledged).sum::<usize>() > 100, "{outcomes:?}");
    assert!(outcomes.iter().map(|outcome| outcome.collected).sum::<u64>() > 10, "{outcomes:?}");
}
