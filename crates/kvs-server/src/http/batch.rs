//! `POST /kv/_batch`: up to 1,000 writes in one commit, all or nothing.
//!
//! `{"ops":[...]}`, each operation an object:
//!
//! | member | of | meaning |
//! | --- | --- | --- |
//! | `op` | both | `put` or `delete` |
//! | `path` | both | the key, as text (not percent-encoded) |
//! | `data` | put | any JSON value, stored byte for byte as it stands; an envelope is not opened here |
//! | `ttl` | put | a duration or seconds; `default_ttl` without it |
//! | `if_match` | both | a version's uuid, or `*` for any |
//! | `if_none_match` | both | the same; `*` for none |
//!
//! Operations are carried out in their order and see the ones before. The answer's `results` has one element for each:
//! `{"status":201,"uuid","timestamp"}` (200 when the key had a value), `{"status":204}` for a delete, or `{"status":404}`
//! where there was nothing to delete, which fails nothing. A refused operation fails all, and the problem says its
//! `index`.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use kvs_auth::decision::{Action, Authorized};
use kvs_core::limits::BATCH_OPS_MAX;
use kvs_core::path::Path;
use kvs_core::precondition::{Precondition, Tags};
use kvs_store::commit::write::{Change, Outcome, Write};
use kvs_store::error::StoreError;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::access::visitor::Visitor;
use crate::answer::write_number;
use crate::conditions::tags_of_text;
use crate::context::Node;
use crate::http::body;
use crate::http::bounded_list::BoundedList;
use crate::http::copies::{self, Copies};
use crate::http::json_list::JsonList;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::{bad_json, expect_scope, expect_writable, ttl_of_json, write_written};
use crate::json_check;
use crate::limits::{BATCH_BODY_BYTES_MAX, PREPARE_INLINE_BYTES_MAX};
use crate::problem::{Code, Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    ops: BoundedList<&'a RawValue, BATCH_OPS_MAX>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation<'a> {
    op: Verb,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl: Option<&'a RawValue>,
    #[serde(borrow)]
    if_match: Option<Cow<'a, str>>,
    #[serde(borrow)]
    if_none_match: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Put,
    Delete,
}

/// A member that is there, whatever it holds: `null` is a value like any other.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// Answers a batch.
pub(crate) async fn batch(
    node: &Arc<Node>,
    visitor: &Visitor,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    expect_writable(node)?;
    // Before the body is read; each operation is asked about by itself.
    expect_scope(visitor, Action::Write).or_else(|_| expect_scope(visitor, Action::Delete))?;
    let copies = Copies::read(&Query::read(query, &[copies::W, copies::TIMEOUT])?)?;
    body::expect_json(headers)?;
    let body = body::read(headers, body, BATCH_BODY_BYTES_MAX, &node.budget).await?;
    let writes = if body.bytes.len() > PREPARE_INLINE_BYTES_MAX {
        let (planning, asking, bytes) = (Arc::clone(node), visitor.clone(), body.bytes.clone());
        node.scans.run(move || plan(&planning, &asking, &bytes)).await?
    } else {
        plan(node, visitor, &body.bytes)?
    };
    let outcomes =
        if writes.is_empty() { Vec::new() } else { node.vault.commit(writes).await.map_err(refusal)? };
    drop(body.share);
    let replicated = copies.wait(node, &outcomes).await;
    answer(&outcomes, replicated)
}

/// A store's error, with the operation that it is about.
fn refusal(error: StoreError) -> Problem {
    match error {
        StoreError::Precondition { index } | StoreError::Refused { index, .. } => {
            Problem::from(error).at(index)
        }
        other => Problem::from(other),
    }
}

/// The writes of a body: from here on they cannot be invalid.
fn plan(node: &Node, visitor: &Visitor, body: &Bytes) -> Result<Vec<Authorized<Write>>, Problem> {
    let batch: Batch<'_> = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
    let operations = batch.ops.0.iter().enumerate();
    operations
        .map(|(index, text)| write_of(node, visitor, body, text).map_err(|problem| problem.at(index)))
        .collect()
}

fn write_of(
    node: &Node,
    visitor: &Visitor,
    body: &Bytes,
    text: &RawValue,
) -> Result<Authorized<Write>, Problem> {
    let operation: Operation<'_> = serde_json::from_str(text.get()).map_err(|error| {
        Problem::new(Code::BadJson, format!("this operation is not well-formed: {error}"))
    })?;
    let path = Path::parse(&operation.path)?;
    let precondition = Precondition {
        if_match: operation.if_match.as_deref().map(tags).transpose()?,
        if_none_match: operation.if_none_match.as_deref().map(tags).transpose()?,
    };
    let change = match (operation.op, operation.data) {
        (Verb::Put, Some(data)) => put(node, body, data, operation.ttl)?,
        (Verb::Put, None) => return Err(Problem::new(Code::BadJson, "a put needs data")),
        (Verb::Delete, None) if operation.ttl.is_none() => Change::Delete,
        (Verb::Delete, _) => return Err(Problem::new(Code::BadJson, "a delete takes neither data nor ttl")),
    };
    node.vault.allow(visitor, path, change, precondition)
}

fn put(node: &Node, body: &Bytes, data: &RawValue, ttl: Option<&RawValue>) -> Result<Change, Problem> {
    let text = data.get().as_bytes();
    if text.len() > node.settings.max_json_size {
        let detail = format!("the value is larger than {} bytes", node.settings.max_json_size);
        return Err(Problem::new(Code::TooLarge, detail));
    }
    json_check::check(text).map_err(|error| bad_json(&error))?;
    let lifetime = match ttl {
        Some(ttl) => ttl_of_json(ttl)?,
        None => node.settings.default_ttl,
    };
    Ok(Change::Put { content: node.vault.prepare(body.slice_ref(text)), lifetime })
}

fn tags(text: &str) -> Result<Tags, Problem> {
    tags_of_text(text).ok_or_else(|| {
        Problem::new(Code::BadCondition, "if_match and if_none_match take * or a version's uuid")
    })
}

fn answer(outcomes: &[Outcome], replicated: Option<u32>) -> Result<Reply, Problem> {
    let mut results = JsonList::open(b"{\"results\":");
    for outcome in outcomes {
        let (status, written) = match outcome {
            Outcome::Created(written) => (StatusCode::CREATED, Some(written)),
            Outcome::Replaced(written) => (StatusCode::OK, Some(written)),
            Outcome::Deleted(_) => (StatusCode::NO_CONTENT, None),
            Outcome::Absent => (StatusCode::NOT_FOUND, None),
            other => return Err(Problem::internal(format!("an operation of a batch ended as {other:?}"))),
        };
        let out = results.next();
        out.put_slice(b"{\"status\":");
        write_number(out, u64::from(status.as_u16()));
        if let Some(written) = written {
            out.put_u8(b',');
            write_written(out, written);
        }
        out.put_u8(b'}');
    }
    let mut body = results.close();
    let status = if let Some(count) = replicated {
        body.put_slice(b",\"replicated\":");
        write_number(&mut body, u64::from(count));
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    body.put_u8(b'}');
    Ok(Reply::json(status, AnswerBody::free(body.freeze())))
}
