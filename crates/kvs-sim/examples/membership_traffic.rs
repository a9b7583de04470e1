//! Prints what changes of membership cost, simulated, as one line of JSON for each case: bytes, calls and whole lists.
//!
//! The cases are those in which a fleet on busy cores pays most: many that start at once through one seed, and many that
//! are killed at once. Each is counted from its beginning until 30 seconds after all know.
#![expect(clippy::print_stdout, reason = "the lines of JSON are what it is for")]

use std::time::Duration;

use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::member::Status;
use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::mode::Mode;
use kvs_sim::members::{EPOCH_MS, Links, Network};
use uuid::Uuid;

const LINKS: Links =
    Links { delay: Duration::from_millis(1), jitter: Duration::from_millis(2), lost_of_1000: 0 };
const AFTERWARDS: Duration = Duration::from_secs(30);

fn settings(n: usize) -> MembershipSettings {
    let address = |n: usize| format!("10.0.{}.{}:8080", n / 256, n % 256);
    MembershipSettings {
        node: Uuid::from_u128(0x1000 + n as u128 * 0x9E37_79B9_7F4A_7C15_F39C_0C47),
        generation: 1,
        node_id: format!("node-{n:03}"),
        address: address(n),
        seeds: if n == 0 { Vec::new() } else { vec![address(0)] },
        joined_ms: if n == 0 { EPOCH_MS } else { JOINED_YOUNGEST_MS },
        mode: Mode::Normal,
        gossip_interval: Duration::from_secs(60)..=Duration::from_secs(120),
        forget_after: Duration::from_secs(720 * 3600),
        process_nonce: 1000 + n as u64,
        first_call: 0,
    }
}

/// Bytes sent, calls made and whole lists sent by these so far.
fn cost(network: &Network, places: &[usize]) -> [u64; 3] {
    places.iter().map(|place| network.outcome(*place)).fold([0; 3], |[bytes, calls, lists], outcome| {
        [bytes + outcome.sent_bytes, calls + outcome.calls, lists + outcome.lists_sent]
    })
}

fn tell(what: &str, took: Option<Duration>, before: [u64; 3], after: [u64; 3]) {
    let took = took.map_or(f64::INFINITY, |took| took.as_secs_f64());
    let ([bytes, calls, lists], [bytes_before, calls_before, lists_before]) = (after, before);
    let (bytes, calls, lists) = (bytes - bytes_before, calls - calls_before, lists - lists_before);
    println!(
        "{{\"case\":\"{what}\",\"seconds_until_all_know\":{took:.3},\"sent_bytes\":{bytes},\"calls\":{calls},\
         \"whole_lists\":{lists}}}"
    );
}

fn formed(count: usize) -> (Network, Vec<usize>, Option<Duration>) {
    let mut network = Network::new(7, LINKS);
    let places: Vec<usize> = (0..count).map(|n| network.start(settings(n), None)).collect();
    let took = network.run_until(Duration::from_secs(60), |network| network.all_know(&places));
    network.run_for(AFTERWARDS);
    (network, places, took)
}

fn main() {
    for count in [50, 100] {
        let (network, places, took) = formed(count);
        tell(&format!("{count} start at once"), took, [0; 3], cost(&network, &places));
    }
    let (mut network, places, _) = formed(50);
    let (killed, left) = places.split_at(10);
    let before = cost(&network, left);
    for place in killed {
        network.kill(*place);
    }
    let took = network.run_until(Duration::from_secs(60), |network| {
        let failed = |of: &usize, by: &usize| network.status(*of, *by) == Some(Status::Failed);
        killed.iter().all(|of| left.iter().all(|by| failed(of, by)))
    });
    network.run_for(AFTERWARDS);
    tell("10 of 50 are killed", took, before, cost(&network, left));
}
