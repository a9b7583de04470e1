//! The keys of the tables: how they are put together and read back.
//!
//! A path holds no control characters, so the byte 0x00 behind it ends it without doubt. Everything is big-endian.
//!
//! An epoch takes 4 bytes in a key when it is below 2^32 and 8 otherwise, which the length of the key tells. The rows of one
//! origin stay together and in the order of their numbers all the same: a long epoch begins with the second of its beginning,
//! and the short ones, which were counted from 1, are smaller than any second at which a long one began.

use kvs_core::cursor::Cursor;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, EpochWidth, Origin, push_epoch};
use kvs_core::path::Path;

use crate::observer::Key;
use crate::ship_mark::ShipMark;

/// Set in the namespace number of a row of `log` that this node sends to its peers.
const SHIPS_BIT: u8 = 0x80;
/// Set beside it when the epoch of its ship mark takes eight bytes.
const LONG_BIT: u8 = 0x40;

/// `records`: namespace, path.
#[must_use]
pub fn record_key(namespace: Namespace, path: &Path) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + path.as_bytes().len());
    push_key(&mut key, namespace, path);
    key
}

/// `history`: namespace, path, 0x00, revision.
#[must_use]
pub fn history_key(namespace: Namespace, path: &Path, revision: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(10 + path.as_bytes().len());
    push_key(&mut key, namespace, path);
    key.push(0);
    key.extend_from_slice(&revision.to_be_bytes());
    key
}

/// `log`: local sequence.
#[must_use]
pub fn log_key(local_seq: u64) -> Vec<u8> {
    local_seq.to_be_bytes().to_vec()
}

/// A value of `log`: namespace, path; a row to be sent has a bit set in the namespace, a second one
/// when the epoch of its ship mark is long, and its ship mark behind it.
#[must_use]
pub fn log_value(ships: Option<ShipMark>, namespace: Namespace, path: &Path) -> Vec<u8> {
    let Some(mark) = ships else {
        return record_key(namespace, path);
    };
    let mut value = Vec::with_capacity(17 + path.as_bytes().len());
    let long_bit = match EpochWidth::of(mark.epoch) {
        EpochWidth::Short => 0,
        EpochWidth::Long => LONG_BIT,
    };
    value.push(namespace.number() | SHIPS_BIT | long_bit);
    push_epoch(mark.epoch, &mut value);
    value.extend_from_slice(&mark.seq.to_be_bytes());
    value.extend_from_slice(path.as_bytes());
    value
}

/// `by_time` and `expiry`: milliseconds, namespace, path.
#[must_use]
pub fn time_key(ms: u64, namespace: Namespace, path: &Path) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + path.as_bytes().len());
    key.extend_from_slice(&ms.to_be_bytes());
    push_key(&mut key, namespace, path);
    key
}

/// `tombstones`: origin uuid, epoch, seq.
#[must_use]
pub fn dot_key(dot: &Dot) -> Vec<u8> {
    let mut key = origin_key(&dot.origin);
    key.extend_from_slice(&dot.seq.to_be_bytes());
    key
}

/// Reads a value of `log`.
#[must_use]
pub fn read_log_value(bytes: &[u8]) -> Option<(Option<ShipMark>, Key)> {
    let (number, rest) = bytes.split_first()?;
    if number & SHIPS_BIT == 0 {
        return Some((None, read_record_key(bytes)?));
    }
    let width = if number & LONG_BIT == 0 { EpochWidth::Short } else { EpochWidth::Long };
    let mut cursor = Cursor::new(rest);
    let mark = ShipMark { epoch: width.take(&mut cursor)?, seq: cursor.u64().ok()? };
    let namespace = Namespace::from_number(number & !(SHIPS_BIT | LONG_BIT))?;
    Some((Some(mark), Key { namespace, path: Path::from_stored(cursor.rest()).ok()? }))
}

/// `vectors`: origin uuid, epoch.
#[must_use]
pub fn origin_key(origin: &Origin) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    key.extend_from_slice(origin.node.as_bytes());
    push_epoch(origin.epoch, &mut key);
    key
}

