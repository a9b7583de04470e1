//! The order and the sense of a backup's rows: what must hold from one row to the next.
//!
//! Writer, verifier and restorer all pass their rows through it, so none of them can let through what another refuses.

use bytes::Bytes;
use kvs_core::record::Kind;

use crate::backup::manifest::Tally;
use crate::check::content::check_content;
use crate::keys::{read_record_key, read_revision};
use crate::observer::Key;
use crate::row::{RevisionRow, Row};
use crate::table::Table;

/// Whether payloads are compared with their digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payloads {
    /// Each is decompressed and compared.
    Compared,
    /// They were, or will be.
    Trusted,
}

/// What came so far.
#[derive(Debug)]
pub(crate) struct Sequence {
    payloads: Payloads,
    tally: Tally,
    current: Option<Current>,
}

/// The record that came last.
#[derive(Debug)]
struct Current {
    row_key: Bytes,
    key: Key,
    /// The revision that must come next.
    next: u64,
    /// Where its revisions end, exclusive.
    end: u64,
}

impl Current {
    fn complete(&self) -> Result<(), String> {
        if self.next < self.end {
            return Err(format!("revision {} of {} is missing", self.next, self.key.path));
        }
        Ok(())
    }
}

impl Sequence {
    pub(crate) const fn new(payloads: Payloads) -> Self {
        let tally = Tally { keys: 0, bytes: 0, tombstones: 0, revisions: 0 };
        Self { payloads, tally, current: None }
    }

    /// What passed so far.
    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets a record pass; its row is read on the way.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or with the record before: nothing further may pass.
    pub(crate) fn record(&mut self, row_key: &Bytes, value: &Bytes) -> Result<(Key, Row), String> {
        if let Some(current) = &self.current {
            current.complete()?;
            if *row_key <= current.row_key {
                return Err(format!("the record behind {} is out of order", current.key.path));
            }
        }
        let key = read_record_key(row_key).ok_or("the key of a record is no path")?;
        let row = Row::decode(&key, value).map_err(|error| error.to_string())?;
        let revisions = row.revisions;
        if u64::from(revisions.kept) > revisions.next {
            return Err(format!("the record of {} keeps more revisions than there were", key.path));
        }
        self.check_payload(&row.record, &key)?;
        match row.record.kind {
            Kind::Value => {
                self.tally.keys += 1;
                self.tally.bytes += row.record.payload.raw_len() as u64;
            }
            Kind::Tombstone | Kind::Expired => self.tally.tombstones += 1,
            Kind::Dropped | Kind::Voided => {}
        }
        self.current = Some(Current {
            row_key: row_key.clone(),
            key: key.clone(),
            next: revisions.first(),
            end: revisions.next,
        });
        Ok((key, row))
    }

    /// Lets a revision of the last record pass.
    ///
    /// # Errors
    ///
    /// What is wrong with it: nothing further may pass.
    pub(crate) fn revision(&mut self, row_key: &Bytes, value: &Bytes) -> Result<(), String> {
        let stray = || "a revision belongs to no record".to_owned();
        let current = self.current.as_mut().ok_or_else(stray)?;
        let number = read_revision(&current.row_key, row_key).ok_or_else(stray)?;
        if number != current.next || number >= current.end {
            return Err(format!("revision {number} of {} is out of order", current.key.path));
        }
        current.next += 1;
        let revision = RevisionRow::decode(&current.key, value).map_err(|error| error.to_string())?;
        let key = current.key.clone();
        self.check_payload(&revision.record, &key)?;
        self.tally.revisions += 1;
        Ok(())
    }

    /// Lets a row of either table pass.
    ///
    /// # Errors
    ///
    /// What is wrong with it: nothing further may pass.
    pub(crate) fn pass(&mut self, table: Table, row_key: &Bytes, value: &Bytes) -> Result<(), String> {
        match table {
            Table::Records => self.record(row_key, value).map(drop),
            _ => self.revision(row_key, value),
        }
    }

    /// What passed, once nothing more comes.
    ///
    /// # Errors
    ///
    /// The last record is not complete.
    pub(crate) fn end(self) -> Result<Tally, String> {
        if let Some(current) = &self.current {
            current.complete()?;
        }
        Ok(self.tally)
    }

    fn check_payload(&self, record: &kvs_core::record::Record, key: &Key) -> Result<(), String> {
        match self.payloads {
            Payloads::Trusted => Ok(()),
            Payloads::Compared => {
                check_content(record).map_err(|reason| format!("a version of {}: {reason}", key.path))
            }
        }
    }
}
