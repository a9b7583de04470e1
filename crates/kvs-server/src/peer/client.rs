//! Our calls to other nodes: signed, on connections that stay open, each answered or failed within its time.
//!
//! Invariant: bytes come out of [`PeerClient::call`] only when the reply proves that a node of the cluster gave them as
//! the answer to this very call; whatever else comes back is a failure. A dropped call takes its connection with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::peer_auth::credential::BootTag;
use kvs_protocol::peer_auth::keyring::Keyring;
use kvs_protocol::peer_auth::sender::Sender;
use kvs_store::clock::Clock;
use uuid::Uuid;

use super::address::{Transport, authority};
use super::complaints::Complaints;
use super::connection::{Call, ClosedByPeer, Connection, Stumble, Unopened};
use super::lanes::{LanePool, Lanes};
use crate::budget::Budget;
use crate::clock::SystemClock;
use crate::error::ServerError;
use crate::limits::PEER_CONNECT_TIMEOUT;
use crate::random::random_bytes;
use crate::tls::keeper::Tls;

/// Makes the calls of one process; there is one of it per process.
#[derive(Debug)]
pub struct PeerClient {
    sender: Sender,
    clock: SystemClock,
    budget: Budget,
    lanes: Lanes,
    complaints: Complaints<String>,
    closed: Option<ClosedByPeer>,
    tls: Option<Arc<Tls>>,
}

impl PeerClient {
    /// The client of a process of `node` in its `generation`, with a memory budget of its own.
    ///
    /// # Errors
    ///
    /// [`ServerError::Runtime`] without randomness.
    pub fn new(
        keyring: Keyring,
        node: Uuid,
        generation: u32,
        clock: SystemClock,
    ) -> Result<Self, ServerError> {
        Self::within(keyring, node, generation, clock, Budget::new())
    }

    /// The same, whose large replies take their share of `budget`.
    ///
    /// # Errors
    ///
    /// As [`PeerClient::new`].
    pub(crate) fn within(
        keyring: Keyring,
        node: Uuid,
        generation: u32,
        clock: SystemClock,
        budget: Budget,
    ) -> Result<Self, ServerError> {
        Ok(Self {
            sender: Sender::new(keyring, node, generation, BootTag(random_bytes()?)),
            clock,
            budget,
            lanes: Lanes::new(),
            complaints: Complaints::default(),
            closed: None,
            tls: None,
        })
    }

    /// Tells the address of each connection that the other side ends, busy or idle.
    pub(crate) fn telling_closed(self, closed: ClosedByPeer) -> Self {
        Self { closed: Some(closed), ..self }
    }

    /// Makes every connection under TLS, when there is some.
    pub(crate) fn under(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Calls the node at `to` (`host:port`, also with `http://` before it) and brings its answer, at most as large as the
    /// kind allows, within `timeout`. With `node` given it must be that node; otherwise any node of the cluster may answer.
    ///
    /// # Errors
    ///
    /// [`CallFailure::Refused`]: nobody listens there, or it hung up before a byte was said; nothing was done.
    /// [`CallFailure::Denied`]: it does not accept our secret; nothing was done.
    /// [`CallFailure::Rejected`]: the peer, proved, answered with an error, whose sentence this is.
    /// [`CallFailure::Unreachable`]: everything else, answers that prove nothing included; it may have been done.
    pub async fn call(
        &self,
        to: &str,
        node: Option<Uuid>,
        kind: CallKind,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallFailure> {
        let transport = if self.tls.is_some() { Transport::Tls } else { Transport::Clear };
        let authority =
            authority(to, transport).map_err(|reason| CallFailure::Unreachable(reason.to_owned()))?;
        let call = Call { authority, node, kind, body: &body };
        let answered = match tokio::time::timeout(timeout, self.attempt(call)).await {
            Ok(answered) => answered,
            Err(_) => Err(CallFailure::Unreachable(format!("no answer within {} ms", timeout.as_millis()))),
        };
        if let Err(CallFailure::Denied(reason)) = &answered
            && self.is_due(authority)
        {
            tracing::warn!(peer = authority, reason, "a node does not take this one for a peer");
        }
        answered
    }

    fn is_due(&self, authority: &str) -> bool {
        self.complaints.is_due(authority.to_owned(), self.clock.monotonic())
    }

    /// On a connection that is open already if there is one; a stale one is replaced once.
    async fn attempt(&self, call: Call<'_>) -> Result<Bytes, CallFailure> {
        let busy = || CallFailure::Unreachable("too many calls to peers at once".to_owned());
        let pool =
            self.lanes.pool(call.authority, call.kind.lane(), self.clock.monotonic()).ok_or_else(busy)?;
        let _turn = pool.turns.acquire().await.map_err(|_| busy())?;
        let mut answered = Err(Stumble::Stale(CallFailure::Refused));
        if let Some(mut connection) = pool.take(self.clock.monotonic()) {
            answered = self.call_on(&mut connection, call).await;
            self.keep(&pool, connection, &answered);
        }
        if let Err(Stumble::Stale(_)) = answered {
            let place = self.lanes.place(self.clock.monotonic()).ok_or_else(busy)?;
            let tls = self.tls.as_ref().map(|tls| tls.current());
            let opening =
                Connection::open(call.authority, call.kind, &self.budget, place, tls, self.closed.clone());
            let opened = tokio::time::timeout(PEER_CONNECT_TIMEOUT, opening)
                .await
                .map_err(|_| CallFailure::Unreachable("no connection in time".to_owned()))?;
            let mut connection = opened.map_err(|unopened| self.failure(call.authority, unopened))?;
            answered = self.call_on(&mut connection, call).await;
            self.keep(&pool, connection, &answered);
        }
        answered.map_err(CallFailure::from)
    }

    /// Why there is no connection; that a peer is not trusted is told to the log, as nothing else shows it.
    fn failure(&self, authority: &str, unopened: Unopened) -> CallFailure {
        match unopened {
            Unopened::Failed(failure) => failure,
            Unopened::Untrusted(reason) => {
                if self.is_due(authority) {
                    tracing::warn!(peer = authority, reason, "a node is not trusted over TLS");
                }
                CallFailure::Unreachable(format!("not trusted over TLS: {reason}"))
            }
        }
    }

    /// Keeps a connection whose peer answered, if only with an error of its own; any other is dropped.
    fn keep(&self, pool: &LanePool, connection: Connection, answered: &Result<Bytes, Stumble>) {
        if matches!(answered, Ok(_) | Err(Stumble::Failed(CallFailure::Rejected(_)))) {
            pool.keep(connection, self.clock.monotonic());
        }
    }

    async fn call_on(&self, connection: &mut Connection, call: Call<'_>) -> Result<Bytes, Stumble> {
        connection.call(call, &self.sender, self.clock.now_ms(), &self.budget).await
    }
}
