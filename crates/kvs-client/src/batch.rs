//! Writes collected into one request, bounded in number and bytes, and what the node made of them.
//!
//! A batch is all or nothing on the node: one value that it does not accept sends all back. The refused operation is
//! then taken out (the node names its position, or it is found by halving) and the rest is sent again in its order, so
//! that one bad line costs itself only.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use kvs_core::limits::BATCH_OPS_MAX;
use kvs_core::path::Path;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::error::{ClientError, Problem};
use crate::http::{Http, Request};
use crate::limits::{BATCH_BYTES_MAX, SINGLE_OUTS_MAX};
use crate::line::{Put, Ttl};
use crate::retry::send_patiently;
use crate::writes::resource_of_put;

const OPEN: &[u8] = b"{\"ops\":[";
const CLOSE: &[u8] = b"]}";

/// One operation, as it stands in the request.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The input line it comes from, from 1.
    pub(crate) line: u64,
    /// The key.
    pub(crate) path: Path,
    json: Vec<u8>,
    /// Where the value stands in `json`.
    data: Range<usize>,
    ttl: Ttl,
}

impl Operation {
    /// Writes one operation; the value's bytes are copied as they are.
    pub(crate) fn put(line: u64, put: Put<'_>) -> Self {
        let Put { path, data: value, ttl, .. } = put;
        let mut json = Vec::with_capacity(value.len() + path.as_str().len() + 64);
        json.extend_from_slice(b"{\"op\":\"put\",\"path\":");
        json.extend_from_slice(Value::from(path.as_str()).to_string().as_bytes());
        json.extend_from_slice(b",\"data\":");
        let start = json.len();
        json.extend_from_slice(value.as_bytes());
        let data = start..json.len();
        if let Ttl::Text(ttl) = &ttl {
            json.extend_from_slice(b",\"ttl\":");
            json.extend_from_slice(Value::from(ttl.as_str()).to_string().as_bytes());
        }
        json.push(b'}');
        Self { line, path, json, data, ttl }
    }

    /// The value's bytes.
    fn data(&self) -> &[u8] {
        self.json.get(self.data.clone()).unwrap_or_default()
    }

    /// Whether the value travels by `PUT`, outside any batch.
    fn is_large(&self) -> bool {
        OPEN.len() + self.json.len() + CLOSE.len() > BATCH_BYTES_MAX
    }

    /// The body of a `PUT` of this value, and the lifetime that stands in the query. A value that a node would take for
    /// an envelope is put into one.
    fn body_of_put(&self) -> Result<(Cow<'_, [u8]>, Option<&str>), &'static str> {
        let ttl = match &self.ttl {
            Ttl::Text(ttl) => Some(ttl.as_str()),
            Ttl::Default => None,
        };
        let is_envelope = serde_json::from_slice::<Envelope<'_>>(self.data()).is_ok();
        match (is_envelope, ttl) {
            (false, ttl) => Ok((Cow::Borrowed(self.data()), ttl)),
            (true, Some(ttl)) => {
                let mut body = Vec::with_capacity(self.json.len());
                body.extend_from_slice(b"{\"data\":");
                body.extend_from_slice(self.data());
                body.extend_from_slice(b",\"ttl\":");
                body.extend_from_slice(Value::from(ttl).to_string().as_bytes());
                body.push(b'}');
                Ok((Cow::Owned(body), None))
            }
            (true, None) => {
                Err("an object of just `data` and `ttl`, of this size, needs a lifetime: give --ttl")
            }
        }
    }
}

/// An object with exactly the members `data` and `ttl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow, rename = "data")]
    _data: &'a RawValue,
    #[serde(borrow, rename = "ttl")]
    _ttl: &'a RawValue,
}

/// Operations that wait to be sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

impl Batch {
    /// Whether one more operation keeps the request within its bounds. An empty batch takes any.
    pub(crate) fn has_room_for(&self, operation: &Operation) -> bool {
        let bytes = OPEN.len() + self.bytes + operation.json.len() + 1 + CLOSE.len();
        self.operations.is_empty() || (self.operations.len() < BATCH_OPS_MAX && bytes <= BATCH_BYTES_MAX)
    }

