//! Answers from the store to the calls of peers, and what a peer is told that gets none.

use std::sync::Arc;

use bytes::Bytes;
use kvs_cluster::error::ServeError;
use kvs_cluster::serve::serve;
use kvs_protocol::call::{CallKind, Now};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_store::clock::Clock;
use kvs_store::store::Store;
use uuid::Uuid;

use crate::clock::SystemClock;
use crate::peer::service::PeerRefusal;

/// What answers are made from.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) store: Arc<Store>,
    pub(super) secrets: Secrets,
    pub(super) clock: SystemClock,
}

impl Answering {
    /// Answers a call of `from` as a node in this mode. Blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// As [`serve`].
    pub(super) fn answer(
        &self,
        mode: Mode,
        from: Uuid,
        kind: CallKind,
        body: &Bytes,
    ) -> Result<Bytes, ServeError> {
        let now = Now { monotonic: self.clock.monotonic(), wall_ms: self.clock.now_ms() };
        serve(&self.store, &self.secrets, mode, from, kind, body, now)
    }
}

/// The node has no threads left for this.
pub(super) fn stopping() -> PeerRefusal {
    PeerRefusal::NotReady("the node is stopping".into())
}

/// What the peer is told.
pub(super) fn refusal(error: &ServeError) -> PeerRefusal {
    let sentence = error.to_string();
    match error {
        ServeError::Malformed(_) | ServeError::MalformedSession(_) | ServeError::Elsewhere => {
            PeerRefusal::BadMessage(sentence)
        }
        ServeError::Store(_) if error.is_temporary() => PeerRefusal::NotReady(sentence),
        ServeError::Store(_) => PeerRefusal::Conflict(sentence),
    }
}
