//! `GET /kv/{path}`: one value, from the cache of framed answers or else from the store.
//!
//! The cache is asked first, with the raw text of the request where that is its own decoding: what the cache holds is keyed
//! by decoded paths, so such a text that is found there *is* a valid path. That makes the common read one lookup, without
//! parsing, waiting or allocating anything but the head of the answer. A raw text with a `%` must not be looked up: it may
//! be the decoded text of another key, which is spelt `%25` where this one has its `%`. It is decoded first, and the cache
//! is asked with the path.

use http::HeaderMap;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_store::clock::Clock;

use crate::access::visitor::Visitor;
use crate::answer::Answer;
use crate::conditions;
use crate::context::Node;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::limits::CACHED_ANSWER_BYTES_MAX;
use crate::problem::{Code, Problem};

/// Answers with a cached value and no conditions; `headers` is an empty map whose memory is used again.
pub(crate) fn answer_cached(answer: &Answer, headers: HeaderMap) -> Reply {
    Reply::value(answer, AnswerBody::free(answer.body()), headers)
}

/// Answers a read that the cache alone could not. May wait for the disk.
pub(crate) fn answer(
    node: &Node,
    visitor: &Visitor,
    raw_path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    Query::read(query, &[])?;
    let precondition = conditions::read(headers)?;
    let caller = visitor.identity.caller();
    let answer = node.vault.read(&caller, &path, node.clock.now_ms(), &node.metrics)?;
    let current = answer.as_ref().map(Answer::uuid);
    if let Some(reply) = decide(&precondition, current, answer.as_ref()) {
        return reply;
    }
    let answer = answer.ok_or_else(Problem::no_such_key)?;
    let body = if answer.len() > CACHED_ANSWER_BYTES_MAX {
        AnswerBody::covered(answer.body(), node.budget.share(answer.len())?)
    } else {
        AnswerBody::free(answer.body())
    };
    Ok(Reply::value(&answer, body, HeaderMap::new()))
}

/// What the conditions alone decide: 412 where `If-Match` fails, 304 where `If-None-Match` does (RFC 9110 section
/// 13.2.2).
fn decide(
    precondition: &Precondition,
    current: Option<uuid::Uuid>,
    answer: Option<&Answer>,
) -> Option<Result<Reply, Problem>> {
    if precondition.if_match.as_ref().is_some_and(|tags| !tags.matches(current)) {
        return Some(Err(Problem::new(
            Code::PreconditionFailed,
            "the current version is not the one of If-Match",
        )));
    }
    let is_known = precondition.if_none_match.as_ref().is_some_and(|tags| tags.matches(current));
    answer.filter(|_| is_known).map(|answer| Ok(Reply::not_modified(answer)))
}
