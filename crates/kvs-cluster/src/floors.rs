//! The replicator's part for what every member has: which tombstones may go, and which own writes some peer has.

use std::time::Duration;

use kvs_core::cursor::Cursor;
use kvs_core::vector::Vector;
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::Transaction;
use kvs_store::error::StoreError;
use kvs_store::store::Store;

use crate::context::Context;
use crate::fetching::Fetching;
use crate::limits::{ACKNOWLEDGED_INTERVAL, FLOOR_INTERVAL};
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::settings::Begins;
use crate::work::{Job, Noted};

/// What every member has, as it was last found.
pub(crate) struct Floors {
    /// When it is computed again.
    floor_at: Duration,
    /// Which own writes some peer has, as noted.
    acknowledged: Vector,
    /// When that may be noted again.
    acknowledged_at: Duration,
    is_noting: bool,
}

impl Floors {
    /// As an earlier process noted it.
    ///
    /// # Errors
    ///
    /// The note cannot be read.
    pub(crate) fn recall(store: &Store) -> Result<Self, StoreError> {
        let acknowledged = acknowledged(store)?;
        let (floor_at, acknowledged_at) = (Duration::ZERO, Duration::ZERO);
        Ok(Self { floor_at, acknowledged, acknowledged_at, is_noting: false })
    }

    /// When something is due.
    pub(crate) const fn deadline(&self) -> Duration {
        self.floor_at
    }

    /// The members changed.
    pub(crate) const fn compute_soon(&mut self) {
        self.floor_at = Duration::ZERO;
    }

    /// Tells the store which tombstones every member has, so that they may go. None may while this node has not met its cluster:
    /// it may begin with what a backup holds, and others may lack just these deletes. Nor while a member may be missing here.
    pub(crate) fn set(&mut self, context: &Context, peers: &Peers, fetching: &Fetching, outbox: &mut Outbox) {
        let now = context.now.monotonic;
        if now < self.floor_at {
            return;
        }
        self.floor_at = now + FLOOR_INTERVAL;
        let is_unmet =
            !peers.is_everybody() || (context.settings.begins == Begins::Joining && peers.is_empty());
        let mut floor: Option<Vector> = None;
        for peer in peers.counting() {
            let received = peer.shipping.received();
            floor = Some(floor.map_or_else(|| received.clone(), |floor| floor.meet(received)));
        }
        if now >= self.acknowledged_at && !self.is_noting {
            self.acknowledged_at = now + ACKNOWLEDGED_INTERVAL;
            if let Some((known, mark)) = self.news_of_acknowledged(context, peers) {
                self.is_noting = true;
                outbox.work(Job::Note(Noted::Acknowledged(known), vec![mark]));
            }
        }
        if is_unmet || fetching.is_under_way() {
            return;
        }
        // What this node has not received itself it cannot judge.
        let own = context.store.vector_held();
        context.store.set_collection_floor(floor.map(|floor| floor.meet(&own)));
    }

    /// Which own writes some peer has, if that is not what is noted.
    fn news_of_acknowledged(&self, context: &Context, peers: &Peers) -> Option<(Vector, Mark)> {
        let mut known = self.acknowledged.clone();
        for peer in peers.values() {
            known.join(&peer.shipping.received().of_node(context.own));
        }
        if known == self.acknowledged {
            return None;
        }
        let mut bytes = Vec::new();
        known.encode_into(&mut bytes);
        Some((known, Mark::Note(Note::Acknowledged, bytes)))
    }

    /// It was noted, or could not be.
    pub(crate) fn noted(&mut self, known: Vector, is_noted: bool) {
        self.is_noting = false;
        if is_noted {
            self.acknowledged = known;
        }
    }

    /// Notes which of this node's own writes some peer has, if that changed: should the cluster forget this node, only
    /// the others have to be saved. Blocks.
    pub(crate) fn note_acknowledged(&mut self, context: &Context, peers: &Peers) {
        let Some((known, mark)) = self.news_of_acknowledged(context, peers) else { return };
        match context.store.commit(Transaction { writes: Vec::new(), marks: vec![mark] }) {
            Ok(_) => self.acknowledged = known,
            Err(error) => tracing::warn!(%error, "what peers acknowledged could not be noted"),
        }
    }
}

/// Which of a node's own writes some peer is known to have, as an earlier process or this one noted.
///
/// # Errors
///
/// The note cannot be read; one that makes no sense counts as none.
pub fn acknowledged(store: &Store) -> Result<Vector, StoreError> {
    let note = store.note(Note::Acknowledged)?;
    Ok(note.and_then(|bytes| Vector::decode(&mut Cursor::new(&bytes)).ok()).unwrap_or_default())
}
