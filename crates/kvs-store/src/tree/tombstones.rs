//! Tombstones in the order of the writes that made them, for peers that may lack some.

use std::ops::Bound;

use kvs_core::origin::{Dot, EpochWidth};
use kvs_core::record::{Kind, Record};
use kvs_core::vector::Vector;

use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{dot_key, read_dot_key, read_time_key};
use crate::observer::Key;
use crate::read::view::View;
use crate::table::Table;

/// The first `limit` tombstones and expired values behind `behind` that `known` does not cover, in the order of their dots.
/// What is covered is leapt over, not read.
///
/// # Errors
///
/// A row cannot be read.
pub fn tombstones(
    view: &View,
    behind: Option<&Dot>,
    known: &Vector,
    limit: usize,
) -> Result<Vec<(Key, Record)>, StoreError> {
    let mut found = Vec::new();
    let mut from = behind.map_or(Bound::Unbounded, |dot| Bound::Excluded(dot_key(dot)));
    'leap: while found.len() < limit {
        for row in view.range(Table::Tombstones, (from.clone(), Bound::Unbounded), Order::Ascending) {
            let (row_key, value) = row?;
            let corrupt = || StoreError::corrupt(Table::Tombstones.name(), &row_key, "it cannot be read");
            let dot = read_dot_key(&row_key).ok_or_else(corrupt)?;
            let covered = known.seq(&dot.origin);
            if dot.seq <= covered {
                from = Bound::Excluded(dot_key(&Dot { origin: dot.origin, seq: leap_to(&dot, covered) }));
                continue 'leap;
            }
            let (_, key) = read_time_key(&value).ok_or_else(corrupt)?;
            if let Some(row) = view.row(key.namespace, &key.path)?
                && row.record.kind != Kind::Value
            {
                found.push((key, row.record));
            }
            if found.len() >= limit {
                break;
            }
        }
        break;
    }
    Ok(found)
}

/// The last number that is leapt over behind a tombstone of which everything up to `covered` is covered.
///
/// The key of a long epoch begins with the second of its beginning and a random number that is not 0; read as a short epoch,
/// this is that second and a number above 2^32. So a leap over a short epoch ends there.
fn leap_to(dot: &Dot, covered: u64) -> u64 {
    match EpochWidth::of(dot.origin.epoch) {
        EpochWidth::Long => covered,
        EpochWidth::Short => covered.min(u64::from(u32::MAX)).max(dot.seq),
    }
}
