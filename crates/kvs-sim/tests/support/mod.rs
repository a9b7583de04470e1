//! Machines in a network under virtual time, as the tests of membership start them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "no test needs all of it; a failing step must fail the test"
)]

use std::time::Duration;

use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::contract::Membership;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::mode::Mode;
use kvs_sim::members::{EPOCH_MS, Links, Network};
use uuid::Uuid;

pub(crate) const LOOPBACK: Links =
    Links { delay: Duration::from_millis(1), jitter: Duration::ZERO, lost_of_1000: 0 };
pub(crate) const LOSSY: Links =
    Links { delay: Duration::from_millis(1), jitter: Duration::from_millis(1), lost_of_1000: 50 };

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The first start of the `n`th node; the first of all has no seeds and its own join time.
pub(crate) fn settings(n: usize, seeds: &[usize]) -> MembershipSettings {
    MembershipSettings {
        node: Uuid::from_u128(0x1000 + n as u128 * 0x9E37_79B9_7F4A_7C15),
        generation: 1,
        node_id: format!("node-{n}"),
        address: address(n),
        seeds: seeds.iter().map(|seed| address(*seed)).collect(),
        joined_ms: if seeds.is_empty() { EPOCH_MS } else { JOINED_YOUNGEST_MS },
        mode: Mode::Normal,
        gossip_interval: secs(60)..=secs(120),
        forget_after: secs(720 * 3600),
        process_nonce: 77 + n as u64,
        first_call: 0,
    }
}

pub(crate) fn address(n: usize) -> String {
    format!("10.0.0.{n}:8080")
}

/// The same node, started again.
pub(crate) fn again(mut settings: MembershipSettings, generation: u32, joined_ms: u64) -> MembershipSettings {
    settings.generation = generation;
    settings.process_nonce += u64::from(generation) * 1000;
    settings.joined_ms = joined_ms;
    settings
}

/// A cluster of `count` that knows itself, joined through the first.
pub(crate) fn cluster(seed: u64, links: Links, count: usize) -> (Network, Vec<usize>) {
    let mut network = Network::new(seed, links);
    let places: Vec<usize> =
        (0..count).map(|n| network.start(settings(n, if n == 0 { &[] } else { &[0] }), None)).collect();
    assert!(network.run_until(secs(10), |network| network.all_know(&places)).is_some());
    network.run_for(secs(5));
    (network, places)
}

pub(crate) fn joined_ms(network: &Network, place: usize) -> u64 {
    network.machine(place).unwrap().members().first().unwrap().joined_ms
}
