//! A vector: per origin, the highest number up to which a node holds every write or a newer version of its key.
//!
//! A dot that a vector covers was received: if the node holds nothing for its key, the key was deleted and the
//! tombstone collected. That is what makes the drop rule sound, so a vector may only be raised when it is true.
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | number of origins; the highest bit says that some epoch is long, and all of them take 8 bytes |
//! | 16 + 4 or 8 + 8 each | node uuid, epoch, seq; in ascending order of origin |

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cursor::{Cursor, EndsEarly};
use crate::origin::{Dot, EpochWidth, Origin};

/// Most origins of a vector that is read from outside.
pub const VECTOR_ORIGINS_MAX: usize = 65_536;

/// Set in the number of origins when epochs take eight bytes.
const LONG_BIT: u32 = 1 << 31;

/// Per origin, the highest number covered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Vector(BTreeMap<Origin, u64>);

impl Vector {
    /// The highest number covered of an origin; 0 for none.
    #[must_use]
    pub fn seq(&self, origin: &Origin) -> u64 {
        self.0.get(origin).copied().unwrap_or_default()
    }

    /// Whether the write was received.
    #[must_use]
    pub fn covers(&self, dot: &Dot) -> bool {
        self.seq(&dot.origin) >= dot.seq
    }

    /// Whether everything that `other` covers is covered.
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        other.0.iter().all(|(origin, seq)| self.seq(origin) >= *seq)
    }

    /// Raises one origin; never lowers it. Answers whether it rose.
    pub fn raise(&mut self, origin: Origin, seq: u64) -> bool {
        if seq == 0 {
            return false;
        }
        let held = self.0.entry(origin).or_default();
        let rises = seq > *held;
        *held = seq.max(*held);
        rises
    }

    /// Raises every origin to what `other` covers. Answers whether one rose.
    pub fn join(&mut self, other: &Self) -> bool {
        let mut rose = false;
        for (origin, seq) in &other.0 {
            rose |= self.raise(*origin, *seq);
        }
        rose
    }

    /// Lowers every origin of a node to what `floor` covers of it. Only where something that was received turned out not to
    /// be held.
    pub fn lower(&mut self, node: Uuid, floor: &Self) {
        for (_, seq) in self.0.iter_mut().filter(|(origin, _)| origin.node == node) {
            *seq = 0;
        }
        for (origin, seq) in &floor.0 {
            if let Some(held) = self.0.get_mut(origin).filter(|_| origin.node == node) {
                *held = *seq;
            }
        }
        self.0.retain(|_, seq| *seq > 0);
    }

    /// What it covers of one node.
    #[must_use]
    pub fn of_node(&self, node: Uuid) -> Self {
        let of_node = self.0.iter().filter(|(origin, _)| origin.node == node);
        Self(of_node.map(|(origin, seq)| (*origin, *seq)).collect())
    }

    /// What both cover.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let both = self.0.iter().map(|(origin, seq)| (*origin, (*seq).min(other.seq(origin))));
        Self(both.filter(|(_, seq)| *seq > 0).collect())
    }

    /// The origins and their numbers, in ascending order of origin.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.0.iter().map(|(origin, seq)| (origin, *seq))
    }

    /// How many origins it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The width that all its epochs are written in.
    fn width(&self) -> EpochWidth {
        let is_long = self.0.keys().any(|origin| EpochWidth::of(origin.epoch) == EpochWidth::Long);
        if is_long { EpochWidth::Long } else { EpochWidth::Short }
    }

    /// Appends its bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let width = self.width();
        let long_bit = if width == EpochWidth::Long { LONG_BIT } else { 0 };
        out.extend_from_slice(&(count | long_bit).to_be_bytes());
        for (origin, seq) in &self.0 {
            out.extend_from_slice(origin.node.as_bytes());
            let epoch = origin.epoch.to_be_bytes();
            out.extend(epoch.iter().skip(epoch.len() - width.bytes()));
            out.extend_from_slice(&seq.to_be_bytes());
        }
    }

    /// Reads a vector of at most [`VECTOR_ORIGINS_MAX`] origins.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`] when bytes are missing, there are more origins than that, or epochs take more bytes than they need.
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, EndsEarly> {
        let head = cursor.u32()?;
        let count = head & !LONG_BIT;
        if usize::try_from(count).map_or(true, |count| count > VECTOR_ORIGINS_MAX) {
            return Err(EndsEarly);
        }
        let mut vector = Self::default();
        for _ in 0..count {
            let node = cursor.uuid()?;
            let epoch = if head & LONG_BIT == 0 { cursor.u32()?.into() } else { cursor.u64()? };
            vector.raise(Origin { node, epoch }, cursor.u64()?);
        }
        if (vector.width() == EpochWidth::Long) != (head & LONG_BIT != 0) {
            return Err(EndsEarly);
        }
        Ok(vector)
    }
}

impl FromIterator<(Origin, u64)> for Vector {
    fn from_iter<I: IntoIterator<Item = (Origin, u64)>>(pairs: I) -> Self {
        let mut vector = Self::default();
        for (origin, seq) in pairs {
            vector.raise(origin, seq);
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::Vector;
    use crate::cursor::Cursor;
    use crate::origin::{Dot, Origin};
    use crate::testing::arbitrary_epoch;
    use proptest::prelude::{Strategy, any, proptest};
    use uuid::Uuid;

    fn vectors() -> impl Strategy<Value = Vector> {
        proptest::collection::vec((0_u128..4, arbitrary_epoch(), 0_u64..9), 0..8).prop_map(|pairs| {
            pairs
                .into_iter()
                .map(|(node, epoch, seq)| (Origin { node: Uuid::from_u128(node), epoch }, seq))
                .collect()
        })
    }

    #[test]
    fn the_bytes_from_before_epochs_were_long_still_read() {
        let node = Uuid::from_u128(7);
        let origin = |epoch| Origin { node, epoch };
        let short: Vector = [(origin(1), 5), (origin(2), 9)].into_iter().collect();
        let id = [[0; 15].as_slice(), &[7]].concat();
        let entry = |epoch: u8, seq: u8| [&id[..], &[0, 0, 0, epoch, 0, 0, 0, 0, 0, 0, 0, seq]].concat();
        let old = [vec![0, 0, 0, 2], entry(1, 5), entry(2, 9)].concat();
        let mut bytes = Vec::new();
        short.encode_into(&mut bytes);
        assert_eq!(bytes, old);
        assert_eq!(Vector::decode(&mut Cursor::new(&old)), Ok(short));
    }

    proptest! {
        #[test]
        fn the_join_covers_both_and_the_meet_is_covered_by_both(a in vectors(), b in vectors()) {
            let mut joined = a.clone();
            joined.join(&b);
            assert!(joined.covers_all(&a) && joined.covers_all(&b));
            let met = a.meet(&b);
            assert!(a.covers_all(&met) && b.covers_all(&met));
            assert_eq!(met, b.meet(&a));
        }

        #[test]
        fn it_covers_a_dot_up_to_its_number(a in vectors(), node in 0_u128..4, epoch in arbitrary_epoch(), seq in 1_u64..9) {
            let origin = Origin { node: Uuid::from_u128(node), epoch };
            assert_eq!(a.covers(&Dot { origin, seq }), a.seq(&origin) >= seq);
        }

        #[test]
        fn it_reads_back(a in vectors()) {
            let mut bytes = Vec::new();
            a.encode_into(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(Vector::decode(&mut cursor), Ok(a));
            assert!(cursor.rest().is_empty());
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            drop(Vector::decode(&mut Cursor::new(&bytes)));
        }
    }
}
