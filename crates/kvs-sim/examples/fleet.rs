//! The figures of a large fleet under virtual time: `cargo run --release -p kvs-sim --example fleet -- [--members N] [--minutes M]
//! [--churn PER_MILLE] [--lost PER_MILLE] [--seed S]`.

#![allow(clippy::disallowed_methods, reason = "it tells how long the simulation itself takes")]

use std::io::Write;
use std::time::{Duration, Instant};

use kvs_sim::fleet::{Fleet, Run};

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| {
        let place = words.iter().position(|word| word == name);
        place.and_then(|place| words.get(place + 1)?.parse().ok()).unwrap_or(default)
    };
    let fleet = Fleet {
        members: usize::try_from(option("--members", 10_000)).unwrap_or(10_000),
        time: Duration::from_secs(60 * option("--minutes", 5)),
        churn_of_1000: u32::try_from(option("--churn", 10)).unwrap_or(10),
        lost_of_1000: u32::try_from(option("--lost", 0)).unwrap_or(0),
        seed: option("--seed", 1),
    };
    let mut out = std::io::stdout().lock();
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let run = Run::new(fleet, threads);
    writeln!(out, "{} members have met after {:.0?}", fleet.members, started.elapsed())?;
    let figures = run.figures(|at, figures| {
        if at.as_secs() % 10 == 0 {
            let (deaths, known) = (figures.deaths, figures.known_after.len());
            let line = format!(
                "{:>4} s, {:.0?}: {deaths} deaths, {known} known to all; living shown failed {}\n",
                at.as_secs(),
                started.elapsed(),
                figures.shown_failed
            );
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
    });
    let of = |percent: usize| {
        let last = figures.known_after.len().saturating_sub(1);
        let place = (last * percent).div_ceil(100);
        figures.known_after.get(place).copied().unwrap_or_default()
    };
    writeln!(
        out,
        "deaths: {}, known to all after p50 {:.2?}, p99 {:.2?}, all {:.2?}",
        figures.deaths,
        of(50),
        of(99),
        of(100)
    )?;
    writeln!(out, "deaths not known to all: {}", figures.unknown)?;
    writeln!(
        out,
        "living processes taken for dead: {}; shown as failed: {} {:?}",
        figures.rejoins, figures.shown_failed, figures.shown_by
    )?;
    writeln!(out, "told to end: {:?}", figures.stopped)?;
    writeln!(
        out,
        "whole lists sent: {}, {:.0} bytes of a node in a second",
        figures.lists, figures.list_bytes_per_s
    )?;
    writeln!(
        out,
        "a node sends {:.0} bytes and {:.2} calls a second: {:.0?}",
        figures.bytes_per_s, figures.calls_per_s, figures.bytes_by_kind
    )
}
