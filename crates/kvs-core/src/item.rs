//! What a record adds to the digest of a set of records, and where in the digest's key space it stands.
//!
//! A record's *item* is a keyed 128-bit digest of its key, its version and its content; a set of records is told by the
//! sum of their items modulo 2^128. Without the key nobody can choose records whose sums collide; a plain XOR of plain
//! digests would fall to linear algebra.
//!
//! Values without an expiry stand under `[0][namespace][path]`, values with one under
//! `[1][expires at, ms, 8 bytes][namespace][path]`: what expires stands in the order in which it goes, so that two nodes
//! whose clocks differ can leave out the part that they may see differently. Everything else stands nowhere.
//!
//! **Invariant:** an item and its place follow from the record alone, never from a clock.

use std::fmt;

use crate::cluster_keys::ClusterKeys;
use crate::cursor::Cursor;
use crate::namespace::Namespace;
use crate::path::Path;
use crate::record::{Kind, Record};
use crate::sum_tree::sum::Sum;

/// First byte of the keys of values that never expire.
pub const LASTING: u8 = 0;
/// First byte of the keys of values that expire.
pub const EXPIRING: u8 = 1;
/// A bound behind every key of the digest.
pub const END: [u8; 1] = [2];
/// The values that expire are compared from a full hour on.
const FLOOR_STEP_MS: u64 = 3_600_000;

/// The key of a cluster's digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// The key of this cluster.
    #[must_use]
    pub const fn of(keys: &ClusterKeys) -> Self {
        Self(keys.digest)
    }

    /// The key of a node that belongs to no cluster: its digests are compared with nobody's.
    #[must_use]
    pub const fn alone() -> Self {
        Self([0; 32])
    }

    /// Tells keys apart without telling them: two nodes, or a node and its checkpoint, see whether they digest alike.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 8] {
        let hash = blake3::keyed_hash(&self.0, b"which key this is");
        hash.as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DigestKey(..)")
    }
}

/// The item of a record: of its key, its version and its content.
#[must_use]
pub fn item(key: &DigestKey, namespace: Namespace, path: &Path, record: &Record) -> u128 {
    let path = path.as_bytes();
    let mut text = Vec::with_capacity(path.len() + 53);
    text.push(namespace.number());
    // A path is at most 1,024 bytes long.
    text.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes());
    text.extend_from_slice(path);
    let version = &record.version;
    text.extend_from_slice(&version.stamp.ms.to_be_bytes());
    text.extend_from_slice(&version.stamp.counter.to_be_bytes());
    text.extend_from_slice(&version.origin_joined_ms.to_be_bytes());
    text.extend_from_slice(version.uuid.as_bytes());
    text.extend_from_slice(&record.digest.0);
    let hash = blake3::keyed_hash(&key.0, &text);
    u128::from_be_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
}

/// Where a record stands in the digest; `None` for tombstones and expired values.
#[must_use]
pub fn tree_key(namespace: Namespace, path: &Path, record: &Record) -> Option<Vec<u8>> {
    match record.kind {
        Kind::Value => Some(place(namespace, path, record.expires_at_ms)),
        Kind::Tombstone | Kind::Expired | Kind::Dropped | Kind::Voided => None,
    }
}

/// Where a value with this expiry stands; 0 for never.
#[must_use]
pub fn place(namespace: Namespace, path: &Path, expires_at_ms: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(10 + path.as_bytes().len());
    if expires_at_ms == 0 {
        key.push(LASTING);
    } else {
        key.push(EXPIRING);
        key.extend_from_slice(&expires_at_ms.to_be_bytes());
    }
    key.push(namespace.number());
    key.extend_from_slice(path.as_bytes());
    key
}

/// Reads a key of the digest: namespace, path and expiry (0 for never).
#[must_use]
pub fn read_tree_key(bytes: &[u8]) -> Option<(Namespace, Path, u64)> {
    let mut cursor = Cursor::new(bytes);
    let expires_at_ms = match cursor.u8().ok()? {
        LASTING => 0,
        EXPIRING => cursor.u64().ok().filter(|ms| *ms != 0)?,
        _ => return None,
    };
    let namespace = Namespace::from_number(cursor.u8().ok()?)?;
    Some((namespace, Path::from_stored(cursor.rest()).ok()?, expires_at_ms))
}

