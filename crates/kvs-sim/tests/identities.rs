//! Who joins whom, who holds a name, and what becomes of identities whose place another one has taken.
#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

mod support;

use kvs_protocol::membership::contract::{Event, Membership};
use kvs_protocol::membership::member::Status;
use kvs_sim::members::{Links, Network};
use uuid::Uuid;

use support::{LOOPBACK, address, again, cluster, joined_ms, ms, secs, settings};

/// A node that was started as the first of a cluster of its own.
fn first(n: usize) -> kvs_protocol::membership::settings::MembershipSettings {
    settings(n, &[])
}

#[test]
fn two_first_nodes_join_at_a_word() {
    let mut network = Network::new(1, LOOPBACK);
    let places = [network.start(first(0), None), network.start(first(1), None)];
    network.run_for(secs(30));
    network.tell(places[0], Event::Join(address(1)));
    let took = network.run_until(secs(10), |network| network.all_know(&places)).unwrap();
    assert!(took <= secs(1), "{took:?}");
}

#[test]
fn two_clusters_join_at_a_word_and_a_dead_seed_keeps_nobody_from_it() {
    let mut network = Network::new(2, LOOPBACK);
    let places: Vec<usize> = [first(0), settings(1, &[0]), first(2), settings(3, &[2]), settings(4, &[9])]
        .into_iter()
        .map(|settings| network.start(settings, None))
        .collect();
    network.run_for(secs(30));
    network.tell(places[1], Event::Join(address(3)));
    assert!(network.run_until(secs(2), |network| network.all_know(&places[..4])).is_some());
    network.tell(places[4], Event::Join(address(0)));
    assert!(network.run_until(secs(2), |network| network.all_know(&places)).is_some());
}

#[test]
fn a_word_to_join_is_obeyed_as_soon_as_somebody_is_there() {
    let mut network = Network::new(3, LOOPBACK);
    let here = network.start(first(0), None);
    network.run_for(secs(30));
    network.tell(here, Event::Join(address(1)));
    network.run_for(secs(60));
    let there = network.start(first(1), None);
    assert!(network.run_until(secs(4), |network| network.all_know(&[here, there])).is_some());
}

#[test]
fn who_is_to_be_reached_says_what_came_of_it() {
    let mut network = Network::new(4, LOOPBACK);
    let here = network.start(settings(0, &[7]), None);
    network.run_for(secs(3));
    let seeds = network.machine(here).unwrap().seeds();
    assert_eq!(seeds.len(), 1);
    assert_eq!((seeds[0].address.as_str(), seeds[0].is_reached), (address(7).as_str(), false));
    assert!(seeds[0].failure.as_deref().is_some_and(|failure| failure.contains("refused")), "{seeds:?}");
    network.tell(here, Event::Join(address(1)));
    let there = network.start(first(1), None);
    assert!(network.run_until(secs(4), |network| network.all_know(&[here, there])).is_some());
    let seeds = network.machine(here).unwrap().seeds();
    assert!(seeds[1].is_reached && seeds[1].failure.is_none(), "{seeds:?}");
}

#[test]
fn a_node_that_takes_a_living_nodes_name_is_refused_whoever_joined_first() {
    for (seed, asked) in [(5, 0), (6, 2)] {
        let (mut network, _) = cluster(seed, LOOPBACK, 3);
        let joined = joined_ms(&network, 1);
        network.kill(1);
        network.run_for(secs(3));
        let mut renamed = again(settings(1, &[asked]), 2, joined);
        renamed.node_id = "node-2".to_owned();
        let place = network.start(renamed, None);
        network.run_for(secs(10));
        let reason = network.outcome(place).stopped.unwrap_or_default();
        assert!(reason.contains("node-2") && reason.contains("taken"), "{reason}");
        assert!(network.outcome(2).stopped.is_none());
        assert!(network.all_know(&[0, 2]));
        // And c can be started again.
        let joined = joined_ms(&network, 2);
        network.kill(2);
        let back = network.start(again(settings(2, &[0]), 2, joined), None);
        network.run_for(secs(10));
        assert!(network.outcome(back).stopped.is_none(), "{:?}", network.outcome(back).stopped);
    }
}

#[test]
fn who_comes_back_to_a_name_that_another_has_taken_meanwhile_is_refused() {
    let (mut network, _) = cluster(7, LOOPBACK, 3);
    let joined = joined_ms(&network, 2);
    network.kill(2);
    network.run_for(secs(30));
    let mut renewed = settings(9, &[0]);
    renewed.node_id = "node-2".to_owned();
    let renewed = network.start(renewed, None);
    assert!(network.run_until(secs(2), |network| network.all_know(&[0, 1, renewed])).is_some());
    network.run_for(secs(30));
    let back = network.start(again(settings(2, &[0]), 2, joined), None);
    network.run_for(secs(10));
    assert!(network.outcome(back).stopped.is_some());
    assert!(network.outcome(renewed).stopped.is_none());
}

