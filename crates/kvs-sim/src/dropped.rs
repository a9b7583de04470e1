//! What is dropped at a peer's word stays in the history, with the rule that says so.

use kvs_store::observer::Key;

use crate::ledger::Held;
use crate::world::World;

/// The name of the rule by which a value is dropped because it was deleted elsewhere.
const RULE: &str = "deleted_elsewhere";

impl World {
    /// A machine held a value and holds nothing now: unless its end had come, the value is in the key's history there.
    ///
    /// A version by a clock that was ahead is excused, as it may have been taken back instead.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn check_dropped(&self, place: usize, key: &Key, before: &Held) -> Result<(), String> {
        if !self.options.keeps_dropped
            || !before.is_value()
            || before.is_mortal()
            || self.ledger.is_ahead(&before.version)
        {
            return Ok(());
        }
        let Some(store) = self.store(place) else { return Ok(()) };
        let history = store.history(key.namespace, &key.path).map_err(|error| error.to_string())?;
        let is_kept = history.iter().any(|revision| {
            let rule = revision.superseded.map(|(_, rule)| rule.name());
            revision.record.version == before.version && rule == Some(RULE)
        });
        if is_kept {
            return Ok(());
        }
        Err(format!("{key:?} on {place}: {before:?} was dropped, and is not in the history as {RULE}"))
    }
}
