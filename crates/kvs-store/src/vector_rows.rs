//! The rows of the table `vectors`: what was received of each origin, the markers, and what was only heard of.
//!
//! | key | value |
//! | --- | --- |
//! | origin (20 or 24) | the highest number up to which everything was received (8) |
//! | node uuid (16) | the node's marker, seconds since 1970 (8) |
//! | origin (20 or 24), 0x01 | the highest number heard of (8) |
//!
//! The length of a key tells which of them it is. A marker comes before the origins of its node.

use std::ops::Bound;

use kvs_core::cursor::Cursor;
use kvs_core::origin::{Dot, Origin};
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::engine::contract::{Batch, Order, Snapshot};
use crate::error::StoreError;
use crate::heard::Heard;
use crate::keys::{origin_key, read_origin_key};
use crate::table::Table;

/// Follows the origin in the key of a row about what was heard of.
const HEARD: u8 = 1;

/// Reads the table.
///
/// # Errors
///
/// A row cannot be read.
pub(crate) fn load(snapshot: &dyn Snapshot) -> Result<(Vector, Heard), StoreError> {
    let (mut vector, mut heard) = (Vector::default(), Heard::default());
    for row in snapshot.range(Table::Vectors, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (key, value) = row?;
        let corrupt = || StoreError::corrupt(Table::Vectors.name(), &key, "it cannot be read");
        let number = Cursor::new(&value).u64().map_err(|_| corrupt())?;
        match read_key(&key).ok_or_else(corrupt)? {
            RowKey::Marker(node) => vector.fold(node, number),
            RowKey::Origin(origin) => vector.set(origin, number),
            RowKey::Heard(origin) => heard.note(&Dot { origin, seq: number }),
        }
    }
    Ok((vector, heard))
}

/// What a row is about.
#[derive(Debug, PartialEq, Eq)]
enum RowKey {
    Marker(Uuid),
    Origin(Origin),
    Heard(Origin),
}

fn read_key(key: &[u8]) -> Option<RowKey> {
    if let Ok(node) = <[u8; 16]>::try_from(key) {
        return Some(RowKey::Marker(Uuid::from_bytes(node)));
    }
    if let Some(origin) = read_origin_key(key) {
        return Some(RowKey::Origin(origin));
    }
    let (mark, origin) = key.split_last()?;
    read_origin_key(origin).filter(|_| *mark == HEARD).map(RowKey::Heard)
}

fn marker_key(node: Uuid) -> Vec<u8> {
    node.as_bytes().to_vec()
}

fn heard_key(origin: &Origin) -> Vec<u8> {
    let mut key = origin_key(origin);
    key.push(HEARD);
    key
}

/// Adds the rows by which one vector differs from the one before.
pub(crate) fn put_vector_changes(before: &Vector, after: &Vector, batch: &mut Batch) {
    let differs = |origin: &Origin| {
        (before.has_entry(origin), before.entry(origin)) != (after.has_entry(origin), after.entry(origin))
    };
    for (origin, seq) in after.iter().filter(|(origin, _)| differs(origin)) {
        batch.put(Table::Vectors, origin_key(origin), seq.to_be_bytes().to_vec());
    }
    for (origin, _) in before.iter().filter(|(origin, _)| !after.has_entry(origin)) {
        batch.remove(Table::Vectors, origin_key(origin));
    }
    for (node, marker_s) in after.markers().filter(|(node, marker_s)| before.marker(*node) != *marker_s) {
        batch.put(Table::Vectors, marker_key(node), marker_s.to_be_bytes().to_vec());
    }
    for (node, _) in before.markers().filter(|(node, _)| after.marker(*node) == 0) {
        batch.remove(Table::Vectors, marker_key(node));
    }
}

/// Adds the rows by which what was heard of differs from what was before.
pub(crate) fn put_heard_changes(before: &Heard, after: &Heard, batch: &mut Batch) {
    for (origin, seq) in after.iter().filter(|(origin, seq)| before.seq(origin) != *seq) {
        batch.put(Table::Vectors, heard_key(origin), seq.to_be_bytes().to_vec());
    }
    for (origin, _) in before.iter().filter(|(origin, _)| after.seq(origin) == 0) {
        batch.remove(Table::Vectors, heard_key(origin));
    }
}

#[cfg(test)]
mod tests {
    use super::{HEARD, RowKey, heard_key, marker_key, read_key};
    use crate::keys::origin_key;
    use kvs_core::origin::Origin;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    proptest! {
        #[test]
        fn keys_read_back(node in any::<u128>(), short in any::<u32>(), long in any::<u64>()) {
            let node = Uuid::from_u128(node);
            assert_eq!(read_key(&marker_key(node)), Some(RowKey::Marker(node)));
            for epoch in [short.into(), long] {
                let origin = Origin { node, epoch };
                assert_eq!(read_key(&origin_key(&origin)), Some(RowKey::Origin(origin)));
                assert_eq!(read_key(&heard_key(&origin)), Some(RowKey::Heard(origin)));
            }
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            match read_key(&bytes) {
                Some(RowKey::Marker(node)) => assert_eq!(marker_key(node), bytes),
                Some(RowKey::Origin(origin)) => assert_eq!(origin_key(&origin), bytes),
                Some(RowKey::Heard(origin)) => assert_eq!((heard_key(&origin), bytes.last()), (bytes.clone(), Some(&HEARD))),
                None => {}
            }
        }
    }
}
