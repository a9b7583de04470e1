//! The door for peers: `POST /peer/v1/{kind}` from a checked head to a sealed reply.
//!
//! The order is the point: the head proves its sender before one byte of the body is kept, the body is bounded before it
//! is read and compared before it is used, and every reply to a proved call is sealed, errors included. Nobody but a
//! holder of the cluster's key reaches the service.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use kvs_protocol::call::CallKind;
use kvs_protocol::peer_auth::denial::Denial;
use kvs_protocol::peer_auth::keyring::Keyring;
use kvs_protocol::peer_auth::mac::Line;
use kvs_protocol::peer_auth::receiver::{Admitted, Receiver};
use kvs_store::clock::Clock;
use uuid::Uuid;

use super::complaints::Complaints;
use super::marks::{X_KVS_CHALLENGE, X_KVS_SEAL, body_bytes_max};
use super::service::{PeerRefusal, PeerRequest, PeerService};
use crate::budget::Budget;
use crate::clock::SystemClock;
use crate::error::ServerError;
use crate::http::body::{self, WholeBody};
use crate::http::reply::{AnswerBody, Reply};
use crate::limits::PEER_ANSWER_TIMEOUT;
use crate::problem::{Code, Problem};
use crate::random::random_bytes;

/// The scheme that a 401 asks for.
const SCHEME: HeaderValue = HeaderValue::from_static(kvs_protocol::peer_auth::credential::SCHEME);

/// The door for peers of one node.
pub(crate) struct Gate {
    receiver: Mutex<Receiver>,
    service: OnceLock<Arc<dyn PeerService>>,
    complaints: Complaints<Option<Uuid>>,
}

/// An answer to a peer or to whoever says it is one.
pub(crate) struct GateAnswer {
    /// The reply.
    pub(crate) reply: Reply,
    /// The body may be unread.
    pub(crate) leaves_unread: bool,
}

impl Gate {
    /// The door of a process of `node`. Until it has a service, proved calls are told to come again.
    ///
    /// # Errors
    ///
    /// [`ServerError::Runtime`] without randomness.
    pub(crate) fn new(keyring: Keyring, node: Uuid) -> Result<Self, ServerError> {
        Ok(Self {
            receiver: Mutex::new(Receiver::new(keyring, node, random_bytes()?)),
            service: OnceLock::new(),
            complaints: Complaints::default(),
        })
    }

    /// Sends proved calls to `service` from now on. Only the first one counts.
    pub(crate) fn serve(&self, service: Arc<dyn PeerService>) {
        self.service.get_or_init(|| service);
    }

    /// Answers a request to the path of `kind`, which is a `POST`, within the `budget` of the node.
    pub(crate) async fn answer(
        &self,
        clock: SystemClock,
        budget: &Budget,
        kind: CallKind,
        parts: &Parts,
        body: Incoming,
    ) -> GateAnswer {
        let admitted = match self.admit(parts) {
            Ok(admitted) => admitted,
            Err(denial) => return GateAnswer { reply: self.deny(denial, clock), leaves_unread: true },
        };
        let whole = match read(budget, kind, parts, body).await {
            Ok(whole) => whole,
            Err(problem) => {
                let reply = seal(&admitted, Reply::problem(&problem));
                return GateAnswer { reply, leaves_unread: true };
            }
        };
        if let Err(denial) = admitted.check_body(&whole.bytes) {
            return GateAnswer { reply: self.deny(denial, clock), leaves_unread: false };
        }
        let reply = match self.serve_one(budget, kind, &admitted, whole).await {
            Ok(body) => Reply::empty(StatusCode::OK).with_body(body),
            Err(problem) => Reply::problem(&problem),
        };
        GateAnswer { reply: seal(&admitted, reply), leaves_unread: false }
    }

    /// The answer to whoever shows no certificate where peers must.
    pub(crate) fn refuse_uncertified() -> GateAnswer {
        let problem = Problem::new(Code::Unauthorized, "calls of nodes need a client certificate here");
        let reply = Reply::problem(&problem).with(WWW_AUTHENTICATE, SCHEME);
        GateAnswer { reply, leaves_unread: true }
    }

