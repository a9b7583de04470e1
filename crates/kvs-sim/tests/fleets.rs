//! Many members at once: what changes cost, and that a fleet whose processes are late stays whole.

mod support;

use kvs_protocol::membership::member::Status;
use kvs_sim::fleet::{Fleet, Run};
use kvs_sim::members::{Links, Network};

use support::{LOOPBACK, cluster, ms, secs, settings};

/// Whole lists that these have sent.
fn lists(network: &Network, places: &[usize]) -> u64 {
    places.iter().map(|place| network.outcome(*place).lists_sent).sum()
}

#[test]
fn a_hundred_that_start_at_once_are_each_given_the_list_about_once() {
    let mut network = Network::new(1, LOOPBACK);
    let places: Vec<usize> =
        (0..100).map(|n| network.start(settings(n, if n == 0 { &[] } else { &[0] }), None)).collect();
    let took = network.run_until(secs(10), |network| network.all_know(&places)).unwrap();
    network.run_for(secs(20));
    assert!(took <= secs(1), "{took:?}");
    let lists = lists(&network, &places);
    assert!(lists <= 200, "{lists} whole lists");
}

#[test]
fn of_a_fleet_that_loses_members_all_the_time_nobody_who_lives_is_taken_for_dead() {
    let fleet = Fleet { members: 150, time: secs(150), churn_of_1000: 50, lost_of_1000: 2, seed: 7 };
    let figures = Run::new(fleet, 2).figures(|_, _| ());
    assert!(figures.deaths >= 10, "{figures:?}");
    assert_eq!((figures.rejoins, figures.shown_failed, figures.unknown), (0, 0, 0), "{figures:?}");
    assert_eq!(figures.stopped, Vec::<String>::new());
    assert!(figures.known_after.last().is_some_and(|after| *after <= secs(5)), "{figures:?}");
    // Each that started again was given the whole list by its seeds, and nobody else was.
    assert!(figures.lists <= 4 * figures.deaths as u64, "{figures:?}");
}

#[test]
fn ten_deaths_of_fifty_are_told_on_without_a_whole_list() {
    let (mut network, places) = cluster(2, LOOPBACK, 50);
    network.run_for(secs(30));
    let (killed, left) = places.split_at(10);
    let cost = |network: &Network| {
        let calls: u64 = left.iter().map(|place| network.outcome(*place).calls).sum();
        (lists(network, left), calls)
    };
    let before = cost(&network);
    for place in killed {
        network.kill(*place);
    }
    let failed = |network: &Network| {
        let failed = |of: &usize, by: &usize| network.status(*of, *by) == Some(Status::Failed);
        killed.iter().all(|of| left.iter().all(|by| failed(of, by)))
    };
    let took = network.run_until(secs(10), failed).unwrap();
    assert!(took <= secs(2), "{took:?}");
    network.run_for(secs(5));
    let after = cost(&network);
    assert!(after.0 - before.0 <= 5, "{} whole lists", after.0 - before.0);
    assert!(after.1 - before.1 <= 9000, "{} calls", after.1 - before.1);
    assert_eq!(network.false_deaths(), 0);
}

#[test]
fn a_node_that_is_late_by_its_own_alarms_suspects_nobody_and_hears_of_the_dead() {
    let slow = Links { delay: ms(20), ..LOOPBACK };
    let mut network = Network::new(3, slow);
    let places: Vec<usize> =
        (0..8).map(|n| network.start(settings(n, if n == 0 { &[] } else { &[0] }), None)).collect();
    assert!(network.run_until(secs(10), |network| network.all_know(&places)).is_some());
    network.run_for(secs(5));
    let late = 5;
    let suspects = |network: &Network| {
        places.iter().filter(|of| network.status(**of, late) == Some(Status::Suspect)).count()
    };
    // It runs for 30 ms, less than a round trip takes, and stands still for 0.6 to 2 s, again and again.
    let stand_still = |network: &mut Network, round: u64| {
        let time = ms(600 + round * 377 % 1400);
        network.stall(late, time);
        network.run_for(time);
        network.run_for(ms(30));
        suspects(network)
    };
    let suspected: usize = (0..200).map(|round| stand_still(&mut network, round)).sum();
    assert_eq!(suspected, 0, "the late node suspected others");
    assert_eq!(network.false_deaths(), 0);
    // Whoever is dead indeed is found by the others, and by the late one from them.
    network.lose(2);
    for round in 0..30 {
        stand_still(&mut network, round);
    }
    assert!(places.iter().filter(|by| **by != 2).all(|by| network.status(2, *by) == Some(Status::Failed)));
    assert_eq!(network.false_deaths(), 0);
}
