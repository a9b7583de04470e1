//! Where every request comes in: checked, routed, answered, counted.
//!
//! A read that the cache can answer is answered right here, without a task, a timer or a boxed future; everything else
//! goes on in a future of its own.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use kvs_audit::event::EventKind;
use kvs_auth::caller::Caller;
use kvs_core::record::Principal;
use kvs_protocol::call::CallKind;
use kvs_store::clock::Clock;

use crate::access::visitor::Visitor;
use crate::answer::Answer;
use crate::connection::activity::Activity;
use crate::connection::registry::{Place, Standing};
use crate::context::Node;
use crate::http::accounts::door as accounts;
use crate::http::entrance::Entrance;
use crate::http::head::{Head, HostCheck};
use crate::http::reply::{After, AnswerBody, Asked, Reply};
use crate::http::{
    backup, batch, cluster, delete, health, history, metadata, metrics, parked, range, read, read_many, write,
};
use crate::limits::CACHED_READS_PER_SAMPLE;
use crate::peer::gate::{Gate, GateAnswer};
use crate::peer::marks::PEER_PREFIX;
use crate::problem::{Code, Problem};
use crate::rate_limit::verdict::Verdict;
use crate::request_id::{RequestId, RequestIds};
use crate::routes::{self, Family, Route, Unrouted};
use crate::tls::client_certificate::ClientCertificate;

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Door {
    node: Arc<Node>,
    activity: Arc<Activity>,
    ids: RequestIds,
    requests: Arc<AtomicU64>,
    host: Arc<HostCheck>,
    standing: Standing,
    /// The other end of the socket.
    from: IpAddr,
    certificate: ClientCertificate,
}

impl Door {
    /// The door of a connection.
    pub(crate) fn of(node: Arc<Node>, place: &Place, certificate: ClientCertificate) -> Self {
        let ids = RequestIds::of_connection(node.request_id_key, place.number());
        let host = Arc::new(HostCheck::new(node.settings.host_policy));
        let (activity, standing, from) = (Arc::clone(place.activity()), place.standing(), place.from());
        Self { node, activity, ids, requests: Arc::default(), host, standing, from, certificate }
    }
}

/// An answer, at hand or to come.
pub(crate) enum Answering {
    /// At hand.
    Now(Option<Response<AnswerBody>>),
    /// To come.
    Later(Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // A future is not polled again once it was ready.
                None => Poll::Pending,
            },
            Self::Later(future) => future.as_mut().poll(context).map(Ok),
        }
    }
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.activity.begin_request();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = self.ids.id(number);
        let head = Head::read(&request);
        if let Err(problem) = head.check(&request, &self.host, &self.activity) {
            return Answering::Now(Some(self.refuse(Asked::of(&request, id), &problem)));
        }
        if self.standing == Standing::PeersOnly && !request.uri().path().starts_with(PEER_PREFIX) {
            self.node.registry.note_turned_away();
            let problem = Problem::new(Code::Overloaded, "too many connections");
            return Answering::Now(Some(self.refuse(Asked::of(&request, id), &problem)));
        }
        let entrance = Entrance::of(&self.node, &request, self.from);
        let asked = Asked::of(&request, id).with_verdict(entrance.verdict);
        if let Some(Verdict::Exceeded { .. }) = entrance.verdict {
            return Answering::Now(Some(self.turn_back(asked, &request)));
        }
        let sample = number.is_multiple_of(CACHED_READS_PER_SAMPLE).then(|| self.node.clock.monotonic());
        if !head.is_conditional
            && let Ok(identity) = &entrance.identity
            && let Some(answer) = cached_read(&self.node, &identity.caller(), &request)
        {
            let mut headers = request.into_parts().0.headers;
            headers.clear();
            let response = read::answer_cached(&answer, headers).into_response(asked, After::KeepAlive);
            let elapsed = sample.map(|started| self.node.clock.monotonic().saturating_sub(started));
            self.node.metrics.count_cached_read(elapsed);
            self.activity.end_request();
            return Answering::Now(Some(response));
        }
        let visit = Visit { id, number, started: sample.unwrap_or_else(|| self.node.clock.monotonic()) };
        // A chunked request is the last one of its connection; see the watch over heads.
        let after = if head.has_transfer_encoding { After::Close } else { After::KeepAlive };
        Answering::Later(Box::pin(self.clone().answer(visit, entrance, request, after)))
    }
}

/// The cached value that a plain `GET` without query, body and conditions asks for.
fn cached_read(node: &Node, caller: &Caller<'_>, request: &Request<Incoming>) -> Option<Answer> {
    let is_plain =
        *request.method() == Method::GET && request.uri().query().is_none() && request.body().is_end_stream();
    let raw_path = request.uri().path().strip_prefix("/kv/").filter(|_| is_plain)?;
    node.vault.cached(caller, raw_path.as_bytes(), || node.clock.now_ms())
}

