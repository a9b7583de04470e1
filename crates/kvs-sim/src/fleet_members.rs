//! Who the members of a large fleet are: everything about one follows from its place.

use std::time::Duration;

use kvs_protocol::membership::settings::MembershipSettings;
use kvs_protocol::mode::Mode;
use uuid::Uuid;

use crate::members::EPOCH_MS;

/// Everybody's seeds, those at the first places.
pub(crate) const SEEDS: usize = 3;

/// The identity.
pub(crate) fn uuid(place: usize) -> Uuid {
    // Spread out, so that neighbours in the order of uuids are no neighbours otherwise.
    let number = (place as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid()
}

/// Where it listens.
pub(crate) fn address(place: usize) -> String {
    format!("10.{}.{}.{}:7070", place >> 16, (place >> 8) & 255, place & 255)
}

/// Whose address that is.
pub(crate) fn place_of(address: &str) -> Option<usize> {
    let mut numbers = address.split(':').next()?.split('.').skip(1).map(str::parse::<usize>);
    let mut next = || numbers.next()?.ok();
    Some((next()? << 16) + (next()? << 8) + next()?)
}

/// What it brings along at this start; all are admitted.
pub(crate) fn settings(place: usize, generation: u32) -> MembershipSettings {
    MembershipSettings {
        node: uuid(place),
        generation,
        node_id: format!("node-{place:05}"),
        address: address(place),
        seeds: (0..SEEDS).map(address).collect(),
        joined_ms: EPOCH_MS - 1_000_000 + place as u64,
        mode: Mode::Normal,
        gossip_interval: Duration::from_secs(60)..=Duration::from_secs(120),
        forget_after: Duration::from_secs(30 * 24 * 3600),
        process_nonce: (place as u64) << 32 | u64::from(generation),
        first_call: 0,
    }
}
