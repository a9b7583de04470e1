//! `POST /kv/_get`: many keys in one request.
//!
//! The answer has one element per path, in the order asked: `{"path","uuid","timestamp","data","expires_at"?}`, or
//! `{"path","error"}` with `not_found`, or with `answer_full` where the answer has grown as large as one gets: those
//! paths are to be asked for again. The values are each current, not of one moment.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use kvs_auth::decision::Action;
use kvs_core::limits::READ_MANY_PATHS_MAX;
use kvs_core::path::Path;
use kvs_store::clock::Clock;
use serde::Deserialize;

use crate::access::visitor::Visitor;
use crate::answer::{Answer, write_text};
use crate::context::Node;
use crate::http::body;
use crate::http::bounded_list::BoundedList;
use crate::http::json_list::JsonList;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::{bad_json, expect_scope};
use crate::limits::READ_MANY_BODY_BYTES_MAX;
use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    #[serde(borrow)]
    paths: BoundedList<Text<'a>, READ_MANY_PATHS_MAX>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Answers a read of many keys.
pub(crate) async fn read_many(
    node: &Arc<Node>,
    visitor: &Visitor,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    expect_scope(visitor, Action::Read)?;
    Query::read(query, &[])?;
    body::expect_json(headers)?;
    let body = body::read(headers, body, READ_MANY_BODY_BYTES_MAX, &node.budget).await?;
    node.vault.expect_good(visitor)?;
    let asked: Asked<'_> = serde_json::from_slice(&body.bytes).map_err(|error| bad_json(&error))?;
    let paths = asked
        .paths
        .0
        .iter()
        .enumerate()
        .map(|(index, text)| Path::parse(&text.0).map_err(|error| Problem::from(error).at(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let (reading, asking) = (Arc::clone(node), visitor.clone());
    node.scans.run(move || answer(&reading, &asking, &paths)).await
}

fn answer(node: &Node, visitor: &Visitor, paths: &[Path]) -> Result<Reply, Problem> {
    let caller = visitor.identity.caller();
    let mut found = JsonList::open(b"{\"items\":");
    for path in paths {
        if found.is_full() {
            push_error(found.next(), path, "answer_full");
            continue;
        }
        match node.vault.read(&caller, path, node.clock.now_ms(), &node.metrics)? {
            Some(answer) => push_answer(found.next(), path, &answer),
            None => push_error(found.next(), path, "not_found"),
        }
    }
    let mut body = found.close();
    body.put_u8(b'}');
    let body = body.freeze();
    let share = node.budget.share(body.len())?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::covered(body, share)))
}

/// The answer of a single read with its path in front.
fn push_answer(out: &mut BytesMut, path: &Path, answer: &Answer) {
    open(out, path);
    // The framed answer is an object; its members follow the path.
    out.put_slice(answer.body().strip_prefix(b"{").unwrap_or_default());
}

fn push_error(out: &mut BytesMut, path: &Path, word: &str) {
    open(out, path);
    out.put_slice(b"\"error\":\"");
    out.put_slice(word.as_bytes());
    out.put_slice(b"\"}");
}

fn open(out: &mut BytesMut, path: &Path) {
    out.put_slice(b"{\"path\":");
    write_text(out, path.as_str());
    out.put_u8(b',');
}

#[cfg(test)]
mod tests {
    use super::{Asked, push_answer, push_error};
    use crate::answer::Answer;
    use crate::answer::tests::record;
    use bytes::BytesMut;
    use kvs_core::path::Path;

    #[test]
    fn an_element_is_the_single_answer_with_its_path() {
        let mut out = BytesMut::new();
        let path = Path::parse("a\"b").unwrap();
        push_answer(&mut out, &path, &Answer::frame(&path, &record(1, 5, 0), b"[1]", None));
        assert_eq!(
            out,
            "{\"path\":\"a\\\"b\",\"uuid\":\"00000000-0000-0000-0000-000000000001\",\"timestamp\":5,\"data\":[1]}"
        );
        out.clear();
        push_error(&mut out, &path, "not_found");
        assert_eq!(out, "{\"path\":\"a\\\"b\",\"error\":\"not_found\"}");
    }

    #[test]
    fn the_number_of_paths_is_bounded() {
        let body = |count: usize| format!("{{\"paths\":[{}]}}", vec!["\"a\""; count].join(","));
        assert!(serde_json::from_str::<Asked<'_>>(&body(1000)).is_ok());
        assert!(serde_json::from_str::<Asked<'_>>(&body(1001)).is_err());
        assert!(serde_json::from_str::<Asked<'_>>("{\"paths\":[],\"x\":1}").is_err());
    }
}