#[test]
fn a_restart_at_a_new_address_is_welcome_although_an_older_identity_had_its_name() {
    for seed in 0..40 {
        let uneven = Links { jitter: ms(60), ..LOOPBACK };
        let (mut network, _) = cluster(100 + seed, uneven, 3);
        // The third machine is replaced by one at another address: the older identity is remembered, and whoever asks
        // whether it lives waits.
        network.lose(2);
        network.run_for(secs(10));
        let renewed = |n: usize, generation: u32, joined_ms: u64| {
            let mut settings = again(settings(9, &[0, 1]), generation, joined_ms);
            settings.node_id = "node-2".to_owned();
            settings.address = address(n);
            settings
        };
        let mut place = network.start(renewed(50, 1, kvs_core::version::JOINED_YOUNGEST_MS), None);
        network.run_for(secs(10));
        // And it moves again and again.
        for generation in 2..5 {
            let joined = joined_ms(&network, place);
            let kept = network.outcome(place).persisted;
            network.kill(place);
            network.run_for(secs(1));
            let at = 50 + generation as usize;
            place = network.start(renewed(at, generation, joined), kept.as_deref());
            network.run_for(secs(5));
            assert_eq!(network.outcome(place).stopped, None, "seed {seed}");
        }
        assert!(network.all_know(&[0, 1, place]), "seed {seed}");
    }
}

fn forgotten(network: &Network, by: usize) -> Vec<Uuid> {
    let members = network.machine(by).unwrap().members();
    members.into_iter().filter(|member| member.is_forgotten).map(|member| member.node).collect()
}

#[test]
fn an_identity_whose_name_and_address_another_has_is_retired_within_a_minute() {
    let (mut network, _) = cluster(8, LOOPBACK, 3);
    network.kill(2);
    network.run_for(secs(3));
    let mut wiped = settings(9, &[0]);
    (wiped.node_id, wiped.address) = ("node-2".to_owned(), address(2));
    let place = network.start(wiped, None);
    assert!(network.run_until(secs(1), |network| network.all_know(&[0, 1, place])).is_some());
    network.run_for(secs(60));
    for by in [0, 1, place] {
        assert_eq!(forgotten(&network, by), [settings(2, &[]).node], "seen by {by}");
    }
    assert!(network.all_know(&[0, 1, place]));
}

#[test]
fn who_was_at_an_address_that_another_calls_from_is_failed_at_once_and_who_has_moved_is_not() {
    let (mut network, _) = cluster(10, LOOPBACK, 4);
    // Nobody notices that it went: no connection is refused, since another process is there.
    network.lose(2);
    network.heal();
    let mut wiped = settings(9, &[0]);
    (wiped.node_id, wiped.address) = ("node-2".to_owned(), address(2));
    let place = network.start(wiped, None);
    let failed = |network: &Network| network.status(2, 0) == Some(Status::Failed);
    assert!(network.run_until(secs(2), failed).is_some());
    assert!(network.all_know(&[0, 1, 3, place]));
    // A machine moves, and another one begins where it was, in one moment.
    let joined = joined_ms(&network, 3);
    network.kill(3);
    let mut moved = again(settings(3, &[0]), 2, joined);
    moved.address = address(30);
    let moved = network.start(moved, None);
    let mut after = settings(31, &[1]);
    after.address = address(3);
    let after = network.start(after, None);
    network.run_for(secs(10));
    assert!(network.all_know(&[0, 1, place, moved, after]));
    assert_eq!(network.false_deaths(), 0);
}

#[test]
fn neither_the_name_nor_the_address_alone_retires_anybody() {
    let (mut network, _) = cluster(9, LOOPBACK, 4);
    network.kill(2);
    network.kill(3);
    network.run_for(secs(3));
    let (mut named, mut placed) = (settings(8, &[0]), settings(9, &[0]));
    named.node_id = "node-2".to_owned();
    placed.address = address(3);
    let places = [0, 1, network.start(named, None), network.start(placed, None)];
    assert!(network.run_until(secs(2), |network| network.all_know(&places)).is_some());
    network.run_for(secs(120));
    assert!(forgotten(&network, 0).is_empty());
    assert_eq!(network.status(2, 0), Some(Status::Failed));
    assert_eq!(network.status(3, 0), Some(Status::Failed));
}

#[test]
fn who_lost_his_list_does_not_take_the_first_that_calls_for_everybody() {
    for seed in 0..20 {
        let uneven = Links { jitter: ms(40), ..LOOPBACK };
        let (mut network, _) = cluster(200 + seed, uneven, 4);
        let joined = joined_ms(&network, 0);
        network.kill(0);
        network.run_for(secs(1));
        // It has no seeds: it is the others that call.
        let back = network.start(again(first(0), 2, joined), None);
        let seen = |network: &Network| {
            let machine = network.machine(back).unwrap();
            (machine.members().len(), machine.knows_everybody())
        };
        assert_eq!(seen(&network), (1, true));
        let called = network.run_until(secs(10), |network| seen(network).0 > 1).unwrap();
        let mut waited = called;
        while !seen(&network).1 {
            assert!(waited < secs(20), "it never knew everybody: {:?}", seen(&network));
            waited += ms(1);
            network.run_for(ms(1));
        }
        assert_eq!(seen(&network), (4, true), "seed {seed}, {called:?} after its start");
    }
}

#[test]
fn nobody_waits_for_those_who_left() {
    let (mut network, _) = cluster(11, LOOPBACK, 2);
    let alone = network.start(settings(5, &[7]), None);
    network.run_for(secs(90));
    assert!(!network.machine(alone).unwrap().knows_everybody(), "its seed may know others");
    network.tell(0, Event::Leave);
    network.run_for(secs(3));
    let (joined, kept) = (joined_ms(&network, 1), network.outcome(1).persisted);
    network.kill(1);
    let back = network.start(again(settings(1, &[0]), 2, joined), kept.as_deref());
    network.run_for(secs(1));
    assert!(network.machine(back).unwrap().knows_everybody());
}
