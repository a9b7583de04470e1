//! What rights depend on, read from records: metadata on the way up, and who made what.

use kvs_auth::metadata;
use kvs_auth::rights::{Lookup, Metadata};
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::{Principal, Record};
use kvs_store::compression::decompress;
use kvs_store::error::StoreError;

use crate::access::presence::Presence;

/// Rights read from records that `read` finds, at one moment.
pub(crate) struct Rows<'a, F> {
    /// Reads a record.
    pub(crate) read: F,
    /// Which paths may have metadata.
    pub(crate) presence: &'a Presence,
    /// When, in milliseconds since 1970.
    pub(crate) now_ms: u64,
}

impl<F: FnMut(Namespace, &Path) -> Result<Option<Record>, StoreError>> Lookup for Rows<'_, F> {
    type Error = StoreError;

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, StoreError> {
        if !self.presence.may_hold(path) {
            return Ok(None);
        }
        let record = (self.read)(Namespace::Meta, path)?.filter(|record| record.is_live(self.now_ms));
        record.map(|record| read_metadata(path, &record)).transpose()
    }

    fn live_owner(&mut self, path: &Path) -> Result<Option<Principal>, StoreError> {
        let record = (self.read)(Namespace::Data, path)?.filter(|record| record.is_live(self.now_ms));
        Ok(record.map(|record| record.owner))
    }
}

/// The metadata in a record. One that cannot be read is an error: rights are never guessed.
fn read_metadata(path: &Path, record: &Record) -> Result<Metadata, StoreError> {
    let damaged = |reason: String| StoreError::corrupt("records", path.as_bytes(), reason);
    let json = decompress(&record.payload).map_err(damaged)?;
    metadata::decode(&json).map_err(|error| damaged(error.to_string()))
}
