//! The tree against a plain map that does the same.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{Delta, Sign, SumTree, Verified};
use crate::sum_tree::codec;
use crate::sum_tree::source::{Source, Visitor};
use crate::sum_tree::sum::Sum;

#[derive(Default, Clone)]
struct Naive(BTreeMap<Vec<u8>, u128>);

impl Source for Naive {
    type Error = Infallible;

    fn visit(&mut self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), Infallible> {
        if from < to {
            for (key, item) in self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
                if visitor(key, *item).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Naive {
    fn sum(&self, from: &[u8], to: &[u8]) -> Sum {
        let items = self.0.iter().filter(|(key, _)| from <= key.as_slice() && key.as_slice() < to);
        items.fold(Sum::default(), |sum, (_, item)| sum.plus(Sum::of(*item)))
    }

    fn put(&mut self, tree: &mut SumTree, key: Vec<u8>, item: u128) {
        if let Some(old) = self.0.insert(key.clone(), item) {
            tree.apply(&Delta { key: key.clone(), item: old, sign: Sign::Remove });
        }
        tree.apply(&Delta { key, item, sign: Sign::Add });
    }

    fn remove(&mut self, tree: &mut SumTree, key: &[u8]) {
        if let Some(old) = self.0.remove(key) {
            tree.apply(&Delta { key: key.to_vec(), item: old, sign: Sign::Remove });
        }
    }
}

fn item_of(number: u64) -> u128 {
    u128::from_be_bytes(*blake3::hash(&number.to_be_bytes()).as_bytes().first_chunk().unwrap())
}

fn key_of(number: u32) -> Vec<u8> {
    format!("{}/{number}", number % 7).into_bytes()
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, u64),
    PutRun(u32, u32),
    Remove(u32),
    RemoveRun(u32, u32),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u32..5_000, any::<u64>()).prop_map(|(key, item)| Step::Put(key, item)),
        (0_u32..5_000, 1_u32..900).prop_map(|(key, len)| Step::PutRun(key, len)),
        (0_u32..5_000).prop_map(Step::Remove),
        (0_u32..5_000, 1_u32..900).prop_map(|(key, len)| Step::RemoveRun(key, len)),
        Just(Step::Settle),
    ];
    proptest::collection::vec(step, 0..40)
}

fn run(steps: &[Step]) -> (SumTree, Naive) {
    let mut tree = SumTree::default();
    let mut naive = Naive::default();
    for step in steps {
        match step {
            Step::Put(key, item) => naive.put(&mut tree, key_of(*key), item_of(*item)),
            Step::PutRun(key, len) => {
                for key in *key..key + len {
                    naive.put(&mut tree, key_of(key), item_of(u64::from(key)));
                }
            }
            Step::Remove(key) => naive.remove(&mut tree, &key_of(*key)),
            Step::RemoveRun(key, len) => {
                for key in *key..key + len {
                    naive.remove(&mut tree, &key_of(key));
                }
            }
            Step::Settle => {
                let Ok(settled) = tree.settle(&mut naive);
                assert_eq!(settled.repaired, 0);
            }
        }
        tree.check_invariants();
    }
    (tree, naive)
}

