//! Membership machines in a network under virtual time: forming, failing, healing, leaving, and who is refused.
//!
//! No socket and no sleep; one seed is one run. The false deaths of many node-hours are counted by the example
//! `membership_figures`; a short form of it runs here.
#![allow(clippy::unwrap_used, reason = "a failing step must fail the test")]

mod support;

use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::contract::{Event, Membership};
use kvs_protocol::membership::member::Status;
use kvs_protocol::mode::Mode;
use kvs_sim::members::{EPOCH_MS, Links, Network};

use support::{LOOPBACK, LOSSY, address, again, cluster, joined_ms, ms, secs, settings};

#[test]
fn three_nodes_started_together_know_each_other_within_a_second() {
    for seed in 0..20 {
        let mut network = Network::new(seed, LOOPBACK);
        let places: Vec<usize> =
            (0..3).map(|n| network.start(settings(n, if n == 0 { &[] } else { &[0] }), None)).collect();
        let took = network.run_until(secs(10), |network| network.all_know(&places)).unwrap();
        assert!(took <= secs(1), "seed {seed}: {took:?}");
    }
}

#[test]
fn join_times_are_given_once_and_all_different() {
    let (network, places) = cluster(1, LOOPBACK, 5);
    let mut joined: Vec<u64> = places.iter().map(|place| joined_ms(&network, *place)).collect();
    for (place, joined) in places.iter().zip(&joined).skip(1) {
        assert_eq!(network.outcome(*place).admitted_ms, Some(*joined));
    }
    assert!(network.outcome(0).admitted_ms.is_none());
    joined.sort_unstable();
    joined.dedup();
    assert_eq!(joined.len(), 5);
    assert_eq!(joined[0], EPOCH_MS);
}

#[test]
fn a_chain_of_seeds_waits_for_the_first_and_then_resolves_quickly() {
    let mut network = Network::new(3, LOOPBACK);
    let waiting: Vec<usize> = [(1, 0), (2, 1), (3, 2)]
        .into_iter()
        .map(|(n, seed)| network.start(settings(n, &[seed]), None))
        .collect();
    network.run_for(secs(20));
    assert!(waiting.iter().all(|place| joined_ms(&network, *place) == JOINED_YOUNGEST_MS));
    let first = network.start(settings(0, &[]), None);
    let places = [waiting, vec![first]].concat();
    assert!(network.run_until(secs(1), |network| network.all_know(&places)).is_some());
}

#[test]
fn nodes_that_are_all_each_others_seeds_find_one_that_begins() {
    let mut network = Network::new(4, LOOPBACK);
    let places: Vec<usize> = (0..3).map(|n| network.start(settings(n, &[0, 1, 2]), None)).collect();
    assert!(network.run_until(secs(3), |network| network.all_know(&places)).is_some());
    let alone = {
        let mut network = Network::new(4, LOOPBACK);
        let place = network.start(settings(0, &[0, 1]), None);
        network.run_until(secs(4), |network| joined_ms(network, place) != JOINED_YOUNGEST_MS)
    };
    assert!(alone.is_some());
}

#[test]
fn a_hundred_nodes_join_through_one_seed_within_a_second() {
    let mut network = Network::new(5, LOOPBACK);
    let places: Vec<usize> =
        (0..100).map(|n| network.start(settings(n, if n == 0 { &[] } else { &[0] }), None)).collect();
    let took = network.run_until(secs(10), |network| network.all_know(&places)).unwrap();
    assert!(took <= secs(1), "{took:?}");
}

#[test]
fn a_killed_process_is_shown_within_a_second_and_its_restart_is_taken_in_at_once() {
    for seed in 0..20 {
        let (mut network, places) = cluster(seed, LOOPBACK, 3);
        let joined = joined_ms(&network, 2);
        network.kill(2);
        let doubted = |network: &Network, by: usize| {
            matches!(network.status(2, by), Some(Status::Suspect | Status::Failed))
        };
        let took = network.run_until(secs(5), |network| doubted(network, 0) && doubted(network, 1)).unwrap();
        assert!(took <= ms(500), "seed {seed}: {took:?}");
        network.run_for(secs(2));
        assert_eq!(network.status(2, 0), Some(Status::Failed));
        let restarted = network.start(again(settings(2, &[0]), 2, joined), None);
        let places = [places[0], places[1], restarted];
        assert!(network.run_until(secs(1), |network| network.all_know(&places)).is_some(), "seed {seed}");
        assert_eq!(joined_ms(&network, restarted), joined);
        assert_eq!(network.false_deaths(), 0);
    }
}

