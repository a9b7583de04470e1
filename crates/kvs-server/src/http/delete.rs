//! `DELETE /kv/{path}`: one key, or with `?recursive=true` the key and all below it.
//!
//! A subtree is deleted page by page, each page one commit: reads and other writes go on between, and a key that is
//! written meanwhile behind the scan survives. If it ends early, what was deleted stays deleted and the rest can be
//! deleted by asking again.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use kvs_auth::decision::Action;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_store::commit::write::{Change, Outcome, Written};
use kvs_store::engine::contract::Order;
use kvs_store::read::range::{PageRow, Position, RangeQuery};
use std::sync::Arc;

use crate::access::visitor::Visitor;
use crate::access::warrant::Otherwise;
use crate::answer;
use crate::conditions;
use crate::context::Node;
use crate::http::copies::{self, Copies};
use crate::http::query::Query;
use crate::http::range::CHUNK_ROWS_MAX;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::{expect_scope, expect_writable, write_written};
use crate::limits::SUBTREE_PAGE_KEYS;
use crate::problem::{Code, Problem};
use kvs_store::clock::Clock;

/// Answers a `DELETE`.
pub(crate) async fn delete(
    node: &Arc<Node>,
    visitor: &Visitor,
    raw_path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    expect_writable(node)?;
    expect_scope(visitor, Action::Delete)?;
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    let query = Query::read(query, &["recursive", copies::W, copies::TIMEOUT])?;
    let (is_recursive, copies) = (query.switch("recursive")?, Copies::read(&query)?);
    let precondition = conditions::read(headers)?;
    if is_recursive {
        if precondition != Precondition::default() {
            return Err(Problem::new(Code::BadCondition, "a recursive delete takes no conditions"));
        }
        if query.value(copies::W).is_some() {
            return Err(Problem::new(
                Code::BadQuery,
                "a recursive delete does not wait for copies: it takes no w",
            ));
        }
        return delete_subtree(node, visitor, path).await;
    }
    let write = node.vault.allow(visitor, path, Change::Delete, precondition)?;
    let outcomes = node.vault.commit(vec![write]).await?;
    match outcomes.as_slice() {
        [Outcome::Deleted(written)] => match copies.wait(node, &outcomes).await {
            None => Ok(Reply::empty(StatusCode::NO_CONTENT)),
            Some(count) => Ok(Reply::json(StatusCode::ACCEPTED, AnswerBody::free(too_few(written, count)))),
        },
        [Outcome::Absent] => Err(Problem::no_such_key()),
        other => Err(Problem::internal(format!("a delete of one key ended as {other:?}"))),
    }
}

/// What is answered when a delete is on fewer nodes than asked for.
fn too_few(written: &Written, count: u32) -> Bytes {
    let mut body = BytesMut::from(&b"{"[..]);
    write_written(&mut body, written);
    body.put_slice(b",\"replicated\":");
    answer::write_number(&mut body, u64::from(count));
    body.put_u8(b'}');
    body.freeze()
}

async fn delete_subtree(node: &Arc<Node>, visitor: &Visitor, path: Path) -> Result<Reply, Problem> {
    let mut deleted = count_deleted(&delete_all(node, visitor, vec![path.clone()]).await?);
    let mut after = None;
    loop {
        let (scanning, asking, below) = (Arc::clone(node), visitor.clone(), path.clone());
        let (paths, next) = node.scans.run(move || page_below(&scanning, &asking, &below, after)).await?;
        if !paths.is_empty() {
            deleted += count_deleted(&delete_all(node, visitor, paths).await?);
        }
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut body = BytesMut::from(&b"{\"deleted\":"[..]);
    answer::write_number(&mut body, deleted);
    body.put_u8(b'}');
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(body.freeze())))
}

/// Deletes what the visitor may delete of these keys, and passes over the rest.
async fn delete_all(node: &Node, visitor: &Visitor, paths: Vec<Path>) -> Result<Vec<Outcome>, Problem> {
    let delete = |path| {
        let write = (Namespace::Data, path, Change::Delete, Precondition::default());
        node.vault.allow_in(visitor, Action::Delete, Otherwise::PassOver, write)
    };
    let writes = paths.into_iter().map(delete).collect::<Result<Vec<_>, _>>()?;
    Ok(node.vault.commit(writes).await?)
}

fn count_deleted(outcomes: &[Outcome]) -> u64 {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Deleted(_))).count() as u64
}

/// Keys below `path` that the visitor may delete, up to a page of them, and where to go on.
fn page_below(
    node: &Node,
    visitor: &Visitor,
    path: &Path,
    after: Option<Position>,
) -> Result<(Vec<Path>, Option<Position>), Problem> {
    let view = node.vault.view()?;
    let caller = visitor.identity.caller();
    let now_ms = node.clock.now_ms();
    let mut query = RangeQuery {
        namespace: Namespace::Data,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::from(format!("{path}/")),
        delimiter: None,
        limit: CHUNK_ROWS_MAX,
        order: Order::Ascending,
        after,
    };
    let mut paths = Vec::new();
    while paths.len() + CHUNK_ROWS_MAX <= SUBTREE_PAGE_KEYS {
        // Values come with the keys, so only a few at a time.
        let page = node.vault.page_for(&caller, Action::Delete, &view, &query, now_ms)?;
        let is_whole = page.rows.len() == query.limit;
        paths.extend(page.rows.into_iter().filter_map(|row| match row {
            PageRow::Key(path, _) => Some(path),
            PageRow::Prefix(_) => None,
        }));
        query.after = page.next;
        // A short piece with more to come has looked at as much as one turn may: other large reads wait meanwhile.
        if query.after.is_none() || !is_whole {
            break;
        }
    }
    Ok((paths, query.after))
}