    fn admit(&self, parts: &Parts) -> Result<Admitted, Denial> {
        let mut given = parts.headers.get_all(AUTHORIZATION).iter();
        let authorization = match (given.next(), given.next()) {
            (_, Some(_)) => return Err(Denial::Malformed),
            (given, None) => given.map(HeaderValue::as_bytes),
        };
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let line = Line { method: parts.method.as_str(), target };
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).admit(line, authorization)
    }

    /// A 401 with the challenge of this process; it is not sealed, as there is nobody to seal it for.
    fn deny(&self, denial: Denial, clock: SystemClock) -> Reply {
        let subject = match denial {
            Denial::OtherCluster { claimed } => Some(Some(claimed)),
            Denial::Invalid | Denial::OtherBody | Denial::Seen => Some(None),
            Denial::NoCredential | Denial::Malformed | Denial::OtherProcess => None,
        };
        match subject {
            Some(subject) if self.complaints.is_due(subject, clock.monotonic()) => {
                let claimed = subject.map(tracing::field::display);
                tracing::warn!(claimed_node = claimed, "a call of a node was refused: {denial}");
            }
            _ => tracing::debug!("a call of a node was refused: {denial}"),
        }
        let challenge = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).challenge().encode();
        let problem = Problem::new(Code::Unauthorized, denial.to_string());
        let reply = Reply::problem(&problem).with(WWW_AUTHENTICATE, SCHEME);
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => reply.with(X_KVS_CHALLENGE, challenge),
            // The text of a challenge is always a valid value.
            Err(_) => reply,
        }
    }

    async fn serve_one(
        &self,
        budget: &Budget,
        kind: CallKind,
        admitted: &Admitted,
        whole: WholeBody,
    ) -> Result<AnswerBody, Problem> {
        let service = self
            .service
            .get()
            .ok_or_else(|| Problem::new(Code::NotReady, "the node is starting; ask again"))?;
        let answering = service.handle(PeerRequest {
            from: admitted.from(),
            generation: admitted.generation(),
            sent_ms: admitted.sent_ms(),
            kind,
            body: whole.share.hold(whole.bytes),
        });
        let answer = tokio::time::timeout(PEER_ANSWER_TIMEOUT, answering)
            .await
            .map_err(|_| Problem::new(Code::NotReady, "the answer took too long"))??;
        if answer.len() > body_bytes_max(kind) {
            let inner = format!("an answer of {} bytes to a call of kind {}", answer.len(), kind.name());
            return Err(Problem::internal(inner));
        }
        let share = budget.share(answer.len())?;
        Ok(AnswerBody::covered(answer, share))
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gate").field("receiver", &self.receiver).finish_non_exhaustive()
    }
}

/// Reads the body of a proved call. There is nothing to decode or to decompress in it.
async fn read(budget: &Budget, kind: CallKind, parts: &Parts, body: Incoming) -> Result<WholeBody, Problem> {
    if parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "bodies between nodes have no Content-Encoding",
        ));
    }
    if !parts.headers.contains_key(CONTENT_LENGTH) {
        return Err(Problem::new(Code::LengthRequired, "bodies between nodes have a Content-Length"));
    }
    body::read(&parts.headers, body, body_bytes_max(kind), budget).await
}

/// Proves to the sender of a call that this is the reply to it.
fn seal(admitted: &Admitted, reply: Reply) -> Reply {
    let seal = admitted.seal(reply.status().as_u16(), reply.bytes());
    match HeaderValue::try_from(seal) {
        Ok(seal) => reply.with(X_KVS_SEAL, seal),
        // The text of a seal is always a valid value.
        Err(_) => reply,
    }
}

impl From<PeerRefusal> for Problem {
    fn from(refusal: PeerRefusal) -> Self {
        let (code, detail) = match refusal {
            PeerRefusal::BadMessage(detail) => (Code::BadMessage, detail),
            PeerRefusal::Conflict(detail) => (Code::Conflict, detail),
            PeerRefusal::NotReady(detail) => (Code::NotReady, detail),
        };
        Self::new(code, detail)
    }
}
