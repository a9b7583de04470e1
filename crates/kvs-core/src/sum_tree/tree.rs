//! The tree: chunks of blocks, changed by deltas, cut and joined when they grow or shrink.

use std::collections::BTreeSet;

use crate::sum_tree::block::{
    BLOCK_ITEMS_MAX, BLOCK_ITEMS_MIN, BLOCK_ITEMS_TARGET, Block, CHUNK_BLOCKS_MAX, CHUNK_BLOCKS_MIN,
    CHUNK_BLOCKS_TARGET, Chunk, Cutter,
};
use crate::sum_tree::source::Source;
use crate::sum_tree::sum::Sum;

use std::ops::ControlFlow;

/// A bound behind every key that a tree can hold: longer than any, all bytes 0xff.
const BEHIND_ALL: [u8; 2048] = [0xff; 2048];

/// Whether an item is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is added.
    Add,
    /// It is taken away.
    Remove,
}

/// One change of the set: an item at a key comes or goes. An item that changes goes and comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The item's key.
    pub key: Vec<u8>,
    /// The item.
    pub item: u128,
    /// Which way.
    pub sign: Sign,
}

/// What lies before the block that a bound falls into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The sum of all blocks before that block.
    pub sum: Sum,
    /// Where that block begins; the bound is there or behind.
    pub first: Vec<u8>,
}

/// What settling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Blocks that were cut.
    pub cut: usize,
    /// Blocks that joined a neighbour.
    pub joined: usize,
    /// Blocks whose sum was not that of their items; it is now.
    pub repaired: usize,
}

/// Whether a block's sum is that of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is.
    Right,
    /// It was not; it is now.
    Repaired,
}

/// A set of items in the order of their keys, as sums of blocks.
///
/// **Invariants:** there is a block; the first one begins before every key; blocks begin in strictly ascending order; a
/// chunk's sum is that of its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumTree {
    chunks: Vec<Chunk>,
    /// First keys of blocks that are too big or too small; no more than there are blocks.
    unsettled: BTreeSet<Box<[u8]>>,
}

impl Default for SumTree {
    fn default() -> Self {
        Self { chunks: vec![Chunk::of(vec![Block::empty(&[])])], unsettled: BTreeSet::new() }
    }
}

impl SumTree {
    /// The tree of these items, in ascending order of keys.
    #[must_use]
    pub fn build(items: impl IntoIterator<Item = (impl AsRef<[u8]>, u128)>) -> Self {
        let mut cutter = Cutter::new(&[], BLOCK_ITEMS_TARGET);
        let mut chunks = Vec::new();
        for (key, item) in items {
            cutter.push(key.as_ref(), item);
            if cutter.full() == CHUNK_BLOCKS_TARGET {
                chunks.push(Chunk::of(cutter.take_full()));
            }
        }
        chunks.push(Chunk::of(cutter.finish()));
        Self { chunks, unsettled: BTreeSet::new() }
    }

