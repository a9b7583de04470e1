//! Logs that travel by a tree: who is called, and what becomes of a write when a node of the tree dies.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

mod support;

use std::collections::VecDeque;
use std::time::Duration;

use kvs_cluster::contract::{Event, Needed};
use kvs_cluster::limits::{RELAY_PAUSE, ROUND_PATIENCE};
use kvs_cluster::settings::{Begins, Tree};
use kvs_core::namespace::Namespace;
use kvs_protocol::call::CallKind;

use crate::support::{World, path};

/// A binary tree: with five peers two heads, of which one has two nodes below it and the other one.
const TREE: Tree = Tree { above: 2, fan_out: 2 };

/// Writes at node 0 and answers which calls it makes for that, in this moment.
fn calls_for_a_write(world: &mut World, value: &str) -> Vec<CallKind> {
    world.settle();
    world.nodes[0].calls.clear();
    world.put(0, "a", value);
    world.settle();
    log_calls(world)
}

/// The calls of node 0 that bring its log to others.
fn log_calls(world: &World) -> Vec<CallKind> {
    let calls = world.nodes[0].calls.iter().copied();
    calls.filter(|kind| matches!(kind, CallKind::Relay | CallKind::Replicate)).collect()
}

/// The places of the other nodes in the order of what node 0 sends: the first is the head of the first branch, the last a leaf
/// of the last one.
fn order(world: &World) -> Vec<usize> {
    let node = |place: usize| world.nodes[place].store.node();
    let mut places: Vec<usize> = (1..world.nodes.len()).collect();
    places.sort_by_key(|place| (node(*place) < node(0), node(*place)));
    places
}

#[test]
fn a_write_reaches_everybody_with_a_call_for_each_branch() {
    let mut world = World::with_tree(6, TREE);
    assert_eq!(calls_for_a_write(&mut world, "1"), [CallKind::Relay; 2]);
    world.all_have("a", Some("1"));
    assert_eq!(calls_for_a_write(&mut world, "2"), [CallKind::Relay; 2]);
    world.all_have("a", Some("2"));
    world.assert_equal_roots();
}

#[test]
fn few_peers_are_each_sent_the_log_directly() {
    let mut world = World::with_tree(6, Tree { above: 5, fan_out: 2 });
    assert_eq!(calls_for_a_write(&mut world, "1"), [CallKind::Replicate; 5]);
    world.all_have("a", Some("1"));
}

#[test]
fn whoever_waits_for_copies_counts_those_that_were_reached_by_others() {
    let mut world = World::with_tree(6, TREE);
    world.put(0, "a", "1");
    let dot = world.nodes[0].store.read(Namespace::Data, &path("a")).unwrap().unwrap().dot;
    world.nodes[0].inbox.push(Event::Await { ticket: 7, dot, needed: Needed::All });
    world.settle();
    assert_eq!(world.nodes[0].replicated, [(7, 5)]);
}

#[test]
fn when_an_inner_node_dies_its_branch_is_sent_the_log_directly_at_once() {
    let mut world = World::with_tree(6, TREE);
    let head = order(&world)[0];
    world.deaf.insert(head);
    world.put(0, "a", "1");
    world.run(Duration::from_millis(200));
    let mut wanted = vec![Some("1".to_owned()); 6];
    wanted[head] = None;
    assert_eq!(world.values("a"), wanted);

    // The next write is not held up by it: its branch is not tried again for a while.
    world.put(0, "b", "1");
    world.settle();
    assert_eq!(world.values("b"), wanted);

    // It comes back, and all goes by the tree again.
    world.deaf.clear();
    world.run(RELAY_PAUSE + Duration::from_secs(5));
    world.all_have("a", Some("1"));
    world.all_have("b", Some("1"));
    assert_eq!(calls_for_a_write(&mut world, "2"), [CallKind::Relay; 2]);
    world.all_have("a", Some("2"));
}

#[test]
fn a_leaf_that_dies_holds_up_nobody_else() {
    let mut world = World::with_tree(6, TREE);
    let leaf = order(&world)[4];
    world.deaf.insert(leaf);
    let mut wanted = vec![Some("1".to_owned()); 6];
    wanted[leaf] = None;
    assert_eq!(calls_for_a_write(&mut world, "1").first(), Some(&CallKind::Relay));
    assert_eq!(world.values("a"), wanted);
    world.deaf.clear();
    world.run(Duration::from_secs(3));
    world.all_have("a", Some("1"));
}

#[test]
fn peers_that_stood_elsewhere_go_by_the_tree_again_once_they_have_caught_up() {
    let mut world = World::with_tree(7, TREE);
    world.stop(3);
    for number in 0..2500 {
        world.put(0, &format!("k{number}"), "1");
    }
    world.settle();
    world.start(3, Begins::Joining);
    world.run(Duration::from_secs(5));
    world.all_have("k2499", Some("1"));
    assert_eq!(calls_for_a_write(&mut world, "1"), [CallKind::Relay; 2]);
    world.all_have("a", Some("1"));
}

#[test]
fn a_peer_that_others_cannot_reach_is_sent_the_log_directly_for_a_while() {
    let mut world = World::with_tree(6, TREE);
    let order = order(&world);
    world.unlinked.insert((order[0], order[1]));
    world.put(0, "a", "1");
    world.run(Duration::from_millis(200));
    world.all_have("a", Some("1"));
    // It was reached, so a part by way of others might be tried again; that it fails would cost each write a moment.
    for value in ["2", "3"] {
        assert_eq!(
            calls_for_a_write(&mut world, value),
            [CallKind::Replicate, CallKind::Relay, CallKind::Relay]
        );
        world.all_have("a", Some(value));
    }
    world.unlinked.clear();
    world.run(RELAY_PAUSE);
    assert_eq!(calls_for_a_write(&mut world, "4"), [CallKind::Relay; 2]);
    world.all_have("a", Some("4"));
}

#[test]
fn what_is_written_while_a_round_travels_goes_to_all_with_the_next_one() {
    let mut world = World::with_tree(6, TREE);
    world.kept = Some(VecDeque::new());
    assert_eq!(calls_for_a_write(&mut world, "1"), [CallKind::Relay; 2]);
    assert_eq!(calls_for_a_write(&mut world, "2"), []);
    world.let_go();
    assert_eq!(log_calls(&world), [], "one branch alone goes no further");
    world.let_go();
    assert_eq!(log_calls(&world), [CallKind::Relay; 2]);
    world.let_go();
    world.let_go();
    world.all_have("a", Some("2"));
}

#[test]
fn a_branch_that_is_slow_is_not_waited_for_longer_than_a_round_lasts() {
    let mut world = World::with_tree(6, TREE);
    world.kept = Some(VecDeque::new());
    assert_eq!(calls_for_a_write(&mut world, "1"), [CallKind::Relay; 2]);
    world.let_go();
    assert_eq!(calls_for_a_write(&mut world, "2"), []);
    world.run(ROUND_PATIENCE);
    // The three nodes of the first branch go on by themselves.
    assert_eq!(log_calls(&world), [CallKind::Relay; 2]);
    assert_eq!(world.kept.as_ref().unwrap().len(), 3);
    while !world.kept.as_ref().unwrap().is_empty() {
        world.let_go();
    }
    world.all_have("a", Some("2"));
}
