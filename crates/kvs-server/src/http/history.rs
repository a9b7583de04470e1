//! `/history/{path}`: the versions of a key, one of them, and its restoration.
//!
//! A version is `{"uuid","timestamp","op","size","origin"}`, where `op` is `put`, `delete` or `expire`, `size` the bytes
//! of its value and `origin` the node that accepted it; with `expires_at` where it has one; and, for all but the current
//! one, `superseded_by` with the version it lost to and `rule` with why: `newer`, `older_node`, `smaller_uuid` or
//! `expired`. One version asked for by its uuid has its `data` too.
//!
//! A path may itself end in a uuid. `GET /history/a/UUID` is the version UUID of `a` where there is one, else the versions
//! of the key `a/UUID`.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, StatusCode};
use kvs_auth::decision::Action;
use kvs_core::path::Path;
use kvs_core::record::{Kind, Record};
use kvs_store::clock::Clock;
use kvs_store::commit::write::Change;
use kvs_store::read::history::Revision;
use uuid::Uuid;

use crate::access::visitor::Visitor;
use crate::answer::{write_expiry, write_number, write_version_members};
use crate::conditions::{self, uuid_of};
use crate::context::Node;
use crate::http::json_list::JsonList;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::{expect_scope, expect_writable, ttl_of_text, written};
use crate::problem::{Code, Problem};
use crate::routes::split_version;

/// Answers a read of a history.
pub(crate) async fn read(
    node: &Arc<Node>,
    visitor: &Visitor,
    raw_path: &str,
    query: Option<&str>,
) -> Result<Reply, Problem> {
    expect_scope(visitor, Action::Read)?;
    Query::read(query, &[])?;
    let version = match split_version(raw_path) {
        Some((path, uuid)) => Some((Path::parse_encoded(path.as_bytes())?, uuid_of(uuid.as_bytes()))),
        None => None,
    };
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    let (reading, asking) = (Arc::clone(node), visitor.clone());
    node.scans
        .run(move || {
            if let Some((path, Some(uuid))) = version
                && let Some(revision) = find(&reading, &asking, &path, uuid)?
            {
                return one(&reading, &revision);
            }
            list(&reading, &asking, &path)
        })
        .await
}

/// Writes a version back as a new one. Its time to live begins anew: `?ttl=`, else `default_ttl`.
pub(crate) async fn restore(
    node: &Arc<Node>,
    visitor: &Visitor,
    raw_path: &str,
    uuid: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    expect_writable(node)?;
    expect_scope(visitor, Action::Write)?;
    expect_scope(visitor, Action::Read)?;
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    let uuid = uuid_of(uuid.as_bytes()).ok_or_else(no_such_version)?;
    let ttl = Query::read(query, &["ttl"])?.value("ttl").map(ttl_of_text).transpose()?;
    let precondition = conditions::read(headers)?;
    let (reading, asking, key) = (Arc::clone(node), visitor.clone(), path.clone());
    let content = node
        .scans
        .run(move || {
            let revision = find(&reading, &asking, &key, uuid)?.ok_or_else(no_such_version)?;
            if revision.record.kind != Kind::Value {
                return Err(Problem::new(Code::NoValue, "this version holds no value"));
            }
            Ok(reading.vault.prepare(reading.vault.json(&revision.record)?))
        })
        .await?;
    let change = Change::Put { content, lifetime: ttl.unwrap_or(node.settings.default_ttl) };
    let write = node.vault.allow(visitor, path, change, precondition)?;
    let outcomes = node.vault.commit(vec![write]).await?;
    written(&outcomes, None)
}

fn no_such_version() -> Problem {
    Problem::new(Code::NotFound, "the history of this path does not hold this version")
}

/// The version of this uuid. A value that expired is there twice, as what it was and as what became of it: the one with
/// the content is the answer.
fn find(node: &Node, visitor: &Visitor, path: &Path, uuid: Uuid) -> Result<Option<Revision>, Problem> {
    let revisions = node.vault.history(&visitor.identity.caller(), path, node.clock.now_ms())?;
    let mut of_version = revisions.into_iter().filter(|revision| revision.record.version.uuid == uuid);
    let first = of_version.next();
    if first.as_ref().is_none_or(|revision| revision.record.kind == Kind::Value) {
        return Ok(first);
    }
    Ok(of_version.find(|revision| revision.record.kind == Kind::Value).or(first))
}

fn list(node: &Node, visitor: &Visitor, path: &Path) -> Result<Reply, Problem> {
    let revisions = node.vault.history(&visitor.identity.caller(), path, node.clock.now_ms())?;
    if revisions.is_empty() {
        return Err(Problem::new(Code::NotFound, "this path has no history"));
    }
    let mut list = JsonList::open(b"");
    for revision in &revisions {
        let out = list.next();
        write_members(out, revision);
        out.put_u8(b'}');
    }
    let body = list.close().freeze();
    let share = node.budget.share(body.len())?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::covered(body, share)))
}

fn one(node: &Node, revision: &Revision) -> Result<Reply, Problem> {
    let mut body = BytesMut::new();
    write_members(&mut body, revision);
    if revision.record.kind == Kind::Value {
        body.put_slice(b",\"data\":");
        body.put_slice(&node.vault.json(&revision.record)?);
    }
    body.put_u8(b'}');
    let body = body.freeze();
    let share = node.budget.share(body.len())?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::covered(body, share)))
}

/// Opens an object and writes all members but the data.
fn write_members(out: &mut BytesMut, revision: &Revision) {
    let record = &revision.record;
    out.put_u8(b'{');
    write_version_members(out, record.version.uuid, record.version.stamp.ms);
    out.put_slice(b",\"op\":\"");
    out.put_slice(op(record).as_bytes());
    out.put_slice(b"\",\"size\":");
    write_number(out, record.payload.raw_len() as u64);
    out.put_slice(b",\"origin\":\"");
    write_uuid(out, record.dot.origin.node);
    out.put_u8(b'"');
    write_expiry(out, record);
    if let Some((by, rule)) = revision.superseded {
        if !by.is_nil() {
            out.put_slice(b",\"superseded_by\":\"");
            write_uuid(out, by);
            out.put_u8(b'"');
        }
        out.put_slice(b",\"rule\":\"");
        out.put_slice(rule.name().as_bytes());
        out.put_u8(b'"');
    }
}

const fn op(record: &Record) -> &'static str {
    match record.kind {
        Kind::Value => "put",
        Kind::Tombstone => "delete",
        Kind::Expired => "expire",
        // These only keep the place of a history and are in none.
        Kind::Dropped | Kind::Voided => "forget",
    }
}

fn write_uuid(out: &mut BytesMut, uuid: Uuid) {
    out.put_slice(uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::write_members;
    use crate::answer::tests::record;
    use bytes::BytesMut;
    use kvs_core::version::Rule;
    use kvs_store::read::history::Revision;
    use uuid::Uuid;

    #[test]
    fn a_version_tells_what_it_was_and_what_it_lost_to() {
        let mut out = BytesMut::new();
        let superseded = Some((Uuid::from_u128(2), Rule::Newer));
        write_members(&mut out, &Revision { record: record(1, 5, 9), superseded });
        out.extend_from_slice(b"}");
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "uuid": "00000000-0000-0000-0000-000000000001", "timestamp": 5, "op": "put", "size": 1,
                "origin": "00000000-0000-0000-0000-000000000001", "expires_at": 9,
                "superseded_by": "00000000-0000-0000-0000-000000000002", "rule": "newer",
            })
        );
    }
}