#[test]
fn in_a_cluster_of_thirty_all_others_show_a_killed_process_within_a_second() {
    let (mut network, places) = cluster(24, LOOPBACK, 30);
    network.run_for(secs(60));
    network.kill(17);
    let doubted = |network: &Network| {
        places.iter().filter(|by| **by != 17).all(|by| network.status(17, *by) != Some(Status::Alive))
    };
    assert!(network.run_until(secs(1), doubted).is_some());
}

#[test]
fn a_false_hint_hurts_nobody() {
    let (mut network, places) = cluster(25, LOOPBACK, 3);
    for _ in 0..50 {
        network.tell(0, Event::PeerRefused { node: settings(1, &[0]).node });
        network.run_for(ms(100));
        assert!(network.all_know(&places));
    }
}

#[test]
fn a_silent_partner_is_not_flooded() {
    let (mut network, _) = cluster(26, LOOPBACK, 2);
    network.lose(1);
    let before = network.outcome(0).sent_bytes;
    network.run_for(secs(60));
    let rate = (network.outcome(0).sent_bytes - before) / 60;
    assert!(rate <= 2000, "{rate} B/s");
}

#[test]
fn two_of_three_killed_at_once_are_shown_by_the_third() {
    let (mut network, _) = cluster(6, LOOPBACK, 3);
    network.kill(1);
    network.kill(2);
    let gone = |network: &Network| [1, 2].iter().all(|of| network.status(*of, 0) != Some(Status::Alive));
    assert!(network.run_until(secs(1), gone).is_some());
}

#[test]
fn a_restart_from_another_address_is_taken_in_when_the_old_process_is_dead() {
    let (mut network, _) = cluster(7, LOOPBACK, 3);
    network.lose(2);
    let mut moved = again(settings(2, &[0]), 2, joined_ms(&network, 2));
    moved.address = "10.9.9.9:1".to_owned();
    let place = network.start(moved, None);
    assert!(network.run_until(secs(2), |network| network.all_know(&[0, 1, place])).is_some());
}

#[test]
fn a_silent_machine_is_suspected_before_it_is_failed_and_never_on_one_timeout() {
    let (mut network, _) = cluster(8, LOOPBACK, 3);
    network.lose(2);
    network.run_for(secs(1));
    assert_ne!(network.status(2, 0), Some(Status::Failed));
    let failed = |network: &Network| network.status(2, 0) == Some(Status::Failed);
    let took = network.run_until(secs(60), failed).unwrap();
    assert!(took >= secs(4), "{took:?}");
}

