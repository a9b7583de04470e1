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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
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

/// One other node. A list of ten thousand is ten thousand of these, so they are kept small.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) record: Arc<Record>,
    pub(crate) rejoins: u32,
    pub(crate) incarnation: u16,
    pub(crate) standing: Standing,
    pub(crate) is_forgotten: bool,
    /// Milliseconds of the monotonic clock; below zero before this process.
    seen_ms: i64,
}

impl Peer {
    pub(crate) fn life(&self) -> Life {
        Life { node: self.record.node, generation: self.record.generation, rejoins: self.rejoins }
    }

    /// How long nobody has heard of it.
    pub(crate) fn age(&self, now: Now) -> Duration {
        let ms = monotonic_ms(now).saturating_sub(self.seen_ms);
        Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }

    /// Whether frames and exchanges go to it.
    pub(crate) fn is_active(&self) -> bool {
        self.standing.is_active() && !self.is_forgotten && !self.record.has_left
    }

    pub(crate) fn digest(&self) -> u64 {
        digest(&self.record, self.rejoins, self.incarnation, self.standing, self.is_forgotten)
    }

    fn row(&self, now: Now) -> Row {
        Row {
            record: Arc::clone(&self.record),
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

fn eight_bytes(hashed: &[u8]) -> u64 {
    blake3::hash(hashed).as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What of one member goes into its digest.
const DIGESTED_BYTES: usize = 16 + 1 + 4 + 4 + 8 + 4 + 2 + 1;

/// Eight bytes that are equal where two nodes agree on a member: its record by its order, and how it stands. The age is
/// left out; of a forgotten node only that it is.
pub(crate) fn digest(
    record: &Record,
    rejoins: u32,
    incarnation: u16,
    standing: Standing,
    is_forgotten: bool,
) -> u64 {
    let mut bytes = Vec::with_capacity(DIGESTED_BYTES);
    bytes.extend_from_slice(record.node.as_bytes());
    bytes.push(u8::from(is_forgotten));
    if !is_forgotten {
        let (generation, revision, nonce) = record.order();
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.extend_from_slice(&revision.to_be_bytes());
        bytes.extend_from_slice(&nonce.to_be_bytes());
        bytes.extend_from_slice(&rejoins.to_be_bytes());
        bytes.extend_from_slice(&incarnation.to_be_bytes());
        bytes.push(standing as u8);
    }
    eight_bytes(&bytes)
}

/// The digest of a row.
pub(crate) fn row_digest(row: &Row) -> u64 {
    digest(&row.record, row.rejoins, row.incarnation, row.standing, row.is_forgotten)
}

/// Everyone else.
///
/// **Invariant:** `sum` is the exclusive or of the digests of all rows. Whatever changes a row goes through
/// [`Registry::change`], [`Registry::insert`] or [`Registry::remove`], which keep it, so that its cost does not grow with
/// the list.
#[derive(Debug, Default, Clone)]
pub(crate) struct Registry {
    /// In ascending order of uuid.
    peers: Vec<Peer>,
    sum: u64,
    /// The exclusive or of hashes of the uuids: equal where two nodes know the same nodes, however they stand.
    nodes_sum: u64,
    active: usize,
    joined_max_ms: u64,
    /// Whose rows read differently since they were last taken from here.
    changed: BTreeSet<Uuid>,
}

impl Registry {
    fn place(&self, node: &Uuid) -> Result<usize, usize> {
        self.peers.binary_search_by(|peer| peer.record.node.cmp(node))
    }

    pub(crate) fn peer(&self, node: &Uuid) -> Option<&Peer> {
        self.place(node).ok().and_then(|place| self.peers.get(place))
    }

    /// Changes a row; what others do not see of it (its age) is not told on.
    pub(crate) fn change(&mut self, node: &Uuid, change: impl FnOnce(&mut Peer)) {
        let Some(peer) = self.place(node).ok().and_then(|place| self.peers.get_mut(place)) else { return };
        let (before, was_active) = (peer.digest(), peer.is_active());
        change(peer);
        let (after, is_active) = (peer.digest(), peer.is_active());
        if before != after {
            self.sum ^= before ^ after;
            self.active = self.active + usize::from(is_active) - usize::from(was_active);
            self.changed.insert(*node);
        }
    }

    fn insert(&mut self, peer: Peer) {
        let Err(place) = self.place(&peer.record.node) else { return };
        self.sum ^= peer.digest();
        self.nodes_sum ^= eight_bytes(peer.record.node.as_bytes());
        self.active += usize::from(peer.is_active());
        self.note_joined(peer.record.joined_ms);
        self.peers.insert(place, peer);
    }

    fn remove(&mut self, node: &Uuid) {
        let Ok(place) = self.place(node) else { return };
        let peer = self.peers.remove(place);
        self.sum ^= peer.digest();
        self.nodes_sum ^= eight_bytes(node.as_bytes());
        self.active -= usize::from(peer.is_active());
    }

    /// The same without one node.
    pub(crate) fn without(&self, node: &Uuid) -> Self {
        let mut others = self.clone();
        others.remove(node);
        others
    }

    /// Eight bytes that are equal where two nodes know the same nodes, `own` included.
    pub(crate) fn nodes_hash(&self, own: &Uuid) -> u64 {
        self.nodes_sum ^ eight_bytes(own.as_bytes())
    }

    /// How many frames and exchanges go to.
    pub(crate) const fn active_count(&self) -> usize {
        self.active
    }

    /// The one at this place, if frames and exchanges go to it.
    pub(crate) fn active_at(&self, place: usize) -> Option<&Peer> {
        self.peers.get(place).filter(|peer| peer.is_active())
    }

    /// Whose rows changed since they were last taken.
    pub(crate) const fn changed(&self) -> &BTreeSet<Uuid> {
        &self.changed
    }

    fn note_joined(&mut self, joined_ms: u64) {
        if joined_ms != JOINED_YOUNGEST_MS {
            self.joined_max_ms = self.joined_max_ms.max(joined_ms);
        }
    }

    /// Whose rows changed since this was last asked, in ascending order.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Uuid> {
        std::mem::take(&mut self.changed)
    }

    /// How many others are known, forgotten ones included.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The row of a member, as it is sent.
    pub(crate) fn row(&self, node: &Uuid, now: Now) -> Option<Row> {
        self.peer(node).map(|peer| peer.row(now))
    }

    /// The digest of a member's row; 0 where it is not known.
    pub(crate) fn digest_of(&self, node: &Uuid) -> u64 {
        self.peer(node).map_or(0, Peer::digest)
    }

    /// Whose rows these do not have, or have otherwise.
    pub(crate) fn missing_in(&self, rows: &[Row]) -> Vec<Uuid> {
        let theirs: BTreeMap<Uuid, u64> = rows.iter().map(|row| (row.record.node, row_digest(row))).collect();
        let differs = |peer: &&Peer| theirs.get(&peer.record.node) != Some(&peer.digest());
        self.peers.iter().filter(differs).map(|peer| peer.record.node).collect()
    }

    /// In ascending order of uuid.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter()
    }

    /// Those that frames and exchanges go to.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| peer.is_active())
    }

    /// Whether the detector may hear of this life: its record, and so its address, is known.
    pub(crate) fn knows(&self, life: &Life) -> bool {
        self.peer(&life.node).is_some_and(|peer| {
            !peer.is_forgotten && !peer.record.has_left && peer.record.generation >= life.generation
        })
    }

    /// Takes a record in; `age` tells when its node was heard of, if it was not known. Answers whether it was newer
    /// than what was held.
    pub(crate) fn merge(&mut self, record: &Arc<Record>, age: Duration, now: Now) -> bool {
        let Some(peer) = self.peer(&record.node) else {
            if !self.has_room() {
                return false;
            }
            let peer = Peer {
                record: Arc::clone(record),
                rejoins: 0,
                incarnation: 0,
                standing: Standing::Unknown,
                is_forgotten: false,
                seen_ms: monotonic_ms(now).saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            };
            self.insert(peer);
            self.changed.insert(record.node);
            return true;
        };
        if peer.is_forgotten || record.order() <= peer.record.order() {
            return false;
        }
        self.note_joined(record.joined_ms);
        self.change(&record.node, |peer| {
            if record.generation > peer.record.generation {
                (peer.rejoins, peer.incarnation, peer.standing) = (0, 0, Standing::Unknown);
            }
            peer.record = Arc::clone(record);
        });
        true
    }

    /// Makes room for one more; of the forgotten, the one that joined first goes, the same on every node.
    fn has_room(&mut self) -> bool {
        if self.peers.len() + 1 < MEMBERS_MAX {
            return true;
        }
        let forgotten = self.peers.iter().filter(|peer| peer.is_forgotten);
        let Some((_, oldest)) = forgotten.map(|peer| peer.record.seniority()).min() else { return false };
        self.remove(&oldest);
        true
    }

    /// Somebody heard of it so long ago. Never makes it older.
    pub(crate) fn seen(&mut self, node: &Uuid, age: Duration, now: Now) {
        if let Some(peer) = self.place(node).ok().and_then(|place| self.peers.get_mut(place)) {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            peer.seen_ms = peer.seen_ms.max(monotonic_ms(now).saturating_sub(age_ms));
        }
    }

    /// The rows of everyone else, in ascending order of uuid.
    pub(crate) fn rows(&self, now: Now) -> Vec<Row> {
        self.peers.iter().map(|peer| peer.row(now)).collect()
    }

    /// Ages of everyone in ascending order of uuid, this node's own 0 among them; [`u16::MAX`] for more.
    pub(crate) fn ages_s(&self, own: Uuid, now: Now) -> Vec<u16> {
        let short = |peer: &Peer| u16::try_from(seconds(peer.age(now))).unwrap_or(u16::MAX);
        let (before, after) = self.peers.split_at(self.peers.partition_point(|peer| peer.record.node < own));
        before.iter().map(short).chain([0]).chain(after.iter().map(short)).collect()
    }

    /// Takes ages in that were made from a list of the same nodes.
    pub(crate) fn take_ages(&mut self, ages_s: &[u16], own: Uuid, now: Now) {
        if ages_s.len() != self.peers.len() + 1 {
            return;
        }
        let own = self.peers.partition_point(|peer| peer.record.node < own);
        let others = ages_s.iter().enumerate().filter(|(place, _)| *place != own).map(|(_, age)| *age);
        for (peer, age_s) in self.peers.iter_mut().zip(others).filter(|(_, age_s)| *age_s != u16::MAX) {
            let seen_ms = monotonic_ms(now).saturating_sub(i64::from(age_s) * 1000);
            peer.seen_ms = peer.seen_ms.max(seen_ms);
        }
    }

    /// The latest join time that anybody ever had; 0 for none.
    pub(crate) const fn joined_max_ms(&self) -> u64 {
        self.joined_max_ms
    }

    /// Eight bytes that are equal where two nodes agree on everyone; `own` is the digest of this node's own row.
    pub(crate) const fn hash(&self, own: u64) -> u64 {
        self.sum ^ own
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
                record: row.record,
            };
            registry.remove(&peer.record.node);
            registry.insert(peer);
        }
        Ok(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::{Registry, row_digest};
    use crate::call::Now;
    use crate::membership::record::tests::rows;
    use crate::membership::record::{Record, Row};
    use crate::membership::settings::MEMBERS_MAX;
    use proptest::prelude::{any, proptest};
    use std::sync::Arc;
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
                let record = Arc::make_mut(&mut row.record);
                record.node = Uuid::from_u128(record.node.as_u128() % 4);
                record.generation %= 3;
            }
            let own = Row { is_forgotten: false, ..own };
            let own = row_digest(&own);
            assert_eq!(merged(rows.iter()).hash(own), merged(rows.iter().rev()).hash(own));
        }

        #[test]
        fn the_hash_is_that_of_the_rows_whatever_came_before(
            list in proptest::collection::vec(rows(), 1..20),
            steps in proptest::collection::vec(any::<(u128, u32, u16, bool)>(), 0..20),
        ) {
            let mut registry = merged(list.iter());
            for (place, rejoins, incarnation, is_forgotten) in steps {
                let node = list[usize::try_from(place % list.len() as u128).unwrap()].record.node;
                registry.change(&node, |peer| {
                    (peer.rejoins, peer.incarnation, peer.is_forgotten) = (rejoins, incarnation, is_forgotten);
                });
            }
            let expected = registry.rows(NOW).iter().fold(0, |sum, row| sum ^ row_digest(row));
            assert_eq!(registry.hash(0), expected);
            assert_eq!(registry.active_count(), registry.active().count());
            assert!(registry.missing_in(&registry.rows(NOW)).is_empty());
        }

        #[test]
        fn what_is_kept_reads_back_and_ages_go_on(list in proptest::collection::vec(rows(), 0..9), away in 0_u64..10_000) {
            let own = Uuid::nil();
            let registry = merged(list.iter().filter(|row| row.record.node != own));
            let later = Now { monotonic: Duration::ZERO, wall_ms: NOW.wall_ms + away * 1000 };
            let again = Registry::restored(&registry.persisted(NOW), own, later).unwrap();
            let records = |registry: &Registry| registry.peers().map(|peer| peer.record.clone()).collect::<Vec<Arc<Record>>>();
            assert_eq!(records(&registry), records(&again));
            assert!(again.peers().all(|peer| peer.age(later) == Duration::from_secs(away)));
        }

        #[test]
        fn no_kept_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            drop(Registry::restored(&bytes, Uuid::nil(), NOW));
        }
    }

    fn record(node: u128) -> Arc<Record> {
        Arc::new(Record {
            node: Uuid::from_u128(node),
            generation: 1,
            revision: 1,
            nonce: 1,
            joined_ms: 1_000_000 - u64::try_from(node).unwrap(),
            mode: crate::mode::Mode::Normal,
            has_left: false,
            node_id: String::new(),
            address: String::new(),
        })
    }

    #[test]
    fn a_full_list_takes_nobody_until_one_is_forgotten() {
        let mut registry = Registry::default();
        for node in 1..MEMBERS_MAX as u128 {
            assert!(registry.merge(&record(node), Duration::ZERO, NOW));
        }
        let next = record(MEMBERS_MAX as u128);
        assert!(!registry.merge(&next, Duration::ZERO, NOW));
        registry.change(&Uuid::from_u128(5), |peer| peer.is_forgotten = true);
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