    pub(crate) fn from_chunks(chunks: Vec<Chunk>) -> Self {
        if chunks.is_empty() { Self::default() } else { Self { chunks, unsettled: BTreeSet::new() } }
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The sum of everything.
    #[must_use]
    pub fn total(&self) -> Sum {
        self.chunks.iter().fold(Sum::default(), |sum, chunk| sum.plus(chunk.sum))
    }

    /// How many blocks there are.
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.blocks.len()).sum()
    }

    /// About how many bytes the tree takes, allocations included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let blocks: usize = self
            .chunks
            .iter()
            .map(|chunk| {
                let keys: usize = chunk.blocks.iter().map(|block| block.first.len().max(16) + 16).sum();
                chunk.blocks.capacity() * size_of::<Block>() + keys
            })
            .sum();
        blocks + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Notes a change. Reads nothing; [`SumTree::settle`] must follow in time, or blocks grow.
    pub fn apply(&mut self, delta: &Delta) {
        let (at_chunk, at_block) = self.find(&delta.key);
        let Some(chunk) = self.chunks.get_mut(at_chunk) else { return };
        let Some(block) = chunk.blocks.get_mut(at_block) else { return };
        let change = |sum: Sum| match delta.sign {
            Sign::Add => sum.plus(Sum::of(delta.item)),
            Sign::Remove => sum.minus(Sum::of(delta.item)),
        };
        block.set(change(block.sum()));
        chunk.sum = change(chunk.sum);
        let count = u64::from(block.count);
        if !(BLOCK_ITEMS_MIN..=BLOCK_ITEMS_MAX).contains(&count) {
            self.unsettled.insert(block.first.clone());
        }
    }

    /// Whether there are blocks to cut or to join.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// Cuts blocks that grew too big and joins small ones, reading from the source what is cut.
    ///
    /// The source must hold exactly what the deltas so far say.
    ///
    /// # Errors
    ///
    /// The source's. Sums are right; blocks that could not be cut stay as they are until a later call.
    pub fn settle<S: Source>(&mut self, source: &mut S) -> Result<Settled, S::Error> {
        let mut settled = Settled::default();
        while let Some(first) = self.unsettled.first().cloned() {
            let at = self.find(&first);
            let count = self.block(at).map_or(0, |block| u64::from(block.count));
            if count > BLOCK_ITEMS_MAX {
                settled.cut += 1;
                if self.reread(&first, source)? == Verified::Repaired {
                    settled.repaired += 1;
                }
            } else if count < BLOCK_ITEMS_MIN && self.join(at) {
                settled.joined += 1;
            }
            self.unsettled.remove(&first);
        }
        Ok(settled)
    }

    /// Reads the items of the block that `key` falls into, and makes the block right, in blocks of good size.
    ///
    /// # Errors
    ///
    /// The source's; the block is as it was.
    pub fn reread<S: Source>(&mut self, key: &[u8], source: &mut S) -> Result<Verified, S::Error> {
        let at = self.find(key);
        let Some(block) = self.block(at) else { return Ok(Verified::Right) };
        let (first, held) = (block.first.clone(), block.sum());
        let next = self.next_first(at).unwrap_or(&BEHIND_ALL).to_vec();
        let mut cutter = if held.count > BLOCK_ITEMS_MAX {
            Cutter::for_items(&first, held.count)
        } else {
            // What fits stays one block: reading it again must not change the tree.
            Cutter::new(&first, BLOCK_ITEMS_MAX)
        };
        source.visit(&first, &next, &mut |key, item| {
            cutter.push(key, item);
            ControlFlow::Continue(())
        })?;
        let blocks = cutter.finish();
        let found = blocks.iter().fold(Sum::default(), |sum, block| sum.plus(block.sum()));
        if found != held || blocks.len() > 1 {
            self.replace(at, blocks);
        }
        Ok(if found == held { Verified::Right } else { Verified::Repaired })
    }

    /// Where the block that `key` falls into ends; `None` for the last block.
    #[must_use]
    pub fn block_end(&self, key: &[u8]) -> Option<&[u8]> {
        self.next_first(self.find(key))
    }

    /// Where the block that `key` falls into begins.
    #[must_use]
    pub fn block_first(&self, key: &[u8]) -> &[u8] {
        self.block(self.find(key)).map_or(&[], |block| &block.first)
    }

    /// Replaces everything from `from` up to `to` by these items, which are in order and within the range. `from` must be
    /// where a block begins; what lies behind `to` in a block that is cut through counts as empty, to be refilled next.
    ///
    /// `to` is `None` for everything behind.
    pub fn refill(&mut self, from: &[u8], to: Option<&[u8]>, items: &[(Vec<u8>, u128)]) {
        let mut cutter = Cutter::for_items(from, items.len() as u64);
        for (key, item) in items {
            cutter.push(key, *item);
        }
        let mut blocks = cutter.finish();
        if let Some(to) = to
            && self.block_first(to) != to
        {
            blocks.push(Block::empty(to));
        }
        let is_within = |first: &[u8]| first >= from && to.is_none_or(|to| first < to);
        let (from_chunk, _) = self.find(from);
        let to_chunk = to.map_or(self.chunks.len(), |to| self.find(to).0 + 1);
        let mut kept: Vec<Block> = Vec::new();
        for chunk in self.chunks.drain(from_chunk..to_chunk) {
            kept.extend(chunk.blocks.into_iter().filter(|block| !is_within(&block.first)));
        }
        let at = kept.partition_point(|block| *block.first < *from);
        kept.splice(at..at, blocks);
        self.chunks.splice(from_chunk..from_chunk, into_chunks(kept));
    }

    /// For each of these bounds, in ascending order, what lies before its block. Reads nothing.
    #[must_use]
    pub fn locate<B: AsRef<[u8]>>(&self, bounds: &[B]) -> Vec<Before> {
        bounds
            .iter()
            .map(|bound| {
                let (at_chunk, at_block) = self.find(bound.as_ref());
                let chunks = self.chunks.iter().take(at_chunk).map(|chunk| chunk.sum);
                let blocks = self.chunks.get(at_chunk).into_iter().flat_map(|chunk| &chunk.blocks);
                let blocks = blocks.take(at_block).map(Block::sum);
                let sum = chunks.chain(blocks).fold(Sum::default(), Sum::plus);
                let first = self.block((at_chunk, at_block)).map(|block| block.first.to_vec());
                Before { sum, first: first.unwrap_or_default() }
            })
            .collect()
    }

    /// The sums of the ranges between neighbours of these bounds, which are in ascending order.
    ///
    /// # Errors
    ///
    /// The source's.
    pub fn sums<B: AsRef<[u8]>, S: Source>(
        &self,
        bounds: &[B],
        source: &mut S,
    ) -> Result<Vec<Sum>, S::Error> {
        sums_between(bounds, &self.locate(bounds), source)
    }

    /// Cuts the range into `parts` of about as many blocks each: the bounds between them, in order, all of them where a
    /// block begins. `None` when fewer blocks begin within the range.
    #[must_use]
    pub fn bounds_within(&self, from: &[u8], to: &[u8], parts: usize) -> Option<Vec<Vec<u8>>> {
        // The first block that begins behind `from`, and the first that begins at `to` or behind.
        let begin = self.index_of(self.find(from)) + 1;
        let at_end = self.find(to);
        let ends_at_block = self.block(at_end).is_some_and(|block| *block.first == *to);
        let end = self.index_of(at_end) + usize::from(!ends_at_block);
        let inside = end.checked_sub(begin)?;
        if parts < 2 || inside + 1 < parts {
            return None;
        }
        let bounds = (1..parts).map(|part| begin - 1 + part * (inside + 1) / parts);
        bounds.map(|index| self.block_at(index).map(|block| block.first.to_vec())).collect()
    }

    fn find(&self, key: &[u8]) -> (usize, usize) {
        let at_chunk = self.chunks.partition_point(|chunk| chunk.first() <= key).saturating_sub(1);
        let blocks = self.chunks.get(at_chunk).map_or(&[][..], |chunk| &chunk.blocks);
        (at_chunk, blocks.partition_point(|block| *block.first <= *key).saturating_sub(1))
    }

    fn block(&self, (at_chunk, at_block): (usize, usize)) -> Option<&Block> {
        self.chunks.get(at_chunk)?.blocks.get(at_block)
    }

    fn index_of(&self, (at_chunk, at_block): (usize, usize)) -> usize {
        self.chunks.iter().take(at_chunk).map(|chunk| chunk.blocks.len()).sum::<usize>() + at_block
    }

    fn block_at(&self, mut index: usize) -> Option<&Block> {
        for chunk in &self.chunks {
            match chunk.blocks.get(index) {
                Some(block) => return Some(block),
                None => index -= chunk.blocks.len(),
            }
        }
        None
    }

    fn next_first(&self, (at_chunk, at_block): (usize, usize)) -> Option<&[u8]> {
        let within = self.block((at_chunk, at_block + 1));
        let next = within.or_else(|| self.block((at_chunk + 1, 0)));
        next.map(|block| &*block.first)
    }

    /// Puts blocks in the place of one.
    fn replace(&mut self, (at_chunk, at_block): (usize, usize), blocks: Vec<Block>) {
        let Some(chunk) = self.chunks.get_mut(at_chunk) else { return };
        chunk.blocks.splice(at_block..=at_block, blocks);
        if chunk.blocks.len() > CHUNK_BLOCKS_MAX {
            let chunks = into_chunks(std::mem::take(&mut chunk.blocks));
            self.chunks.splice(at_chunk..=at_chunk, chunks);
        } else {
            chunk.add_up();
        }
    }

    /// Joins a block with a neighbour of its chunk that has room; answers whether one had.
    fn join(&mut self, (at_chunk, at_block): (usize, usize)) -> bool {
        let Some(chunk) = self.chunks.get_mut(at_chunk) else { return false };
        let left_of_pair = [at_block, at_block.wrapping_sub(1)].into_iter().find(|left| {
            let pair = chunk.blocks.get(*left..left.wrapping_add(2)).unwrap_or_default();
            let together: u64 = pair.iter().map(|block| u64::from(block.count)).sum();
            pair.len() == 2 && together <= BLOCK_ITEMS_TARGET
        });
        let Some(left) = left_of_pair else {
            return false;
        };
        let right = chunk.blocks.remove(left + 1);
        if let Some(block) = chunk.blocks.get_mut(left) {
            block.set(block.sum().plus(right.sum()));
        }
        self.unsettled.remove(&right.first);
        self.join_chunk(at_chunk);
        true
    }

    fn join_chunk(&mut self, at: usize) {
        let len = |at: usize| self.chunks.get(at).map(|chunk| chunk.blocks.len());
        if len(at).is_none_or(|len| len >= CHUNK_BLOCKS_MIN) {
            return;
        }
        let left_of_pair = [at, at.wrapping_sub(1)].into_iter().find(|left| {
            let together = len(*left).zip(len(left.wrapping_add(1)));
            together.is_some_and(|(left, right)| left + right <= CHUNK_BLOCKS_TARGET)
        });
        if let Some(left) = left_of_pair {
            let right = self.chunks.remove(left + 1);
            if let Some(chunk) = self.chunks.get_mut(left) {
                chunk.blocks.extend(right.blocks);
                chunk.add_up();
            }
        }
    }

    /// Panics when an invariant does not hold; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let mut firsts = Vec::new();
        for chunk in &self.chunks {
            assert!(!chunk.blocks.is_empty() && chunk.blocks.len() <= CHUNK_BLOCKS_MAX);
            let mut added_up = chunk.clone();
            added_up.add_up();
            assert_eq!(added_up.sum, chunk.sum);
            firsts.extend(chunk.blocks.iter().map(|block| block.first.clone()));
        }
        assert!(firsts.first().unwrap().is_empty());
        assert!(firsts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

/// The sums of the ranges between neighbours of bounds that were located in a tree: in a view of the items that is as old
/// as the tree was, while the tree itself may go on.
///
/// # Errors
///
/// The source's.
pub fn sums_between<B: AsRef<[u8]>, S: Source>(
    bounds: &[B],
    located: &[Before],
    source: &mut S,
) -> Result<Vec<Sum>, S::Error> {
    let mut sums = Vec::with_capacity(bounds.len());
    // The bound before, and everything before it.
    let mut last: Option<(&[u8], Sum)> = None;
    for (bound, before) in bounds.iter().zip(located) {
        let bound = bound.as_ref();
        // A block that several bounds fall into is read once.
        let (from, sum) = match last {
            Some((behind, sum)) if behind >= &*before.first => (behind, sum),
            _ => (&*before.first, before.sum),
        };
        let mut sum = sum;
        if from < bound {
            source.visit(from, bound, &mut |_, item| {
                sum = sum.plus(Sum::of(item));
                ControlFlow::Continue(())
            })?;
        }
        if let Some((_, earlier)) = last {
            sums.push(sum.minus(earlier));
        }
        last = Some((bound, sum));
    }
    Ok(sums)
}

/// Chunks of equal size near the target.
fn into_chunks(mut blocks: Vec<Block>) -> Vec<Chunk> {
    let count = blocks.len().div_ceil(CHUNK_BLOCKS_TARGET).max(1);
    let per_chunk = blocks.len().div_ceil(count).max(1);
    let mut chunks = Vec::with_capacity(count);
    while !blocks.is_empty() {
        let rest = blocks.split_off(per_chunk.min(blocks.len()));
        blocks.shrink_to_fit();
        chunks.push(Chunk::of(std::mem::replace(&mut blocks, rest)));
    }
    chunks
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