proptest! {
    #[test]
    fn sums_are_those_of_a_plain_map(steps in steps(), mut bounds in proptest::collection::vec(0_u32..5_000, 2..9)) {
        let (mut tree, mut naive) = run(&steps);
        bounds.sort_by_key(|bound| key_of(*bound));
        let bounds: Vec<Vec<u8>> = bounds.into_iter().map(key_of).collect();
        let Ok(sums) = tree.sums(&bounds, &mut naive);
        let expected: Vec<Sum> = bounds.windows(2).map(|pair| naive.sum(&pair[0], &pair[1])).collect();
        assert_eq!(sums, expected);
        assert_eq!(tree.total(), naive.sum(&[], &[0xff]));
        let Ok(_) = tree.settle(&mut naive);
        tree.check_invariants();
        let Ok(sums) = tree.sums(&bounds, &mut naive);
        assert_eq!(sums, expected);
    }

    #[test]
    fn settled_blocks_are_of_good_size(steps in steps()) {
        let (mut tree, mut naive) = run(&steps);
        let Ok(_) = tree.settle(&mut naive);
        for chunk in tree.chunks() {
            assert!(chunk.blocks.iter().all(|block| block.count <= 128));
        }
        // Small ones stay only beside blocks without room, or alone in their chunk.
        assert!(tree.block_count() <= 2 + naive.0.len() / 24 + 2 * tree.chunks().len());
    }

    #[test]
    fn a_tree_built_at_once_has_the_sums_of_one_grown_by_changes(steps in steps()) {
        let (tree, naive) = run(&steps);
        let built = SumTree::build(naive.0.iter().map(|(key, item)| (key, *item)));
        built.check_invariants();
        assert_eq!(built.total(), tree.total());
    }
    #[test]
    fn a_checkpoint_reads_back(steps in steps()) {
        let (mut tree, mut naive) = run(&steps);
        let Ok(_) = tree.settle(&mut naive);
        assert_eq!(codec::decode(&codec::encode(&tree)), Ok(tree));
    }

    #[test]
    fn a_range_can_be_refilled_piece_by_piece(steps in steps(), from in 0_u32..5_000, piece in 1_usize..700) {
        let (mut tree, naive) = run(&steps);
        let mut from = tree.block_first(&key_of(from)).to_vec();
        // Spoil everything behind.
        let key = [&from[..], b"~"].concat();
        tree.apply(&Delta { key, item: 99, sign: Sign::Add });
        loop {
            let items: Vec<(Vec<u8>, u128)> = naive.0.range(from.clone()..).take(piece + 1)
                .map(|(key, item)| (key.clone(), *item)).collect();
            match items.get(piece) {
                Some((next, _)) => {
                    tree.refill(&from, Some(next), &items[..piece]);
                    from = next.clone();
                }
                None => {
                    tree.refill(&from, None, &items);
                    break;
                }
            }
            tree.check_invariants();
        }
        tree.check_invariants();
        assert_eq!(tree.total(), naive.sum(&[], &[0xff]));
    }

    #[test]
    fn a_range_is_cut_where_blocks_begin(steps in steps(), from in 0_u32..5_000, to in 0_u32..5_000, parts in 2_usize..24) {
        let (mut tree, mut naive) = run(&steps);
        let Ok(_) = tree.settle(&mut naive);
        let (from, to) = (key_of(from).min(key_of(to)), key_of(from).max(key_of(to)));
        let firsts: Vec<&[u8]> = tree.chunks().iter().flat_map(|chunk| &chunk.blocks).map(|block| &*block.first).collect();
        let inside = firsts.iter().filter(|first| from.as_slice() < **first && **first < to.as_slice()).count();
        match tree.bounds_within(&from, &to, parts) {
            None => assert!(inside + 1 < parts),
            Some(bounds) => {
                assert_eq!(bounds.len(), parts - 1);
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
                for bound in &bounds {
                    assert!(from < *bound && *bound < to && firsts.contains(&bound.as_slice()));
                }
            }
        }
    }
}

#[test]
fn a_block_with_a_wrong_sum_is_repaired_by_reading_it_again() {
    let mut naive = Naive::default();
    let mut tree = SumTree::default();
    for key in 0..1_000 {
        naive.put(&mut tree, key_of(key), item_of(u64::from(key)));
    }
    let Ok(_) = tree.settle(&mut naive);
    let right = tree.total();
    let Ok(verified) = tree.reread(&key_of(77), &mut naive);
    assert_eq!(verified, Verified::Right);
    tree.apply(&Delta { key: key_of(77), item: 5, sign: Sign::Remove });
    assert_ne!(tree.total(), right);
    let Ok(verified) = tree.reread(&key_of(78), &mut naive);
    let Ok(also) = tree.reread(&key_of(77), &mut naive);
    assert!([verified, also].contains(&Verified::Repaired));
    assert_eq!(tree.total(), right);
    tree.check_invariants();
}

#[test]
fn it_takes_at_most_two_bytes_per_key_and_a_mebibyte() {
    let count = 200_000_u32;
    let budget = 2 * count as usize;
    let key = |number: u32| format!("users/{number:010}/profile/name").into_bytes();
    let built = SumTree::build((0..count).map(|number| (key(number), 1)));
    assert!(built.memory_bytes() <= budget, "built: {}", built.memory_bytes());
    // Grown in the worst order, which leaves every block half full.
    let mut naive = Naive::default();
    let mut grown = SumTree::default();
    for number in 0..count {
        naive.put(&mut grown, key(number), 1);
        let Ok(_) = grown.settle(&mut naive);
    }
    assert!(grown.memory_bytes() <= budget, "grown: {}", grown.memory_bytes());
}
