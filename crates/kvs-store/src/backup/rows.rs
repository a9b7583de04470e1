//! The rows of a backup, one after the other, checked on the way.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};

use crate::backup::error::BackupError;
use crate::backup::format::{ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX, row_table};
use crate::backup::manifest::Manifest;
use crate::backup::reader::{Part, Reader};
use crate::backup::sequence::{Payloads, Sequence};
use crate::table::Table;

/// A row as it rests: table, key, value.
pub(crate) type StoredRow = (Table, Bytes, Bytes);

/// The rows of a backup; the file was read to its end and found whole once [`Rows::next`] has answered `None`.
pub(crate) struct Rows {
    reader: Reader<File>,
    sequence: Sequence,
    block: Bytes,
    ended: Option<Manifest>,
}

impl Rows {
    /// Opens a backup.
    pub(crate) fn open(path: &Path, payloads: Payloads) -> Result<Self, BackupError> {
        Ok(Self {
            reader: Reader::open(path)?,
            sequence: Sequence::new(payloads),
            block: Bytes::new(),
            ended: None,
        })
    }

    /// How many bytes of the file were read, and how many there are.
    pub(crate) const fn position(&self) -> (u64, u64) {
        self.reader.position()
    }

    /// The next row.
    ///
    /// # Errors
    ///
    /// What is wrong with the file. Not to be asked again after that.
    pub(crate) fn next(&mut self) -> Result<Option<StoredRow>, BackupError> {
        while self.block.is_empty() {
            if self.ended.is_some() {
                return Ok(None);
            }
            match self.reader.next()? {
                Part::Rows(rows) => self.block = rows,
                Part::End(manifest) => self.end(manifest)?,
            }
        }
        let (table, key, value) = self.split_row().ok_or_else(|| self.reader.damaged("a row ends early"))?;
        self.sequence.pass(table, &key, &value).map_err(|reason| self.reader.damaged(reason))?;
        Ok(Some((table, key, value)))
    }

    /// What the backup says it holds, and what was found; `None` before its end.
    pub(crate) const fn manifest(&self) -> Option<&Manifest> {
        self.ended.as_ref()
    }

    fn end(&mut self, manifest: Manifest) -> Result<(), BackupError> {
        let sequence = std::mem::replace(&mut self.sequence, Sequence::new(Payloads::Trusted));
        let tally = sequence.end().map_err(|reason| self.reader.damaged(reason))?;
        if tally != manifest.tally {
            return Err(self.reader.damaged("it does not hold what its manifest says"));
        }
        self.ended = Some(manifest);
        Ok(())
    }

    /// Takes the first row off the block.
    fn split_row(&mut self) -> Option<StoredRow> {
        let (row, rest_len) = read_row(&self.block)?;
        let end = self.block.len() - rest_len;
        drop(self.block.split_to(end));
        Some(row)
    }
}

/// The first row of a block, and how many bytes follow it.
fn read_row(block: &Bytes) -> Option<(StoredRow, usize)> {
    let read = |cursor: &mut Cursor<'_>| -> Result<(u8, Bytes, Bytes), EndsEarly> {
        let kind = cursor.u8()?;
        let key_len = usize::from(cursor.u16()?);
        let key = block.slice_ref(cursor.take(key_len)?);
        let value_len = cursor.u32()? as usize;
        let value = block.slice_ref(cursor.take(value_len)?);
        Ok((kind, key, value))
    };
    let mut cursor = Cursor::new(block);
    let (kind, key, value) = read(&mut cursor).ok()?;
    let in_bounds = key.len() <= ROW_KEY_BYTES_MAX && value.len() <= ROW_VALUE_BYTES_MAX;
    in_bounds.then_some(())?;
    Some(((row_table(kind)?, key, value), cursor.rest().len()))
}
