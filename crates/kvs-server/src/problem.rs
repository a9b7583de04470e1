//! Every error that a client can see, and its one form: `application/problem+json` with a stable code.
//!
//! A [`Problem`] is made where something is refused and turned into an answer in one place. Its texts are written for
//! the client: no path of this machine, no text of an inner error. Inner errors go to the log, with the request's id.
//!
//! Source: RFC 9457; the HTTP contract for the codes.

use std::borrow::Cow;

use http::StatusCode;
use kvs_core::path::PathError;
use kvs_store::commit::asker::Refusal;
use kvs_store::error::{ErrorKind, StoreError};

use crate::limits::RETRY_AFTER;

/// The stable word of an error, for programs, and with it the status. New ones may come; none changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request is not well-formed HTTP, or in a form that is not served.
    BadRequest,
    /// The path breaks a rule.
    BadPath,
    /// The query has a parameter that is unknown, doubled or wrong.
    BadQuery,
    /// The cursor is not one of this listing.
    BadCursor,
    /// The body is not JSON, or not of the documented shape.
    BadJson,
    /// The time to live is no duration.
    BadTtl,
    /// `If-Match` or `If-None-Match` is not well-formed.
    BadCondition,
    /// The node takes no writes of clients.
    ReadOnly,
    /// The request comes from a page of another origin.
    BadOrigin,
    /// The request does not prove who sent it.
    Unauthorized,
    /// Whoever sent it may not do that.
    Forbidden,
    /// The metadata is not well-formed, or names somebody who is not there.
    BadMetadata,
    /// The audit trail cannot be written, and nothing is done without it.
    AuditUnavailable,
    /// A peer sent bytes that are no message.
    BadMessage,
    /// A peer's message does not fit what this node is or holds.
    Conflict,
    /// There is no such resource, key or version.
    NotFound,
    /// The resource does not have this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The version holds no value.
    NoValue,
    /// A condition did not hold.
    PreconditionFailed,
    /// The body's length is not announced.
    LengthRequired,
    /// The body or a value is too large.
    TooLarge,
    /// The target is too long.
    UriTooLong,
    /// The body is not announced as JSON.
    UnsupportedMediaType,
    /// The `Host` is not one of this node.
    BadHost,
    /// Too many header fields.
    HeadersTooLarge,
    /// The caller made more requests than it may; the answer says when to come back.
    RateLimited,
    /// Something failed inside.
    Internal,
    /// Too much is waiting; ask again.
    Overloaded,
    /// The node is stopping.
    Stopping,
    /// The node cannot do this yet; ask again.
    NotReady,
    /// The node fetches what its cluster holds and takes no writes of clients until it is done.
    Syncing,
    /// The node's clock is ahead of its peers' and it takes no writes until it is right.
    ClockAhead,
    /// The node has left its cluster and takes no writes of clients.
    Left,
    /// Nobody answered at the address of a cluster in time.
    NotJoined,
    /// The disk failed: writes are refused until the node is restarted.
    Poisoned,
    /// The disk has no room for writes.
    DiskFull,
    /// A backup is being made already.
    BackupRunning,
    /// A backup could not be made.
    BackupFailed,
}

