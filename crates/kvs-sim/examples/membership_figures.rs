//! Prints the simulated figures of membership as one line of JSON; `cargo xtask bench cluster` runs it.
//!
//! Argument: how many node-hours are simulated at 5 % loss (default 300).
#![expect(clippy::print_stdout, reason = "the line of JSON is what it is for")]

use std::time::Duration;

use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::mode::Mode;
use kvs_sim::members::{EPOCH_MS, Links, Network};
use uuid::Uuid;

const LOOPBACK: Links = Links { delay: Duration::from_millis(1), jitter: Duration::ZERO, lost_of_1000: 0 };
const LOSSY: Links =
    Links { delay: Duration::from_millis(1), jitter: Duration::from_millis(1), lost_of_1000: 50 };

fn settings(n: u32) -> MembershipSettings {
    let address = |n: u32| format!("10.0.{}.{}:8080", n / 256, n % 256);
    MembershipSettings {
        node: Uuid::from_u128(0x1000 + u128::from(n) * 0x9E37_79B9_7F4A_7C15_F39C_0C47),
        generation: 1,
        node_id: format!("node-{n:03}"),
        address: address(n),
        seeds: if n == 0 { Vec::new() } else { vec![address(0)] },
        joined_ms: if n == 0 { EPOCH_MS } else { JOINED_YOUNGEST_MS },
        mode: Mode::Normal,
        gossip_interval: Duration::from_secs(60)..=Duration::from_secs(120),
        forget_after: Duration::from_secs(720 * 3600),
        process_nonce: 1000 + u64::from(n),
        first_call: 0,
    }
}

/// A cluster that starts at once, and the seconds until all know all.
fn formed(seed: u64, links: Links, count: u32) -> (Network, Vec<usize>, f64) {
    let mut network = Network::new(seed, links);
    let places: Vec<usize> = (0..count).map(|n| network.start(settings(n), None)).collect();
    let took = network.run_until(Duration::from_secs(60), |network| network.all_know(&places));
    (network, places, took.map_or(f64::INFINITY, |took| took.as_secs_f64()))
}

/// Bytes per second and node of an idle cluster: sent, and sent plus received.
fn idle(count: u32) -> (u64, u64) {
    let (mut network, places, _) = formed(7, LOOPBACK, count);
    network.run_for(Duration::from_secs(30));
    let bytes = |network: &Network| {
        places.iter().map(|place| network.outcome(*place)).fold((0, 0), |(sent, both), outcome| {
            (sent + outcome.sent_bytes, both + outcome.sent_bytes + outcome.received_bytes)
        })
    };
    let before = bytes(&network);
    let seconds = 300;
    network.run_for(Duration::from_secs(seconds));
    let after = bytes(&network);
    let shares = seconds * u64::from(count);
    ((after.0 - before.0) / shares, (after.1 - before.1) / shares)
}

fn main() {
    let hours = std::env::args().nth(1).and_then(|hours| hours.parse::<u32>().ok()).unwrap_or(300);
    let joins: Vec<f64> = (0..5).map(|seed| formed(seed, LOOPBACK, 100).2).collect();
    let slowest = joins.iter().copied().fold(0.0, f64::max);

    let mut deaths = 0;
    let mut done = 0;
    let mut seed = 0;
    while done < hours {
        // Small clusters are the hard case: few can vouch for a node. Every fourth run is one of twelve nodes.
        let count = if seed % 4 == 3 { 12 } else { 3 };
        let (mut network, _, _) = formed(seed, LOSSY, count);
        network.run_for(Duration::from_secs(4 * 3600));
        deaths += network.false_deaths();
        done += count * 4;
        seed += 1;
    }
    let (sent_3, both_3) = idle(3);
    let (sent_100, both_100) = idle(100);
    println!(
        "{{\"seconds_until_100_nodes_know_all\":{slowest:.3},\"false_deaths\":{deaths},\"node_hours\":{done},\
         \"idle_sent_bytes_per_second_3\":{sent_3},\"idle_both_ways_bytes_per_second_3\":{both_3},\
         \"idle_sent_bytes_per_second_100\":{sent_100},\"idle_both_ways_bytes_per_second_100\":{both_100}}}"
    );
}