#[test]
fn a_partition_heals_within_three_seconds_without_lasting_harm() {
    for seed in 0..10 {
        let (mut network, places) = cluster(seed, LOOPBACK, 6);
        network.part(&[0, 1, 2], &[3, 4, 5]);
        network.run_for(secs(120));
        assert_eq!(network.status(4, 0), Some(Status::Failed));
        assert_eq!(network.status(0, 4), Some(Status::Failed));
        assert!(network.all_know(&[0, 1, 2]) && network.all_know(&[3, 4, 5]));
        network.heal();
        let took = network.run_until(secs(20), |network| network.all_know(&places));
        assert!(took.is_some_and(|took| took <= secs(3)), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_node_that_hears_but_is_not_heard_comes_back_when_the_link_does() {
    let (mut network, places) = cluster(9, LOOPBACK, 4);
    for other in 0..3 {
        network.cut(3, other);
    }
    network.run_for(secs(60));
    network.heal();
    assert!(network.run_until(secs(3), |network| network.all_know(&places)).is_some());
}

#[test]
fn one_cut_link_of_many_kills_nobody() {
    let (mut network, places) = cluster(10, LOOPBACK, 4);
    network.cut(0, 1);
    network.cut(1, 0);
    network.run_for(secs(300));
    assert_eq!(network.false_deaths(), 0);
    network.heal();
    assert!(network.run_until(secs(3), |network| network.all_know(&places)).is_some());
}

#[test]
fn who_leaves_is_shown_as_left_and_may_come_back() {
    let (mut network, _) = cluster(11, LOOPBACK, 3);
    network.tell(2, Event::Leave);
    let left = |network: &Network| [0, 1].iter().all(|by| network.status(2, *by) == Some(Status::Left));
    assert!(network.run_until(secs(1), left).is_some());
    network.kill(2);
    network.run_for(secs(30));
    assert!(left(&network));
    let place = network.start(again(settings(2, &[0]), 2, joined_ms(&network, 2)), None);
    assert!(network.run_until(secs(1), |network| network.all_know(&[0, 1, place])).is_some());
}

#[test]
fn a_copied_data_directory_is_stopped_and_the_original_goes_on() {
    for (seed, generation) in [(0, 1), (1, 2), (2, 9)] {
        for ask in 0..3 {
            let (mut network, places) = cluster(seed, LOOPBACK, 3);
            let mut copy = again(settings(2, &[ask]), generation, joined_ms(&network, 2));
            copy.address = "10.7.7.7:1".to_owned();
            let place = network.start(copy, None);
            network.run_for(secs(20));
            let reason = network.outcome(place).stopped.unwrap();
            assert!(reason.contains("director") || reason.contains("copy"), "{reason}");
            assert!(network.all_know(&places), "seed {seed}, asked {ask}");
            assert!(places.iter().all(|place| network.outcome(*place).stopped.is_none()));
        }
    }
}

#[test]
fn a_second_node_of_the_same_name_is_stopped_and_leaves_no_trace() {
    for ask in 0..3 {
        let (mut network, places) = cluster(12, LOOPBACK, 3);
        let mut namesake = settings(9, &[ask]);
        namesake.node_id = "node-2".to_owned();
        let place = network.start(namesake, None);
        network.run_for(secs(5));
        assert!(network.outcome(place).stopped.unwrap().contains("node-2"));
        assert!(network.all_know(&places));
        assert_eq!(network.machine(0).unwrap().members().len(), 3);
    }
}

#[test]
fn of_two_namesakes_in_two_partitions_the_younger_stops_when_they_heal() {
    let (mut network, _) = cluster(13, LOOPBACK, 4);
    network.part(&[0, 1, 4], &[2, 3]);
    network.run_for(secs(30));
    let mut namesake = settings(9, &[0]);
    namesake.node_id = "node-3".to_owned();
    let place = network.start(namesake, None);
    network.run_for(secs(5));
    assert!(network.outcome(place).stopped.is_none());
    network.heal();
    network.run_for(secs(5));
    assert!(network.outcome(place).stopped.is_some());
    assert!(network.outcome(3).stopped.is_none());
}

#[test]
fn a_wiped_node_may_take_its_name_again() {
    let (mut network, _) = cluster(14, LOOPBACK, 3);
    network.kill(2);
    let mut wiped = settings(9, &[0]);
    wiped.node_id = "node-2".to_owned();
    wiped.address = address(2);
    let place = network.start(wiped, None);
    assert!(network.run_until(secs(1), |network| network.all_know(&[0, 1, place])).is_some());
}

#[test]
fn a_forgotten_node_is_told_so_and_the_others_go_on() {
    let (mut network, _) = cluster(15, LOOPBACK, 3);
    network.kill(2);
    network.run_for(secs(5));
    network.tell(0, Event::Forget(settings(2, &[]).node));
    network.run_for(secs(2));
    for by in [0, 1] {
        let members = network.machine(by).unwrap().members();
        assert!(members.iter().any(|member| member.is_forgotten), "seen by {by}");
    }
    let back = network.start(again(settings(2, &[1]), 2, joined_ms(&network, 2)), None);
    network.run_for(secs(2));
    assert!(network.outcome(back).forgotten);
    assert!(network.all_know(&[0, 1]));
}

#[test]
fn two_sides_that_forgot_each_other_agree_which_one_is_forgotten() {
    let mut network = Network::new(16, LOOPBACK);
    let places: Vec<usize> = (0..5)
        .map(|n| {
            let mut settings = settings(n, if n == 0 { &[] } else { &[0] });
            settings.forget_after = secs(1200);
            network.start(settings, None)
        })
        .collect();
    network.run_for(secs(5));
    network.part(&[0, 1], &[2, 3, 4]);
    network.run_for(secs(3600));
    network.heal();
    network.run_for(secs(60));
    assert!(network.outcome(0).forgotten || network.outcome(1).forgotten);
    assert!(places[2..].iter().all(|place| !network.outcome(*place).forgotten));
    assert!(network.all_know(&[2, 3, 4]));
}

#[test]
fn silence_is_shown_after_five_minutes_and_hidden_after_ten_and_never_forgotten_inside() {
    let (mut network, _) = cluster(17, LOOPBACK, 3);
    network.lose(2);
    let visible = |network: &Network| {
        let now = kvs_protocol::call::Now { monotonic: network.now(), wall_ms: EPOCH_MS };
        network.machine(0).unwrap().visible_members(now).len()
    };
    network.run_for(secs(9 * 60));
    assert_eq!((visible(&network), network.status(2, 0)), (3, Some(Status::Failed)));
    network.run_for(secs(2 * 60));
    assert_eq!((visible(&network), network.machine(0).unwrap().members().len()), (2, 3));
}

#[test]
fn modes_travel_and_last_seen_stays_fresh() {
    let (mut network, _) = cluster(18, LOOPBACK, 3);
    network.tell(1, Event::Mode(Mode::ReadOnly));
    let told = |network: &Network| {
        let members = network.machine(2).unwrap().members();
        members.iter().any(|member| member.node_id == "node-1" && member.mode == Mode::ReadOnly)
    };
    assert!(network.run_until(secs(1), told).is_some());
    network.run_for(secs(600));
    let now_ms = EPOCH_MS + u64::try_from(network.now().as_millis()).unwrap();
    let members = network.machine(0).unwrap().members();
    assert!(
        members.iter().all(|member| member.last_seen_ms + 10_000 > now_ms && member.status == Status::Alive)
    );
}

#[test]
fn a_restarted_cluster_without_seeds_finds_itself_by_the_kept_list() {
    let (mut network, _) = cluster(19, LOOPBACK, 3);
    network.run_for(secs(2));
    let kept: Vec<_> = (0..3).map(|place| network.outcome(place).persisted.unwrap()).collect();
    let joined: Vec<u64> = (0..3).map(|place| joined_ms(&network, place)).collect();
    for place in 0..3 {
        network.kill(place);
    }
    let places: Vec<usize> =
        (0..3).map(|n| network.start(again(settings(n, &[]), 2, joined[n]), Some(&kept[n]))).collect();
    assert!(network.run_until(secs(1), |network| network.all_know(&places)).is_some());
}

#[test]
fn a_jumping_wall_clock_kills_and_forgets_nobody() {
    let (mut network, places) = cluster(20, LOOPBACK, 3);
    for ahead in [3_600_000, -3_600_000, 40 * 86_400_000] {
        network.set_clock(1, ahead);
        network.run_for(secs(120));
        assert!(network.all_know(&places));
    }
    assert_eq!(network.false_deaths(), 0);
}

#[test]
fn nobody_dies_of_five_percent_loss() {
    let (mut network, _) = cluster(21, LOSSY, 3);
    network.run_for(secs(1800));
    assert_eq!(network.false_deaths(), 0);
}

#[test]
#[ignore = "the long form: 300 node-hours"]
fn nobody_dies_of_five_percent_loss_in_many_hours() {
    for seed in 0..10 {
        let (mut network, _) = cluster(seed, LOSSY, 3);
        network.run_for(secs(10 * 3600));
        assert_eq!(network.false_deaths(), 0, "seed {seed}");
    }
}

#[test]
fn an_idle_cluster_sends_less_than_a_kilobyte_per_second_and_node() {
    for count in [3, 100] {
        let (mut network, places) = cluster(22, LOOPBACK, count);
        network.run_for(secs(10));
        let sent =
            |network: &Network| places.iter().map(|place| network.outcome(*place).sent_bytes).sum::<u64>();
        let before = sent(&network);
        let seconds = if count == 3 { 600 } else { 120 };
        network.run_for(secs(seconds));
        let rate = (sent(&network) - before) / seconds / count as u64;
        assert!(rate <= 1000, "{count} nodes: {rate} B/s");
    }
}

#[test]
fn garbage_from_a_peer_changes_nothing() {
    let (mut network, places) = cluster(23, LOOPBACK, 3);
    let before = network.machine(0).unwrap().members();
    for kind in [kvs_protocol::call::CallKind::Swim, kvs_protocol::call::CallKind::Members] {
        for body in [&b""[..], &b"\x01\x01\xff"[..], &[1; 40], &[0xff; 70_000]] {
            let event =
                Event::Request { reply_to: u64::MAX, kind, body: body.to_vec().into(), from: before[1].node };
            network.tell(0, event);
        }
    }
    network.run_for(ms(100));
    let after = network.machine(0).unwrap().members();
    assert_eq!(before.len(), after.len());
    assert!(network.all_know(&places));
}

#[test]
fn who_refutes_a_suspicion_in_time_goes_on_with_its_life() {
    let mut network = Network::new(1, Links { lost_of_1000: 200, ..LOSSY });
    let places: Vec<usize> =
        (0..3).map(|n| network.start(settings(n, if n == 0 { &[] } else { &[0] }), None)).collect();
    network.run_for(secs(1200));
    let machines = || places.iter().filter_map(|place| network.machine(*place));
    assert!(machines().any(|machine| machine.suspected() > 0), "nobody was suspected at all");
    assert_eq!(network.false_deaths(), 0);
    assert!(machines().all(|machine| machine.rejoined() == 0));
}