impl Code {
    /// The word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadPath => "bad_path",
            Self::BadQuery => "bad_query",
            Self::BadCursor => "bad_cursor",
            Self::BadJson => "bad_json",
            Self::BadTtl => "bad_ttl",
            Self::BadCondition => "bad_condition",
            Self::ReadOnly => "read_only",
            Self::BadOrigin => "bad_origin",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::BadMetadata => "bad_metadata",
            Self::AuditUnavailable => "audit_unavailable",
            Self::BadMessage => "bad_message",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::NoValue => "no_value",
            Self::PreconditionFailed => "precondition_failed",
            Self::LengthRequired => "length_required",
            Self::TooLarge => "too_large",
            Self::UriTooLong => "uri_too_long",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BadHost => "bad_host",
            Self::HeadersTooLarge => "headers_too_large",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::Stopping => "stopping",
            Self::NotReady => "not_ready",
            Self::Syncing => "syncing",
            Self::ClockAhead => "clock_ahead",
            Self::Left => "left",
            Self::NotJoined => "not_joined",
            Self::Poisoned => "poisoned",
            Self::DiskFull => "disk_full",
            Self::BackupRunning => "backup_running",
            Self::BackupFailed => "backup_failed",
        }
    }

    /// The status.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::BadPath
            | Self::BadQuery
            | Self::BadCursor
            | Self::BadJson
            | Self::BadTtl
            | Self::BadCondition
            | Self::BadMetadata
            | Self::BadMessage => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ReadOnly | Self::BadOrigin | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoValue | Self::BackupRunning | Self::Conflict => StatusCode::CONFLICT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadHost => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal | Self::BackupFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded
            | Self::Stopping
            | Self::NotReady
            | Self::Syncing
            | Self::ClockAhead
            | Self::Left
            | Self::Poisoned
            | Self::AuditUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotJoined => StatusCode::GATEWAY_TIMEOUT,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// What `Retry-After` says, where asking again later is the cure.
    pub(crate) const fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::Overloaded | Self::Stopping | Self::NotReady | Self::Syncing | Self::ClockAhead => {
                Some(RETRY_AFTER.as_secs())
            }
            _ => None,
        }
    }

    /// Whether the connection ends with this answer: what comes behind it on the wire cannot be trusted or is unread.
    pub(crate) const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::BadHost
                | Self::HeadersTooLarge
                | Self::UriTooLong
                | Self::RequestTimeout
                | Self::LengthRequired
                | Self::TooLarge
                | Self::Stopping
        )
    }
}

/// One error, ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What it is.
    pub(crate) code: Code,
    /// One sentence for people.
    pub(crate) detail: Cow<'static, str>,
    /// Which operation or path of the request it is about, from 0.
    pub(crate) index: Option<usize>,
    /// For [`Code::MethodNotAllowed`]: what `Allow` says.
    pub(crate) allow: Option<&'static str>,
    /// What went wrong inside: for the log alone.
    pub(crate) inner: Option<String>,
}

