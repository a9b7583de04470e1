//! Generators of arbitrary values for the property tests of this crate; compiled for tests only.
//!
//! Values are drawn from small ranges on purpose, so that ties and equal fields happen often.

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use uuid::Uuid;

use crate::digest::ContentDigest;
use crate::origin::{Dot, Origin};
use crate::record::{Kind, Payload, Principal, Record};
use crate::stamp::Stamp;
use crate::version::{JOINED_YOUNGEST_MS, Version};

fn small_or_any() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..3_u64, 1 => any::<u64>()]
}

fn arbitrary_version() -> impl Strategy<Value = Version> {
    let joined = prop_oneof![4 => 1..3_u64, 1 => Just(JOINED_YOUNGEST_MS)];
    (small_or_any(), 0..3_u16, joined, 0..3_u128).prop_map(|(ms, counter, origin_joined_ms, uuid)| Version {
        stamp: Stamp { ms, counter },
        origin_joined_ms,
        uuid: Uuid::from_u128(uuid),
    })
}

fn arbitrary_principal() -> impl Strategy<Value = Principal> {
    "[a-zé]{0,5}".prop_map(|name| Principal::named(&name).unwrap_or_default())
}

fn arbitrary_payload() -> impl Strategy<Value = Payload> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![
        bytes().prop_map(Payload::Raw),
        (any::<u16>(), bytes()).prop_map(|(raw_len, frame)| Payload::Zstd { raw_len: raw_len.into(), frame }),
    ]
}

/// Epochs of both widths.
pub(crate) fn arbitrary_epoch() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 1..3_u64, 2 => (1..3_u64, 1..3_u64).prop_map(|(born, random)| born << 32 | random), 1 => any::<u64>()]
}

/// Any record that keeps the invariants of its type.
pub(crate) fn arbitrary_record() -> impl Strategy<Value = Record> {
    let kind = prop_oneof![Just(Kind::Value), Just(Kind::Tombstone), Just(Kind::Expired)];
    (
        arbitrary_version(),
        (0..2_u128, arbitrary_epoch(), small_or_any()),
        kind,
        small_or_any(),
        (arbitrary_principal(), arbitrary_principal()),
        0..3_u8,
        arbitrary_payload(),
    )
        .prop_map(
            |(version, (node, epoch, seq), kind, expires_at_ms, (author, owner), digest, payload)| Record {
                version,
                dot: Dot { origin: Origin { node: Uuid::from_u128(node), epoch }, seq },
                kind,
                expires_at_ms,
                author,
                owner,
                digest: ContentDigest([digest; 16]),
                payload: if kind == Kind::Value { payload } else { Payload::empty() },
            },
        )
}
