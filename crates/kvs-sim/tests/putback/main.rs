//! What replication promises when directories are put back and clocks run ahead: an executable statement of the rules.
//!
//! It knows nothing of the product's code. A schedule is drawn from a seed: nodes write, ship, ask, collect and fold;
//! messages are late, doubled and lost; directories go back to an earlier moment, clocks run off, nodes start anew
//! and join. Then everything is mended, and a judge that saw every write says what every node must hold.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    reason = "indices and counts are bounded by the handful of nodes and ticks of the model"
)]

mod fold;
mod judge;
mod messages;
mod node;
mod random;
mod rules;
mod stamps;
mod vector;
mod weather;
mod world;

use std::collections::BTreeMap;

use rules::Rule;
use weather::Weather;
use world::World;

/// Weathers in which no schedule may end wrong.
const WEATHERS: [&str; 7] =
    ["full", "four", "ahead,behind", "storm,behind", "long,putback", "long,havoc", "long,farbehind"];

/// Schedules of each weather that every run of the tests tries.
const SCHEDULES: u64 = 200;

/// For each rule a weather and a seed that end wrong without it.
const SEEN_TO_FAIL: [(Rule, &str, u64); 19] = [
    (Rule::Drop, "full", 412),
    (Rule::Whole, "long,havoc", 21),
    (Rule::Epoch, "long", 0),
    (Rule::Claim, "long", 16),
    (Rule::Lower, "long", 12),
    (Rule::Batch, "long", 13),
    (Rule::Logged, "long", 24),
    (Rule::Recall, "long", 139),
    (Rule::Strange, "storm", 452),
    (Rule::Fallback, "storm", 192),
    (Rule::Offset, "storm", 2),
    (Rule::Bound, "storm", 1519),
    (Rule::Agree, "long,behind", 2),
    (Rule::Fresh, "long", 15),
    (Rule::Proven, "long", 1),
    (Rule::Behind, "long,havoc", 29),
    (Rule::Since, "storm,nobound,norounds", 1248),
    (Rule::Rounds, "long,havoc", 74),
    (Rule::Renew, "long,farbehind", 1205),
];

fn broken(name: &str, seed: u64) -> Option<String> {
    match Weather::named(name) {
        Some(weather) => World::run(seed, weather).broken,
        None => Some(format!("no weather is named {name}")),
    }
}

#[test]
fn no_schedule_ends_wrong() {
    for name in WEATHERS {
        for seed in 0..SCHEDULES {
            if let Some(why) = broken(name, seed) {
                panic!("{name}, seed {seed}: {why}");
            }
        }
    }
}

#[test]
fn each_rule_left_out_makes_a_run_end_wrong() {
    let unexpected = |(rule, name, seed): &(Rule, &str, u64)| {
        let without = format!("{name},no{}", format!("{rule:?}").to_lowercase());
        broken(name, *seed).is_some() || broken(&without, *seed).is_none()
    };
    let unexpected: Vec<_> = SEEN_TO_FAIL.iter().filter(|case| unexpected(case)).collect();
    assert!(unexpected.is_empty(), "wrong with the rule, or right without it (find another): {unexpected:?}");
}

/// A node that starts anew every few ticks, in turn; the most entries that any vector has for one node.
fn most_entries(weather: Weather, days: usize) -> usize {
    let calm = Weather { putback: false, ahead: &[], joins: false, restarts: false, ..weather };
    let mut world = World::new(1, Weather { end_only: true, ..calm });
    let mut most = 0;
    for day in 0..days {
        for _ in 0..30 {
            world.step(false);
        }
        let vectors = world.nodes.iter().map(|node| &node.vector);
        most = most
            .max(vectors.flat_map(|v| (0..weather.nodes).map(|id| v.epochs(id).count())).max().unwrap_or(0));
        world.start(day % usize::from(weather.nodes));
    }
    world.mend();
    assert_eq!(world.judge.broken, None);
    most
}

#[test]
fn six_hundred_restarts_leave_a_handful_of_entries() {
    let with = most_entries(Weather::FULL, 600);
    assert!(with <= 20, "{with} entries for one node");
    let without = most_entries(Weather::FULL.without(Rule::Fold), 150);
    assert!(without >= 50, "nothing had to be folded: {without} entries");
}

/// `KVS_MODEL_SEEDS=0..20000 KVS_MODEL_WEATHERS='full storm,behind' cargo test -p kvs-sim --test putback -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes: for whoever changes a rule"]
#[expect(
    clippy::print_stdout,
    reason = "whoever runs many schedules wants to see how many, and what happened in them"
)]
fn many_schedules() {
    let seeds = std::env::var("KVS_MODEL_SEEDS").unwrap_or_else(|_| "0..2000".to_owned());
    let weathers = std::env::var("KVS_MODEL_WEATHERS").unwrap_or_else(|_| WEATHERS.join(" "));
    let (from, to) = seeds.split_once("..").unwrap_or_else(|| panic!("KVS_MODEL_SEEDS is FROM..TO"));
    let bound = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no seed"));
    let mut all_right = true;
    for name in weathers.split_whitespace() {
        let weather = Weather::named(name).unwrap_or_else(|| panic!("no weather is named {name}"));
        let mut wrong = Vec::new();
        let mut counts = BTreeMap::new();
        for seed in bound(from)..bound(to) {
            let judge = World::run(seed, weather);
            for (what, times) in judge.counts {
                *counts.entry(what).or_insert(0) += times;
            }
            wrong.extend(judge.broken.map(|why| (seed, why)));
        }
        println!("{name}, seeds {seeds}: {} wrong; {counts:?}", wrong.len());
        for (seed, why) in wrong.iter().take(5) {
            println!("  seed {seed}: {why}");
        }
        all_right &= wrong.is_empty();
    }
    assert!(all_right, "some schedules ended wrong");
}
