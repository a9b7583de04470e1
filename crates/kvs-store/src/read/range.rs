//! Ranges of keys: pages in byte order, with folding at a delimiter.
//!
//! A page looks at a bounded number of rows and holds a bounded number of bytes. Deleted and expired keys are passed
//! over but count as looked at, so a page may be short and still say where to go on.

use std::ops::Bound;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::Record;

use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{after_prefix, read_record_key};
use crate::limits::{PAGE_BYTES_MAX, SCAN_ROWS_MAX};
use crate::read::view::View;
use crate::row::Row;
use crate::table::Table;

/// What to list. Texts are paths or parts of paths, without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// The namespace.
    pub namespace: Namespace,
    /// The first key, inclusive; empty for the beginning.
    pub start: Bytes,
    /// The end, exclusive; empty for none.
    pub end: Bytes,
    /// What every key begins with.
    pub prefix: Bytes,
    /// Keys that go on beyond this text, once behind the prefix, are folded into one row.
    pub delimiter: Option<Bytes>,
    /// Most rows of the page, from 1.
    pub limit: usize,
    /// The way.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<Position>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Behind this key.
    Key(Bytes),
    /// Behind everything that goes on beyond this prefix.
    Prefix(Bytes),
}

/// A row of a page.
#[expect(clippy::large_enum_variant, reason = "nearly all rows are keys; a box for each would cost more")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageRow {
    /// A live key.
    Key(Path, Record),
    /// All live keys that begin with this text and go on beyond it.
    Prefix(Bytes),
}

/// A page of a range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The rows in order.
    pub rows: Vec<PageRow>,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
}

/// The page of a query, as a reader at `now_ms` sees it.
///
/// # Errors
///
/// A row cannot be read.
pub fn page(view: &View, query: &RangeQuery, now_ms: u64) -> Result<Page, StoreError> {
    page_of(view, query, now_ms, &mut |_, _| Ok(true))
}

/// The same page, without the keys that `is_seen` says no to: they are passed over like deleted ones, and a prefix is
/// listed when some key behind it is seen. Where a page says to go on may name a key that is not seen.
///
/// # Errors
///
/// A row cannot be read, or what `is_seen` fails with.
pub fn page_of(
    view: &View,
    query: &RangeQuery,
    now_ms: u64,
    is_seen: &mut dyn FnMut(&Path, &Record) -> Result<bool, StoreError>,
) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let Some(mut scan) = Scan::begin(query) else {
        return Ok(page);
    };
    let (mut looked_at, mut bytes) = (0, 0_usize);
    'seek: loop {
        for stored in view.range(Table::Records, (scan.from.clone(), scan.to.clone()), query.order) {
            let (row_key, value) = stored?;
            looked_at += 1;
            let text = row_key.slice(1..);
            if looked_at > SCAN_ROWS_MAX {
                // The row just met was not answered, so the next page begins behind the one before it.
                return Ok(page);
            }
            page.next = Some(Position::Key(text.clone()));
            let key = read_record_key(&row_key)
                .ok_or_else(|| StoreError::corrupt(Table::Records.name(), &row_key, "its key is no path"))?;
            let row = Row::decode(&key, &value)?;
            if !row.record.is_live(now_ms) || !is_seen(&key.path, &row.record)? {
                continue;
            }
            if page.rows.len() == query.limit {
                page.next = page.rows.last().map(position_of);
                return Ok(page);
            }
            let Some(folded) = fold(query, &text) else {
                bytes = bytes.saturating_add(row.record.payload.raw_len());
                if bytes > PAGE_BYTES_MAX && !page.rows.is_empty() {
                    page.next = page.rows.last().map(position_of);
                    return Ok(page);
                }
                page.rows.push(PageRow::Key(key.path, row.record));
                continue;
            };
            page.rows.push(PageRow::Prefix(folded.clone()));
            page.next = Some(Position::Prefix(folded.clone()));
            if !scan.skip(&folded, query) {
                break 'seek;
            }
            continue 'seek;
        }
        break;
    }
    page.next = None;
    Ok(page)
}

fn position_of(row: &PageRow) -> Position {
    match row {
        PageRow::Key(path, _) => Position::Key(Bytes::copy_from_slice(path.as_bytes())),
        PageRow::Prefix(prefix) => Position::Prefix(prefix.clone()),
    }
}

/// The text up to and including the delimiter, for a key that goes on beyond it.
fn fold(query: &RangeQuery, text: &Bytes) -> Option<Bytes> {
    let delimiter = query.delimiter.as_ref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = text.get(query.prefix.len()..)?;
    let at = rest.windows(delimiter.len()).position(|window| window == delimiter)?;
    let end = query.prefix.len() + at + delimiter.len();
    (end < text.len()).then(|| text.slice(..end))
}

/// The part of the table that is still to be looked at.
struct Scan {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl Scan {
    /// `None` when nothing can match.
    fn begin(query: &RangeQuery) -> Option<Self> {
        let key = |text: &[u8]| [&[query.namespace.number()], text].concat();
        let from = key(&query.start).max(key(&query.prefix));
        let mut to = after_prefix(&key(&query.prefix))?;
        if !query.end.is_empty() {
            to = to.min(key(&query.end));
        }
        let mut scan = Self { from: Bound::Included(from), to: Bound::Excluded(to) };
        match &query.after {
            None => {}
            Some(Position::Key(text)) => scan.pass(key(text), query.order),
            Some(Position::Prefix(prefix)) if !scan.skip(prefix, query) => return None,
            Some(Position::Prefix(_)) => {}
        }
        Some(scan)
    }

    /// Goes on behind this key.
    fn pass(&mut self, key: Vec<u8>, order: Order) {
        match order {
            Order::Ascending => {
                if lies_behind(&self.from, &key) {
                    self.from = Bound::Excluded(key);
                }
            }
            Order::Descending => {
                if lies_before(&self.to, &key) {
                    self.to = Bound::Excluded(key);
                }
            }
        }
    }

    /// Goes on behind everything that goes on beyond this prefix; `false` when nothing is left.
    fn skip(&mut self, prefix: &[u8], query: &RangeQuery) -> bool {
        let key = [&[query.namespace.number()], prefix].concat();
        match query.order {
            Order::Ascending => match after_prefix(&key) {
                Some(after) => {
                    if lies_behind(&self.from, &after) {
                        self.from = Bound::Included(after);
                    }
                }
                None => return false,
            },
            Order::Descending => {
                // The key that is the prefix itself, which a delimiter other than a slash allows, comes last.
                if lies_before(&self.to, &key) && !is_at(&self.to, &key) {
                    self.to = Bound::Included(key);
                }
            }
        }
        true
    }
}

/// Whether `key` is at or behind the lower bound: a forged cursor must not widen the range.
fn lies_behind(from: &Bound<Vec<u8>>, key: &Vec<u8>) -> bool {
    match from {
        Bound::Included(from) | Bound::Excluded(from) => key >= from,
        Bound::Unbounded => true,
    }
}

/// Whether the bound is at `key`.
fn is_at(bound: &Bound<Vec<u8>>, key: &Vec<u8>) -> bool {
    match bound {
        Bound::Included(at) | Bound::Excluded(at) => at == key,
        Bound::Unbounded => false,
    }
}

/// Whether `key` is before or at the upper bound.
fn lies_before(to: &Bound<Vec<u8>>, key: &Vec<u8>) -> bool {
    match to {
        Bound::Included(to) | Bound::Excluded(to) => key <= to,
        Bound::Unbounded => true,
    }
}
