//! Blocks and chunks of blocks: the two levels of the tree.

use crate::sum_tree::cut::separator;
use crate::sum_tree::sum::Sum;

/// A block with more items is cut.
pub(crate) const BLOCK_ITEMS_MAX: u64 = 128;
/// A block with fewer items joins a neighbour, if one has room.
pub(crate) const BLOCK_ITEMS_MIN: u64 = 32;
/// How full blocks are made.
pub(crate) const BLOCK_ITEMS_TARGET: u64 = 96;
/// A chunk with more blocks is cut.
pub(crate) const CHUNK_BLOCKS_MAX: usize = 128;
/// A chunk with fewer blocks joins a neighbour, if one has room.
pub(crate) const CHUNK_BLOCKS_MIN: usize = 32;
/// How full chunks are made.
pub(crate) const CHUNK_BLOCKS_TARGET: usize = 96;

/// The items from `first` to the next block's `first`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) total: u128,
    /// No longer than needed to part the block from the one before.
    pub(crate) first: Box<[u8]>,
    pub(crate) count: u32,
}

impl Block {
    pub(crate) fn empty(first: &[u8]) -> Self {
        Self { total: 0, first: first.into(), count: 0 }
    }

    pub(crate) fn sum(&self) -> Sum {
        Sum { count: u64::from(self.count), total: self.total }
    }

    pub(crate) fn set(&mut self, sum: Sum) {
        self.total = sum.total;
        // A tree of 2^32 items in one block was never cut; it will be read again when it is.
        self.count = u32::try_from(sum.count).unwrap_or(u32::MAX);
    }
}

/// A run of neighbouring blocks with their sum. Never without a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) sum: Sum,
    pub(crate) blocks: Vec<Block>,
}

impl Chunk {
    pub(crate) fn of(blocks: Vec<Block>) -> Self {
        let mut chunk = Self { sum: Sum::default(), blocks };
        chunk.add_up();
        chunk
    }

    pub(crate) fn add_up(&mut self) {
        self.sum = self.blocks.iter().fold(Sum::default(), |sum, block| sum.plus(block.sum()));
    }

    pub(crate) fn first(&self) -> &[u8] {
        self.blocks.first().map_or(&[], |block| &block.first)
    }
}

/// Makes blocks of sorted items.
#[derive(Debug)]
pub(crate) struct Cutter {
    per_block: u64,
    first: Box<[u8]>,
    last: Vec<u8>,
    sum: Sum,
    done: Vec<Block>,
}

impl Cutter {
    /// Begins at a bound; blocks hold `per_block` items.
    pub(crate) fn new(first: &[u8], per_block: u64) -> Self {
        Self { per_block, first: first.into(), last: Vec::new(), sum: Sum::default(), done: Vec::new() }
    }

    /// For about this many items: blocks of equal size near the target.
    pub(crate) fn for_items(first: &[u8], count: u64) -> Self {
        let blocks = count.div_ceil(BLOCK_ITEMS_TARGET).max(1);
        Self::new(first, count.div_ceil(blocks).max(1))
    }

    /// The next item, in ascending order of keys.
    pub(crate) fn push(&mut self, key: &[u8], item: u128) {
        if self.sum.count >= self.per_block {
            self.end_block(separator(&self.last, key).into());
        }
        self.sum = self.sum.plus(Sum::of(item));
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    fn end_block(&mut self, next: Box<[u8]>) {
        let mut block = Block::empty(&std::mem::replace(&mut self.first, next));
        block.set(std::mem::take(&mut self.sum));
        self.done.push(block);
    }

    /// How many blocks are full.
    pub(crate) fn full(&self) -> usize {
        self.done.len()
    }

    /// The full blocks so far.
    pub(crate) fn take_full(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.done)
    }

    /// All blocks that were not taken; at least one if none was.
    pub(crate) fn finish(mut self) -> Vec<Block> {
        self.end_block(Box::default());
        self.done
    }
}
