//! The replicator's part for the ended epochs of this node: when they are folded away, and when what is left of lost lives is
//! covered. What decides is in `folding.rs`.

use std::time::Duration;

use kvs_core::origin::Origin;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::commit::mark::Mark;
use uuid::Uuid;

use crate::context::Context;
use crate::folding::{Adopting, Knowledge, gaps, marker};
use crate::limits::FOLD_INTERVAL;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::work::{Job, Noted};

/// The ended epochs of this node.
pub(crate) struct Lives {
    /// When they are looked at again.
    fold_at: Duration,
    is_folding: bool,
    /// Who gave everything since it is known what is missing of this node's lost lives.
    adopting: Adopting,
}

impl Lives {
    /// They are looked at for the first time at this moment.
    pub(crate) fn new(fold_at: Duration) -> Self {
        Self { fold_at, is_folding: false, adopting: Adopting::default() }
    }

    /// When something is due.
    pub(crate) const fn deadline(&self) -> Duration {
        self.fold_at
    }

    /// Folds what may be folded, now and then.
    pub(crate) fn fold(&mut self, context: &Context, peers: &Peers, outbox: &mut Outbox) {
        if context.now.monotonic < self.fold_at {
            return;
        }
        self.fold_at = context.now.monotonic + FOLD_INTERVAL;
        if let Some(marker_s) = next_marker_s(context, peers).filter(|_| !self.is_folding) {
            self.is_folding = true;
            outbox.work(Job::Note(Noted::Fold(marker_s), vec![Mark::Fold(marker_s)]));
        }
    }

    /// Epochs were folded away, or could not be.
    pub(crate) fn folded(&mut self, marker_s: u64, is_noted: bool) {
        self.is_folding = false;
        if is_noted {
            tracing::debug!(marker_s, "epochs that every member has were folded away");
        }
    }

    /// A peer has given everything that it has in a session, and nothing of it waits.
    pub(crate) fn adopt(&mut self, context: &Context, peers: &Peers, outbox: &mut Outbox, from: Uuid) {
        if peers.get(&from).is_none_or(|peer| peer.parked > 0) {
            return;
        }
        let (standing, vector) = context.store.told();
        let heard = standing.heard_of(context.own);
        let own = Knowledge { vector: &vector, heard: heard.as_ref() };
        let current = context.store.identity().origin;
        let Some(gaps) = others(peers).and_then(|others| gaps(current, &own, &others)) else { return };
        let members = peers.iter().filter(|(_, peer)| peer.counts()).map(|(node, _)| *node);
        let Some(covered) = self.adopting.note(from, gaps, members) else { return };
        let claim = covered.into_iter().map(|(epoch, seq)| (Origin { epoch, ..current }, seq)).collect();
        outbox.work(Job::Note(Noted::Adopted, vec![Mark::Raise(claim)]));
    }
}

/// What every other member knows, if each has said so. Only what it said to this process counts: what it said before may be
/// of another life of it.
fn others(peers: &Peers) -> Option<Vec<Knowledge<'_>>> {
    let told = peers.counting().map(|peer| peer.told.as_ref());
    told.map(|told| told.map(|(vector, heard)| Knowledge { vector, heard: heard.as_ref() })).collect()
}

fn next_marker_s(context: &Context, peers: &Peers) -> Option<u64> {
    let others = others(peers)?;
    let is_confirmed = context.store.clock_verdict() == ClockVerdict::Agrees || others.is_empty();
    if !is_confirmed {
        return None;
    }
    let (standing, vector) = context.store.told();
    let heard = standing.heard_of(context.own);
    let own = Knowledge { vector: &vector, heard: heard.as_ref() };
    let age_s = context.settings.bootstrap_recent.as_secs();
    let latest_s = (context.now.wall_ms / 1000).saturating_sub(age_s);
    let current = context.store.identity().origin;
    marker(current, standing.epochs.iter().map(|start| start.epoch), &own, &others, latest_s)
}
