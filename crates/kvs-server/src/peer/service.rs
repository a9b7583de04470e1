//! Where authenticated calls go: the one seam between the door for peers and whatever answers them.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use kvs_protocol::call::CallKind;
use uuid::Uuid;

/// A call of a peer: its sender is proved, it is new, and its body is whole and within the bound of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRequest {
    /// The node that sent it.
    pub from: Uuid,
    /// The generation of that node.
    pub generation: u32,
    /// When it was sent by that node's clock, ms since 1970.
    pub sent_ms: u64,
    /// What it asks for.
    pub kind: CallKind,
    /// Its bytes; they hold their share of the memory budget until the last clone is dropped.
    pub body: Bytes,
}

/// Why a peer gets no answer. The sentence goes to the peer, which logs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// The bytes are no message of this kind: 400. Nothing was changed.
    #[error("{0}")]
    BadMessage(String),
    /// The message is well-formed and does not fit what this node is or holds: 409. Nothing was changed.
    #[error("{0}")]
    Conflict(String),
    /// The node cannot do it now: 503. Nothing was changed; asking again later may help.
    #[error("{0}")]
    NotReady(String),
}

/// The answer to a call, to come.
pub type PeerAnswer = Pin<Box<dyn Future<Output = Result<Bytes, PeerRefusal>> + Send>>;

/// What answers the calls of peers.
pub trait PeerService: Send + Sync + 'static {
    /// Answers one call; called on a thread of the runtime, so it must not block. The future may be dropped at any
    /// moment, when the peer gives up.
    fn handle(&self, request: PeerRequest) -> PeerAnswer;
}
