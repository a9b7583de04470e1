//! `/cluster/parked`: records that wait because they are stamped too far ahead, and the order to discard those that nobody
//! recalls.
//!
//! A node takes back by itself what it stamped while its clock was ahead. Only where it does not come back an administrator
//! decides: what it stamped ahead is void on every node from then on, and kept in the histories of its keys.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use kvs_core::origin::Origin;
use kvs_core::record::Kind;
use kvs_protocol::membership::member::Status;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::Transaction;
use kvs_store::parked;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::visitor::Visitor;
use crate::context::Node;
use crate::http::body;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::{bad_json, expect_writable};
use crate::problem::{Code, Problem};

/// Largest body of an order to discard, in bytes.
const DISCARD_BYTES_MAX: usize = 4096;
/// Records on one page, if nothing else is asked for, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
/// Most epochs that are told one by one.
const EPOCHS_MAX: usize = 1000;

#[derive(Serialize)]
struct ParkedRecord {
    namespace: &'static str,
    path: String,
    uuid: String,
    timestamp: u64,
    op: &'static str,
    node: String,
    /// As text: it has more digits than every reader of JSON keeps.
    epoch: String,
}

#[derive(Serialize)]
struct ParkedOrigin {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Whether the node is there, and so takes back itself what it stamped ahead.
    alive: bool,
    epoch: String,
    latest: u64,
}

#[derive(Serialize)]
struct Parked {
    count: u64,
    origins: Vec<ParkedOrigin>,
    records: Vec<ParkedRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Answers `GET /cluster/parked`.
pub(crate) async fn list(node: &Arc<Node>, visitor: &Visitor, query: Option<&str>) -> Result<Reply, Problem> {
    let query = Query::read(query, &["limit", "after"])?;
    let limit = match query.value("limit") {
        None => PAGE_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| Problem::new(Code::BadQuery, "limit takes a whole number from 1 to 1000"))?,
    };
    let after = query.value("after").map(row_key_of).transpose()?;
    let store = Arc::clone(node.vault.whole(&visitor.identity.caller())?);
    let view = node.cluster.as_ref().map(|cluster| cluster.view()).unwrap_or_default();
    let members = &view.visible;
    let standing = store.standing();
    let origins = standing.parked_dots.iter().take(EPOCHS_MAX).map(|(origin, latest)| {
        let member = members.iter().find(|member| member.node == origin.node);
        ParkedOrigin {
            node: origin.node.to_string(),
            id: member.map(|member| member.node_id.clone()),
            alive: member.is_some_and(|member| member.status == Status::Alive),
            epoch: origin.epoch.to_string(),
            latest,
        }
    });
    let (origins, count) = (origins.collect(), standing.parked);
    let page = node.scans.run(move || Ok(parked::page(&store.view()?, after, limit)?)).await?;
    let next = page.last().filter(|_| page.len() == limit).map(|(row_key, _, _)| hex(row_key));
    let records = page.into_iter().map(|(_, key, record)| ParkedRecord {
        namespace: key.namespace.name(),
        path: key.path.as_str().to_owned(),
        uuid: record.version.uuid.to_string(),
        timestamp: record.version.stamp.ms,
        op: match record.kind {
            Kind::Value => "put",
            Kind::Expired => "expire",
            _ => "delete",
        },
        node: record.dot.origin.node.to_string(),
        epoch: record.dot.origin.epoch.to_string(),
    });
    json(&Parked { count, origins, records: records.collect(), next })
}

/// Answers `POST /cluster/parked/discard`: what a node that does not come back stamped ahead is void everywhere.
pub(crate) async fn discard(
    node: &Arc<Node>,
    visitor: &Visitor,
    query: Option<&str>,
    headers: &http::HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Discard {
        node: String,
    }
    #[derive(Serialize)]
    struct Discarded {
        epochs: usize,
    }
    Query::read(query, &[])?;
    body::expect_json(headers)?;
    expect_writable(node)?;
    let body = body::read(headers, body, DISCARD_BYTES_MAX, &node.budget).await?;
    node.vault.expect_good(visitor)?;
    let store = Arc::clone(node.vault.whole(&visitor.identity.caller())?);
    let Discard { node: of } = serde_json::from_slice(&body.bytes).map_err(|error| bad_json(&error))?;
    let of = Uuid::try_parse(&of).map_err(|_| {
        Problem::new(Code::BadJson, "node takes the uuid of a node, as GET /cluster/parked tells it")
    })?;
    let view = node.cluster.as_ref().map(|cluster| cluster.view()).unwrap_or_default();
    let members = &view.visible;
    let lives = of == store.node()
        || members.iter().any(|member| member.node == of && member.status == Status::Alive);
    if lives {
        return Err(Problem::new(
            Code::Conflict,
            "this node is there: it takes back itself what it stamped ahead, as soon as its clock is right",
        ));
    }
    let standing = store.standing();
    let epochs = standing.parked_dots.iter().map(|(origin, _)| *origin).filter(|origin| origin.node == of);
    let origins: Vec<Origin> = epochs.collect();
    if origins.is_empty() {
        return Err(Problem::new(Code::NotFound, "nothing of this node is parked here"));
    }
    let epochs = origins.len();
    let marks = vec![Mark::Discard(origins)];
    node.scans.run(move || Ok(store.commit(Transaction { writes: Vec::new(), marks })?)).await?;
    json(&Discarded { epochs })
}

/// Reads where a page ended.
fn row_key_of(text: &str) -> Result<Vec<u8>, Problem> {
    let bad = || Problem::new(Code::BadQuery, "after takes what 'next' of the page before said");
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(bad)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json<T: Serialize>(answer: &T) -> Result<Reply, Problem> {
    let body = serde_json::to_vec(answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(body.into())))
}

#[cfg(test)]
mod tests {
    use super::{hex, row_key_of};

    #[test]
    fn where_a_page_ended_reads_back_and_nothing_else_does() {
        let bytes = vec![0, 1, 0x7f, 0xff];
        assert_eq!(row_key_of(&hex(&bytes)).ok(), Some(bytes));
        for bad in ["0", "0g", "é1", "00 "] {
            assert!(row_key_of(bad).is_err(), "{bad}");
        }
    }
}
