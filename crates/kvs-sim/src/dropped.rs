//! What goes from a key stays in its history, with the rule that says why: what is dropped at a peer's word, and what is
//! recalled.

use kvs_store::observer::Key;
use kvs_store::read::history::Revision;
use uuid::Uuid;

use crate::disks::{Disks as _, Stores};
use crate::held::Held;
use crate::world::World;

/// The name of the rule by which a value is dropped because it was deleted elsewhere.
const DELETED_ELSEWHERE: &str = "deleted_elsewhere";

/// The name of the rule by which a version goes because it was recalled.
const RECALLED: &str = "recalled";

impl World {
    /// A machine held something and holds nothing or something else now.
    ///
    /// A value in whose place is nothing was dropped: unless its end had come, it is in the key's history there. A value
    /// that was recalled is in the history, whatever is in its place, unless that says the same: its origin wrote it anew.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn check_kept(
        &self,
        place: usize,
        key: &Key,
        before: &Held,
        after: Option<&Held>,
    ) -> Result<(), String> {
        if !before.is_value() || self.options.forgets_dropped {
            return Ok(());
        }
        let disks = Stores(&self.nodes);
        let is_void = disks.is_void(place, key, before);
        let rule = match after {
            // It waits.
            _ if disks.has_parked(place, key, before) => return Ok(()),
            Some(after) if !is_void || after.version >= before.version || after.digest == before.digest => {
                return Ok(());
            }
            _ if is_void => RECALLED,
            None if before.is_mortal() => return Ok(()),
            _ => DELETED_ELSEWHERE,
        };
        let Some(store) = self.store(place) else { return Ok(()) };
        let history = store.history(key.namespace, &key.path).map_err(|error| error.to_string())?;
        let is_kept = history.iter().any(|revision| {
            let kept_by = revision.superseded.map(|(_, rule)| rule.name());
            revision.record.version == before.version && kept_by == Some(rule)
        });
        // Others that came and went within this step may have pushed it out, the one that took its place among them: a
        // history has an end.
        let known = self.ledger.mirrors.get(&place).map(|mirror| &mirror.known);
        let is_new = |uuid: &Uuid| known.is_none_or(|known| !known.contains(uuid));
        // What was there before may have been current for a moment and be there again: whether it was cannot be seen.
        let superseded = || history.iter().filter(|revision| revision.superseded.is_some());
        let is_full =
            superseded().count().try_into().is_ok_and(|kept: u32| kept >= self.weather.revision_limit);
        // Those that waited came into the history under what is current since this step.
        let is_under = |revision: &Revision| {
            after.is_some_and(|after| {
                revision.superseded.is_some_and(|(by, _)| by == after.version.uuid)
                    && revision.record.version != before.version
            })
        };
        let has_come =
            history.iter().any(|revision| is_new(&revision.record.version.uuid) || is_under(revision));
        let is_pushed_out = is_full && has_come;
        // Its delete may have come and been collected within this step: then nothing is left of the key.
        let delete = self.ledger.writes.newest_delete(key).filter(|delete| delete.version > before.version);
        let is_collected = history.is_empty()
            && delete.is_some_and(|delete| {
                delete.version.stamp.ms.saturating_add(self.weather.grace_ms) <= self.clock.wall_ms()
            });
        if is_kept || is_pushed_out || (after.is_none() && is_collected) {
            return Ok(());
        }
        let kept: Vec<_> = history
            .iter()
            .map(|revision| (Held::of(&revision.record), revision.superseded.map(|(_, rule)| rule.name())))
            .collect();
        Err(format!("{key:?} on {place}: {before:?} went, and is not in the history as {rule}: {kept:?}"))
    }
}
