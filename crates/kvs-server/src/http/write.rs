//! `PUT /kv/{path}`: from bytes to a write that cannot be invalid any more, and from its outcome to an answer.
//!
//! The time to live is, in this order: the `ttl` of the envelope, `?ttl=`, `default_ttl`. So `?ttl=` next to an envelope
//! is not read, and a value that happens to be an object of exactly `data` and `ttl` is stored by wrapping it in an
//! envelope of its own.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use kvs_auth::decision::{Action, decide_scope};
use kvs_config::duration::{parse_ttl, ttl_of_seconds};
use kvs_core::path::Path;
use kvs_store::commit::write::{Change, Outcome, Written};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::access::vault::refused;
use crate::access::visitor::Visitor;
use crate::answer;
use crate::conditions;
use crate::context::Node;
use crate::http::body;
use crate::http::copies::{self, Copies};
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::json_check::{self, Shape};
use crate::limits::PREPARE_INLINE_BYTES_MAX;
use crate::problem::{Code, Problem};
use kvs_protocol::mode::Mode;

/// Answers a `PUT`.
pub(crate) async fn put(
    node: &Node,
    visitor: &Visitor,
    raw_path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    expect_writable(node)?;
    expect_scope(visitor, Action::Write)?;
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    let query = Query::read(query, &["ttl", copies::W, copies::TIMEOUT])?;
    let copies = Copies::read(&query)?;
    body::expect_json(headers)?;
    let precondition = conditions::read(headers)?;
    let ttl = query.value("ttl").map(ttl_of_text).transpose()?;
    let body = body::read(headers, body, node.settings.max_json_size, &node.budget).await?;
    let change = may_take_long(body.bytes.len(), || put_of_body(node, &body.bytes, ttl))?;
    let write = node.vault.allow(visitor, path, change, precondition)?;
    let outcomes = node.vault.commit(vec![write]).await?;
    drop(body.share);
    let replicated = copies.wait(node, &outcomes).await;
    written(&outcomes, replicated)
}

/// The answer to a write of one value; `replicated` when it is on fewer nodes than asked for.
///
/// # Errors
///
/// [`Code::Internal`] when the store did not do what it was asked to.
pub(crate) fn written(outcomes: &[Outcome], replicated: Option<u32>) -> Result<Reply, Problem> {
    let (status, written) = match outcomes {
        [Outcome::Created(written)] => (StatusCode::CREATED, written),
        [Outcome::Replaced(written)] => (StatusCode::OK, written),
        other => return Err(Problem::internal(format!("a write of one value ended as {other:?}"))),
    };
    let mut body = BytesMut::with_capacity(96);
    body.put_u8(b'{');
    write_written(&mut body, written);
    let status = if let Some(count) = replicated {
        body.put_slice(b",\"replicated\":");
        answer::write_number(&mut body, u64::from(count));
        StatusCode::ACCEPTED
    } else {
        status
    };
    body.put_u8(b'}');
    let etag = answer::etag(written.version.uuid);
    Ok(Reply::json(status, AnswerBody::free(body.freeze())).with(ETAG, etag))
}

/// `"uuid":"...","timestamp":N` and, with a time to live, `,"expires_at":N`.
pub(crate) fn write_written(out: &mut BytesMut, written: &Written) {
    answer::write_version_members(out, written.version.uuid, written.version.stamp.ms);
    if written.expires_at_ms != 0 {
        out.put_slice(b",\"expires_at\":");
        answer::write_number(out, written.expires_at_ms);
    }
}

/// Refuses writes of clients on a node that takes none.
///
/// # Errors
///
/// [`Code::ReadOnly`], [`Code::Syncing`], [`Code::ClockAhead`], [`Code::Left`].
pub(crate) fn expect_writable(node: &Node) -> Result<(), Problem> {
    match node.mode() {
        Mode::Normal => Ok(()),
        Mode::ReadOnly => Err(Problem::new(Code::ReadOnly, "this node takes no writes (read_only)")),
        Mode::Syncing => Err(Problem::new(
            Code::Syncing,
            "this node fetches what its cluster holds and takes writes when it is done; ask again, or another node",
        )),
        Mode::ClockAhead => Err(Problem::new(
            Code::ClockAhead,
            "the clock of this node is ahead of most of its peers' by more than max_clock_skew_ms: it takes no writes until \
             its clock is right; set it, or ask another node",
        )),
        Mode::Left => Err(Problem::new(
            Code::Left,
            "this node has left its cluster, which would not hear of what is written here; start it again to come back, or \
             ask another node",
        )),
    }
}

