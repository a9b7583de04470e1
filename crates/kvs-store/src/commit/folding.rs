//! The part of a plan about epochs that ended: what was heard of them, what a peer's vector makes true of them, and how they are
//! folded away.

use kvs_core::origin::{Dot, born_s};
use kvs_core::vector::Vector;

use crate::commit::plan::Plan;
use crate::error::StoreError;

impl Plan<'_> {
    /// Raises the vector to what a peer covers: everything in it was received.
    pub(super) fn raise(&mut self, claim: &Vector) -> Result<(), StoreError> {
        if self.standing().vector.covers_all(claim) {
            return Ok(());
        }
        self.renew(claim.marker(self.identity.origin.node))?;
        let mut vector = self.standing().vector.clone();
        vector.join(claim);
        // The current epoch is counted elsewhere.
        vector.set(self.identity.origin, 0);
        if vector != self.standing().vector {
            self.standing_mut().vector = vector;
        }
        Ok(())
    }

    /// Folds the epochs of this node away that began before a second since 1970, as every member covers them.
    pub(super) fn fold(&mut self, before_s: u64) {
        let own = self.identity.origin;
        if before_s <= born_s(own.epoch) && before_s > self.standing().vector.marker(own.node) {
            let now_ms = self.scene.now_ms;
            self.standing_mut().fold(own, before_s, now_ms);
        }
    }

    /// Ends the current epoch if it began before `folded_before_s`: there are members to which its writes, those made and those
    /// to come, are ones that everybody has. So it is when the clock is far behind after the directory was put back. A new
    /// epoch begins after that second, and what was written is taken back and written anew in it.
    pub(super) fn renew(&mut self, folded_before_s: u64) -> Result<(), StoreError> {
        let bad = self.identity.origin;
        if born_s(bad.epoch) >= folded_before_s {
            return Ok(());
        }
        tracing::error!(
            "members take this node's current epoch for one that ended long ago, as its clock is far behind: a new epoch \
             begins, and what was written in the last one is written anew"
        );
        let gave_numbers = self.counters.next_origin_seq > 1;
        self.begin_epoch_from(folded_before_s.saturating_add(1));
        if gave_numbers { self.take_back_whole(bad) } else { Ok(()) }
    }

    /// At the end of a transaction: notes the numbers of the versions that came and that the vector does not cover, and forgets
    /// those that it has come to cover.
    pub(super) fn note_heard(&mut self) {
        let own = self.identity.origin;
        let heard: Vec<Dot> = std::mem::take(&mut self.heard);
        for dot in heard.iter().filter(|dot| dot.origin != own) {
            let standing = self.standing();
            if !standing.vector.covers(dot)
                && standing.heard.seq(&dot.origin) < dot.seq
                && !standing.heard.is_full()
            {
                self.standing_mut().heard.note(dot);
            }
        }
        let standing = self.standing();
        if standing.heard.is_covered_in_part(&standing.vector) {
            let standing = self.standing_mut();
            standing.heard.forget_covered(&standing.vector);
        }
    }
}
