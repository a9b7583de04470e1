//! Whether two writes carry one number: the dots of all versions, compared in bounded memory.
//!
//! The dots are sorted into classes by their number. One walk collects the dots of one class; when they become too many,
//! the classes are split and only half of what was collected is kept. The other classes get walks of their own, so a
//! store of up to [`DOTS_HELD_MAX`] versions needs one walk.

use std::collections::BTreeMap;

use kvs_core::origin::{Dot, Origin};

/// Most dots held at a time (8 bytes each).
pub(crate) const DOTS_HELD_MAX: usize = 4 * 1024 * 1024;

/// The dots of one class.
#[derive(Debug)]
pub(crate) struct Dots {
    held: BTreeMap<Origin, Vec<u64>>,
    len: usize,
    len_max: usize,
    classes: u64,
    class: u64,
    twice: u64,
    example: Option<Dot>,
}

impl Dots {
    /// For the first walk, which finds out how many classes there must be.
    pub(crate) const fn first_class(len_max: usize) -> Self {
        Self::class(0, 1, len_max)
    }

    /// For a later walk.
    pub(crate) const fn class(class: u64, classes: u64, len_max: usize) -> Self {
        Self { held: BTreeMap::new(), len: 0, len_max, classes, class, twice: 0, example: None }
    }

    /// How many classes there are; walks for those from 1 on are still to be made after the first.
    pub(crate) const fn classes(&self) -> u64 {
        self.classes
    }

    pub(crate) fn add(&mut self, dot: Dot) {
        if class_of(dot.seq, self.classes) != self.class {
            return;
        }
        self.held.entry(dot.origin).or_default().push(dot.seq);
        self.len += 1;
        // Only the first walk splits; the others get classes about as large as its own ended up.
        if self.class == 0 && self.len > self.len_max {
            self.settle();
            while self.len > self.len_max / 2 && self.classes < u64::MAX / 2 {
                self.classes *= 2;
                let classes = self.classes;
                for seqs in self.held.values_mut() {
                    seqs.retain(|seq| class_of(*seq, classes) == 0);
                }
                self.len = self.held.values().map(Vec::len).sum();
            }
        }
    }

    /// How many dots were met a second time, and one of them.
    pub(crate) fn repeated(mut self) -> (u64, Option<Dot>) {
        self.settle();
        (self.twice, self.example)
    }

    /// Notes and drops what is held twice.
    fn settle(&mut self) {
        for (origin, seqs) in &mut self.held {
            seqs.sort_unstable();
            let before = seqs.len();
            let twice = seqs.windows(2).find_map(|pair| match pair {
                [left, right] if left == right => Some(*left),
                _ => None,
            });
            if let Some(seq) = twice {
                self.example.get_or_insert(Dot { origin: *origin, seq });
            }
            seqs.dedup();
            self.twice += (before - seqs.len()) as u64;
        }
        self.len = self.held.values().map(Vec::len).sum();
    }
}

/// The class of a number; a number in class 0 of `2 * classes` is in class 0 of `classes`. Mixed first, so that numbers
/// with a common divisor do not all fall into one class.
const fn class_of(seq: u64, classes: u64) -> u64 {
    (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % classes
}

#[cfg(test)]
mod tests {
    use super::Dots;
    use kvs_core::origin::{Dot, Origin};
    use uuid::Uuid;

    fn dot(node: u128, seq: u64) -> Dot {
        Dot { origin: Origin { node: Uuid::from_u128(node), epoch: 1 }, seq }
    }

    /// All walks over these dots; how many were met twice, and how many walks it took.
    fn walks(dots: &[Dot], len_max: usize) -> (u64, u64) {
        let mut first = Dots::first_class(len_max);
        dots.iter().for_each(|dot| first.add(*dot));
        let classes = first.classes();
        let mut repeated = first.repeated().0;
        for class in 1..classes {
            let mut later = Dots::class(class, classes, len_max);
            dots.iter().for_each(|dot| later.add(*dot));
            repeated += later.repeated().0;
        }
        (repeated, classes)
    }

    #[test]
    fn few_dots_take_one_walk() {
        let dots: Vec<_> = (0..8).map(|seq| dot(1, seq)).chain((0..8).map(|seq| dot(2, seq))).collect();
        assert_eq!(walks(&dots, 16), (0, 1));
        assert_eq!(walks(&[dot(1, 3), dot(2, 3), dot(1, 3)], 16), (1, 1));
    }

    #[test]
    fn many_dots_take_more_walks_and_every_repetition_is_found_once() {
        let mut dots: Vec<_> = (0..1000).map(|seq| dot(1, seq)).collect();
        assert_eq!(walks(&dots, 100).0, 0);
        dots.extend([dot(1, 500), dot(1, 501), dot(1, 7)]);
        let (repeated, classes) = walks(&dots, 100);
        assert_eq!(repeated, 3);
        assert!(classes >= 10);
    }

    #[test]
    fn one_dot_many_times_does_not_split_for_ever() {
        let dots = vec![dot(1, 9); 1000];
        assert_eq!(walks(&dots, 10), (999, 1));
    }
}