impl Problem {
    /// A problem with a sentence for people.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), index: None, allow: None, inner: None }
    }

    /// The same, about one operation or path of the request.
    pub(crate) fn at(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }

    /// There is no value at the path.
    pub(crate) fn no_such_key() -> Self {
        Self::new(Code::NotFound, "there is no value at this path")
    }

    /// The request is not allowed.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized => Self::new(
                Code::Unauthorized,
                "this needs a token: send it as 'Authorization: Bearer TOKEN' (kvs token prints one on the node)",
            ),
            Refusal::Forbidden => Self::new(Code::Forbidden, "this token does not allow it"),
            Refusal::Hidden => Self::no_such_key(),
        }
    }

    /// There is no such resource.
    pub(crate) fn no_such_route() -> Self {
        Self::new(Code::NotFound, "there is no such resource")
    }

    /// The resource has other methods.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(Code::MethodNotAllowed, format!("this resource takes {allow}"))
        }
    }

    /// Something failed inside; `inner` goes to the log.
    pub(crate) fn internal(inner: impl Into<String>) -> Self {
        Self {
            inner: Some(inner.into()),
            ..Self::new(
                Code::Internal,
                "the request failed inside the node; its log says why, under this X-Request-Id",
            )
        }
    }

    /// The body, a JSON object.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            index: Option<usize>,
        }
        let status = self.code.status();
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code.word(),
            index: self.index,
        };
        // Texts and numbers alone: this cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<PathError> for Problem {
    fn from(error: PathError) -> Self {
        Self::new(Code::BadPath, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let inner = Some(error.to_string());
        match (&error, error.kind()) {
            (StoreError::Precondition { .. }, _) => Self::new(
                Code::PreconditionFailed,
                "the current version is not the one that the condition names",
            ),
            (StoreError::Refused { refusal, .. }, _) => Self::refused(*refusal),
            (StoreError::Unrecorded(_), _) => Self {
                inner,
                ..Self::new(
                    Code::AuditUnavailable,
                    "the audit trail of the node cannot be written; reads go on",
                )
            },
            (StoreError::ClockUnsound, _) => Self::new(Code::Conflict, error.to_string()),
            (StoreError::Closed, _) => Self::new(Code::Stopping, "the node is stopping"),
            (_, ErrorKind::Retry) => {
                Self::new(Code::Overloaded, "too many writes are waiting for the disk; ask again")
            }
            (StoreError::NoRoom { room, .. }, _) => {
                let detail = format!(
                    "the disk of the node has no room for writes: {room}; reads go on, and so do writes once there is room"
                );
                Self { inner, ..Self::new(Code::DiskFull, detail) }
            }
            (_, ErrorKind::Full) => Self {
                inner,
                ..Self::new(Code::DiskFull, "the disk of the node has no room for writes; reads go on")
            },
            (_, ErrorKind::Poisoned) => Self {
                inner,
                ..Self::new(
                    Code::Poisoned,
                    "the disk of the node failed: writes are refused until it is restarted",
                )
            },
            (_, ErrorKind::Refused | ErrorKind::Corrupt | ErrorKind::Config) => {
                Self::internal(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem};
    use kvs_store::error::StoreError;
    use kvs_store::medium::Room;

    const ALL: [Code; 37] = [
        Code::BadRequest,
        Code::BadPath,
        Code::BadQuery,
        Code::BadCursor,
        Code::BadJson,
        Code::BadTtl,
        Code::BadCondition,
        Code::ReadOnly,
        Code::BadOrigin,
        Code::Unauthorized,
        Code::Forbidden,
        Code::BadMetadata,
        Code::AuditUnavailable,
        Code::BadMessage,
        Code::Conflict,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::NoValue,
        Code::PreconditionFailed,
        Code::LengthRequired,
        Code::TooLarge,
        Code::UriTooLong,
        Code::UnsupportedMediaType,
        Code::BadHost,
        Code::HeadersTooLarge,
        Code::RateLimited,
        Code::Internal,
        Code::Overloaded,
        Code::Stopping,
        Code::NotReady,
        Code::Syncing,
        Code::ClockAhead,
        Code::Poisoned,
        Code::DiskFull,
        Code::BackupRunning,
        Code::BackupFailed,
    ];

    #[test]
    fn every_code_is_a_word_of_its_own_with_an_error_status() {
        let mut words: Vec<&str> = ALL.iter().map(|code| code.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ALL.len());
        for code in ALL {
            assert!(code.word().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn the_body_is_a_problem_document() {
        let problem = Problem::new(Code::PreconditionFailed, "no \"luck\"").at(3);
        let value: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "type": "about:blank",
                "title": "Precondition Failed",
                "status": 412,
                "detail": "no \"luck\"",
                "code": "precondition_failed",
                "index": 3,
            })
        );
    }

    #[test]
    fn inner_texts_stay_inside() {
        let problem = Problem::from(StoreError::Poisoned("/secret/path: I/O error".to_owned()));
        assert_eq!(problem.code, Code::Poisoned);
        assert!(!String::from_utf8(problem.to_json()).unwrap().contains("secret"));
        assert!(problem.inner.is_some_and(|inner| inner.contains("secret")));
        let room = Room { free_bytes: Some(5), needed_bytes: 48 };
        let problem = Problem::from(StoreError::NoRoom { path: "/secret".into(), room });
        assert_eq!(problem.code, Code::DiskFull);
        assert!(
            problem.detail.contains("5 bytes are free, 48 are needed") && !problem.detail.contains("secret")
        );
        assert!(problem.inner.is_some_and(|inner| inner.contains("/secret") && inner.contains("5 bytes")));
    }

    #[test]
    fn a_store_error_keeps_its_meaning() {
        assert_eq!(Problem::from(StoreError::QueueFull).code, Code::Overloaded);
        assert_eq!(Problem::from(StoreError::Full).code, Code::DiskFull);
        assert_eq!(Problem::from(StoreError::Precondition { index: 2 }).code, Code::PreconditionFailed);
        assert_eq!(Code::Overloaded.retry_after_s(), Some(1));
    }
}
