//! One connection to a peer: dialled, introduced, then one call after another.
//!
//! The first exchange is a request without credential, whose refusal brings the challenge of the process at the other
//! end; so a call never travels before it is known for whom. Whatever goes wrong ends the connection.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::peer_auth::challenge::Challenge;
use kvs_protocol::peer_auth::mac::Line;
use kvs_protocol::peer_auth::sender::{Sender, Signed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::marks::{X_KVS_CHALLENGE, X_KVS_SEAL, body_bytes_max, target};
use crate::budget::Budget;
use crate::http::body;
use crate::http::reply::AnswerBody;
use crate::limits::{
    PEER_ADDRESSES_MAX, PEER_DETAIL_CHARS_MAX, PEER_PROBLEM_BYTES_MAX, PEER_REPLY_HEAD_BYTES_MAX,
    PEER_REPLY_HEADERS_MAX,
};
use crate::tls::dialling::{Unsealed, seal};
use crate::tls::endpoint::Endpoint;

/// A call, as a connection needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// `host:port`, as dialled and as `Host` says.
    pub(super) authority: &'a str,
    /// The node that is meant; `None` for whoever answers there.
    pub(super) node: Option<Uuid>,
    /// What it asks for.
    pub(super) kind: CallKind,
    /// Its bytes.
    pub(super) body: &'a Bytes,
}

/// How a call on a connection went wrong.
#[derive(Debug)]
pub(super) enum Stumble {
    /// The connection was gone, or belongs to a process that is; the call was not used. Another one may do.
    Stale(CallFailure),
    /// The call failed.
    Failed(CallFailure),
}