/// Reads a key of `vectors`.
#[must_use]
pub fn read_origin_key(bytes: &[u8]) -> Option<Origin> {
    let mut cursor = Cursor::new(bytes);
    let node = cursor.uuid().ok()?;
    let width = EpochWidth::from_bytes(cursor.rest().len())?;
    Some(Origin { node, epoch: width.take(&mut cursor)? })
}

/// `parked`: stamp ms, then the dot.
#[must_use]
pub fn parked_key(stamp_ms: u64, dot: &Dot) -> Vec<u8> {
    let mut key = stamp_ms.to_be_bytes().to_vec();
    key.extend_from_slice(&dot_key(dot));
    key
}

/// Reads namespace and path, as keys of `records` hold them.
#[must_use]
pub fn read_record_key(bytes: &[u8]) -> Option<Key> {
    let (number, path) = bytes.split_first()?;
    Some(Key { namespace: Namespace::from_number(*number)?, path: Path::from_stored(path).ok()? })
}

/// Reads a key of `history`.
#[must_use]
pub fn read_history_key(bytes: &[u8]) -> Option<(Key, u64)> {
    let (front, revision) = bytes.split_last_chunk::<8>()?;
    let (zero, key) = front.split_last()?;
    (*zero == 0).then_some(())?;
    Some((read_record_key(key)?, u64::from_be_bytes(*revision)))
}

/// The number of a revision of this record (its key in `records`); `None` when it belongs to another one.
#[must_use]
pub fn read_revision(record_key: &[u8], history_key: &[u8]) -> Option<u64> {
    let suffix = history_key.strip_prefix(record_key)?;
    match suffix.split_first_chunk::<9>()? {
        ([0, number @ ..], []) => Some(u64::from_be_bytes(*number)),
        _ => None,
    }
}

/// Reads a key of `by_time` or `expiry`, or a value of `tombstones`.
#[must_use]
pub fn read_time_key(bytes: &[u8]) -> Option<(u64, Key)> {
    let (ms, key) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*ms), read_record_key(key)?))
}

/// Reads a key of `log`.
#[must_use]
pub fn read_log_key(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Reads a key of `tombstones`.
#[must_use]
pub fn read_dot_key(bytes: &[u8]) -> Option<Dot> {
    let (origin, seq) = bytes.split_last_chunk::<8>()?;
    Some(Dot { origin: read_origin_key(origin)?, seq: u64::from_be_bytes(*seq) })
}

/// The smallest key greater than every key with this prefix; `None` when there is none (all bytes 0xff).
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if let Some(next) = last.checked_add(1) {
            after.push(next);
            return Some(after);
        }
    }
    None
}

