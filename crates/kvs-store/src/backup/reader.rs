//! Reading a backup file: header, block after block, trailer; nothing is believed before its tag was compared.
//!
//! No length in the file makes the reader take more memory than one block may have.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};
use kvs_core::origin::Origin;
use zstd::bulk::Decompressor;

use crate::backup::error::BackupError;
use crate::backup::format::{
    BACKUP_FORMAT, BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, BLOCK_KIND, BLOCK_STORED_BYTES_MAX, END_MARK,
    ENDING_BYTES, Header, MAGIC, MANIFEST_BYTES_MAX, TAG_BYTES, TRAILER_HEAD_BYTES, TRAILER_KIND, Tag,
    epoch_width, tag,
};
use crate::backup::manifest::Manifest;

/// A backup being read from its beginning.
pub(crate) struct Reader<R> {
    source: R,
    path: PathBuf,
    len: u64,
    /// How much was read.
    offset: u64,
    /// Where the part begins that is being read, for errors.
    part_offset: u64,
    format: u8,
    header: Header,
    header_tag: Tag,
    chain: Tag,
    blocks: u64,
}

/// The next part of a backup.
pub(crate) enum Part {
    /// The rows of a block.
    Rows(Bytes),
    /// The trailer, and with it the end.
    End(Manifest),
}

impl Reader<File> {
    /// Opens a backup and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self, BackupError> {
        let (file, len) = open(path)?;
        Self::begin(file, len, path)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header from the beginning of a source of `len` bytes; errors name `path`.
    pub(crate) fn begin(source: R, len: u64, path: &Path) -> Result<Self, BackupError> {
        let origin = Origin { node: uuid::Uuid::nil(), epoch: 0 };
        let mut reader = Self {
            source,
            path: path.to_owned(),
            len,
            offset: 0,
            part_offset: 0,
            format: 0,
            header: Header { origin, created_at_ms: 0 },
            header_tag: Tag::default(),
            chain: Tag::default(),
            blocks: 0,
        };
        reader.read_header()?;
        Ok(reader)
    }

    /// How many bytes of the file were read, and how many there are.
    pub(crate) const fn position(&self) -> (u64, u64) {
        (self.offset, self.len)
    }

