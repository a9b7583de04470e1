//! What goes from a key stays in its history, with the rule that says why: what is dropped at a peer's word, and what is
//! recalled.

use kvs_store::observer::Key;

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
        if is_kept {
            return Ok(());
        }
        Err(format!("{key:?} on {place}: {before:?} went, and is not in the history as {rule}"))
    }
}
