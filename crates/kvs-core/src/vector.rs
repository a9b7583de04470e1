//! A vector: per origin, the highest number up to which a node holds every write or a newer version of its key.
//!
//! A dot that a vector covers was received: if the node holds nothing for its key, the key was deleted and the
//! tombstone collected. That is what makes the drop rule sound, so a vector may only be raised when it is true.
//!
//! Each start of a node begins an epoch, so a vector would grow for ever. Of each node it has a **marker** instead: epochs
//! that began before it are covered wholly, unless an entry says otherwise. A vector is thus a plain function from epochs to
//! numbers: the entry where there is one, else everything for an epoch that began before its node's marker, else nothing.
//! Join and meet are that function's maximum and minimum, point by point, and an entry is kept only where it says something.
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | number of origins; the highest bit says that this is the long form |
//! | 16 + 4 + 8 each | node uuid, epoch, seq; in ascending order of origin; in the long form the epoch takes 8 bytes |
//! | 4 | in the long form only: number of markers |
//! | 16 + 4 each | node uuid, seconds since 1970 |
//!
//! The long form is used when there are markers or an epoch does not fit into 4 bytes.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cursor::{Cursor, EndsEarly};
use crate::origin::{Dot, EpochWidth, Origin, born_s};

/// Most origins of a vector that is read from outside, and most markers.
pub const VECTOR_ORIGINS_MAX: usize = 65_536;

/// The latest marker. An epoch can begin after it, so no node is ever told that all its epochs to come are covered.
pub const MARKER_MAX_S: u64 = u32::MAX as u64 - 1;

/// Covers every number of an epoch.
pub const EVERYTHING: u64 = u64::MAX;

/// Set in the number of origins in the long form.
const LONG_BIT: u32 = 1 << 31;

/// Per origin, the highest number covered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Vector {
    /// Only where they differ from what the markers say.
    entries: BTreeMap<Origin, u64>,
    /// Seconds since 1970; never 0.
    markers: BTreeMap<Uuid, u64>,
}

impl Vector {
    /// The highest number covered of an origin: 0 for none, [`EVERYTHING`] for all that there will ever be.
    #[must_use]
    pub fn seq(&self, origin: &Origin) -> u64 {
        self.entries.get(origin).copied().unwrap_or_else(|| self.without_entry(origin))
    }

    /// The number that stands for an origin itself, whatever the marker says; 0 when none does.
    #[must_use]
    pub fn entry(&self, origin: &Origin) -> u64 {
        self.entries.get(origin).copied().unwrap_or_default()
    }

    /// The second since 1970 before which every epoch of a node is covered, but for the entries; 0 for none.
    #[must_use]
    pub fn marker(&self, node: Uuid) -> u64 {
        self.markers.get(&node).copied().unwrap_or_default()
    }

    fn without_entry(&self, origin: &Origin) -> u64 {
        if born_s(origin.epoch) < self.marker(origin.node) { EVERYTHING } else { 0 }
    }

    /// Whether the write was received.
    #[must_use]
    pub fn covers(&self, dot: &Dot) -> bool {
        self.seq(&dot.origin) >= dot.seq
    }