/// What is known of a request from its first moment.
#[derive(Debug, Clone, Copy)]
struct Visit {
    id: RequestId,
    /// Which request of its connection it is, from 0.
    number: u64,
    started: Duration,
}

/// Ends the request of an activity, however its future ends.
struct InService(Arc<Activity>);

impl Drop for InService {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

impl Door {
    /// Refuses a request that gets no route.
    fn refuse(&self, asked: Asked, problem: &Problem) -> Response<AnswerBody> {
        log(asked.id, problem);
        self.activity.note_unread();
        // Refused on the spot: there is no time to speak of.
        self.node.metrics.count_request(Family::Unrouted, problem.code.status(), Duration::ZERO);
        self.activity.end_request();
        Reply::problem(problem).into_response(asked, After::Close)
    }

    /// Turns a caller back that has made too many requests.
    fn turn_back(&self, asked: Asked, request: &Request<Incoming>) -> Response<AnswerBody> {
        let problem =
            Problem::new(Code::RateLimited, "too many requests; Retry-After says when to come again");
        let has_body = !request.body().is_end_stream();
        if has_body {
            self.activity.note_unread();
        }
        self.node.metrics.count_request(Family::Unrouted, problem.code.status(), Duration::ZERO);
        self.activity.end_request();
        let after = if has_body { After::Close } else { After::KeepAlive };
        Reply::problem(&problem).into_response(asked, after)
    }

    /// Routes a request and answers it.
    async fn answer(
        self,
        visit: Visit,
        entrance: Entrance,
        request: Request<Incoming>,
        mut after: After,
    ) -> Response<AnswerBody> {
        let _in_service = InService(Arc::clone(&self.activity));
        let asked = Asked::of(&request, visit.id).with_verdict(entrance.verdict);
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let mut refused = Refused::default();
        let (family, takes_body, answered) = match routes::route(&parts.method, parts.uri.path()) {
            Ok(Route::Peer(kind)) => {
                return self.answer_peer(visit, asked, kind, &parts, body, after).await;
            }
            Ok(route) => {
                refused = Refused::begin(&entrance);
                let answered = match entrance.admit(&self.node, &route, visit.id) {
                    Ok(visitor) => {
                        let answered = handle(&self.node, &visitor, route, &parts, body).await;
                        if answered.is_ok() {
                            note_order(&self.node, &visitor, &route);
                        }
                        answered
                    }
                    Err(problem) => Err(problem),
                };
                (route.family(), route.takes_body(), answered)
            }
            Err(unrouted) => (Family::Unrouted, false, Err(problem_of(unrouted))),
        };
        let is_unread = has_body && (!takes_body || answered.is_err());
        let reply = answered.unwrap_or_else(|problem| {
            log(visit.id, &problem);
            refused.note(&self.node, visit.id, &parts, &problem);
            if problem.code.ends_connection() {
                after = After::Close;
            }
            Reply::problem(&problem)
        });
        if is_unread {
            self.activity.note_unread();
            if !takes_body {
                after = After::Close;
            }
        }
        let elapsed = self.node.clock.monotonic().saturating_sub(visit.started);
        self.node.metrics.count_request(family, reply.status(), elapsed);
        reply.into_response(asked, after)
    }
}

/// What the audit trail is told of a request that was refused.
#[derive(Debug, Default)]
struct Refused {
    address: Option<IpAddr>,
    /// The caller; `None` with a token that is not good.
    who: Option<Principal>,
}

impl Refused {
    fn begin(entrance: &Entrance) -> Self {
        let who = entrance.identity.as_ref().ok().map(|identity| identity.caller().principal());
        Self { address: Some(entrance.address), who }
    }

