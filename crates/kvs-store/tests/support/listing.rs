//! A naive listing: all keys, filtered and folded one by one; and the same of a store, page by page.

use std::collections::BTreeMap;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_store::engine::contract::Order;
use kvs_store::read::range::{PageRow, Position, RangeQuery};
use kvs_store::store::Store;

/// More pages than any listing of a test has.
const PAGES_MAX: usize = 10_000;

/// A row of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// A key and its JSON.
    Key(String, String),
    /// A folded prefix.
    Prefix(String),
}

/// Everything, a hundred rows at a time.
pub(crate) fn everything() -> RangeQuery {
    RangeQuery {
        namespace: Namespace::Data,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::new(),
        delimiter: None,
        limit: 100,
        order: Order::Ascending,
        after: None,
    }
}

/// What the query must list in all, whatever the page size.
pub(crate) fn naive(live: &BTreeMap<String, String>, query: &RangeQuery) -> Vec<Row> {
    let in_range = |text: &str| {
        let text = text.as_bytes();
        text >= &query.start[..]
            && (query.end.is_empty() || text < &query.end[..])
            && text.starts_with(&query.prefix)
    };
    let mut keys: Vec<_> = live.iter().filter(|(text, _)| in_range(text)).collect();
    if query.order == Order::Descending {
        keys.reverse();
    }
    let mut rows = Vec::new();
    for (text, json) in keys {
        let row = match folded(text, query) {
            Some(prefix) => Row::Prefix(prefix),
            None => Row::Key(text.clone(), json.clone()),
        };
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }
    rows
}

fn folded(text: &str, query: &RangeQuery) -> Option<String> {
    let delimiter = std::str::from_utf8(query.delimiter.as_deref()?).unwrap();
    if delimiter.is_empty() {
        return None;
    }
    let prefix = std::str::from_utf8(&query.prefix).unwrap();
    let rest = text.strip_prefix(prefix)?;
    let (head, tail) = rest.split_once(delimiter)?;
    (!tail.is_empty()).then(|| format!("{prefix}{head}{delimiter}"))
}

/// One page, checked against its limit.
pub(crate) fn page(store: &Store, query: &RangeQuery, now_ms: u64) -> (Vec<Row>, Option<Position>) {
    let page = store.range(query, now_ms).unwrap();
    assert!(page.rows.len() <= query.limit, "a page is longer than its limit");
    let rows = page.rows.iter().map(|row| match row {
        PageRow::Key(path, record) => {
            let json = store.json(record).unwrap().to_vec();
            Row::Key(path.as_str().to_owned(), String::from_utf8(json).unwrap())
        }
        PageRow::Prefix(prefix) => Row::Prefix(String::from_utf8(prefix.to_vec()).unwrap()),
    });
    (rows.collect(), page.next)
}

/// All rows of a query, page after page, and how many pages it took.
pub(crate) fn paged(store: &Store, query: &RangeQuery, now_ms: u64) -> (Vec<Row>, usize) {
    let mut query = query.clone();
    let mut all = Vec::new();
    for pages in 1..PAGES_MAX {
        let (rows, next) = page(store, &query, now_ms);
        all.extend(rows);
        match next {
            Some(next) => {
                assert_ne!(query.after.as_ref(), Some(&next), "a page that does not go on");
                query.after = Some(next);
            }
            None => return (all, pages),
        }
    }
    unreachable!("a listing without an end")
}
