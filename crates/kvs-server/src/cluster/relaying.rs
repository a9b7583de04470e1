//! Passing on parts of other nodes' logs: the calls that it takes, and how many at once.

use std::sync::Arc;

use bytes::Bytes;
use kvs_cluster::branches::BranchCall;
use kvs_cluster::limits::{RELAY_FAN_OUT, RELAYS_MAX};
use kvs_cluster::relay::Relay;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::mode::Mode;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use super::answering::{Answering, refusal, stopping};
use crate::peer::client::PeerClient;
use crate::peer::service::PeerRefusal;

/// Passes parts of logs on.
#[derive(Clone)]
pub(super) struct Relaying {
    client: Arc<PeerClient>,
    /// One for each part that may be passed on at the same time.
    turns: Arc<Semaphore>,
}

impl Relaying {
    /// Passes on by calls of this client.
    pub(super) fn new(client: Arc<PeerClient>) -> Self {
        Self { client, turns: Arc::new(Semaphore::new(RELAYS_MAX)) }
    }

    /// Takes a part of a log as if its origin had sent it, and calls those that it is to be passed on to at the same time. While
    /// [`RELAYS_MAX`] parts are being passed on it calls nobody, and says so. When whoever called gives up, these calls end, too;
    /// what is being committed is committed.
    ///
    /// # Errors
    ///
    /// The bytes are no such request: nothing was done. Or the node is stopping.
    pub(super) async fn pass_on(
        self,
        answering: Answering,
        mode: Mode,
        body: Bytes,
    ) -> Result<Bytes, PeerRefusal> {
        let own = answering.store.node();
        let begun = spawn_blocking(move || Relay::begin(own, &body, RELAY_FAN_OUT)).await;
        let (mut relay, branches) = begun.map_err(|_| stopping())?.map_err(|error| refusal(&error))?;
        // Where the way ends there is nothing to pass on, and the call is like one of the origin itself.
        let turn = (!branches.is_empty()).then(|| self.turns.try_acquire());
        let mut calls = JoinSet::new();
        for BranchCall { head, to, body, timeout } in branches {
            if let Some(Err(_)) = turn {
                let full = CallFailure::Rejected("too many parts are passed on at once".to_owned());
                relay.take_branch(head, Err(full));
                continue;
            }
            let client = Arc::clone(&self.client);
            calls.spawn(
                async move { (head, client.call(&to, Some(head), CallKind::Relay, body, timeout).await) },
            );
        }
        let (origin, part) = (relay.origin(), relay.part().clone());
        let answered =
            spawn_blocking(move || answering.answer(mode, origin, CallKind::Replicate, &part)).await;
        relay.take_own(answered.map_err(|_| stopping())?);
        while let Some(Ok((head, result))) = calls.join_next().await {
            relay.take_branch(head, result);
        }
        Ok(relay.finish())
    }
}