/// From which expiry on two nodes compare what expires: the first full hour behind both of their clocks.
///
/// Earlier ones may have been taken away by one and not yet by the other.
#[must_use]
pub const fn floor_ms(now_ms: u64, other_now_ms: u64) -> u64 {
    let later = if now_ms > other_now_ms { now_ms } else { other_now_ms };
    (later / FLOOR_STEP_MS).saturating_add(1).saturating_mul(FLOOR_STEP_MS)
}

/// The bound in the digest from which on values expire at `floor_ms` or later.
#[must_use]
pub fn floor_key(floor_ms: u64) -> Vec<u8> {
    let mut key = vec![EXPIRING];
    key.extend_from_slice(&floor_ms.to_be_bytes());
    key
}

/// A sum as it may leave the node: keyed and bound to `nonce`, so that it tells equality and nothing else.
///
/// The root that users see has an empty nonce, as it must be the same on all nodes.
#[must_use]
pub fn root(root_key: &[u8; 32], nonce: &[u8], sum: &Sum) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(root_key);
    hasher.update(&sum.total.to_be_bytes());
    hasher.update(&sum.count.to_be_bytes());
    hasher.update(nonce);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::{DigestKey, floor_key, floor_ms, item, place, read_tree_key, root, tree_key};
    use crate::cluster_keys::ClusterKeys;
    use crate::namespace::Namespace;
    use crate::path::Path;
    use crate::record::Kind;
    use crate::sum_tree::sum::Sum;
    use crate::testing::arbitrary_record;
    use proptest::prelude::{any, proptest};

    fn path() -> Path {
        Path::parse("home/room/closet").unwrap()
    }

    proptest! {
        #[test]
        fn an_item_changes_with_key_version_and_content(record in arbitrary_record()) {
            let key = DigestKey::of(&ClusterKeys::derive(b"secret"));
            let first = item(&key, Namespace::Data, &path(), &record);
            assert_eq!(first, item(&key, Namespace::Data, &path(), &record.clone()));
            assert_ne!(first, item(&key, Namespace::Meta, &path(), &record));
            assert_ne!(first, item(&key, Namespace::Data, &Path::parse("home/room").unwrap(), &record));
            assert_ne!(first, item(&DigestKey::alone(), Namespace::Data, &path(), &record));
            let mut other = record.clone();
            other.digest.0[15] ^= 1;
            assert_ne!(first, item(&key, Namespace::Data, &path(), &other));
            let mut other = record.clone();
            other.version.stamp.counter ^= 1;
            assert_ne!(first, item(&key, Namespace::Data, &path(), &other));
            let mut other = record;
            other.version.origin_joined_ms ^= 1;
            assert_ne!(first, item(&key, Namespace::Data, &path(), &other));
        }

        #[test]
        fn only_a_value_has_a_place_and_the_place_reads_back(mut record in arbitrary_record()) {
            record.kind = Kind::Value;
            let place = tree_key(Namespace::Data, &path(), &record).unwrap();
            assert_eq!(read_tree_key(&place), Some((Namespace::Data, path(), record.expires_at_ms)));
            assert_eq!(tree_key(Namespace::Data, &path(), &record.expired()), None);
            record.kind = Kind::Tombstone;
            assert_eq!(tree_key(Namespace::Data, &path(), &record), None);
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            drop(read_tree_key(&bytes));
        }
    }

    #[test]
    fn what_expires_is_compared_from_the_hour_behind_both_clocks_on() {
        assert_eq!(floor_ms(0, 1), 3_600_000);
        assert_eq!(floor_ms(3_600_000, 3_599_999), 7_200_000);
        assert_eq!(floor_ms(1, 7_200_001), floor_ms(7_200_001, 1));
        assert_eq!(floor_ms(u64::MAX, 0), u64::MAX);
        let at_floor = place(Namespace::Data, &path(), 3_600_000);
        let before = place(Namespace::Data, &path(), 3_599_999);
        assert!(floor_key(3_600_000) <= at_floor && before < floor_key(3_600_000));
    }

    #[test]
    fn a_root_is_bound_to_its_nonce_and_the_key() {
        let sum = Sum { count: 3, total: 77 };
        let first = root(&[1; 32], b"a", &sum);
        assert_ne!(first, root(&[2; 32], b"a", &sum));
        assert_ne!(first, root(&[1; 32], b"b", &sum));
        assert_ne!(first, root(&[1; 32], b"a", &Sum { count: 4, total: 77 }));
        assert_eq!(first, root(&[1; 32], b"a", &sum));
    }
}
