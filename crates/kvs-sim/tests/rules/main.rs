//! The rules of deletes and collection under a model checker: every run within the bounds is tried.
//!
//! With all rules nothing breaks in more than a million states. With one rule left out the checker must find a run
//! that breaks a promise: a check that cannot fail proves nothing.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "indices and counts are bounded by the handful of nodes, keys and writes of the model"
)]

mod cluster;
mod model;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stateright::{Checker, HasDiscoveries, Model};

use cluster::{ALL_RULES, Cluster, Rules};
use model::{ALL_COLLECTED, Bounds, NEWEST_WINS, NO_RESURRECTION};

/// Most states that a search for a broken promise may generate before it counts as unsuccessful.
const SEARCHED_MAX: usize = 6_000_000;

/// When a delete that everybody knows of was made, and whether the last node's state before it was kept.
enum Past {
    /// In this tick, by a clock that is ahead.
    JustNow,
    /// In the tick before; the last node's older state is at hand.
    LongAgoAndKept,
}

/// A value was written, went everywhere, was deleted, and the delete went everywhere.
fn deleted(past: &Past) -> Cluster {
    let mut cluster = Cluster::new();
    assert!(cluster.write(0, 0, true, true));
    ship_from_first(&mut cluster);
    if matches!(past, Past::LongAgoAndKept) {
        cluster.keep();
    }
    assert!(cluster.write(0, 0, false, true));
    ship_from_first(&mut cluster);
    if matches!(past, Past::LongAgoAndKept) {
        cluster.tick += 1;
    }
    cluster
}

fn ship_from_first(cluster: &mut Cluster) {
    for to in [1, 2] {
        let batch = cluster.batch(0, to);
        cluster.arrive(&batch, true, &ALL_RULES);
    }
}

/// Two writes of two keys, nothing goes astray, one grace passes.
fn quiet(rules: Rules) -> Bounds {
    Bounds {
        rules,
        keys: 2,
        writes: 2,
        ticks: 1,
        messages_stray: false,
        restores: false,
        begins: vec![Cluster::new()],
        looked_at: Arc::default(),
    }
}

/// After a delete that everybody knows of: messages are late, doubled and lost, an old state is restored.
fn rough(rules: Rules) -> Bounds {
    Bounds {
        writes: 3,
        ticks: 2,
        messages_stray: true,
        restores: true,
        begins: vec![deleted(&Past::LongAgoAndKept), deleted(&Past::JustNow), Cluster::new()],
        ..quiet(rules)
    }
}

/// Tries every run of up to `depth` states; answers how many states were looked at. Panics when a promise is broken.
fn explore(bounds: &Bounds, depth: usize) -> usize {
    let checker = bounds.clone().checker().target_max_depth(depth).threads(2).spawn_bfs().join();
    let mut discoveries: Vec<_> = checker.discoveries().into_iter().collect();
    discoveries.sort_by_key(|(name, _)| *name);
    let told: Vec<_> = discoveries
        .into_iter()
        .map(|(name, path)| format!("not so: {name}: {:?}", path.into_actions()))
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    bounds.looked_at.load(Ordering::Relaxed)
}

/// Looks for a run that breaks the promise.
fn breaks(promise: &'static str, bounds: Bounds) -> bool {
    let checker = bounds
        .checker()
        .finish_when(HasDiscoveries::AnyOf([promise].into()))
        .target_state_count(SEARCHED_MAX)
        .threads(2)
        .spawn_bfs()
        .join();
    checker.discovery(promise).is_some()
}

#[test]
fn with_all_rules_no_promise_is_broken_in_more_than_a_million_states() {
    let quiet = explore(&quiet(ALL_RULES), 9);
    let rough = explore(&rough(ALL_RULES), 6);
    assert!(quiet + rough >= 1_000_000, "only {quiet} + {rough} states were looked at");
}

#[test]
fn without_the_drop_rule_a_restored_node_brings_a_deleted_value_back() {
    let rules = Rules { drop: false, ..ALL_RULES };
    let begins = vec![deleted(&Past::LongAgoAndKept)];
    assert!(breaks(NO_RESURRECTION, Bounds { keys: 1, restores: true, begins, ..quiet(rules) }));
}

#[test]
fn collecting_before_every_vector_covers_the_delete_brings_an_older_value_back() {
    let rules = Rules { every_vector: false, ..ALL_RULES };
    assert!(breaks(NO_RESURRECTION, Bounds { keys: 1, writes: 3, ..quiet(rules) }));
}

#[test]
fn collecting_within_the_spread_of_the_clocks_loses_the_newest_write() {
    let rules = Rules { grace: false, ..ALL_RULES };
    let bounds = Bounds { keys: 1, writes: 3, begins: vec![deleted(&Past::JustNow)], ..quiet(rules) };
    assert!(breaks(NEWEST_WINS, bounds));
}

#[test]
fn a_restored_node_that_keeps_its_identity_leaves_a_delete_uncollected_for_ever() {
    let rules = Rules { new_identity: false, ..ALL_RULES };
    assert!(breaks(ALL_COLLECTED, Bounds { keys: 1, restores: true, ..quiet(rules) }));
}
