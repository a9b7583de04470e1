//! Writing a backup file: rows into blocks, blocks into a chain, the trailer at the end.

use std::io::{Error, Result, Write};

use zstd::bulk::Compressor;

use crate::backup::format::{
    BLOCK_BYTES_TARGET, BLOCK_HEAD_BYTES, BLOCK_KIND, END_MARK, ENDING_BYTES, Header, TRAILER_HEAD_BYTES,
    TRAILER_KIND, Tag, row_kind, tag,
};
use crate::backup::manifest::Manifest;
use crate::table::Table;

/// The zstd level of blocks: what the time between two disk writes allows.
const COMPRESSION_LEVEL: i32 = 3;

/// A backup being written.
pub(crate) struct Writer<W> {
    out: W,
    compressor: Compressor<'static>,
    header_tag: Tag,
    chain: Tag,
    blocks: u64,
    /// The rows of the block that is filling.
    rows: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a backup with its header.
    pub(crate) fn begin(mut out: W, header: &Header) -> Result<Self> {
        let bytes = header.encode();
        let header_tag = tag(&[&bytes]);
        out.write_all(&bytes)?;
        out.write_all(&header_tag)?;
        let compressor = Compressor::new(COMPRESSION_LEVEL)?;
        Ok(Self { out, compressor, header_tag, chain: header_tag, blocks: 0, rows: Vec::new() })
    }

    /// Adds a row of `records` or `history`.
    pub(crate) fn push(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        let too_large = |_| Error::other("a row is larger than a backup can hold");
        let kind = row_kind(table).ok_or_else(|| Error::other("no backup holds rows of this table"))?;
        let key_len = u16::try_from(key.len()).map_err(too_large)?;
        let value_len = u32::try_from(value.len()).map_err(too_large)?;
        self.rows.push(kind);
        self.rows.extend_from_slice(&key_len.to_be_bytes());
        self.rows.extend_from_slice(key);
        self.rows.extend_from_slice(&value_len.to_be_bytes());
        self.rows.extend_from_slice(value);
        if self.rows.len() >= BLOCK_BYTES_TARGET { self.end_block() } else { Ok(()) }
    }

    /// The digest and the number of the blocks, for the manifest; ends the last block.
    pub(crate) fn end_rows(&mut self) -> Result<(Tag, u64)> {
        if !self.rows.is_empty() {
            self.end_block()?;
        }
        Ok((self.chain, self.blocks))
    }

    /// Ends the file.
    pub(crate) fn finish(mut self, manifest: &Manifest) -> Result<W> {
        let manifest = manifest.encode();
        let mut trailer = Vec::with_capacity(TRAILER_HEAD_BYTES + manifest.len());
        trailer.push(TRAILER_KIND);
        trailer.extend_from_slice(&len_field(manifest.len())?);
        trailer.extend_from_slice(&manifest);
        let trailer_tag = tag(&[&self.header_tag, &trailer]);
        let mut ending = Vec::with_capacity(ENDING_BYTES);
        ending.extend_from_slice(&len_field(trailer.len() + trailer_tag.len())?);
        ending.extend_from_slice(&END_MARK);
        for part in [trailer.as_slice(), &trailer_tag, &ending] {
            self.out.write_all(part)?;
        }
        Ok(self.out)
    }

    fn end_block(&mut self) -> Result<()> {
        let frame = self.compressor.compress(&self.rows)?;
        let mut head = Vec::with_capacity(BLOCK_HEAD_BYTES);
        head.push(BLOCK_KIND);
        head.extend_from_slice(&len_field(frame.len())?);
        head.extend_from_slice(&len_field(self.rows.len())?);
        self.chain = tag(&[&self.chain, &head, &frame]);
        for part in [head.as_slice(), &frame, &self.chain] {
            self.out.write_all(part)?;
        }
        self.blocks += 1;
        self.rows.clear();
        // One row of the largest kind must not keep its room for the rest of the backup.
        self.rows.shrink_to(BLOCK_BYTES_TARGET * 2);
        Ok(())
    }
}

fn len_field(len: usize) -> Result<[u8; 4]> {
    u32::try_from(len)
        .map(u32::to_be_bytes)
        .map_err(|_| Error::other("a part is larger than a backup can hold"))
}
