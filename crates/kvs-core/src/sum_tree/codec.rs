//! The bytes of a tree at rest, chunk by chunk.
//!
//! | bytes | field of a chunk |
//! | --- | --- |
//! | 1 | format version, 1 |
//! | 2 | blocks, 1..=128 |
//! | per block: 2 | bytes of the first key that it shares with the block before |
//! | 2 + n | rest of the first key: length, bytes |
//! | 4 | items |
//! | 16 | their sum |
//! | 4 | CRC-32 (IEEE) of everything before |

use crate::cursor::{Cursor, EndsEarly};
use crate::sum_tree::block::{Block, CHUNK_BLOCKS_MAX, Chunk};
use crate::sum_tree::tree::SumTree;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// Longest first key.
const FIRST_BYTES_MAX: usize = 2048;

/// Why bytes are no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeCodecError {
    /// They end early.
    #[error("the chunk ends early")]
    EndsEarly,
    /// They are of another version of the program.
    #[error("chunk format {0} is unknown to this version")]
    UnknownFormat(u8),
    /// They are damaged.
    #[error("the chunk's checksum does not match")]
    Checksum,
    /// They break an invariant of the tree.
    #[error("the chunks are not those of one tree")]
    NoTree,
}

impl From<EndsEarly> for TreeCodecError {
    fn from(_: EndsEarly) -> Self {
        Self::EndsEarly
    }
}

/// The bytes of each chunk of the tree, in order.
#[must_use]
pub fn encode(tree: &SumTree) -> Vec<Vec<u8>> {
    tree.chunks().iter().map(encode_chunk).collect()
}

fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    let mut out = vec![FORMAT];
    push_len(&mut out, chunk.blocks.len());
    let mut last: &[u8] = &[];
    for block in &chunk.blocks {
        let shared = last.iter().zip(&*block.first).take_while(|(left, right)| left == right).count();
        let rest = block.first.get(shared..).unwrap_or_default();
        push_len(&mut out, shared);
        push_len(&mut out, rest.len());
        out.extend_from_slice(rest);
        out.extend_from_slice(&block.count.to_be_bytes());
        out.extend_from_slice(&block.total.to_be_bytes());
        last = &block.first;
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out
}

fn push_len(out: &mut Vec<u8>, len: usize) {
    // Keys and chunks are far shorter than that.
    out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
}

/// Reads the chunks of a tree, in order.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn decode<C: AsRef<[u8]>>(chunks: &[C]) -> Result<SumTree, TreeCodecError> {
    let chunks = chunks.iter().map(|chunk| decode_chunk(chunk.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let firsts = || chunks.iter().flat_map(|chunk| &chunk.blocks).map(|block| &block.first);
    if firsts().next().is_some_and(|first| !first.is_empty())
        || !firsts().zip(firsts().skip(1)).all(|(left, right)| left < right)
    {
        return Err(TreeCodecError::NoTree);
    }
    Ok(SumTree::from_chunks(chunks))
}

fn decode_chunk(bytes: &[u8]) -> Result<Chunk, TreeCodecError> {
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TreeCodecError::EndsEarly)?;
    let mut cursor = Cursor::new(content);
    let format = cursor.u8()?;
    if format != FORMAT {
        return Err(TreeCodecError::UnknownFormat(format));
    }
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err(TreeCodecError::Checksum);
    }
    let count = usize::from(cursor.u16()?);
    if count == 0 || count > CHUNK_BLOCKS_MAX {
        return Err(TreeCodecError::NoTree);
    }
    let mut blocks: Vec<Block> = Vec::with_capacity(count);
    for _ in 0..count {
        let shared = usize::from(cursor.u16()?);
        let rest_len = usize::from(cursor.u16()?);
        let rest = cursor.take(rest_len)?;
        let last: &[u8] = blocks.last().map_or(&[], |block| &block.first);
        let first = [last.get(..shared).ok_or(TreeCodecError::NoTree)?, rest].concat();
        if first.len() > FIRST_BYTES_MAX {
            return Err(TreeCodecError::NoTree);
        }
        let mut block = Block::empty(&first);
        block.count = cursor.u32()?;
        block.total = u128::from_be_bytes(cursor.array()?);
        blocks.push(block);
    }
    if !cursor.rest().is_empty() {
        return Err(TreeCodecError::NoTree);
    }
    Ok(Chunk::of(blocks))
}

#[cfg(test)]
mod tests {
    use super::{TreeCodecError, decode, encode};
    use crate::sum_tree::tree::SumTree;
    use proptest::prelude::{any, proptest};

    fn sample(count: u32) -> SumTree {
        SumTree::build((0..count).map(|key| (format!("key/{key:07}"), u128::from(key) << 99 | 7)))
    }

    #[test]
    fn a_tree_reads_back_chunk_by_chunk() {
        for count in [0, 1, 97, 50_000] {
            let tree = sample(count);
            assert_eq!(decode(&encode(&tree)), Ok(tree));
        }
    }

    /// Format 1, byte by byte as the table above says. If this test fails, old checkpoints are read wrongly.
    #[test]
    fn the_bytes_of_a_chunk_are_these() {
        let chunks = encode(&SumTree::build([(b"a", 0x0102_u128), (b"b", 3)]));
        let hex: String = chunks[0].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            concat!("01", "0001", "0000", "0000", "00000002", "00000000000000000000000000000105", "6c308cf5")
        );
    }

    #[test]
    fn damaged_or_foreign_bytes_are_refused() {
        let good = encode(&sample(20_000));
        assert!(good.len() > 2);
        for at in [0, 5, 100] {
            let mut bad = good.clone();
            bad[1][at] ^= 1;
            assert!(decode(&bad).is_err());
        }
        let mut turned = good.clone();
        turned.swap(0, 1);
        assert_eq!(decode(&turned), Err(TreeCodecError::NoTree));
        assert_eq!(decode(&good[1..]), Err(TreeCodecError::NoTree));
        let mut short = good;
        short[0].pop();
        assert!(decode(&short).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            assert!(decode(&[bytes]).is_err());
        }
    }
}
