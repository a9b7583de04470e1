//! `GET /kv/_range`: keys in byte order, page by page.
//!
//! A page ends at its `limit`, or earlier when its values grow large or many deleted keys lie on the way; `next` alone
//! says whether there is more.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use http::StatusCode;
use kvs_auth::decision::Action;
use kvs_core::limits::RANGE_LIMIT_MAX;
use kvs_core::namespace::Namespace;
use kvs_store::clock::Clock;
use kvs_store::engine::contract::Order;
use kvs_store::read::range::{PageRow, Position, RangeQuery};

use crate::access::visitor::Visitor;
use crate::answer::write_text;
use crate::context::Node;
use crate::http::json_list::JsonList;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::expect_scope;
use crate::limits::{ANSWER_BYTES_TARGET, RANGE_LIMIT_DEFAULT};
use crate::problem::{Code, Problem};
use crate::range_cursor;

/// Rows that are in memory at once besides the answer: a page is read in pieces, since each row brings its value.
pub(crate) const CHUNK_ROWS_MAX: usize = 50;

/// Rows of the first piece, when nothing is known of their size.
const CHUNK_ROWS_FIRST: usize = 10;

const PARAMETERS: &[&str] =
    &["start_key", "end_key", "prefix", "delimiter", "limit", "reverse", "keys_only", "cursor"];

/// Whether values are listed with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    Included,
    Omitted,
}

/// Answers a listing.
pub(crate) async fn list(node: &Arc<Node>, visitor: &Visitor, query: Option<&str>) -> Result<Reply, Problem> {
    expect_scope(visitor, Action::Read)?;
    let query = Query::read(query, PARAMETERS)?;
    let values = if query.switch("keys_only")? { Values::Omitted } else { Values::Included };
    let wanted = range_of(&query, node.guard.cursor_key())?;
    let (scanning, asking) = (Arc::clone(node), visitor.clone());
    node.scans.run(move || page(&scanning, &asking, wanted, values)).await
}

fn range_of(query: &Query<'_>, cursor_key: Option<&[u8; 32]>) -> Result<RangeQuery, Problem> {
    let order = if query.switch("reverse")? { Order::Descending } else { Order::Ascending };
    let delimiter = query.value("delimiter").map(|text| Bytes::copy_from_slice(text.as_bytes()));
    if delimiter.as_ref().is_some_and(Bytes::is_empty) {
        return Err(Problem::new(Code::BadQuery, "delimiter takes a text such as /"));
    }
    Ok(RangeQuery {
        namespace: Namespace::Data,
        start: key_text(query, "start_key"),
        end: key_text(query, "end_key"),
        prefix: key_text(query, "prefix"),
        delimiter,
        limit: limit(query)?,
        order,
        after: query
            .value("cursor")
            .map(|cursor| range_cursor::decode_any(cursor, order, cursor_key))
            .transpose()?,
    })
}

/// A key or the beginning of one; as in paths, a leading slash is optional.
fn key_text(query: &Query<'_>, name: &str) -> Bytes {
    let text = query.value(name).unwrap_or_default();
    Bytes::copy_from_slice(text.strip_prefix('/').unwrap_or(text).as_bytes())
}

fn limit(query: &Query<'_>) -> Result<usize, Problem> {
    let Some(text) = query.value("limit") else { return Ok(RANGE_LIMIT_DEFAULT) };
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| is_digits && (1..=RANGE_LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| {
        Problem::new(Code::BadQuery, format!("limit takes a number from 1 to {RANGE_LIMIT_MAX}"))
    })
}

fn page(node: &Node, visitor: &Visitor, wanted: RangeQuery, values: Values) -> Result<Reply, Problem> {
    let view = node.vault.view()?;
    let caller = visitor.identity.caller();
    let now_ms = node.clock.now_ms();
    let mut found = JsonList::open(b"{\"items\":");
    let mut prefixes = Vec::new();
    let mut left = wanted.limit;
    let mut query = RangeQuery { limit: CHUNK_ROWS_FIRST.min(left), ..wanted };
    'chunks: loop {
        let chunk = node.vault.page(&caller, &view, &query, now_ms)?;
        let is_whole = chunk.rows.len() == query.limit;
        let mut chunk_bytes = 0;
        for row in chunk.rows {
            // What did not find room is where the next page begins.
            if found.is_full() {
                break 'chunks;
            }
            left -= 1;
            match row {
                PageRow::Prefix(prefix) => {
                    query.after = Some(Position::Prefix(prefix.clone()));
                    prefixes.push(prefix);
                }
                PageRow::Key(path, record) => {
                    query.after = Some(Position::Key(Bytes::copy_from_slice(path.as_bytes())));
                    let data = match values {
                        Values::Included => Some(node.vault.json(&record)?),
                        Values::Omitted => None,
                    };
                    chunk_bytes += data.as_ref().map_or(0, Bytes::len);
                    found.push_record(&path, &record, data.as_deref());
                }
            }
        }
        query.after = chunk.next;
        // A short piece with more to come has looked at as much as one request may.
        if query.after.is_none() || left == 0 || !is_whole {
            break;
        }
        let is_light = chunk_bytes.saturating_mul(CHUNK_ROWS_MAX / CHUNK_ROWS_FIRST) < ANSWER_BYTES_TARGET;
        query.limit = if is_light { CHUNK_ROWS_MAX.min(left) } else { CHUNK_ROWS_FIRST.min(left) };
    }
    let mut body = found.close();
    let mut folded = JsonList::open(b",\"prefixes\":");
    for prefix in prefixes {
        // Whole characters: a delimiter is text, and so is what stands before it.
        write_text(folded.next(), &String::from_utf8_lossy(&prefix));
    }
    body.put_slice(&folded.close());
    body.put_slice(b",\"next\":");
    match &query.after {
        Some(position) => {
            let cursor = match node.guard.cursor_key().filter(|_| !caller.is_admin_everywhere()) {
                Some(key) => range_cursor::encode_hidden(position, query.order, key)?,
                None => range_cursor::encode(position, query.order),
            };
            write_text(&mut body, &cursor);
        }
        None => body.put_slice(b"null"),
    }
    body.put_u8(b'}');
    let body = body.freeze();
    let share = node.budget.share(body.len())?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::covered(body, share)))
}

#[cfg(test)]
mod tests {
    use super::range_of;
    use crate::http::query::Query;
    use crate::problem::Code;
    use kvs_store::engine::contract::Order;
    use kvs_store::read::range::RangeQuery;

    fn read(query: &str) -> Result<RangeQuery, Code> {
        let query = Query::read(Some(query), super::PARAMETERS).unwrap();
        range_of(&query, None).map_err(|problem| problem.code)
    }

    #[test]
    fn a_leading_slash_is_optional_as_in_paths() {
        let query = read("start_key=/a&end_key=b&prefix=%2Fc").unwrap();
        assert_eq!((&query.start[..], &query.end[..], &query.prefix[..]), (&b"a"[..], &b"b"[..], &b"c"[..]));
        assert_eq!((query.limit, query.order), (100, Order::Ascending));
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        assert_eq!(read("limit=1000").unwrap().limit, 1000);
        for limit in ["0", "1001", "-1", "+5", "x", ""] {
            assert_eq!(read(&format!("limit={limit}")), Err(Code::BadQuery), "{limit}");
        }
        assert_eq!(read("delimiter="), Err(Code::BadQuery));
        assert_eq!(read("cursor=xyz"), Err(Code::BadCursor));
        assert_eq!(read("cursor=1dk61"), Err(Code::BadCursor));
        assert!(read("cursor=1dk61&reverse=true").is_ok());
    }
}