impl From<Stumble> for CallFailure {
    fn from(stumble: Stumble) -> Self {
        match stumble {
            Stumble::Stale(failure) | Stumble::Failed(failure) => failure,
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unopened {
    /// As any call fails.
    Failed(CallFailure),
    /// TLS with whoever answers there came to nothing: a sentence. Nothing was done.
    Untrusted(String),
}

impl From<CallFailure> for Unopened {
    fn from(failure: CallFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Where the addresses go whose connections the other side ended: its process may be gone.
pub(crate) type ClosedByPeer = mpsc::Sender<String>;

/// Ends a connection's task, and so the connection, when dropped.
#[derive(Debug)]
struct Ending(AbortHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection whose process is not known yet.
struct Introduction {
    requests: SendRequest<AnswerBody>,
    task: Ending,
}

impl Introduction {
    /// Begins HTTP on a connection.
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        authority: &str,
        closed: Option<ClosedByPeer>,
    ) -> Result<Self, CallFailure> {
        let (requests, connection) = http1::Builder::new()
            .max_headers(PEER_REPLY_HEADERS_MAX)
            .max_header_size(PEER_REPLY_HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
        // How it ends is told by the request that is under way.
        let far = authority.to_owned();
        let task = tokio::spawn(async move {
            drop(connection.await);
            // Not reached when this side ends it.
            if let Some(closed) = closed {
                // A hint: so many at once need no more of them.
                drop(closed.try_send(far));
            }
        })
        .abort_handle();
        Ok(Self { requests, task: Ending(task) })
    }

    /// Asks without a credential, to be told the challenge.
    async fn challenge(
        &mut self,
        authority: &str,
        kind: CallKind,
        budget: &Budget,
    ) -> Result<Challenge, CallFailure> {
        let request = request(authority, kind, None, &Bytes::new())?;
        let response =
            self.requests.send_request(request).await.map_err(|error| {
                if was_reset(&error) { CallFailure::Refused } else { unreachable(&error) }
            })?;
        let challenge = challenge_of(&response);
        let reply = read(response, PEER_PROBLEM_BYTES_MAX, budget).await?;
        challenge
            .filter(|_| reply.status == StatusCode::UNAUTHORIZED)
            .ok_or_else(|| CallFailure::Unreachable(reply.unproved()))
    }
}

/// A connection whose process is known. Dropping it ends it at once, whatever is under way.
#[derive(Debug)]
pub(super) struct Connection {
    requests: SendRequest<AnswerBody>,
    challenge: Challenge,
    /// Since when it waits, by the monotonic clock of the node.
    pub(super) idle_since: Duration,
    _task: Ending,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Dials, under TLS when there is some, and introduces; `place` is held as long as the connection is.
    ///
    /// # Errors
    ///
    /// [`CallFailure::Refused`] when nobody listens or the connection was reset before it brought a byte, otherwise
    /// [`CallFailure::Unreachable`]; or [`Unopened::Untrusted`].
    pub(super) async fn open(
        authority: &str,
        kind: CallKind,
        budget: &Budget,
        place: OwnedSemaphorePermit,
        tls: Option<Arc<Endpoint>>,
        closed: Option<ClosedByPeer>,
    ) -> Result<Self, Unopened> {
        let socket = dial(authority).await?;
        socket.set_nodelay(true).map_err(|error| unreachable(&error))?;
        let mut this = match tls {
            None => Introduction::over(socket, authority, closed).await?,
            Some(endpoint) => {
                let sealed = seal(socket, authority, &endpoint).await.map_err(|error| match error {
                    Unsealed::HungUp => CallFailure::Refused.into(),
                    Unsealed::Failed(error) => unreachable(&error).into(),
                    Unsealed::Untrusted(reason) => Unopened::Untrusted(reason),
                })?;
                Introduction::over(sealed, authority, closed).await?
            }
        };
        let challenge = this.challenge(authority, kind, budget).await?;
        let Introduction { requests, task } = this;
        Ok(Self { requests, challenge, idle_since: Duration::ZERO, _task: task, _place: place })
    }

    /// Makes a call. After an error the connection is of no use any more.
    ///
    /// # Errors
    ///
    /// [`Stumble`].
    pub(super) async fn call(
        &mut self,
        call: Call<'_>,
        sender: &Sender,
        now_ms: u64,
        budget: &Budget,
    ) -> Result<Bytes, Stumble> {
        let failed = |detail: String| Stumble::Failed(CallFailure::Unreachable(detail));
        if call.node.is_some_and(|node| node != self.challenge.node) {
            let other = self.challenge.node;
            return Err(Stumble::Stale(CallFailure::Unreachable(format!(
                "another node answers there: {other}"
            ))));
        }
        if let Err(error) = self.requests.ready().await {
            return Err(Stumble::Stale(unreachable(&error)));
        }
        let line = Line { method: Method::POST.as_str(), target: target(call.kind) };
        let signed = sender.sign(&self.challenge, line, call.body, now_ms);
        let request =
            request(call.authority, call.kind, Some(&signed), call.body).map_err(Stumble::Failed)?;
        let response = match self.requests.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let was_sent = error.take_message().is_none();
                let failure = unreachable(error.error());
                return Err(if was_sent { Stumble::Failed(failure) } else { Stumble::Stale(failure) });
            }
        };
        let seal = response.headers().get(X_KVS_SEAL).cloned();
        let reply = read(response, body_bytes_max(call.kind), budget).await.map_err(Stumble::Failed)?;
        let is_proved = seal
            .is_some_and(|seal| signed.is_answered_by(reply.status.as_u16(), &reply.bytes, seal.as_bytes()));
        match (is_proved, reply.status) {
            (true, StatusCode::OK) => Ok(reply.bytes),
            (true, _) => Err(Stumble::Failed(CallFailure::Rejected(reply.detail()))),
            (false, StatusCode::UNAUTHORIZED) => Err(Stumble::Stale(CallFailure::Denied(reply.detail()))),
            (false, _) => Err(failed(reply.unproved())),
        }
    }

    /// Whether it can still carry a call, as far as is known here.
    pub(super) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }
}

/// Connects to one of the addresses of `authority`.
async fn dial(authority: &str) -> Result<TcpStream, CallFailure> {
    let addresses = lookup_host(authority)
        .await
        .map_err(|error| CallFailure::Unreachable(format!("{authority} cannot be resolved: {error}")))?;
    let mut failure = None;
    for address in addresses.take(PEER_ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                failure.get_or_insert(CallFailure::Refused);
            }
            // One address that does not answer leaves open whether the process is gone.
            Err(error) => failure = Some(unreachable(&error)),
        }
    }
    Err(failure.unwrap_or_else(|| CallFailure::Unreachable(format!("{authority} has no address"))))
}

fn request(
    authority: &str,
    kind: CallKind,
    signed: Option<&Signed>,
    body: &Bytes,
) -> Result<Request<AnswerBody>, CallFailure> {
    let mut request = Request::post(target(kind)).header(HOST, authority).header(CONTENT_LENGTH, body.len());
    if let Some(signed) = signed {
        let mut value = HeaderValue::try_from(signed.authorization()).map_err(|error| unreachable(&error))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(AnswerBody::free(body.clone())).map_err(|error| unreachable(&error))
}

/// A reply as it came; what it says is worth nothing without its seal.
struct RawReply {
    status: StatusCode,
    bytes: Bytes,
}

async fn read(
    response: Response<Incoming>,
    bytes_max: usize,
    budget: &Budget,
) -> Result<RawReply, CallFailure> {
    let (head, incoming) = response.into_parts();
    let whole = body::read(&head.headers, incoming, bytes_max, budget)
        .await
        .map_err(|problem| CallFailure::Unreachable(format!("the reply: {}", problem.detail)))?;
    Ok(RawReply { status: head.status, bytes: whole.share.hold(whole.bytes) })
}

impl RawReply {
    /// The sentence of the problem, fit for one line of a log.
    fn detail(&self) -> String {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.bytes).ok();
        let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        let shown = detail.unwrap_or_else(|| self.status.canonical_reason().unwrap_or("no reason given"));
        shown.chars().filter(|c| !c.is_control()).take(PEER_DETAIL_CHARS_MAX).collect()
    }

    fn unproved(&self) -> String {
        let status = self.status.as_u16();
        match self.status {
            StatusCode::OK => "the reply does not prove who sent it".to_owned(),
            _ => format!("a reply {status} that does not prove who sent it: {}", self.detail()),
        }
    }
}

fn challenge_of(response: &Response<Incoming>) -> Option<Challenge> {
    Challenge::decode(response.headers().get(X_KVS_CHALLENGE)?.as_bytes())
}

/// Whether the other side ended the connection before it said anything.
fn was_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    error.is_incomplete_message()
        || error.is_closed()
        || source
            .is_some_and(|source| matches!(source.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

fn unreachable(error: &dyn std::error::Error) -> CallFailure {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text.push_str(": ");
        text.push_str(&source.to_string());
    }
    CallFailure::Unreachable(text)
}