    /// What is wrong with the part that was read last.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), offset: self.part_offset, reason: reason.into() }
    }

    /// Reads the next part; not to be asked again after [`Part::End`] or an error.
    pub(crate) fn next(&mut self) -> Result<Part, BackupError> {
        self.part_offset = self.offset;
        let [kind] = self.array()?;
        match kind {
            BLOCK_KIND => self.block().map(Part::Rows),
            TRAILER_KIND => self.trailer().map(Part::End),
            _ => Err(self.damaged("neither a block nor the end begins here")),
        }
    }

    fn read_header(&mut self) -> Result<(), BackupError> {
        let beginning = self.take(MAGIC.len().min(usize::try_from(self.len).unwrap_or(usize::MAX)))?;
        if !MAGIC.starts_with(&beginning) {
            return Err(BackupError::NotABackup(self.path.clone()));
        }
        if beginning.len() < MAGIC.len() {
            return Err(BackupError::CutOff(self.path.clone()));
        }
        let [format] = self.array()?;
        if format > BACKUP_FORMAT {
            return Err(BackupError::NewerFormat { path: self.path.clone(), found: format });
        }
        let fields = self.take(16 + epoch_width(format).bytes() + 8)?;
        let header_tag: Tag = self.array()?;
        if tag(&[&MAGIC, &[format], &fields]) != header_tag {
            return Err(self.damaged("the header's checksum does not match"));
        }
        self.header =
            read_header(&fields, format).ok_or_else(|| self.damaged("the header cannot be read"))?;
        self.format = format;
        self.header_tag = header_tag;
        self.chain = header_tag;
        Ok(())
    }

    /// A block, behind its kind.
    fn block(&mut self) -> Result<Bytes, BackupError> {
        let lens: [u8; BLOCK_HEAD_BYTES - 1] = self.array()?;
        let (stored_len, rows_len) = read_lens(&lens).map_err(|_| self.damaged("the block ends early"))?;
        if stored_len > BLOCK_STORED_BYTES_MAX || !(1..=BLOCK_BYTES_MAX).contains(&rows_len) {
            return Err(self.damaged("the block's length is out of bounds"));
        }
        let frame = self.take(stored_len)?;
        let found: Tag = self.array()?;
        if tag(&[&self.chain, &[BLOCK_KIND], &lens, &frame]) != found {
            return Err(self.damaged("the block's checksum does not match"));
        }
        self.chain = found;
        self.blocks += 1;
        let rows = Decompressor::new()
            .and_then(|mut decompressor| decompressor.decompress(&frame, rows_len))
            .map_err(|error| self.damaged(format!("the block cannot be decompressed: {error}")))?;
        if rows.len() != rows_len {
            return Err(self.damaged("the block has another length than it says"));
        }
        Ok(Bytes::from(rows))
    }

    /// The trailer, behind its kind, up to the end of the file.
    fn trailer(&mut self) -> Result<Manifest, BackupError> {
        let len_field: [u8; TRAILER_HEAD_BYTES - 1] = self.array()?;
        let manifest_len = u32::from_be_bytes(len_field) as usize;
        if manifest_len > MANIFEST_BYTES_MAX {
            return Err(self.damaged("the manifest's length is out of bounds"));
        }
        let manifest = self.take(manifest_len)?;
        let found: Tag = self.array()?;
        let ending: [u8; ENDING_BYTES] = self.array()?;
        let whole = read_trailer(
            (&self.header, self.format),
            &self.header_tag,
            &[&len_field, manifest.as_slice()].concat(),
            &found,
        )
        .filter(|_| ending == ending_of(manifest_len))
        .filter(|manifest| (manifest.digest, manifest.blocks) == (self.chain, self.blocks));
        let Some(manifest) = whole else {
            return Err(self.damaged("the manifest does not match"));
        };
        if self.offset != self.len {
            return Err(self.damaged("bytes follow the end mark"));
        }
        Ok(manifest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `len` bytes; `len` must be bounded by the caller.
    fn take(&mut self, len: usize) -> Result<Vec<u8>, BackupError> {
        // Checked before the room is taken: a file need not be as long as it says.
        self.check_left(len)?;
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.check_left(bytes.len())?;
        self.source.read_exact(bytes).map_err(|error| reading(&self.path, error))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn check_left(&self, len: usize) -> Result<(), BackupError> {
        if self.len - self.offset < len as u64 {
            return Err(BackupError::CutOff(self.path.clone()));
        }
        Ok(())
    }
}

/// Reads header and trailer only: what the backup says it holds, without looking at its blocks.
pub(crate) fn read_manifest(path: &Path) -> Result<(Manifest, u64), BackupError> {
    let (file, len) = open(path)?;
    let mut reader = Reader::begin(file, len, path)?;
    let cut_off = || BackupError::CutOff(path.to_owned());
    let ending_offset = len.checked_sub(ENDING_BYTES as u64).ok_or_else(cut_off)?;
    reader.seek(ending_offset)?;
    let ending: [u8; ENDING_BYTES] = reader.array()?;
    if !ending.ends_with(&END_MARK) {
        return Err(cut_off());
    }
    let trailer_len = ending.first_chunk().copied().map(u32::from_be_bytes).unwrap_or_default() as usize;
    let body_len = trailer_len
        .checked_sub(1 + TAG_BYTES)
        .filter(|len| *len <= TRAILER_HEAD_BYTES + MANIFEST_BYTES_MAX)
        .ok_or_else(|| reader.damaged("the trailer's length is out of bounds"))?;
    let offset = ending_offset.checked_sub(trailer_len as u64).ok_or_else(cut_off)?;
    reader.seek(offset)?;
    let [kind] = reader.array()?;
    let body = reader.take(body_len)?;
    let found: Tag = reader.array()?;
    read_trailer((&reader.header, reader.format), &reader.header_tag, &body, &found)
        .filter(|_| kind == TRAILER_KIND)
        .map(|manifest| (manifest, len))
        .ok_or_else(|| reader.damaged("the manifest does not match"))
}

impl Reader<File> {
    /// Goes to another place, to read parts of the trailer.
    fn seek(&mut self, offset: u64) -> Result<(), BackupError> {
        self.source.seek(SeekFrom::Start(offset)).map_err(|error| reading(&self.path, error))?;
        self.offset = offset;
        self.part_offset = offset;
        Ok(())
    }
}

fn open(path: &Path) -> Result<(File, u64), BackupError> {
    let failed = |source| BackupError::File { operation: "open", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(BackupError::NotABackup(path.to_owned()));
    }
    Ok((file, metadata.len()))
}

fn reading(path: &Path, error: std::io::Error) -> BackupError {
    match error.kind() {
        // It became shorter while it was read.
        ErrorKind::UnexpectedEof => BackupError::CutOff(path.to_owned()),
        _ => BackupError::File { operation: "read", path: path.to_owned(), source: error },
    }
}

fn read_header(fields: &[u8], format: u8) -> Option<Header> {
    let mut cursor = Cursor::new(fields);
    let node = cursor.uuid().ok()?;
    let origin = Origin { node, epoch: epoch_width(format).take(&mut cursor)? };
    Some(Header { origin, created_at_ms: cursor.u64().ok()? })
}

fn read_lens(fields: &[u8]) -> Result<(usize, usize), EndsEarly> {
    let mut cursor = Cursor::new(fields);
    Ok((cursor.u32()? as usize, cursor.u32()? as usize))
}

/// The manifest in a trailer's body (its length and itself); `None` when anything does not fit.
fn read_trailer(
    (header, format): (&Header, u8),
    header_tag: &Tag,
    body: &[u8],
    found: &Tag,
) -> Option<Manifest> {
    (tag(&[header_tag, &[TRAILER_KIND], body]) == *found).then_some(())?;
    let (len, manifest) = body.split_first_chunk()?;
    (u32::from_be_bytes(*len) as usize == manifest.len()).then_some(())?;
    Manifest::decode(manifest, format)
        .filter(|manifest| (manifest.origin, manifest.created_at_ms) == (header.origin, header.created_at_ms))
}

/// What follows the tag of a trailer with a manifest of this length.
fn ending_of(manifest_len: usize) -> [u8; ENDING_BYTES] {
    let trailer_len = u32::try_from(TRAILER_HEAD_BYTES + manifest_len + TAG_BYTES).unwrap_or(u32::MAX);
    let mut ending = [0; ENDING_BYTES];
    let (len, mark) = ending.split_at_mut(4);
    len.copy_from_slice(&trailer_len.to_be_bytes());
    mark.copy_from_slice(&END_MARK);
    ending
}
