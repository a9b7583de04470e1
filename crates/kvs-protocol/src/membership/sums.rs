//! Sums over parts of the list, by which two nodes find where their lists differ.
//!
//! Each member belongs to one part, by its uuid; the sum of a part is the exclusive or of the digests of its rows. Lists that differ
//! in a few rows differ in a few parts, and only the rows of these travel.

use kvs_core::cursor::Cursor;
use uuid::Uuid;

use crate::membership::wire::WireError;

/// Most parts of a list.
pub(crate) const SUMS_MAX: usize = 1024;

/// Fewest parts.
const SUMS_MIN: usize = 16;

/// So many rows are in a part, about.
const ROWS_EACH: usize = 16;

/// The sums of all parts; their number is a power of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums(Vec<u64>);

impl Sums {
    /// How many parts a list of so many has.
    pub(crate) fn count_for(members: usize) -> usize {
        (members / ROWS_EACH).next_power_of_two().clamp(SUMS_MIN, SUMS_MAX)
    }

    /// Of rows with these digests, in so many parts, at most [`SUMS_MAX`].
    pub(crate) fn of(digests: impl Iterator<Item = (Uuid, u64)>, count: usize) -> Self {
        let mut sums = vec![0; count.next_power_of_two().min(SUMS_MAX)];
        for (node, digest) in digests {
            let part = part(&node, sums.len());
            if let Some(sum) = sums.get_mut(part) {
                *sum ^= digest;
            }
        }
        Self(sums)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether the part of a node differs; of lists in other numbers of parts all do.
    pub(crate) fn differ_at(&self, other: &Self, node: &Uuid) -> bool {
        let part = part(node, self.0.len());
        self.0.len() != other.0.len() || self.0.get(part) != other.0.get(part)
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u16::try_from(self.0.len()).unwrap_or_default().to_be_bytes());
        for sum in &self.0 {
            out.extend_from_slice(&sum.to_be_bytes());
        }
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let count = usize::from(cursor.u16()?);
        if !count.is_power_of_two() || count > SUMS_MAX {
            return Err(WireError::Field("number of sums"));
        }
        let sums = (0..count).map(|_| cursor.u64().map_err(WireError::from)).collect::<Result<_, _>>()?;
        Ok(Self(sums))
    }
}

/// The part of a node among so many, a power of two. Uuids are random in their last bytes, whichever version they have.
fn part(node: &Uuid, count: usize) -> usize {
    let [.., high, low] = node.as_bytes();
    usize::from(u16::from_be_bytes([*high, *low])) & count.saturating_sub(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{SUMS_MAX, Sums};
    use kvs_core::cursor::Cursor;
    use proptest::prelude::{Strategy, any, proptest};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    pub(crate) fn sums() -> impl Strategy<Value = Sums> {
        (0_u32..6).prop_flat_map(|power| proptest::collection::vec(any::<u64>(), 1 << power)).prop_map(Sums)
    }

    #[test]
    fn parts_grow_with_the_list_up_to_a_bound() {
        assert_eq!([1, 300, 1000, 10_000, 16_384].map(Sums::count_for), [16, 32, 64, 1024, SUMS_MAX]);
    }

    proptest! {
        #[test]
        fn exactly_the_parts_of_rows_that_differ_differ(
            rows in proptest::collection::btree_map(any::<u128>(), any::<u64>(), 1..60),
            place in any::<proptest::sample::Index>(),
            change in 1_u64..,
        ) {
            let rows: BTreeMap<Uuid, u64> = rows.into_iter().map(|(node, digest)| (Uuid::from_u128(node), digest)).collect();
            let changed = *rows.keys().nth(place.index(rows.len())).unwrap();
            let mut other = rows.clone();
            other.entry(changed).and_modify(|digest| *digest ^= change);
            let of = |rows: &BTreeMap<Uuid, u64>| Sums::of(rows.iter().map(|(node, digest)| (*node, *digest)), 16);
            let (one, other) = (of(&rows), of(&other));
            assert!(one.differ_at(&other, &changed));
            let low = |node: &Uuid| node.as_bytes()[15] & 15;
            assert!(rows.keys().all(|node| one.differ_at(&other, node) == (low(node) == low(&changed))));
            assert!(rows.keys().all(|node| !one.differ_at(&one, node)));
        }

        #[test]
        fn sums_read_back_and_no_bytes_panic_the_reader(sums in sums(), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut out = Vec::new();
            sums.encode_into(&mut out);
            assert_eq!(Sums::decode(&mut Cursor::new(&out)), Ok(sums));
            drop(Sums::decode(&mut Cursor::new(&bytes)));
        }
    }
}
