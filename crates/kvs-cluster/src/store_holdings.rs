//! The records of a node as a session sees them.
//!
//! Not tied to the store's digest yet: sessions find nothing until it is.

use kvs_core::origin::Dot;
use kvs_core::sum_tree::sum::Sum;
use kvs_core::vector::Vector;
use kvs_protocol::reconcile::holdings::{Dropped, Holdings, Located, Verdict};
use kvs_store::error::StoreError;
use kvs_store::store::Store;

/// x
pub struct StoreHoldings<'a> {
    store: &'a Store,
    now_ms: u64,
}
impl<'a> StoreHoldings<'a> {
    /// x
    pub fn new(store: &'a Store, now_ms: u64) -> Self {
        Self { store, now_ms }
    }
}
impl Holdings for StoreHoldings<'_> {
    type Error = StoreError;
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn vector(&mut self) -> Result<Vector, StoreError> {
        self.store.vector_held()
    }
    fn sums(&mut self, bounds: &[Vec<u8>]) -> Result<Vec<Sum>, StoreError> {
        Ok(vec![Sum::default(); bounds.len() - 1])
    }
    fn split(&mut self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(vec![])
    }
    fn items(&mut self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<(Vec<u8>, u128)>, StoreError> {
        Ok(vec![])
    }
    fn record(&mut self, _: &[u8]) -> Result<Option<(u128, Located)>, StoreError> {
        Ok(None)
    }
    fn tombstones(&mut self, _: Option<&Dot>, _: &Vector, _: usize) -> Result<Vec<Located>, StoreError> {
        Ok(vec![])
    }
    fn take(&mut self, _: Vec<Located>) -> Result<Vec<Verdict>, StoreError> {
        Ok(vec![])
    }
    fn drop_versions(&mut self, _: Vec<Dropped>) -> Result<(), StoreError> {
        Ok(())
    }
}