    /// Whether everything that `other` covers is covered.
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        // Between two markers there are epochs without an entry.
        other.markers.iter().all(|(node, marker_s)| self.marker(*node) >= *marker_s)
            && self.entries.keys().chain(other.entries.keys()).all(|it| self.seq(it) >= other.seq(it))
    }

    /// Says how far one origin is covered, be that more or less than before.
    pub fn set(&mut self, origin: Origin, seq: u64) {
        if seq == self.without_entry(&origin) {
            self.entries.remove(&origin);
        } else {
            self.entries.insert(origin, seq);
        }
    }

    /// Raises one origin; never lowers it. Answers whether it rose.
    pub fn raise(&mut self, origin: Origin, seq: u64) -> bool {
        let rises = seq > self.seq(&origin);
        if rises {
            self.set(origin, seq);
        }
        rises
    }

    /// Lowers one origin; never raises it. Only where something that was received turned out not to be held.
    pub fn lower_to(&mut self, origin: Origin, seq: u64) {
        if seq < self.seq(&origin) {
            self.set(origin, seq);
        }
    }

    /// Covers every epoch of a node that began before this second, wholly; never less than before.
    pub fn fold(&mut self, node: Uuid, before_s: u64) {
        let before_s = before_s.min(MARKER_MAX_S);
        if before_s > self.marker(node) {
            self.markers.insert(node, before_s);
        }
        let before_s = self.marker(node);
        self.entries.retain(|origin, _| origin.node != node || born_s(origin.epoch) >= before_s);
    }

    /// Raises every origin to what `other` covers. Answers whether one rose.
    pub fn join(&mut self, other: &Self) -> bool {
        if self.covers_all(other) {
            return false;
        }
        *self = self.pointwise(other, u64::max);
        true
    }

    /// What both cover.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        self.pointwise(other, u64::min)
    }

    /// Lowers every origin of a node to what `floor` covers of it. Only where something that was received turned out not to
    /// be held.
    pub fn lower(&mut self, node: Uuid, floor: &Self) {
        let lowered = self.of_node(node).meet(&floor.of_node(node));
        self.replace_node(node, &lowered);
    }

    /// Covers of a node what `part` does, be that more or less than before.
    pub fn replace_node(&mut self, node: Uuid, part: &Self) {
        self.entries.retain(|origin, _| origin.node != node);
        self.markers.remove(&node);
        let part = part.of_node(node);
        self.entries.extend(part.entries);
        self.markers.extend(part.markers);
    }

    /// What it covers of one node.
    #[must_use]
    pub fn of_node(&self, node: Uuid) -> Self {
        let of_node = self.iter().filter(|(origin, _)| origin.node == node);
        Self {
            entries: of_node.map(|(origin, seq)| (*origin, seq)).collect(),
            markers: self
                .markers
                .get_key_value(&node)
                .map(|(node, marker_s)| (*node, *marker_s))
                .into_iter()
                .collect(),
        }
    }

    /// What it says without its markers: of the epochs before them only what stands for itself.
    #[must_use]
    pub fn without_markers(&self) -> Self {
        self.iter().map(|(origin, seq)| (*origin, seq)).collect()
    }

    /// The function of both that `pick` takes from theirs, point by point: the greater or the lesser.
    fn pointwise(&self, other: &Self, pick: fn(u64, u64) -> u64) -> Self {
        let mut picked = Self::default();
        for node in self.markers.keys().chain(other.markers.keys()) {
            let marker_s = pick(self.marker(*node), other.marker(*node));
            if marker_s > 0 {
                picked.markers.insert(*node, marker_s);
            }
        }
        for origin in self.entries.keys().chain(other.entries.keys()) {
            picked.set(*origin, pick(self.seq(origin), other.seq(origin)));
        }
        picked
    }

    /// The origins with an entry and their numbers, in ascending order of origin.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.entries.iter().map(|(origin, seq)| (origin, *seq))
    }

    /// The nodes with a marker and the markers, seconds since 1970.
    pub fn markers(&self) -> impl Iterator<Item = (Uuid, u64)> {
        self.markers.iter().map(|(node, marker_s)| (*node, *marker_s))
    }

    /// Whether an origin has an entry, be it 0.
    #[must_use]
    pub fn has_entry(&self, origin: &Origin) -> bool {
        self.entries.contains_key(origin)
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.markers.is_empty()
    }

    /// The form that it is written in.
    fn width(&self) -> EpochWidth {
        let is_long = self.entries.keys().any(|origin| EpochWidth::of(origin.epoch) == EpochWidth::Long);
        if is_long || !self.markers.is_empty() { EpochWidth::Long } else { EpochWidth::Short }
    }

    /// Appends its bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let width = self.width();
        let long_bit = if width == EpochWidth::Long { LONG_BIT } else { 0 };
        out.extend_from_slice(&(count | long_bit).to_be_bytes());
        for (origin, seq) in &self.entries {
            out.extend_from_slice(origin.node.as_bytes());
            let epoch = origin.epoch.to_be_bytes();
            out.extend(epoch.iter().skip(epoch.len() - width.bytes()));
            out.extend_from_slice(&seq.to_be_bytes());
        }
        if width == EpochWidth::Long {
            out.extend_from_slice(&u32::try_from(self.markers.len()).unwrap_or(u32::MAX).to_be_bytes());
            for (node, marker_s) in &self.markers {
                out.extend_from_slice(node.as_bytes());
                out.extend_from_slice(&u32::try_from(*marker_s).unwrap_or(u32::MAX).to_be_bytes());
            }
        }
    }

    /// Reads a vector of at most [`VECTOR_ORIGINS_MAX`] origins and as many markers.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`] when bytes are missing, there are more than that, a marker is none or later than [`MARKER_MAX_S`], or it
    /// should have been written in the other form.
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, EndsEarly> {
        let head = cursor.u32()?;
        let is_long = head & LONG_BIT != 0;
        let mut entries = BTreeMap::new();
        for _ in 0..bounded(head & !LONG_BIT)? {
            let node = cursor.uuid()?;
            let epoch = if is_long { cursor.u64()? } else { cursor.u32()?.into() };
            entries.insert(Origin { node, epoch }, cursor.u64()?);
        }
        let mut vector = Self::default();
        let markers = if is_long { bounded(cursor.u32()?)? } else { 0 };
        for _ in 0..markers {
            let (node, marker_s) = (cursor.uuid()?, u64::from(cursor.u32()?));
            if !(1..=MARKER_MAX_S).contains(&marker_s) {
                return Err(EndsEarly);
            }
            vector.markers.insert(node, marker_s);
        }
        for (origin, seq) in entries {
            vector.set(origin, seq);
        }
        if (vector.width() == EpochWidth::Long) != is_long {
            return Err(EndsEarly);
        }
        Ok(vector)
    }
}

