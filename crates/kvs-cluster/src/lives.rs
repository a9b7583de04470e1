//! The replicator's part for the ended epochs of this node: when they are folded away, and when what is left of lost lives is
//! covered. What decides is in `folding.rs`.

use kvs_core::origin::Origin;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::Transaction;
use kvs_store::shared::ClockVerdict;
use uuid::Uuid;

use crate::folding::{Knowledge, gaps, marker};
use crate::limits::FOLD_INTERVAL;
use crate::replicator::Replicator;

impl Replicator {
    /// Folds what may be folded, now and then.
    pub(crate) fn fold(&mut self) {
        if self.now.monotonic < self.fold_at {
            return;
        }
        self.fold_at = self.now.monotonic + FOLD_INTERVAL;
        let Some(marker_s) = self.next_marker_s() else { return };
        match self.store.commit(Transaction { writes: Vec::new(), marks: vec![Mark::Fold(marker_s)] }) {
            Ok(_) => tracing::debug!(marker_s, "epochs that every member has were folded away"),
            Err(error) => tracing::warn!(%error, "epochs that every member has could not be folded away"),
        }
    }

    /// What every other member knows, if each has said so. Only what it said to this process counts: what it said before may be
    /// of another life of it.
    fn others(&self) -> Option<Vec<Knowledge<'_>>> {
        let counting = self.peers.values().filter(|peer| peer.counts());
        let told = counting.map(|peer| peer.told.as_ref());
        told.map(|told| told.map(|(vector, heard)| Knowledge { vector, heard: heard.as_ref() })).collect()
    }

    /// A peer has given everything that it has in a session, and nothing of it waits.
    pub(crate) fn adopt(&mut self, from: Uuid) {
        if self.bootstrap.is_some() || self.peers.get(&from).is_none_or(|peer| peer.parked > 0) {
            return;
        }
        let (standing, vector) = self.store.told();
        let heard = standing.heard_of(self.own);
        let own = Knowledge { vector: &vector, heard: heard.as_ref() };
        let current = self.store.identity().origin;
        let Some(gaps) = self.others().and_then(|others| gaps(current, &own, &others)) else { return };
        let members = self.peers.iter().filter(|(_, peer)| peer.counts()).map(|(node, _)| *node);
        let Some(covered) = self.adopting.note(from, gaps, members) else { return };
        let claim = covered.into_iter().map(|(epoch, seq)| (Origin { epoch, ..current }, seq)).collect();
        let marks = vec![Mark::Raise(claim)];
        if let Err(error) = self.store.commit(Transaction { writes: Vec::new(), marks }) {
            tracing::warn!(%error, "what is left of this node's lost lives could not be noted");
        }
    }

    fn next_marker_s(&self) -> Option<u64> {
        let others = self.others()?;
        let is_confirmed = self.store.clock_verdict() == ClockVerdict::Agrees || others.is_empty();
        if self.bootstrap.is_some() || !is_confirmed {
            return None;
        }
        let (standing, vector) = self.store.told();
        let heard = standing.heard_of(self.own);
        let own = Knowledge { vector: &vector, heard: heard.as_ref() };
        let age_s = self.settings.bootstrap_recent.as_secs();
        let latest_s = (self.now.wall_ms / 1000).saturating_sub(age_s);
        let current = self.store.identity().origin;
        marker(current, standing.epochs.iter().map(|start| start.epoch), &own, &others, latest_s)
    }
}