fn push_key(out: &mut Vec<u8>, namespace: Namespace, path: &Path) {
    out.push(namespace.number());
    out.extend_from_slice(path.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{
        after_prefix, dot_key, history_key, log_key, log_value, origin_key, read_dot_key, read_history_key,
        read_log_key, read_log_value, read_origin_key, read_record_key, read_revision, read_time_key,
        record_key, time_key,
    };
    use crate::ship_mark::ShipMark;
    use kvs_core::namespace::Namespace;
    use kvs_core::origin::{Dot, Origin, epoch_at};
    use kvs_core::path::Path;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    #[test]
    fn rows_from_before_epochs_were_long_still_read() {
        let node = Uuid::from_u128(0x0102);
        let origin = Origin { node, epoch: 3 };
        let dot = Dot { origin, seq: 9 };
        let old_dot = [node.as_bytes().as_slice(), &[0, 0, 0, 3], &[0, 0, 0, 0, 0, 0, 0, 9]].concat();
        assert_eq!((dot_key(&dot), read_dot_key(&old_dot)), (old_dot.clone(), Some(dot)));
        assert_eq!(read_origin_key(&old_dot[..20]), Some(origin));
        let path = Path::parse("a").unwrap();
        let old_log = [&[0x81_u8, 0, 0, 0, 3][..], &[0, 0, 0, 0, 0, 0, 0, 9], b"a"].concat();
        let ships = Some(ShipMark { epoch: 3, seq: 9 });
        assert_eq!(log_value(ships, Namespace::Data, &path), old_log);
        assert_eq!(read_log_value(&old_log).map(|(mark, _)| mark), Some(ships));
    }

    #[test]
    fn the_successor_of_a_prefix_carries_over_full_bytes() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff]), None);
        assert_eq!(after_prefix(b""), None);
    }

    proptest! {
        #[test]
        fn keys_read_back(text in "[a-zé]{1,9}(/[a-z]{1,3}){0,3}", number in any::<u64>(), short in any::<u32>(), long in any::<u64>(), node in any::<u128>()) {
            let path = Path::parse(&text).unwrap();
            let key = read_record_key(&record_key(Namespace::Data, &path)).unwrap();
            assert_eq!((key.namespace, &key.path), (Namespace::Data, &path));
            let (key, revision) = read_history_key(&history_key(Namespace::Meta, &path, number)).unwrap();
            assert_eq!((key.namespace, &key.path, revision), (Namespace::Meta, &path, number));
            let stored = history_key(Namespace::Meta, &path, number);
            assert_eq!(read_revision(&record_key(Namespace::Meta, &path), &stored), Some(number));
            assert_eq!(read_revision(&record_key(Namespace::Data, &path), &stored), None);
            let (ms, key) = read_time_key(&time_key(number, Namespace::Data, &path)).unwrap();
            assert_eq!((ms, &key.path), (number, &path));
            assert_eq!(read_log_key(&log_key(number)), Some(number));
            for epoch in [short.into(), long] {
                let origin = Origin { node: Uuid::from_u128(node), epoch };
                let dot = Dot { origin, seq: number };
                assert_eq!(read_dot_key(&dot_key(&dot)), Some(dot));
                assert_eq!(read_origin_key(&origin_key(&origin)), Some(origin));
                let ships = Some(ShipMark { epoch, seq: number });
                let (read, key) = read_log_value(&log_value(ships, Namespace::Auth, &path)).unwrap();
                assert_eq!((read, key.namespace, &key.path), (ships, Namespace::Auth, &path));
            }
        }

        /// Short epochs were counted from 1, long ones begin with a second of this century.
        #[test]
        fn dots_sort_as_their_keys_do(
            left in (1..3_u32, 0..3_u32, 0..3_u64), right in (1..3_u32, 0..3_u32, 0..3_u64), is_long in any::<(bool, bool)>(),
        ) {
            let dot = |(random, born, seq): (u32, u32, u64), is_long| {
                let epoch = if is_long { epoch_at(0x6000_0000 + born, random) } else { random.into() };
                Dot { origin: Origin { node: Uuid::nil(), epoch }, seq }
            };
            let (left, right) = (dot(left, is_long.0), dot(right, is_long.1));
            assert_eq!(dot_key(&left).cmp(&dot_key(&right)), left.cmp(&right));
        }

        #[test]
        fn no_bytes_panic_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            assert!(read_record_key(&bytes).is_none_or(|key| record_key(key.namespace, &key.path) == bytes));
            assert!(read_history_key(&bytes).is_none_or(|(key, revision)| history_key(key.namespace, &key.path, revision) == bytes));
            assert!(read_time_key(&bytes).is_none_or(|(ms, key)| time_key(ms, key.namespace, &key.path) == bytes));
            assert!(read_dot_key(&bytes).is_none_or(|dot| dot_key(&dot) == bytes));
            assert!(read_origin_key(&bytes).is_none_or(|origin| origin_key(&origin) == bytes));
            assert!(read_log_value(&bytes).is_none_or(|(ships, key)| log_value(ships, key.namespace, &key.path) == bytes));
        }

        #[test]
        fn everything_with_a_prefix_lies_before_its_successor(prefix in proptest::collection::vec(any::<u8>(), 0..5), rest in proptest::collection::vec(any::<u8>(), 0..5)) {
            let mut key = prefix.clone();
            key.extend(rest);
            assert!(key >= prefix);
            if let Some(after) = after_prefix(&prefix) {
                assert!(key < after);
            }
        }
    }
}
