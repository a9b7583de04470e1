//! Everyone else that this node ever heard of: their records, how they stand, when they were last seen.
//!
//! Pure data with the rules of merging. Nothing is ever taken out but the oldest of the forgotten, and those only
//! when the bound is reached: join times and the vectors that hang on a member must outlive its absence.
//!
//! **Invariant:** the node itself is not in it. A forgotten row is never replaced by a record: it may not come back.
//!
//! Persisted bytes:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 8 | when it was written, ms since 1970 |
//! | n | a list, as in `record.rs` |

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::version::JOINED_YOUNGEST_MS;
use uuid::Uuid;

use crate::call::Now;
use crate::membership::life::Life;
use crate::membership::record::{Record, Row, Standing, decode_rows, encode_rows};
use crate::membership::settings::MEMBERS_MAX;
use crate::membership::wire::{WireError, ended};

const PERSISTED_VERSION: u8 = 1;

/// One other node.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) record: Record,
    pub(crate) rejoins: u32,
    pub(crate) incarnation: u16,
    pub(crate) standing: Standing,
    pub(crate) is_forgotten: bool,
    /// Milliseconds of the monotonic clock; below zero before this process.
    pub(crate) seen_ms: i64,
    /// When an exchange of lists with it began last.
    pub(crate) exchanged_at: Option<Duration>,
}

impl Peer {
    pub(crate) const fn life(&self) -> Life {
        Life { node: self.record.node, generation: self.record.generation, rejoins: self.rejoins }
    }

    /// How long nobody has heard of it.
    pub(crate) fn age(&self, now: Now) -> Duration {
        let ms = monotonic_ms(now).saturating_sub(self.seen_ms);
        Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }

    /// Whether frames and exchanges go to it.
    pub(crate) const fn is_active(&self) -> bool {
        self.standing.is_active() && !self.is_forgotten && !self.record.has_left
    }

    fn row(&self, now: Now) -> Row {
        Row {
            record: self.record.clone(),
            rejoins: self.rejoins,
            incarnation: self.incarnation,
            standing: self.standing,
            is_forgotten: self.is_forgotten,
            age_s: seconds(self.age(now)),
        }
    }
}

fn monotonic_ms(now: Now) -> i64 {
    i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(age: Duration) -> u32 {
    u32::try_from(age.as_secs()).unwrap_or(u32::MAX)
}

/// What of one member goes into the hash.
const HASHED_BYTES: usize = 16 + 1 + 4 + 4 + 8 + 4 + 2 + 1;

fn put_hashed(node: &Uuid, kept: Option<&Peer>, out: &mut Vec<u8>) {
    out.extend_from_slice(node.as_bytes());
    out.push(u8::from(kept.is_none()));
    if let Some(peer) = kept {
        put_standing(&peer.record, peer.rejoins, (peer.incarnation, peer.standing), out);
    }
}

fn put_own(own: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(own.record.node.as_bytes());
    out.push(0);
    put_standing(&own.record, own.rejoins, (own.incarnation, own.standing), out);
}

fn put_standing(record: &Record, rejoins: u32, (incarnation, standing): (u16, Standing), out: &mut Vec<u8>) {
    let (generation, revision, nonce) = record.order();
    out.extend_from_slice(&generation.to_be_bytes());
    out.extend_from_slice(&revision.to_be_bytes());
    out.extend_from_slice(&nonce.to_be_bytes());
    out.extend_from_slice(&rejoins.to_be_bytes());
    out.extend_from_slice(&incarnation.to_be_bytes());
    out.push(standing as u8);
}

/// Everyone else.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    peers: BTreeMap<Uuid, Peer>,
}

impl Registry {
    pub(crate) fn peer(&self, node: &Uuid) -> Option<&Peer> {
        self.peers.get(node)
    }

    pub(crate) fn peer_mut(&mut self, node: &Uuid) -> Option<&mut Peer> {
        self.peers.get_mut(node)
    }

