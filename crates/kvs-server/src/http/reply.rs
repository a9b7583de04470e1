//! What handlers answer with, and how it becomes an HTTP response.
//!
//! Every response leaves through [`Reply::into_response`], which gives it its `X-Request-Id`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, SizeHint};

use crate::answer::Answer;
use crate::budget::Share;
use crate::limits::ANSWER_PIECE_BYTES_MAX;
use crate::problem::{Code, Problem};
use crate::rate_limit::verdict::Verdict;
use crate::request_id::RequestId;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// Caches may keep an answer but must ask whether it still holds: a database must not be guessed at.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Where the id of a request stands.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The bytes of an answer.
#[derive(Debug, Default)]
pub(crate) struct AnswerBody {
    bytes: Bytes,
}

impl AnswerBody {
    /// Bytes that are small or shared.
    pub(crate) const fn free(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// Bytes that took a share of the budget.
    pub(crate) fn covered(bytes: Bytes, share: Share) -> Self {
        Self { bytes: share.hold(bytes) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let rest = &mut self.get_mut().bytes;
        // In pieces, so that a connection's buffer does not grow to the size of its largest answer.
        let piece = rest.split_to(rest.len().min(ANSWER_PIECE_BYTES_MAX));
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: AnswerBody,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It goes on.
    KeepAlive,
    /// It ends.
    Close,
}

/// What a response needs to know of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The request's id.
    pub(crate) id: RequestId,
    /// Its version: HTTP/2 knows no `Connection`.
    pub(crate) version: Version,
    /// Whether it was `HEAD`: then the body is not sent.
    pub(crate) wants: Wants,
    /// What the limiter said of it, if it was asked.
    pub(crate) verdict: Option<Verdict>,
}

impl Asked {
    /// What the response to `request` needs.
    pub(crate) fn of<B>(request: &Request<B>, id: RequestId) -> Self {
        let wants = if *request.method() == Method::HEAD { Wants::HeadOnly } else { Wants::Whole };
        Self { id, version: request.version(), wants, verdict: None }
    }

    /// The same, with what the limiter said.
    pub(crate) const fn with_verdict(self, verdict: Option<Verdict>) -> Self {
        Self { verdict, ..self }
    }
}

/// Which part of an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// All.
    Whole,
    /// The head alone.
    HeadOnly,
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: AnswerBody::default() }
    }

    /// A JSON body.
    pub(crate) fn json(status: StatusCode, body: AnswerBody) -> Self {
        let mut reply = Self::empty(status);
        reply.headers.insert(CONTENT_TYPE, JSON);
        reply.headers.insert(CACHE_CONTROL, NO_CACHE);
        reply.body = body;
        reply
    }

    /// A text of another type.
    pub(crate) fn text(content_type: &'static str, text: String) -> Self {
        let mut reply = Self::empty(StatusCode::OK);
        reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        reply.headers.insert(CACHE_CONTROL, NO_CACHE);
        reply.body = AnswerBody::free(Bytes::from(text));
        reply
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// A value, framed before. `headers` is an empty map whose memory is used again.
    pub(crate) fn value(answer: &Answer, body: AnswerBody, mut headers: HeaderMap) -> Self {
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(CACHE_CONTROL, NO_CACHE);
        headers.insert(ETAG, answer.etag());
        headers.insert(LAST_MODIFIED, answer.last_modified());
        Self { status: StatusCode::OK, headers, body }
    }

    /// The client has this version already.
    pub(crate) fn not_modified(answer: &Answer) -> Self {
        Self::empty(StatusCode::NOT_MODIFIED)
            .with(CACHE_CONTROL, NO_CACHE)
            .with(ETAG, answer.etag())
            .with(LAST_MODIFIED, answer.last_modified())
    }

    /// An error.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let mut reply = Self::empty(problem.code.status());
        reply.headers.insert(CONTENT_TYPE, PROBLEM);
        reply.body = AnswerBody::free(Bytes::from(problem.to_json()));
        if let Some(allow) = problem.allow {
            reply.headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if problem.code == Code::Unauthorized {
            reply.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kvs\""));
        }
        if let Some(seconds) = problem.code.retry_after_s() {
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }

    /// The same with these bytes, of no type that has a name.
    pub(crate) fn with_body(self, body: AnswerBody) -> Self {
        Self { body, ..self }
    }

    /// The bytes of the body.
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.body.bytes
    }

    /// The status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The response to a request.
    pub(crate) fn into_response(mut self, asked: Asked, after: After) -> Response<AnswerBody> {
        self.headers.insert(X_REQUEST_ID, asked.id.header());
        if let Some(verdict) = &asked.verdict {
            verdict.write_to(&mut self.headers);
        }
        if after == After::Close && asked.version < Version::HTTP_2 {
            self.headers.insert(CONNECTION, CLOSE);
        }
        if asked.wants == Wants::HeadOnly {
            if !self.body.is_end_stream() {
                self.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.bytes.len()));
            }
            self.body = AnswerBody::default();
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
