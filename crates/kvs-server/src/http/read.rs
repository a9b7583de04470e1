//! `GET /kv/{path}`: one value, from the cache of framed answers or else from the store.
//!
//! The cache is asked first, with the raw text of the request: what it holds is keyed by decoded paths, so a text that
//! is found there *is* a valid path, and a text that needs decoding is simply not found. That makes the common read one
//! lookup, without parsing, waiting or allocating anything but the head of the answer.

use http::HeaderMap;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_store::clock::Clock;
use kvs_store::shared::State;

use crate::answer::Answer;
use crate::answer_cache::Lookup;
use crate::conditions;
use crate::context::Node;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::limits::CACHED_ANSWER_BYTES_MAX;
use crate::metrics::CacheLookup;
use crate::problem::{Code, Problem};

/// The cached value under a raw path, if a reader may have it now.
pub(crate) fn cached(node: &Node, raw_path: &str) -> Option<Answer> {
    node.answers.find(raw_path.as_bytes()).filter(|answer| answer.is_live(|| node.clock.now_ms()))
}

/// Answers with a cached value and no conditions; `headers` is an empty map whose memory is used again.
pub(crate) fn answer_cached(answer: &Answer, headers: HeaderMap) -> Reply {
    Reply::value(answer, AnswerBody::free(answer.body()), headers)
}

/// Answers a read that the cache alone could not. May wait for the disk.
pub(crate) fn answer(
    node: &Node,
    raw_path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    Query::read(query, &[])?;
    let precondition = conditions::read(headers)?;
    let answer = find(node, &path)?;
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

/// The live value under `path`, framed; `None` when there is none.
pub(crate) fn find(node: &Node, path: &Path) -> Result<Option<Answer>, Problem> {
    let now_ms = node.clock.now_ms();
    let fill = match node.answers.look_up(path) {
        Lookup::Found(answer) => {
            node.metrics.count_lookup(CacheLookup::Hit);
            return Ok(Some(answer).filter(|answer| answer.is_live(|| now_ms)));
        }
        Lookup::Missing(fill) => Some(fill),
        Lookup::Bypass => None,
    };
    node.metrics.count_lookup(CacheLookup::Miss);
    let Some(record) = node.store.read(Namespace::Data, path)?.filter(|record| record.is_live(now_ms)) else {
        return Ok(None);
    };
    let answer = Answer::frame(path, &record, &node.store.json(&record)?);
    // While the store has trouble with its disk it may change without telling; see the cache's documentation.
    if let Some(fill) = fill.filter(|_| node.store.state() == State::Open) {
        fill.with(&answer);
    }
    Ok(Some(answer))
}