    /// Adds one operation.
    pub(crate) fn push(&mut self, operation: Operation) {
        self.bytes += operation.json.len() + 1;
        self.operations.push(operation);
    }

    /// The operations, leaving the batch empty.
    pub(crate) fn take(&mut self) -> Vec<Operation> {
        self.bytes = 0;
        std::mem::take(&mut self.operations)
    }
}

/// The request's body.
fn body(operations: &[Operation]) -> Vec<u8> {
    let bytes: usize = operations.iter().map(|operation| operation.json.len() + 1).sum();
    let mut body = Vec::with_capacity(OPEN.len() + bytes + CLOSE.len());
    body.extend_from_slice(OPEN);
    for (position, operation) in operations.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&operation.json);
    }
    body.extend_from_slice(CLOSE);
    body
}

/// What the node made of one operation.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The key is new.
    Created,
    /// The key had a value.
    Replaced,
    /// The node does not accept this operation, for this reason.
    Refused(String),
}

#[derive(Deserialize)]
struct Results {
    results: Vec<OperationResult>,
}

#[derive(Deserialize)]
struct OperationResult {
    status: u16,
}

/// Sends `operations` in their order and calls `on_outcome` for each one that was answered. `on_pause` is called before
/// each wait that the node asks for.
///
/// # Errors
///
/// What stopped the sending: operations without an outcome were not carried out, except perhaps after
/// [`ClientError::Interrupted`].
pub(crate) fn send(
    http: &Http,
    operations: &[Operation],
    on_pause: &mut dyn FnMut(Duration, &Problem),
    on_outcome: &mut dyn FnMut(&Operation, Outcome) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let mut single_outs = 0;
    // Parts still to be sent, the next one last. Halving keeps at most one part per level.
    let mut parts = vec![operations];
    while let Some(part) = parts.pop() {
        let Some(first) = part.first() else { continue };
        if first.is_large() {
            let outcome = send_large(http, first, on_pause)?;
            on_outcome(first, outcome)?;
            continue;
        }
        let body = body(part);
        let request = Request::new(Method::POST, "/kv/_batch".to_owned()).with_body(&body);
        let problem = match send_patiently(http, &request, on_pause) {
            Ok(answer) => {
                for (operation, outcome) in part.iter().zip(outcomes(http, &answer.body, part.len())?) {
                    on_outcome(operation, outcome)?;
                }
                continue;
            }
            Err(ClientError::Refused(problem)) if concerns_operations(&problem) => problem,
            Err(error) => return Err(error),
        };
        match problem.index.and_then(|index| part.get(index).map(|operation| (index, operation))) {
            _ if part.len() == 1 => on_outcome(first, Outcome::Refused(problem.to_string()))?,
            Some((index, _)) if single_outs < SINGLE_OUTS_MAX => {
                single_outs += 1;
                let (before, rest) = part.split_at(index);
                let (refused, after) = rest.split_at(1);
                parts.extend([after, refused, before]);
            }
            _ => {
                let (before, after) = part.split_at(part.len() / 2);
                parts.extend([after, before]);
            }
        }
    }
    Ok(())
}

