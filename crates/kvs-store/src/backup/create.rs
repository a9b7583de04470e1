//! Making a backup from one view of the store, while writes go on.

use std::fs::File;
use std::iter::Peekable;
use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;

use crate::backup::error::BackupError;
use crate::backup::format::{Header, format_of};
use crate::backup::manifest::{Manifest, Tally, manifest_text};
use crate::backup::name::file_name;
use crate::backup::progress::{Progress, Step, Watcher};
use crate::backup::sequence::{Payloads, Sequence};
use crate::backup::temporary::{Temporary, remove_stale};
use crate::backup::verify::{Verified, verify};
use crate::backup::writer::Writer;
use crate::engine::contract::{Order, Rows};
use crate::error::StoreError;
use crate::keys::read_revision;
use crate::node::{self, Counters, Identity};
use crate::read::view::View;
use crate::table::Table;

/// The watcher is told after so many records.
const PROGRESS_RECORDS: u64 = 1024;

/// What the store does not know about a new backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// The node's name in its configuration; part of the file's name.
    pub node_id: &'a str,
    /// The version of the program.
    pub program_version: &'a str,
    /// Now, ms since 1970; part of the file's name.
    pub created_at_ms: u64,
}

/// Writes what the view shows into a new file `kvs-NODE-TIME.kvsb` in `dir` (made when absent, 0700). The file has mode
/// 0600, is synced and was read back and verified before it got its name; no file loses its name to it.
///
/// The view is let go as soon as its rows are written. Memory is bounded by a few blocks and the largest record; beside
/// that, the engine keeps what other threads write while a view is held. What earlier backups left behind when they were
/// cut short is removed first.
///
/// # Errors
///
/// The store or the folder is at fault; no new backup is there, earlier ones are untouched. If only the last sync of
/// the folder failed, the backup is there and its name may be lost with the power.
pub fn create(
    view: View,
    dir: &Path,
    label: &Label<'_>,
    watcher: Watcher<'_>,
) -> Result<Verified, BackupError> {
    let (identity, counters, _) = node::load_at(&view)
        .and_then(|node| {
            node.ok_or_else(|| StoreError::corrupt(Table::Node.name(), b"identity", "it is missing"))
        })
        .map_err(BackupError::Source)?;
    remove_stale(dir);
    let temporary = Temporary::create(dir, label.created_at_ms)?;
    let manifest = write(&view, &temporary, (&identity, &counters), label, watcher)?;
    drop(view);
    temporary.sync()?;
    let verified =
        verify(temporary.path(), watcher).map_err(|error| BackupError::Unreadable(Box::new(error)))?;
    if *verified.manifest() != manifest {
        let reason = "another manifest stands at its end".into();
        let path = temporary.path().to_owned();
        return Err(BackupError::Unreadable(Box::new(BackupError::Damaged { path, offset: 0, reason })));
    }
    let path = temporary.publish(dir, |copy| file_name(label.node_id, label.created_at_ms, copy))?;
    Ok(verified.renamed(path))
}

fn write(
    view: &View,
    temporary: &Temporary,
    (identity, counters): (&Identity, &Counters),
    label: &Label<'_>,
    watcher: Watcher<'_>,
) -> Result<Manifest, BackupError> {
    let failed = |source| BackupError::File { operation: "write", path: temporary.path().to_owned(), source };
    let header = Header { origin: identity.origin, created_at_ms: label.created_at_ms };
    let mut writer = Writer::begin(temporary.file(), &header).map_err(failed)?;
    let mut source = Source::of(view);
    let mut told = 0;
    while let Some((table, key, value)) = source.next()? {
        writer.push(table, &key, &value).map_err(failed)?;
        let tally = source.sequence.tally();
        if table == Table::Records && (tally.keys + tally.tombstones).is_multiple_of(PROGRESS_RECORDS) {
            told = tally.bytes;
            watcher(Progress { step: Step::Write, done_bytes: told, total_bytes: counters.bytes.max(told) });
        }
    }
    let tally = source.end()?;
    if told != tally.bytes {
        let done_bytes = tally.bytes;
        watcher(Progress { step: Step::Write, done_bytes, total_bytes: counters.bytes.max(done_bytes) });
    }
    let (digest, blocks) = writer.end_rows().map_err(failed)?;
    let manifest = Manifest {
        format: format_of(identity.origin.epoch),
        digest,
        blocks,
        origin: identity.origin,
        created_at_ms: label.created_at_ms,
        last_local_seq: counters.next_local_seq.saturating_sub(1),
        last_origin_seq: counters.next_origin_seq.saturating_sub(1),
        tally,
        node_id: manifest_text(label.node_id),
        program_version: manifest_text(label.program_version),
    };
    let _: &File = writer.finish(&manifest).map_err(failed)?;
    Ok(manifest)
}

/// The rows of a view in the order of a backup: each record, then its revisions.
struct Source<'a> {
    records: Rows<'a>,
    history: Peekable<Rows<'a>>,
    /// The record whose revisions come next.
    current: Option<Bytes>,
    sequence: Sequence,
}

impl<'a> Source<'a> {
    fn of(view: &'a View) -> Self {
        let all = || (Bound::Unbounded, Bound::Unbounded);
        Self {
            records: view.range(Table::Records, all(), Order::Ascending),
            history: view.range(Table::History, all(), Order::Ascending).peekable(),
            current: None,
            // The file is verified before it gets its name: payloads are compared then.
            sequence: Sequence::new(Payloads::Trusted),
        }
    }

    fn next(&mut self) -> Result<Option<(Table, Bytes, Bytes)>, BackupError> {
        let current = &self.current;
        let is_next = |stored: &Result<(Bytes, Bytes), _>| match (stored, current) {
            (Ok((history_key, _)), Some(row_key)) => read_revision(row_key, history_key).is_some(),
            (Ok(_), None) => false,
            (Err(_), _) => true,
        };
        let (table, stored) = match self.history.next_if(is_next) {
            Some(stored) => (Table::History, stored),
            None => match self.records.next() {
                Some(stored) => (Table::Records, stored),
                None => return Ok(None),
            },
        };
        let (key, value) = stored.map_err(|error| BackupError::Source(error.into()))?;
        if table == Table::Records {
            self.current = Some(key.clone());
        }
        self.sequence
            .pass(table, &key, &value)
            .map_err(|reason| BackupError::Source(StoreError::corrupt(table.name(), &key, reason)))?;
        Ok(Some((table, key, value)))
    }

    fn end(mut self) -> Result<Tally, BackupError> {
        let stray = |key: &[u8]| StoreError::corrupt(Table::History.name(), key, "it belongs to no record");
        match self.history.next() {
            None => {}
            Some(Ok((key, _))) => return Err(BackupError::Source(stray(&key))),
            Some(Err(error)) => return Err(BackupError::Source(error.into())),
        }
        let last = self.current.unwrap_or_default();
        self.sequence
            .end()
            .map_err(|reason| BackupError::Source(StoreError::corrupt(Table::Records.name(), &last, reason)))
    }
}