    /// Notes tokens that are not good, and what a known caller may not do. Who comes without a token is not noted: the
    /// answer tells it to bring one.
    fn note(&self, node: &Node, id: RequestId, parts: &Parts, problem: &Problem) {
        let Some(address) = self.address else { return };
        let (address, request) = (address.to_string(), id.to_string());
        match (problem.code, &self.who) {
            // A token was sent: it is not good, or not any more.
            (Code::Unauthorized, _) if problem.inner.is_some() => {
                node.recorder.login_failed(&address, &request, problem.inner.as_deref().unwrap_or_default());
            }
            (Code::Forbidden, Some(who)) => {
                let asked = (&parts.method, parts.uri.path());
                node.recorder.denied(who.as_str(), &address, &request, asked);
            }
            _ => {}
        }
    }
}

impl Door {
    /// Answers a call of a peer, or of someone who says so.
    async fn answer_peer(
        &self,
        visit: Visit,
        asked: Asked,
        kind: CallKind,
        parts: &Parts,
        body: Incoming,
        mut after: After,
    ) -> Response<AnswerBody> {
        let has_body = !body.is_end_stream();
        let answer = match &self.node.gate {
            Some(_) if self.certificate == ClientCertificate::Missing => Gate::refuse_uncertified(),
            Some(gate) => gate.answer(self.node.clock, &self.node.budget, kind, parts, body).await,
            None => GateAnswer { reply: Reply::problem(&Problem::no_such_route()), leaves_unread: true },
        };
        if has_body && answer.leaves_unread {
            self.activity.note_unread();
            after = After::Close;
        }
        // A peer asks without a credential once, to learn the challenge; who goes on like that is none.
        if answer.reply.status() == StatusCode::UNAUTHORIZED && visit.number > 0 {
            after = After::Close;
        }
        let elapsed = self.node.clock.monotonic().saturating_sub(visit.started);
        self.node.metrics.count_request(Family::Peer, answer.reply.status(), elapsed);
        answer.reply.into_response(asked, after)
    }
}

/// Notes what an administrator made the node do; changes of records are noted by the commit.
fn note_order(node: &Node, visitor: &Visitor, route: &Route<'_>) {
    let (kind, order) = match route {
        Route::Join => (EventKind::Member, "join"),
        Route::Leave => (EventKind::Member, "leave"),
        Route::Forget => (EventKind::Member, "forget"),
        Route::DiscardParked => (EventKind::Member, "discard parked"),
        Route::BackUp => (EventKind::Backup, "backup"),
        _ => return,
    };
    node.recorder.note(kind, visitor.identity.caller().principal().as_str(), order);
}

fn problem_of(unrouted: Unrouted) -> Problem {
    match unrouted {
        Unrouted::NotFound => Problem::no_such_route(),
        Unrouted::MethodNotAllowed(allow) => Problem::method_not_allowed(allow),
    }
}

async fn handle(
    node: &Arc<Node>,
    visitor: &Visitor,
    route: Route<'_>,
    parts: &Parts,
    body: Incoming,
) -> Result<Reply, Problem> {
    let query = parts.uri.query();
    let headers = &parts.headers;
    match route {
        Route::Read(path) => {
            node.read_pace.run(&node.clock, || read::answer(node, visitor, path, query, headers))
        }
        Route::Write(path) => write::put(node, visitor, path, query, headers, body).await,
        Route::Delete(path) => delete::delete(node, visitor, path, query, headers).await,
        Route::Range => range::list(node, visitor, query).await,
        Route::Batch => batch::batch(node, visitor, query, headers, body).await,
        Route::ReadMany => read_many::read_many(node, visitor, query, headers, body).await,
        Route::History(path) => history::read(node, visitor, path, query).await,
        Route::Restore(path, uuid) => history::restore(node, visitor, path, uuid, query, headers).await,
        Route::Metadata(path) => metadata::read(node, visitor, path, query).await,
        Route::SetMetadata(path) => metadata::write(node, visitor, path, query, headers, body).await,
        Route::Accounts(call) => accounts::answer(node, visitor, call, parts, body).await,
        Route::Health => health::health(node, query),
        Route::Ready => health::ready(node, query),
        Route::Metrics => tokio::task::block_in_place(|| metrics::metrics(node, query)),
        Route::Members => cluster::members(node, query),
        Route::Join => cluster::join(node, visitor, query, headers, body).await,
        Route::Forget => cluster::forget(node, visitor, query, headers, body).await,
        Route::Leave => cluster::leave(node, query).await,
        Route::MerkleRoot => tokio::task::block_in_place(|| cluster::merkle_root(node, visitor, query)),
        Route::Convergence => cluster::convergence(node, query).await,
        Route::Tombstones => cluster::tombstones(node, visitor, query).await,
        Route::Parked => parked::list(node, visitor, query).await,
        Route::DiscardParked => parked::discard(node, visitor, query, headers, body).await,
        Route::Backups => backup::list(node, query).await,
        Route::BackUp => backup::create(node, visitor, query).await,
        // Answered on a way of their own.
        Route::Peer(_) => Err(Problem::no_such_route()),
    }
}

/// Tells the log what the client is not told.
fn log(id: RequestId, problem: &Problem) {
    let code = problem.code.word();
    match (problem.code, &problem.inner) {
        (Code::Internal, Some(inner)) => {
            tracing::error!(request_id = %id, code, reason = inner, "a request failed")
        }
        (_, Some(inner)) => tracing::debug!(request_id = %id, code, reason = inner, "a request was refused"),
        (_, None) => tracing::debug!(request_id = %id, code, "a request was refused"),
    }
}