/// Writes a value that no batch can carry; it is alone in its part.
fn send_large(
    http: &Http,
    operation: &Operation,
    on_pause: &mut dyn FnMut(Duration, &Problem),
) -> Result<Outcome, ClientError> {
    let (body, ttl) = match operation.body_of_put() {
        Ok(parts) => parts,
        Err(reason) => return Ok(Outcome::Refused(reason.to_owned())),
    };
    let resource = resource_of_put(&operation.path, ttl);
    let request = Request::new(Method::PUT, resource).with_body(&body);
    match send_patiently(http, &request, on_pause) {
        Ok(answer) if answer.status == 201 => Ok(Outcome::Created),
        Ok(_) => Ok(Outcome::Replaced),
        Err(ClientError::Refused(problem)) if concerns_operations(&problem) => {
            Ok(Outcome::Refused(problem.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Whether a refusal is about what one operation holds, so that the others can do without it.
const fn concerns_operations(problem: &Problem) -> bool {
    matches!(problem.status, 400 | 412 | 413 | 422)
}

/// Reads the results of a batch of `count` operations.
fn outcomes(http: &Http, body: &[u8], count: usize) -> Result<Vec<Outcome>, ClientError> {
    let Results { results } = serde_json::from_slice(body).map_err(|error| http.foreign(error))?;
    if results.len() != count {
        return Err(http.foreign(format_args!("{} results for {count} operations", results.len())));
    }
    results
        .iter()
        .map(|result| match result.status {
            201 => Ok(Outcome::Created),
            200 => Ok(Outcome::Replaced),
            other => Err(http.foreign(format_args!("an operation of a batch has the status {other}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Batch, Operation, body};
    use crate::limits::BATCH_BYTES_MAX;
    use crate::line::{Put, Ttl};
    use kvs_core::limits::BATCH_OPS_MAX;
    use kvs_core::path::Path;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    fn operation(line: u64, path: &str, data: &str, ttl: Ttl) -> Operation {
        let path = Path::parse(path).expect("a path");
        Operation::put(line, Put { path, data, ttl, escaped_fields: 0, empty_fields: 0 })
    }

    #[test]
    fn the_values_bytes_are_in_the_request_as_they_were() {
        let operations = [
            operation(1, "a\"\\b", "{ \"x\" :1.0 }", Ttl::Default),
            operation(2, "ü", "null", Ttl::Text("1h".to_owned())),
        ];
        assert_eq!(
            String::from_utf8(body(&operations)).expect("UTF-8"),
            "{\"ops\":[{\"op\":\"put\",\"path\":\"a\\\"\\\\b\",\"data\":{ \"x\" :1.0 }},\
             {\"op\":\"put\",\"path\":\"ü\",\"data\":null,\"ttl\":\"1h\"}]}"
        );
    }

    #[test]
    fn a_batch_ends_at_the_nodes_number_of_operations() {
        let mut batch = Batch::default();
        let mut sent = 0;
        while batch.has_room_for(&operation(0, "a", "1", Ttl::Default)) {
            batch.push(operation(0, "a", "1", Ttl::Default));
            sent += 1;
        }
        assert_eq!(sent, BATCH_OPS_MAX);
        assert_eq!(batch.take().len(), BATCH_OPS_MAX);
        assert!(batch.has_room_for(&operation(0, "a", "1", Ttl::Default)));
    }

    #[test]
    fn a_value_above_the_bound_travels_alone() {
        let large = format!("\"{}\"", "x".repeat(BATCH_BYTES_MAX));
        let mut batch = Batch::default();
        assert!(batch.has_room_for(&operation(0, "a", &large, Ttl::Default)));
        batch.push(operation(0, "a", &large, Ttl::Default));
        assert!(!batch.has_room_for(&operation(0, "a", "1", Ttl::Default)));
    }

    #[test]
    fn a_large_value_that_looks_like_an_envelope_is_put_into_one() {
        let ttl = || Ttl::Text("1h".to_owned());
        let plain = operation(1, "a", "{\"data\":1}", ttl());
        assert_eq!(plain.body_of_put(), Ok((b"{\"data\":1}".into(), Some("1h"))));
        let envelope = "{\"ttl\":2,\"data\":1}";
        let wrapped = operation(1, "a", envelope, ttl());
        assert_eq!(
            wrapped.body_of_put(),
            Ok((b"{\"data\":{\"ttl\":2,\"data\":1},\"ttl\":\"1h\"}".into(), None))
        );
        assert!(operation(1, "a", envelope, Ttl::Default).body_of_put().is_err());
    }

    proptest! {
        #[test]
        fn a_request_of_several_operations_stays_below_the_bound(
            sizes in proptest::collection::vec(1_usize..1_500_000, 2..12)
        ) {
            let mut batch = Batch::default();
            for size in sizes {
                let next = operation(0, "a", &"1".repeat(size), Ttl::Default);
                if !batch.has_room_for(&next) {
                    let operations = batch.take();
                    prop_assert!(operations.len() == 1 || body(&operations).len() <= BATCH_BYTES_MAX);
                }
                batch.push(next);
            }
            let operations = batch.take();
            prop_assert!(operations.len() == 1 || body(&operations).len() <= BATCH_BYTES_MAX);
            prop_assert_eq!(batch.take().len(), 0);
        }
    }
}