/// Refuses, before its body is read, a visitor who may not do this whatever the key.
///
/// # Errors
///
/// [`Code::Unauthorized`], [`Code::Forbidden`].
pub(crate) fn expect_scope(visitor: &Visitor, action: Action) -> Result<(), Problem> {
    decide_scope(&visitor.identity.caller(), action).map_err(refused)
}

/// Checks a body and makes it a change; `ttl` is the query's, `None` when it has none.
fn put_of_body(node: &Node, body: &Bytes, ttl: Option<Option<Duration>>) -> Result<Change, Problem> {
    let shape = json_check::check(body).map_err(|error| bad_json(&error))?;
    let (json, lifetime) = match shape {
        Shape::Plain => (body.clone(), ttl.unwrap_or(node.settings.default_ttl)),
        Shape::Envelope => open_envelope(body)?,
    };
    Ok(Change::Put { content: node.vault.prepare(json), lifetime })
}

/// The value of an envelope, its bytes as sent, and its time to live.
fn open_envelope(body: &Bytes) -> Result<(Bytes, Option<Duration>), Problem> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
        #[serde(borrow)]
        ttl: &'a RawValue,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
    Ok((body.slice_ref(envelope.data.get().as_bytes()), ttl_of_json(envelope.ttl)?))
}

/// A time to live as JSON: a duration as text, or a number of seconds.
///
/// # Errors
///
/// [`Code::BadTtl`].
pub(crate) fn ttl_of_json(ttl: &RawValue) -> Result<Option<Duration>, Problem> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ttl {
        Seconds(u64),
        Text(String),
    }
    match serde_json::from_str(ttl.get()) {
        Ok(Ttl::Seconds(seconds)) => {
            ttl_of_seconds(seconds).map_err(|error| Problem::new(Code::BadTtl, error.to_string()))
        }
        Ok(Ttl::Text(text)) => ttl_of_text(&text),
        Err(_) => Err(Problem::new(
            Code::BadTtl,
            "ttl takes a duration such as \"90s\", \"15m\", \"1h30m\" or \"7d\", a whole number of seconds, or \"0\" for \
             never",
        )),
    }
}

/// A time to live as text.
///
/// # Errors
///
/// [`Code::BadTtl`].
pub(crate) fn ttl_of_text(text: &str) -> Result<Option<Duration>, Problem> {
    parse_ttl(text).map_err(|error| Problem::new(Code::BadTtl, error.to_string()))
}

/// What is wrong with a text that is no JSON; line and column, nothing of the text.
pub(crate) fn bad_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::BadJson, format!("the body is not valid JSON: {error}"))
}

/// Runs CPU work on `bytes` of input; a lot of it is announced to the runtime, so that other connections go on.
pub(crate) fn may_take_long<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes > PREPARE_INLINE_BYTES_MAX { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::{open_envelope, ttl_of_json};
    use crate::problem::Code;
    use bytes::Bytes;
    use serde_json::value::RawValue;
    use std::time::Duration;

    fn ttl(json: &str) -> Result<Option<Duration>, Code> {
        ttl_of_json(&RawValue::from_string(json.to_owned()).unwrap()).map_err(|problem| problem.code)
    }

    #[test]
    fn a_time_to_live_is_text_or_seconds() {
        assert_eq!(ttl("\"1h30m\""), Ok(Some(Duration::from_secs(5400))));
        assert_eq!(ttl("90"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(ttl("0"), Ok(None));
        assert_eq!(ttl("\"0\""), Ok(None));
        for bad in
            ["null", "true", "-1", "1.5", "1e3", "\"\"", "\"soon\"", "[]", "{}", "99999999999999999999"]
        {
            assert_eq!(ttl(bad), Err(Code::BadTtl), "{bad}");
        }
    }

    #[test]
    fn an_envelope_gives_its_value_as_sent() {
        let body = Bytes::from("{ \"ttl\" : \"1m\",\n \"data\":  {\"b\": 1.0,\"b\":2 } }");
        let (data, ttl) = open_envelope(&body).unwrap();
        assert_eq!(data, "{\"b\": 1.0,\"b\":2 }");
        assert_eq!(ttl, Some(Duration::from_secs(60)));
    }
}
