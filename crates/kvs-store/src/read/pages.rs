//! Everything that a node holds, tombstones included, page by page in key order.

use std::ops::Bound;

use bytes::Bytes;

use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::read_record_key;
use crate::observer::Key;
use crate::read::log::PieceLimits;
use crate::read::view::View;
use crate::row::Row;
use crate::table::Table;

/// Most rows that one page looks at, taken or not.
const PAGE_ROWS_MAX: usize = 20_000;

/// Which records a page takes, by their stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// At or after this moment, ms since 1970.
    Since(u64),
    /// Before it.
    Before(u64),
}

impl Age {
    const fn takes(self, stamp_ms: u64) -> bool {
        match self {
            Self::Since(moment_ms) => stamp_ms >= moment_ms,
            Self::Before(moment_ms) => stamp_ms < moment_ms,
        }
    }
}

/// Records with their keys, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordPage {
    /// Keys and their encoded records.
    pub records: Vec<(Key, Bytes)>,
    /// The row key that was looked at last; `None` when nothing follows.
    pub last: Option<Vec<u8>>,
}

/// The page behind `after`.
///
/// # Errors
///
/// A row cannot be read.
pub fn record_page(
    view: &View,
    after: Option<Vec<u8>>,
    age: Age,
    limits: PieceLimits,
) -> Result<RecordPage, StoreError> {
    let mut page = RecordPage::default();
    let mut bytes = 0;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    for (seen, stored) in view.range(Table::Records, (from, Bound::Unbounded), Order::Ascending).enumerate() {
        let (row_key, value) = stored?;
        let corrupt = || StoreError::corrupt(Table::Records.name(), &row_key, "it cannot be read");
        let key = read_record_key(&row_key).ok_or_else(corrupt)?;
        let row = Row::decode(&key, &value)?;
        if age.takes(row.record.version.stamp.ms) && !row.record.kind.is_placeholder() {
            let record = Row::record_bytes(&value).ok_or_else(corrupt)?;
            bytes += record.len() + row_key.len();
            page.records.push((key, record));
        }
        if seen + 1 == PAGE_ROWS_MAX || page.records.len() == limits.records || bytes >= limits.bytes {
            page.last = Some(row_key.to_vec());
            return Ok(page);
        }
    }
    Ok(page)
}
