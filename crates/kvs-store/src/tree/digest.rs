//! The digest as it is read: sums, cuts and single items of ranges, each exact as of one moment.
//!
//! Keys and bounds are those of [`kvs_core::item`]; ranges include their lower bound and exclude the upper.

use std::ops::ControlFlow;

use kvs_core::item::{EXPIRING, LASTING, item, read_tree_key};
use kvs_core::namespace::Namespace;
use kvs_core::record::Kind;
use kvs_core::record::Record;
use kvs_core::sum_tree::cut::cuts;
use kvs_core::sum_tree::source::Source;
use kvs_core::sum_tree::sum::Sum;
use kvs_core::sum_tree::tree::sums_between;

use crate::error::StoreError;
use crate::keys::{after_prefix, record_key};
use crate::observer::Key;
use crate::read::view::View;
use crate::row::Row;
use crate::shared::Shared;
use crate::table::Table;
use crate::tree::findings::Findings;
use crate::tree::scan::Scan;

/// A key of the digest with its record's item.
pub type Item = (Vec<u8>, u128);

/// The digest of a store.
#[derive(Clone, Copy)]
pub struct Digest<'a> {
    pub(crate) shared: &'a Shared,
}

impl Digest<'_> {
    /// Whether it can be read: not for a while after a start, when the records are read in.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.tree.lock().is_ready()
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.shared.tree.lock().tree.memory_bytes()
    }

    /// What the scrub found since the start.
    #[must_use]
    pub fn findings(&self) -> Findings {
        self.shared.tree.findings.read()
    }

    /// The sum of everything that never expires: what roots are made of.
    ///
    /// # Errors
    ///
    /// As for [`Digest::sums`].
    pub fn lasting(&self) -> Result<Sum, StoreError> {
        self.sum(vec![LASTING], vec![EXPIRING])
    }

    /// The sum of what never expires and begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As for [`Digest::sums`].
    pub fn prefix(&self, namespace: Namespace, prefix: &[u8]) -> Result<Sum, StoreError> {
        let from = [&[LASTING, namespace.number()], prefix].concat();
        let to = after_prefix(&from).unwrap_or_else(|| vec![EXPIRING]);
        self.sum(from, to)
    }

    fn sum(&self, from: Vec<u8>, to: Vec<u8>) -> Result<Sum, StoreError> {
        Ok(self.sums(&[from, to])?.first().copied().unwrap_or_default())
    }

    /// The sums between neighbours of these bounds, which are in ascending order. Waits for a commit that runs; may read
    /// a few hundred records for each bound.
    ///
    /// # Errors
    ///
    /// [`StoreError::DigestUnread`] for a while after a start; a row cannot be read.
    pub fn sums(&self, bounds: &[Vec<u8>]) -> Result<Vec<Sum>, StoreError> {
        let (located, view) = {
            let tree = self.shared.tree.lock();
            if !tree.is_ready() {
                return Err(StoreError::DigestUnread);
            }
            (tree.tree.locate(bounds), View::of(self.shared.engine.current()?))
        };
        let mut scan = Scan { snapshot: view.snapshot(), key: self.shared.tree.key() };
        sums_between(bounds, &located, &mut scan)
    }

    /// Bounds that cut a range into at most `parts` pieces of about the same size: ascending, strictly inside.
    ///
    /// # Errors
    ///
    /// As for [`Digest::sums`].
    pub fn split(&self, from: &[u8], to: &[u8], parts: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        {
            let tree = self.shared.tree.lock();
            if !tree.is_ready() {
                return Err(StoreError::DigestUnread);
            }
            if let Some(bounds) = tree.tree.bounds_within(from, to, parts) {
                return Ok(bounds);
            }
        }
        // Less than a block for each part.
        let items = self.items(from, to, usize::MAX)?;
        let keys: Vec<&[u8]> = items.iter().map(|(key, _)| key.as_slice()).collect();
        Ok(cuts(&keys, parts)
            .into_iter()
            .map(|(_, bound)| bound)
            .filter(|bound| bound.as_slice() > from)
            .collect())
    }

    /// The first `limit` items of a range in order.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub fn items(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Item>, StoreError> {
        let view = View::of(self.shared.engine.current()?);
        let mut scan = Scan { snapshot: view.snapshot(), key: self.shared.tree.key() };
        let mut items = Vec::new();
        if limit > 0 {
            scan.visit(from, to, &mut |key, item| {
                items.push((key.to_vec(), item));
                if items.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(items)
    }

    /// The value that stands at a key of the digest, with its item.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn record(&self, place: &[u8]) -> Result<Option<(u128, Key, Record)>, StoreError> {
        let Some((namespace, path, expires_at_ms)) = read_tree_key(place) else {
            return Ok(None);
        };
        let engine = self.shared.engine.current()?;
        let Some(bytes) = engine.get(Table::Records, &record_key(namespace, &path))? else {
            return Ok(None);
        };
        let key = Key { namespace, path };
        let record = Row::decode(&key, &bytes)?.record;
        if record.kind != Kind::Value || record.expires_at_ms != expires_at_ms {
            return Ok(None);
        }
        Ok(Some((item(self.shared.tree.key(), namespace, &key.path, &record), key, record)))
    }
}
