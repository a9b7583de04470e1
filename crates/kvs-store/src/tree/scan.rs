//! The items of the digest, read from the tables.
//!
//! What never expires stands in the order of `records`, what expires in the order of `expiry`.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use kvs_core::item::{DigestKey, EXPIRING, LASTING, item};
use kvs_core::record::{Kind, Record};
use kvs_core::sum_tree::source::{Source, Visitor};

use crate::engine::contract::{KeyRange, Order, Snapshot};
use crate::error::StoreError;
use crate::keys::{read_record_key, read_time_key, record_key};
use crate::observer::Key;
use crate::row::Row;
use crate::table::Table;

/// Told of each row: its place in the digest, and its item if it has one there.
pub(crate) type RowVisitor<'a> = &'a mut dyn FnMut(&[u8], Option<u128>) -> ControlFlow<()>;

/// The items as of one moment.
pub(crate) struct Scan<'a> {
    pub(crate) snapshot: &'a dyn Snapshot,
    pub(crate) key: &'a DigestKey,
}

impl Scan<'_> {
    /// Visits the rows of a range of the digest in order, those without an item included.
    pub(crate) fn rows(&self, from: &[u8], to: &[u8], visitor: RowVisitor<'_>) -> Result<(), StoreError> {
        if self.lasting(from, to, visitor)?.is_continue() {
            self.expiring(from, to, visitor)?;
        }
        Ok(())
    }

    fn lasting(
        &self,
        from: &[u8],
        to: &[u8],
        visitor: RowVisitor<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let Some(range) = within(LASTING, from, to) else { return Ok(ControlFlow::Continue(())) };
        let mut place = vec![LASTING];
        for stored in self.snapshot.range(Table::Records, range, Order::Ascending) {
            let (row_key, value) = stored?;
            let record = self.record(&row_key, &value)?;
            place.truncate(1);
            place.extend_from_slice(&row_key);
            if visitor(&place, self.item_at(record, 0)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn expiring(&self, from: &[u8], to: &[u8], visitor: RowVisitor<'_>) -> Result<(), StoreError> {
        let Some(range) = within(EXPIRING, from, to) else { return Ok(()) };
        let mut place = vec![EXPIRING];
        for stored in self.snapshot.range(Table::Expiry, range, Order::Ascending) {
            let (index_key, _) = stored?;
            let (expires_at_ms, key) = read_time_key(&index_key)
                .ok_or_else(|| StoreError::corrupt(Table::Expiry.name(), &index_key, "it cannot be read"))?;
            let row_key = record_key(key.namespace, &key.path);
            place.truncate(1);
            place.extend_from_slice(&index_key);
            let item = match self.snapshot.get(Table::Records, &row_key)? {
                Some(value) => {
                    let record = self.record(&row_key, &value)?;
                    self.item_at(record, expires_at_ms)
                }
                None => None,
            };
            if visitor(&place, item).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn record(&self, row_key: &[u8], value: &Bytes) -> Result<(Key, Record), StoreError> {
        let key = read_record_key(row_key)
            .ok_or_else(|| StoreError::corrupt(Table::Records.name(), row_key, "its key is no path"))?;
        let record = Row::decode(&key, value)?.record;
        Ok((key, record))
    }

    /// The item of a record that stands where values with this expiry stand.
    fn item_at(&self, (key, record): (Key, Record), expires_at_ms: u64) -> Option<u128> {
        let stands_here = record.kind == Kind::Value && record.expires_at_ms == expires_at_ms;
        stands_here.then(|| item(self.key, key.namespace, &key.path, &record))
    }
}

impl Source for Scan<'_> {
    type Error = StoreError;

    fn visit(&mut self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), StoreError> {
        self.rows(from, to, &mut |place, item| match item {
            Some(item) => visitor(place, item),
            None => ControlFlow::Continue(()),
        })
    }
}

/// The part of a range of the digest that lies in one of its spaces, as a range of that space's table.
fn within(space: u8, from: &[u8], to: &[u8]) -> Option<KeyRange> {
    let lower = match from.split_first() {
        None => Bound::Unbounded,
        Some((first, _)) if *first < space => Bound::Unbounded,
        Some((first, rest)) if *first == space => Bound::Included(rest.to_vec()),
        Some(_) => return None,
    };
    let upper = match to.split_first() {
        None => return None,
        Some((first, _)) if *first > space => Bound::Unbounded,
        Some((first, rest)) if *first == space => Bound::Excluded(rest.to_vec()),
        Some(_) => return None,
    };
    Some((lower, upper))
}
