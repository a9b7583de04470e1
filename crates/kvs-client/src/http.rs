//! One keep-alive connection to one node, and the only place that reads what a node answers when it refuses.
//!
//! HTTP/1.1, under TLS where the address says `https`. Redirects are errors and proxies of the environment are not asked: a token goes to the address that
//! was named and nowhere else. Every answer is read up to a bound, every request has a deadline.
//!
//! Left out: waiting and trying again (`retry.rs`), what the answers mean (`reads.rs`, `writes.rs`, `list.rs`).

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::error::{ClientError, Problem};
use crate::limits::{ANSWER_BYTES_MAX, CONNECT_TIMEOUT, FOREIGN_TEXT_CHARS_MAX};
use crate::target::Target;
use crate::tls;

/// A request to the node: method, what stands behind the address, and what is sent along.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// The method.
    pub(crate) method: Method,
    /// Path and query, beginning with `/`, percent-encoded.
    pub(crate) resource: String,
    /// `If-Match` and its like.
    pub(crate) headers: Vec<(header::HeaderName, String)>,
    /// The JSON body.
    pub(crate) body: Option<&'a [u8]>,
    /// The longest answer that is read, in bytes.
    pub(crate) answer_bytes_max: u64,
}

impl<'a> Request<'a> {
    /// A request without headers of its own or a body.
    pub(crate) const fn new(method: Method, resource: String) -> Self {
        Self { method, resource, headers: Vec::new(), body: None, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    /// The same with a JSON body.
    pub(crate) const fn with_body(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    /// The same with one more header.
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200..=299.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// The connection to one node.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
    target: Target,
    authorization: Option<HeaderValue>,
}

/// The members of a problem document that the client reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemBody {
    title: String,
    detail: String,
    code: String,
    index: Option<usize>,
}

impl Http {
    /// Prepares requests to `target`; nothing is sent and no connection is opened yet.
    /// `timeout` bounds each request from its first byte to the last byte of the answer.
    ///
    /// # Errors
    ///
    /// [`ClientError::BadToken`] when the token cannot stand in a header; [`ClientError::Certificates`] or
    /// [`ClientError::NoAuthorities`] when nobody can vouch for a node with TLS.
    pub fn new(target: Target, timeout: Duration) -> Result<Self, ClientError> {
        let authorization = match target.token() {
            None => None,
            Some(token) => {
                let bad = |_| ClientError::BadToken { origin: target.origin().to_owned() };
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(bad)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let mut agent = ureq::Agent::config_builder();
        if target.url().starts_with("https://") {
            agent = agent.tls_config(tls::config(target.trust())?);
        }
        let agent = agent
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("kvs/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .timeout_connect(Some(CONNECT_TIMEOUT.min(timeout)))
            .timeout_global(Some(timeout))
            .build()
            .new_agent();
        Ok(Self { agent, target, authorization })
    }

    /// The address that requests go to, as a URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.target.url()
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`] or [`ClientError::Untrusted`] before anything was sent, [`ClientError::Refused`] with what the node said (nothing
    /// was changed), [`ClientError::Interrupted`] when it is unknown whether the request was carried out.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Answer, ClientError> {
        let uri = format!("{}{}", self.target.url(), request.resource);
        let uri = Uri::try_from(uri).map_err(|_| ClientError::BadUrl {
            url: self.url().to_owned(),
            origin: self.target.origin().to_owned(),
            reason: "it cannot be read as a URL",
        })?;
        let mut outgoing = ureq::http::Request::builder().method(request.method.clone()).uri(uri);
        if let Some(authorization) = &self.authorization {
            outgoing = outgoing.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name, value);
        }
        let answered = match request.body {
            Some(body) => {
                let outgoing = outgoing.header(header::CONTENT_TYPE, "application/json");
                outgoing.body(body).map_err(ureq::Error::from).and_then(|it| self.agent.run(it))
            }
            None => outgoing.body(()).map_err(ureq::Error::from).and_then(|it| self.agent.run(it)),
        };
        let mut answer = answered.map_err(|error| self.failure(&error))?;
        let status = answer.status().as_u16();
        let read = answer.body_mut().with_config().limit(request.answer_bytes_max).read_to_vec();
        let body = read.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                ClientError::AnswerTooLong { url: self.url().to_owned(), bytes_max: request.answer_bytes_max }
            }
            error => self.failure(&error),
        })?;
        if (200..300).contains(&status) {
            return Ok(Answer { status, body });
        }
        Err(ClientError::Refused(problem(status, answer.headers(), &body)))
    }

    /// Says that a successful answer does not have the form that it should have.
    pub(crate) fn foreign(&self, reason: impl std::fmt::Display) -> ClientError {
        ClientError::ForeignAnswer { url: self.url().to_owned(), reason: reason.to_string() }
    }

    /// Sorts a transport error by whether anything can have been carried out.
    fn failure(&self, error: &ureq::Error) -> ClientError {
        use std::io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied,
        };
        let connected = match error {
            ureq::Error::Io(io) => !matches!(
                io.kind(),
                AddrNotAvailable
                    | ConnectionRefused
                    | HostUnreachable
                    | NetworkUnreachable
                    | PermissionDenied
            ),
            ureq::Error::Timeout(step) => !matches!(step, ureq::Timeout::Resolve | ureq::Timeout::Connect),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => false,
            _ => true,
        };
        let reason = match error {
            ureq::Error::Io(io) => io.to_string(),
            ureq::Error::Timeout(_) => format!("{error} (no answer in time)"),
            error => error.to_string(),
        };
        let url = self.url().to_owned();
        if let Some(reason) = tls::distrust(error) {
            return ClientError::Untrusted { url, reason };
        }
        if connected {
            ClientError::Interrupted { url, reason }
        } else {
            ClientError::Unreachable { url, origin: self.target.origin().to_owned(), reason }
        }
    }
}

/// Reads the answer of a node that refused; an answer that is no problem document is repeated in part.
fn problem(status: u16, headers: &HeaderMap, body: &[u8]) -> Problem {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let retry_after = text("retry-after").and_then(|it| it.parse().ok()).map(Duration::from_secs);
    let request_id = text("x-request-id").map(str::to_owned);
    let document = match text("content-type") {
        Some(kind) if kind.starts_with("application/problem+json") => serde_json::from_slice(body).ok(),
        _ => None,
    };
    let ProblemBody { title, detail, code, index } = document.unwrap_or_else(|| ProblemBody {
        detail: one_line(&String::from_utf8_lossy(body)),
        ..ProblemBody::default()
    });
    let detail = if detail.is_empty() { title } else { detail };
    Problem { status, code, detail, index, retry_after, request_id }
}

/// The beginning of a foreign text, without line breaks and control characters.
fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let start: String = spaced.take(FOREIGN_TEXT_CHARS_MAX).collect();
    start.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::problem;
    use std::time::Duration;
    use ureq::http::{HeaderMap, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_problem_document_gives_code_detail_and_index() {
        let headers = headers(&[("content-type", "application/problem+json"), ("x-request-id", "r1")]);
        let body = br#"{"type":"about:blank","title":"T","status":412,"detail":"D","code":"c","index":7}"#;
        let problem = problem(412, &headers, body);
        assert_eq!((problem.status, problem.code.as_str(), problem.index), (412, "c", Some(7)));
        assert_eq!((problem.detail.as_str(), problem.request_id.as_deref()), ("D", Some("r1")));
    }

    #[test]
    fn a_title_stands_in_for_a_missing_detail() {
        let headers = headers(&[("content-type", "application/problem+json; charset=utf-8")]);
        assert_eq!(problem(404, &headers, br#"{"title":"Not found"}"#).detail, "Not found");
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_anything_else_is_left_out() {
        assert_eq!(
            problem(429, &headers(&[("retry-after", "3")]), b"").retry_after,
            Some(Duration::from_secs(3))
        );
        assert_eq!(problem(503, &headers(&[("retry-after", "soon")]), b"").retry_after, None);
    }

    #[test]
    fn a_foreign_answer_is_repeated_in_one_bounded_line() {
        let page = format!("<html>\n\x1b[31m{}", "x".repeat(5_000));
        let problem = problem(502, &headers(&[("content-type", "text/html")]), page.as_bytes());
        assert_eq!(problem.code, "");
        assert!(problem.detail.starts_with("<html>"), "{}", problem.detail);
        assert!(problem.detail.chars().count() <= 200 && !problem.detail.contains(['\n', '\x1b']));
    }
}
