//! Reading the body of a request: bounded in size, in time and in what all bodies take together.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Incoming};

use crate::budget::{Budget, Share};
use crate::limits::{BODY_BYTES_PER_SECOND_MIN, BODY_TIMEOUT};
use crate::problem::{Code, Problem};

/// A body in memory, with its share of the budget.
#[derive(Debug)]
pub(crate) struct WholeBody {
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// Held until the bytes were dealt with.
    pub(crate) share: Share,
}

/// Checks that a body is announced as JSON; parameters such as `charset=utf-8` are passed over.
///
/// # Errors
///
/// [`Code::UnsupportedMediaType`].
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (Some(value), None) => is_json(value),
        _ => false,
    };
    if is_json {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "the body must be sent as Content-Type: application/json"))
}

fn is_json(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let essence = bytes.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
}

/// Reads a body of at most `bytes_max`.
///
/// # Errors
///
/// [`Code::TooLarge`] (at once when its length is announced), [`Code::RequestTimeout`], [`Code::Overloaded`], or
/// [`Code::BadRequest`] when it ends early.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    bytes_max: usize,
    budget: &Budget,
) -> Result<WholeBody, Problem> {
    let announced = announced_length(headers);
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    let longest = announced.unwrap_or(bytes_max as u64);
    let patience = BODY_TIMEOUT + Duration::from_secs(longest / BODY_BYTES_PER_SECOND_MIN);
    tokio::time::timeout(patience, collect(body, bytes_max, budget)).await.unwrap_or_else(|_| {
        Err(Problem::new(
            Code::RequestTimeout,
            format!("the body did not arrive within {} s", patience.as_secs()),
        ))
    })
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(mut body: Incoming, bytes_max: usize, budget: &Budget) -> Result<WholeBody, Problem> {
    let mut share = Share::default();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::new(Code::BadRequest, "the body ended early"))?;
        // Trailers say nothing that matters here.
        let Ok(piece) = frame.into_data() else { continue };
        let length = first.len() + whole.len() + piece.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        budget.cover(&mut share, length)?;
        // Nearly every body comes in one piece, which is then not copied.
        if first.is_empty() && whole.is_empty() {
            first = piece;
        } else {
            whole.put_slice(&std::mem::take(&mut first));
            whole.put_slice(&piece);
        }
    }
    let bytes = if whole.is_empty() { first } else { whole.freeze() };
    Ok(WholeBody { bytes, share })
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body is larger than {bytes_max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::expect_json;
    use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

    fn accepts(types: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        expect_json(&headers).is_ok()
    }

    #[test]
    fn json_is_told_by_its_type_whatever_its_parameters() {
        assert!(accepts(&["application/json"]));
        assert!(accepts(&["Application/JSON; charset=utf-8"]));
        assert!(accepts(&["application/json ;charset=\"utf-8\""]));
    }

    #[test]
    fn other_types_or_none_are_refused() {
        for types in [&[][..], &[""], &["text/plain"], &["application/jsonp"], &["application/problem+json"]]
        {
            assert!(!accepts(types), "{types:?}");
        }
        assert!(!accepts(&["application/json", "text/plain"]));
    }
}
