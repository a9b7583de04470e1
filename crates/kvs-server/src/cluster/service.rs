//! What answers the calls of peers: membership for its own kinds, the store for the others, and further peers where a part of a
//! log is to be passed on.

use std::sync::Arc;

use bytes::Bytes;
use kvs_protocol::call::CallKind;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_protocol::membership::legible;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::answering::{Answering, refusal, stopping};
use super::handle::Cluster;
use super::relaying::Relaying;
use super::to_members;
use crate::peer::service::{PeerAnswer, PeerRefusal, PeerRequest, PeerService};

/// Answers peers.
pub(super) struct Service {
    pub(super) cluster: Arc<Cluster>,
    pub(super) answering: Answering,
    pub(super) relaying: Relaying,
}

impl PeerService for Service {
    fn handle(&self, request: PeerRequest) -> PeerAnswer {
        let PeerRequest { from, kind, body, .. } = request;
        match kind {
            CallKind::Swim | CallKind::Members => self.ask_members(from, kind, body),
            CallKind::Status | CallKind::Replicate | CallKind::Sync | CallKind::Page => {
                self.note_heard(from);
                let (answering, mode) = (self.answering.clone(), self.cluster.peers_mode());
                Box::pin(async move {
                    let serving = spawn_blocking(move || answering.answer(mode, from, kind, &body));
                    serving.await.map_err(|_| stopping())?.map_err(|error| refusal(&error))
                })
            }
            CallKind::Relay => {
                // Who calls is heard; whose log it brings is not.
                self.note_heard(from);
                let mode = self.cluster.peers_mode();
                Box::pin(self.relaying.clone().pass_on(self.answering.clone(), mode, body))
            }
        }
    }
}

impl Service {
    fn note_heard(&self, node: Uuid) {
        let heard = MembershipEvent::Heard { node };
        self.cluster.members.offer(to_members::Command::Event(heard));
    }

    fn ask_members(&self, from: Uuid, kind: CallKind, body: Bytes) -> PeerAnswer {
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
}
