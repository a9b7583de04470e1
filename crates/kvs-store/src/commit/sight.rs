//! What a warrant sees of the batch that is being planned.

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::Record;

use crate::commit::asker::Sight;
use crate::commit::plan::Plan;
use crate::error::StoreError;
use crate::keys::record_key;
use crate::observer::Key;
use crate::row::Row;
use crate::table::Table;

impl Sight for Plan<'_> {
    fn record(&self, namespace: Namespace, path: &Path) -> Result<Option<Record>, StoreError> {
        let key = Key { namespace, path: path.clone() };
        if let Some(state) = self.keys.get(&key) {
            return Ok(state.after.as_ref().map(|row| row.record.clone()));
        }
        let stored = self.engine.get(Table::Records, &record_key(namespace, path))?;
        Ok(stored.map(|bytes| Row::decode(&key, &bytes)).transpose()?.map(|row| row.record))
    }
}
