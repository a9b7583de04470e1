//! The index tables against the records they follow from.
//!
//! Two sets of rows are equal when their counts and the sums of their digests are; only a table that differs is
//! compared row by row, to say which rows are wrong.

use std::ops::Bound;

use bytes::Bytes;
use kvs_core::digest::ContentDigest;

use crate::check::report::Report;
use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{read_log_value, read_record_key, read_time_key, record_key};
use crate::observer::Key;
use crate::read::view::View;
use crate::row::Row;
use crate::table::Table;

/// The tables whose rows follow from records.
pub(crate) const INDEXES: [Table; 4] = [Table::Log, Table::ByTime, Table::Expiry, Table::Tombstones];

/// Sets of rows, one for each table, as counts and sums of digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums([Sum; Table::ALL.len()]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: u64,
    digests: u128,
}

impl Sums {
    /// Adds a row to its table's set.
    pub(crate) fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        if let Some(sum) = self.0.get_mut(table.index()) {
            let key_len = (key.len() as u64).to_be_bytes();
            let digest = ContentDigest::of(&[&key_len, key, value].concat());
            sum.rows += 1;
            sum.digests = sum.digests.wrapping_add(u128::from_be_bytes(digest.0));
        }
    }

    fn of(&self, table: Table) -> Option<&Sum> {
        self.0.get(table.index())
    }
}

/// Compares the indexes with what the records make them hold.
///
/// # Errors
///
/// The engine cannot read a table.
pub(crate) fn check_indexes(
    view: &View,
    expected: &Sums,
    report: &mut Report,
    progress: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    let mut found = Sums::default();
    let mut differing = Vec::new();
    for table in INDEXES {
        for stored in view.range(table, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
            let (index_key, value) = stored?;
            progress();
            report.count_row(table);
            found.add(table, &index_key, &value);
        }
        if found.of(table) != expected.of(table) {
            differing.push(table);
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    tell_missing(view, &differing, report, progress)?;
    for table in differing {
        tell_orphans(view, table, report, progress)?;
    }
    Ok(())
}

/// Tells the rows that records ask for and the tables do not hold.
fn tell_missing(
    view: &View,
    tables: &[Table],
    report: &mut Report,
    progress: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    for stored in view.range(Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, value) = stored?;
        progress();
        // Damaged records were told by the walk over the versions.
        let Some((key, row)) = read_row(&row_key, &value) else { continue };
        for (table, index_key, wanted) in row.index_rows(&key) {
            if !tables.contains(&table) {
                continue;
            }
            match view.get(table, &index_key)? {
                Some(found) if found == wanted => {}
                Some(_) => {
                    let reason = format!("it does not say what the record of {} makes it say", key.path);
                    report.add_row_problem(table, &index_key, reason);
                }
                None => {
                    let reason = format!("it is missing, the record of {} asks for it", key.path);
                    report.add_row_problem(table, &index_key, reason);
                }
            }
        }
    }
    Ok(())
}

/// Tells the rows of an index that no record asks for.
fn tell_orphans(
    view: &View,
    table: Table,
    report: &mut Report,
    progress: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    for stored in view.range(table, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (index_key, value) = stored?;
        progress();
        let Some(key) = key_of(table, &index_key, &value) else {
            report.add_row_problem(table, &index_key, "it names no key");
            continue;
        };
        let row_key = record_key(key.namespace, &key.path);
        let Some(stored) = view.get(Table::Records, &row_key)? else {
            let reason = format!("there is no record of {}", key.path);
            report.add_row_problem(table, &index_key, reason);
            continue;
        };
        let Some((_, row)) = read_row(&row_key, &stored) else { continue };
        let asked_for =
            row.index_rows(&key).iter().any(|(other, wanted, _)| *other == table && *wanted == index_key);
        if !asked_for {
            let reason = format!("the record of {} does not ask for it", key.path);
            report.add_row_problem(table, &index_key, reason);
        }
    }
    Ok(())
}

fn read_row(row_key: &[u8], value: &Bytes) -> Option<(Key, Row)> {
    let key = read_record_key(row_key)?;
    let row = Row::decode(&key, value).ok()?;
    Some((key, row))
}

/// The key that a row of an index is about.
fn key_of(table: Table, index_key: &[u8], value: &[u8]) -> Option<Key> {
    match table {
        Table::Log => read_log_value(value).map(|(_, key)| key),
        Table::ByTime | Table::Expiry => read_time_key(index_key).map(|(_, key)| key),
        Table::Tombstones => read_time_key(value).map(|(_, key)| key),
        Table::Records
        | Table::History
        | Table::Node
        | Table::Vectors
        | Table::Cursors
        | Table::Parked
        | Table::Tree => None,
    }
}
