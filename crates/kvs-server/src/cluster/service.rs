//! What answers the calls of peers: membership for its own kinds, the store for the others.

use std::sync::Arc;

use kvs_cluster::error::ServeError;
use kvs_cluster::serve::serve;
use kvs_protocol::call::{CallKind, Now};
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_protocol::membership::legible;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock;
use kvs_store::store::Store;
use tokio::sync::oneshot;

use super::handle::Cluster;
use super::to_members;
use crate::clock::SystemClock;
use crate::peer::service::{PeerAnswer, PeerRefusal, PeerRequest, PeerService};

/// Answers peers.
pub(super) struct Service {
    pub(super) store: Arc<Store>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) secrets: Secrets,
    pub(super) clock: SystemClock,
}

impl PeerService for Service {
    fn handle(&self, request: PeerRequest) -> PeerAnswer {
        let PeerRequest { from, kind, body, .. } = request;
        match kind {
            CallKind::Swim | CallKind::Members => {
                if let Err(error) = legible::check(kind, &body) {
                    let refusal = PeerRefusal::BadMessage(format!("a malformed message: {error}"));
                    return Box::pin(async move { Err(refusal) });
                }
                let (answer, answered) = oneshot::channel();
                let cluster = Arc::clone(&self.cluster);
                Box::pin(async move {
                    let told = cluster.members.put(to_members::Command::Request { kind, body, from, answer });
                    told.await.then_some(()).ok_or_else(stopping)?;
                    answered.await.map_err(|_| PeerRefusal::NotReady("there is no answer to this".into()))
                })
            }
            CallKind::Status | CallKind::Replicate | CallKind::Sync | CallKind::Page => {
                let heard = MembershipEvent::Heard { node: from };
                self.cluster.members.offer(to_members::Command::Event(heard));
                let (store, secrets, clock) = (Arc::clone(&self.store), self.secrets.clone(), self.clock);
                let mode = self.cluster.peers_mode();
                Box::pin(async move {
                    let serving = tokio::task::spawn_blocking(move || {
                        let now = Now { monotonic: clock.monotonic(), wall_ms: clock.now_ms() };
                        serve(&store, &secrets, mode, from, kind, &body, now)
                    });
                    serving.await.map_err(|_| stopping())?.map_err(|error| refusal(&error))
                })
            }
        }
    }
}

fn stopping() -> PeerRefusal {
    PeerRefusal::NotReady("the node is stopping".into())
}

fn refusal(error: &ServeError) -> PeerRefusal {
    let sentence = error.to_string();
    match error {
        ServeError::Malformed(_) | ServeError::MalformedSession(_) | ServeError::Elsewhere => {
            PeerRefusal::BadMessage(sentence)
        }
        ServeError::Store(_) if error.is_temporary() => PeerRefusal::NotReady(sentence),
        ServeError::Store(_) => PeerRefusal::Conflict(sentence),
    }
}
