//! A view: all tables at one moment, for scans that must not see later commits.

use std::sync::Arc;

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;

use crate::engine::contract::{Engine, KeyRange, Order, Rows, Snapshot};
use crate::error::StoreError;
use crate::keys::record_key;
use crate::observer::Key;
use crate::row::Row;
use crate::table::Table;

/// All tables at one moment.
///
/// It keeps the engine open; a store whose disk was full cannot open its engine again while a view is held.
pub struct View {
    snapshot: Box<dyn Snapshot>,
    // Dropped after the snapshot that reads from it.
    _engine: Arc<dyn Engine>,
}

impl View {
    /// The engine's tables as of its last commit.
    #[must_use]
    pub fn of(engine: Arc<dyn Engine>) -> Self {
        Self { snapshot: engine.snapshot(), _engine: engine }
    }

    /// The engine's own snapshot.
    pub(crate) fn snapshot(&self) -> &dyn Snapshot {
        &*self.snapshot
    }

    /// The row of a key.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn row(&self, namespace: Namespace, path: &Path) -> Result<Option<Row>, StoreError> {
        let Some(bytes) = self.snapshot.get(Table::Records, &record_key(namespace, path))? else {
            return Ok(None);
        };
        Row::decode(&Key { namespace, path: path.clone() }, &bytes).map(Some)
    }

    /// The rows of a range of a table, as they rest.
    #[must_use]
    pub fn range(&self, table: Table, range: KeyRange, order: Order) -> Rows<'_> {
        self.snapshot.range(table, range, order)
    }

    /// One row of a table, as it rests.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
        Ok(self.snapshot.get(table, key)?)
    }
}