fn bounded(count: u32) -> Result<u32, EndsEarly> {
    let is_bounded = usize::try_from(count).is_ok_and(|count| count <= VECTOR_ORIGINS_MAX);
    if is_bounded { Ok(count) } else { Err(EndsEarly) }
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
    use super::{EVERYTHING, MARKER_MAX_S, Vector};
    use crate::cursor::Cursor;
    use crate::origin::{Dot, Origin, epoch_at};
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    fn origin(node: u128, born: u32, random: u32) -> Origin {
        Origin { node: Uuid::from_u128(node), epoch: epoch_at(born, random) }
    }

    fn vectors() -> impl Strategy<Value = Vector> {
        let entries = proptest::collection::vec((0_u128..2, 0_u32..4, 1_u32..3, 0_u64..5), 0..8);
        let markers = proptest::collection::vec((0_u128..2, 0_u64..5), 0..3);
        (entries, markers).prop_map(|(entries, markers)| {
            let mut vector = Vector::default();
            for (node, marker_s) in markers {
                vector.fold(Uuid::from_u128(node), marker_s);
            }
            for (node, born, random, seq) in entries {
                vector.set(origin(node, born, random), seq);
            }
            vector
        })
    }

    /// All epochs of these tests: every one that may have an entry, and one of each second that has none.
    fn all() -> impl Iterator<Item = Origin> {
        let seconds = (0..2).flat_map(|node| (0..5).map(move |born| (node, born)));
        seconds.flat_map(|(node, born)| (1..4).map(move |random| origin(node, born, random)))
    }

    /// The vector as what it is: a function.
    fn levels(vector: &Vector) -> Vec<u64> {
        all().map(|origin| vector.seq(&origin)).collect()
    }

    proptest! {
        #[test]
        fn join_and_meet_are_the_greater_and_the_lesser_of_both_functions(a in vectors(), b in vectors()) {
            let (of_a, of_b) = (levels(&a), levels(&b));
            let both = || of_a.iter().copied().zip(of_b.iter().copied());
            let mut joined = a.clone();
            let rose = joined.join(&b);
            prop_assert_eq!(levels(&joined), both().map(|(a, b)| a.max(b)).collect::<Vec<_>>());
            prop_assert_eq!(rose, joined != a);
            let met = a.meet(&b);
            prop_assert_eq!(levels(&met), both().map(|(a, b)| a.min(b)).collect::<Vec<_>>());
            prop_assert_eq!(a.covers_all(&b), both().all(|(a, b)| a >= b));
            prop_assert!(joined.covers_all(&a) && joined.covers_all(&b));
            prop_assert!(a.covers_all(&met) && b.covers_all(&met));
            prop_assert_eq!(met, b.meet(&a));
        }

        #[test]
        fn equal_functions_are_equal_vectors(a in vectors(), b in vectors()) {
            prop_assert_eq!(levels(&a) == levels(&b), a == b);
            let says_something = |vector: &Vector| vector.iter().all(|(origin, seq)| {
                seq != EVERYTHING && (seq > 0 || crate::origin::born_s(origin.epoch) < vector.marker(origin.node))
            });
            let mut joined = a.clone();
            joined.join(&b);
            prop_assert!([&a, &b, &joined, &a.meet(&b)].into_iter().all(says_something));
        }

        #[test]
        fn one_origin_rises_and_falls_alone(a in vectors(), of in (0_u128..2, 0_u32..4, 1_u32..3), seq in 0_u64..9) {
            let of = origin(of.0, of.1, of.2);
            let before = levels(&a);
            let (mut raised, mut lowered) = (a.clone(), a.clone());
            prop_assert_eq!(raised.raise(of, seq), seq > a.seq(&of));
            lowered.lower_to(of, seq);
            for (index, it) in all().enumerate() {
                let (more, less) = if it == of { (before[index].max(seq), before[index].min(seq)) } else { (before[index], before[index]) };
                prop_assert_eq!((raised.seq(&it), lowered.seq(&it)), (more, less));
            }
            prop_assert_eq!(a.covers(&Dot { origin: of, seq }), a.seq(&of) >= seq);
        }

        #[test]
        fn folding_covers_what_began_before_and_leaves_no_entry_of_it(a in vectors(), node in 0_u128..2, before_s in 0_u64..6) {
            let node = Uuid::from_u128(node);
            let mut folded = a.clone();
            folded.fold(node, before_s);
            let marker_s = a.marker(node).max(before_s);
            for it in all() {
                let is_before = it.node == node && crate::origin::born_s(it.epoch) < marker_s;
                prop_assert_eq!(folded.seq(&it), if is_before { EVERYTHING } else { a.seq(&it) });
            }
        }

        #[test]
        fn the_part_of_a_node_is_taken_and_put_back(a in vectors(), b in vectors(), node in 0_u128..2) {
            let node = Uuid::from_u128(node);
            let (mut replaced, mut lowered) = (a.clone(), a.clone());
            replaced.replace_node(node, &b);
            lowered.lower(node, &b);
            for it in all() {
                let of_node = it.node == node;
                prop_assert_eq!(a.of_node(node).seq(&it), if of_node { a.seq(&it) } else { 0 });
                prop_assert_eq!(replaced.seq(&it), if of_node { b.seq(&it) } else { a.seq(&it) });
                prop_assert_eq!(lowered.seq(&it), if of_node { a.seq(&it).min(b.seq(&it)) } else { a.seq(&it) });
            }
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

    #[test]
    fn the_bytes_from_before_epochs_were_long_still_read() {
        let origin = |epoch| Origin { node: Uuid::from_u128(7), epoch };
        let short: Vector = [(origin(1), 5), (origin(2), 9)].into_iter().collect();
        let id = [[0; 15].as_slice(), &[7]].concat();
        let entry = |epoch: u8, seq: u8| [&id[..], &[0, 0, 0, epoch, 0, 0, 0, 0, 0, 0, 0, seq]].concat();
        let old = [vec![0, 0, 0, 2], entry(1, 5), entry(2, 9)].concat();
        let mut bytes = Vec::new();
        short.encode_into(&mut bytes);
        assert_eq!(bytes, old);
        assert_eq!(Vector::decode(&mut Cursor::new(&old)), Ok(short));
    }

    #[test]
    fn a_marker_after_which_no_epoch_could_begin_is_refused() {
        let mut vector = Vector::default();
        vector.fold(Uuid::from_u128(7), u64::MAX);
        assert_eq!(vector.marker(Uuid::from_u128(7)), MARKER_MAX_S);
        let mut bytes = Vec::new();
        vector.encode_into(&mut bytes);
        assert_eq!(Vector::decode(&mut Cursor::new(&bytes)), Ok(vector));
        for last in [[0xff; 4], [0; 4]] {
            let end = bytes.len() - 4;
            bytes[end..].copy_from_slice(&last);
            assert!(Vector::decode(&mut Cursor::new(&bytes)).is_err());
        }
    }
}