    /// In ascending order of uuid.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Those that frames and exchanges go to.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|peer| peer.is_active())
    }

    /// Whether the detector may hear of this life: its record, and so its address, is known.
    pub(crate) fn knows(&self, life: &Life) -> bool {
        self.peers.get(&life.node).is_some_and(|peer| {
            !peer.is_forgotten && !peer.record.has_left && peer.record.generation >= life.generation
        })
    }

    /// Takes a record in; `age` tells when its node was heard of, if it was not known. Answers whether it was newer
    /// than what was held.
    pub(crate) fn merge(&mut self, record: &Record, age: Duration, now: Now) -> bool {
        let Some(peer) = self.peers.get_mut(&record.node) else {
            if !self.has_room() {
                return false;
            }
            let peer = Peer {
                record: record.clone(),
                rejoins: 0,
                incarnation: 0,
                standing: Standing::Unknown,
                is_forgotten: false,
                seen_ms: monotonic_ms(now).saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
                exchanged_at: None,
            };
            self.peers.insert(record.node, peer);
            return true;
        };
        if peer.is_forgotten || record.order() <= peer.record.order() {
            return false;
        }
        let restarted = record.generation > peer.record.generation;
        peer.record = record.clone();
        if restarted {
            (peer.rejoins, peer.incarnation, peer.standing) = (0, 0, Standing::Unknown);
        }
        true
    }

    /// Makes room for one more; of the forgotten, the one that joined first goes, the same on every node.
    fn has_room(&mut self) -> bool {
        if self.peers.len() + 1 < MEMBERS_MAX {
            return true;
        }
        let forgotten = self.peers.values().filter(|peer| peer.is_forgotten);
        let Some((_, oldest)) = forgotten.map(|peer| peer.record.seniority()).min() else { return false };
        self.peers.remove(&oldest);
        true
    }

    /// Somebody heard of it so long ago. Never makes it older.
    pub(crate) fn seen(&mut self, node: &Uuid, age: Duration, now: Now) {
        if let Some(peer) = self.peers.get_mut(node) {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            peer.seen_ms = peer.seen_ms.max(monotonic_ms(now).saturating_sub(age_ms));
        }
    }

    /// The rows of everyone else, in ascending order of uuid.
    pub(crate) fn rows(&self, now: Now) -> Vec<Row> {
        self.peers.values().map(|peer| peer.row(now)).collect()
    }

    /// Ages of everyone in ascending order of uuid, this node's own 0 among them; [`u16::MAX`] for more.
    pub(crate) fn ages_s(&self, own: Uuid, now: Now) -> Vec<u16> {
        let short = |peer: &Peer| u16::try_from(seconds(peer.age(now))).unwrap_or(u16::MAX);
        let before = self.peers.range(..own).map(|(_, peer)| short(peer));
        let after = self.peers.range(own..).map(|(_, peer)| short(peer));
        before.chain([0]).chain(after).collect()
    }

    /// Takes ages in that were made from an equal list.
    pub(crate) fn take_ages(&mut self, ages_s: &[u16], own: Uuid, now: Now) {
        if ages_s.len() != self.peers.len() + 1 {
            return;
        }
        let mut nodes: Vec<Uuid> = self.peers.keys().copied().collect();
        nodes.insert(nodes.partition_point(|node| *node < own), own);
        for (node, age) in nodes.iter().zip(ages_s).filter(|(_, age)| **age != u16::MAX) {
            self.seen(node, Duration::from_secs((*age).into()), now);
        }
    }

    /// The latest join time that anybody has; 0 for none.
    pub(crate) fn joined_max_ms(&self) -> u64 {
        let joined = self.peers.values().map(|peer| peer.record.joined_ms);
        joined.filter(|joined| *joined != JOINED_YOUNGEST_MS).max().unwrap_or_default()
    }

    /// Eight bytes that are equal where two nodes agree on everyone: records by their order, and how each stands.
    /// Ages are left out; of forgotten nodes only that they are.
    pub(crate) fn hash(&self, own: &Row) -> u64 {
        let mut bytes = Vec::with_capacity((self.peers.len() + 1) * HASHED_BYTES);
        for (node, peer) in self.peers.range(..own.record.node) {
            put_hashed(node, (!peer.is_forgotten).then_some(peer), &mut bytes);
        }
        put_own(own, &mut bytes);
        for (node, peer) in self.peers.range(own.record.node..) {
            put_hashed(node, (!peer.is_forgotten).then_some(peer), &mut bytes);
        }
        blake3::hash(&bytes).as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// The bytes to keep.
    pub(crate) fn persisted(&self, now: Now) -> Bytes {
        let mut out = vec![PERSISTED_VERSION];
        out.extend_from_slice(&now.wall_ms.to_be_bytes());
        encode_rows(&self.rows(now), &mut out);
        out.into()
    }

    /// Reads kept bytes. Nobody in it is known to live; ages go on by the wall clock.
    ///
    /// # Errors
    ///
    /// [`WireError`] when the bytes are not whole; the node then begins with its seeds.
    pub(crate) fn restored(bytes: &[u8], own: Uuid, now: Now) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(bytes);
        match cursor.u8()? {
            PERSISTED_VERSION => {}
            version => return Err(WireError::UnknownVersion(version)),
        }
        let since_ms = now.wall_ms.saturating_sub(cursor.u64()?);
        let rows = decode_rows(&mut cursor)?;
        ended(&cursor)?;
        let mut registry = Self::default();
        for row in rows.into_iter().filter(|row| row.record.node != own) {
            let age_ms = since_ms.saturating_add(u64::from(row.age_s).saturating_mul(1000));
            let age_ms = i64::try_from(age_ms).unwrap_or(i64::MAX);
            let peer = Peer {
                rejoins: row.rejoins,
                incarnation: row.incarnation,
                standing: Standing::Unknown,
                is_forgotten: row.is_forgotten,
                seen_ms: monotonic_ms(now).saturating_sub(age_ms),
                exchanged_at: None,
                record: row.record,
            };
            registry.peers.insert(peer.record.node, peer);
        }
        Ok(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;
    use crate::call::Now;
    use crate::membership::record::tests::rows;
    use crate::membership::record::{Record, Row};
    use crate::membership::settings::MEMBERS_MAX;
    use proptest::prelude::{any, proptest};
    use std::time::Duration;
    use uuid::Uuid;

    const NOW: Now = Now { monotonic: Duration::from_secs(100), wall_ms: 1_000_000_000 };

    fn merged<'a>(rows: impl Iterator<Item = &'a Row>) -> Registry {
        let mut registry = Registry::default();
        for row in rows {
            registry.merge(&row.record, Duration::ZERO, NOW);
        }
        registry
    }

    proptest! {
        #[test]
        fn records_merge_to_the_same_list_in_any_order(mut rows in proptest::collection::vec(rows(), 1..20), own in rows()) {
            for row in &mut rows {
                row.record.node = Uuid::from_u128(row.record.node.as_u128() % 4);
                row.record.generation %= 3;
            }
            let own = Row { is_forgotten: false, ..own };
            assert_eq!(merged(rows.iter()).hash(&own), merged(rows.iter().rev()).hash(&own));
        }

        #[test]
        fn what_is_kept_reads_back_and_ages_go_on(list in proptest::collection::vec(rows(), 0..9), away in 0_u64..10_000) {
            let own = Uuid::nil();
            let registry = merged(list.iter().filter(|row| row.record.node != own));
            let later = Now { monotonic: Duration::ZERO, wall_ms: NOW.wall_ms + away * 1000 };
            let again = Registry::restored(&registry.persisted(NOW), own, later).unwrap();
            let records = |registry: &Registry| registry.peers().map(|peer| peer.record.clone()).collect::<Vec<Record>>();
            assert_eq!(records(&registry), records(&again));
            assert!(again.peers().all(|peer| peer.age(later) == Duration::from_secs(away)));
        }

        #[test]
        fn no_kept_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            drop(Registry::restored(&bytes, Uuid::nil(), NOW));
        }
    }

    fn record(node: u128) -> Record {
        Record {
            node: Uuid::from_u128(node),
            generation: 1,
            revision: 1,
            nonce: 1,
            joined_ms: 1_000_000 - u64::try_from(node).unwrap(),
            mode: crate::mode::Mode::Normal,
            has_left: false,
            node_id: String::new(),
            address: String::new(),
        }
    }

    #[test]
    fn a_full_list_takes_nobody_until_one_is_forgotten() {
        let mut registry = Registry::default();
        for node in 1..MEMBERS_MAX as u128 {
            assert!(registry.merge(&record(node), Duration::ZERO, NOW));
        }
        let next = record(MEMBERS_MAX as u128);
        assert!(!registry.merge(&next, Duration::ZERO, NOW));
        registry.peer_mut(&Uuid::from_u128(5)).unwrap().is_forgotten = true;
        assert!(registry.merge(&next, Duration::ZERO, NOW));
        assert!(registry.peer(&Uuid::from_u128(5)).is_none());
    }

    #[test]
    fn ages_only_make_a_member_younger() {
        let mut registry = Registry::default();
        registry.merge(&record(1), Duration::ZERO, NOW);
        let later = Now { monotonic: NOW.monotonic + Duration::from_secs(60), ..NOW };
        registry.seen(&Uuid::from_u128(1), Duration::from_secs(90), later);
        assert_eq!(registry.ages_s(Uuid::from_u128(2), later), [60, 0]);
        registry.take_ages(&[20, 7], Uuid::from_u128(2), later);
        assert_eq!(registry.ages_s(Uuid::from_u128(2), later), [20, 0]);
        registry.take_ages(&[1], Uuid::from_u128(2), later);
        assert_eq!(registry.ages_s(Uuid::from_u128(2), later), [20, 0]);
    }
}
