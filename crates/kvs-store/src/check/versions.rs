//! The walk over `records` and `history`: every version is read, and what must follow from it is noted.
//!
//! Both tables are in one order of keys, so the revisions of a key come by while its record does.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::origin::Dot;
use kvs_core::record::{Kind, Record};
use uuid::Uuid;

use crate::check::content::check_content;
use crate::check::dots::Dots;
use crate::check::indexes::Sums;
use crate::check::report::Report;
use crate::engine::contract::{Order, Rows};
use crate::error::StoreError;
use crate::keys::{read_record_key, read_revision};
use crate::node::{Counters, Identity};
use crate::observer::Key;
use crate::read::view::View;
use crate::row::{RevisionRow, Revisions, Row};
use crate::table::Table;

/// What the walk brings together.
pub(crate) struct Walk<'a> {
    report: &'a mut Report,
    /// What the node says about itself; `None` when that cannot be read.
    node: Option<&'a (Identity, Counters)>,
    /// What the indexes ought to hold.
    pub(crate) sums: Sums,
    /// The dots of all versions.
    pub(crate) dots: Dots,
    progress: &'a mut dyn FnMut(),
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        report: &'a mut Report,
        node: Option<&'a (Identity, Counters)>,
        dots: Dots,
        progress: &'a mut dyn FnMut(),
    ) -> Self {
        Self { report, node, sums: Sums::default(), dots, progress }
    }

    /// Walks over both tables.
    ///
    /// # Errors
    ///
    /// The engine cannot read a table; the walk ended there.
    pub(crate) fn run(&mut self, view: &View) -> Result<(), StoreError> {
        let all = || (Bound::Unbounded, Bound::Unbounded);
        let mut history = view.range(Table::History, all(), Order::Ascending).peekable();
        for stored in view.range(Table::Records, all(), Order::Ascending) {
            let (row_key, value) = stored?;
            (self.progress)();
            self.report.count_row(Table::Records);
            self.pass_orphans(&mut history, Some(&row_key))?;
            let Some(key) = read_record_key(&row_key) else {
                self.report.add_row_problem(Table::Records, &row_key, "its key is no path");
                continue;
            };
            let row = match Row::decode(&key, &value) {
                Ok(row) => Some(row),
                Err(error) => {
                    self.report.add_problem(error);
                    None
                }
            };
            let mut versions = BTreeMap::new();
            if let Some(row) = &row {
                self.record(&key, &row_key, row, &mut versions);
            }
            self.revisions(&mut history, &key, &row_key, row.map(|row| row.revisions), &mut versions)?;
        }
        self.pass_orphans(&mut history, None)
    }

    fn record(&mut self, key: &Key, row_key: &[u8], row: &Row, versions: &mut BTreeMap<Dot, Uuid>) {
        let record = &row.record;
        match record.kind {
            Kind::Value => {
                self.report.keys += 1;
                self.report.bytes += record.payload.raw_len() as u64;
            }
            Kind::Tombstone | Kind::Expired => self.report.tombstones += 1,
            Kind::Dropped | Kind::Voided => {}
        }
        for (table, index_key, value) in row.index_rows(key) {
            self.sums.add(table, &index_key, &value);
        }
        let revisions = row.revisions;
        if u64::from(revisions.kept) > revisions.next {
            let reason = format!("it keeps {} of {} revisions", revisions.kept, revisions.next);
            self.report.add_row_problem(Table::Records, row_key, reason);
        }
        if let Some((_, counters)) = self.node
            && !(1..counters.next_local_seq).contains(&row.local_seq)
        {
            let (number, next) = (row.local_seq, counters.next_local_seq);
            let reason = format!("its local number {number} was never given out, the next one is {next}");
            self.report.add_row_problem(Table::Records, row_key, reason);
        }
        self.version(Table::Records, row_key, record, versions);
    }

    /// What holds for every version, current or not.
    fn version(&mut self, table: Table, row_key: &[u8], record: &Record, versions: &mut BTreeMap<Dot, Uuid>) {
        if let Err(reason) = check_content(record) {
            self.report.add_row_problem(table, row_key, reason);
        }
        let dot = record.dot;
        if let Some((identity, counters)) = self.node
            && dot.origin == identity.origin
            && !(1..counters.next_origin_seq).contains(&dot.seq)
        {
            let (number, next) = (dot.seq, counters.next_origin_seq);
            let reason = format!("its write number {number} was never given out, the next one is {next}");
            self.report.add_row_problem(table, row_key, reason);
        }
        match versions.insert(dot, record.version.uuid) {
            None => self.dots.add(dot),
            // A value and itself after its expiry are one write, and so is a losing version that came twice.
            Some(uuid) if uuid == record.version.uuid => {}
            Some(_) => {
                let reason = format!("its write number {} stands for another version too", dot.seq);
                self.report.add_row_problem(table, row_key, reason);
            }
        }
    }

    /// The revisions of a key, which must be exactly the numbers that its record names (`None`: the record is damaged).
    fn revisions(
        &mut self,
        history: &mut Peekable<Rows<'_>>,
        key: &Key,
        row_key: &[u8],
        revisions: Option<Revisions>,
        versions: &mut BTreeMap<Dot, Uuid>,
    ) -> Result<(), StoreError> {
        let mut expected = revisions.map(Revisions::first);
        while let Some(number) = peek_revision(history, row_key) {
            let Some(stored) = history.next() else { break };
            let (history_key, value) = stored?;
            (self.progress)();
            self.report.count_row(Table::History);
            if let (Some(revisions), Some(next)) = (revisions, &mut expected) {
                if number < revisions.first() || number >= revisions.next {
                    let (first, end) = (revisions.first(), revisions.next);
                    let reason =
                        format!("revision {number} is none of its record's, {first} to {end} (exclusive)");
                    self.report.add_row_problem(Table::History, &history_key, reason);
                } else {
                    self.missing(row_key, *next, number);
                    *next = number + 1;
                }
            }
            match RevisionRow::decode(key, &value) {
                Ok(revision) => self.version(Table::History, &history_key, &revision.record, versions),
                Err(error) => self.report.add_problem(error),
            }
        }
        if let (Some(revisions), Some(next)) = (revisions, expected) {
            self.missing(row_key, next, revisions.next);
        }
        Ok(())
    }

    fn missing(&mut self, row_key: &[u8], from: u64, to: u64) {
        if from < to {
            let reason = format!("its revisions {from} to {to} (exclusive) are missing");
            self.report.add_row_problem(Table::History, row_key, reason);
        }
    }

    /// Tells the revisions before this key, which belong to no record.
    fn pass_orphans(
        &mut self,
        history: &mut Peekable<Rows<'_>>,
        before: Option<&Bytes>,
    ) -> Result<(), StoreError> {
        let lies_before = |stored: &Result<(Bytes, Bytes), _>| match (stored, before) {
            (Ok((history_key, _)), Some(row_key)) => history_key < row_key,
            (Ok(_), None) | (Err(_), _) => true,
        };
        while let Some(stored) = history.next_if(lies_before) {
            let (history_key, _) = stored?;
            (self.progress)();
            self.report.count_row(Table::History);
            self.report.add_row_problem(Table::History, &history_key, "no record has this revision");
        }
        Ok(())
    }
}

/// The number of the next revision, if it belongs to this record.
fn peek_revision(history: &mut Peekable<Rows<'_>>, row_key: &[u8]) -> Option<u64> {
    let Ok((history_key, _)) = history.peek()? else {
        return None;
    };
    read_revision(row_key, history_key)
}
