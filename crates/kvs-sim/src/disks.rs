//! What the ledger asks the stores themselves: what waits there, and what they know to have been recalled.

use std::collections::BTreeMap;

use kvs_core::namespace::Namespace;
use kvs_core::origin::Dot;
use kvs_store::observer::Key;

use crate::held::Held;
use crate::node::Node;
use crate::parked::{self, ParkedVersion};

/// The stores of a world.
pub trait Disks {
    /// Whether a machine has a version of the key parked that is stamped at or after some millisecond. What a machine that is
    /// down has parked is not known, and taken to be such a version.
    fn is_parked(&self, place: usize, key: &Key, ms: u64) -> bool;

    /// Whether a machine has this very version parked, be it running or not.
    fn has_parked(&self, place: usize, key: &Key, held: &Held) -> bool;

    /// Whether a machine that runs has received a write, whatever became of it.
    fn has_received(&self, place: usize, dot: &Dot) -> bool;

    /// Whether a machine that runs knows of a recall that makes this version void.
    fn is_void(&self, place: usize, key: &Key, held: &Held) -> bool;
}

/// The stores of these machines.
pub(crate) struct Stores<'a>(pub(crate) &'a [Node]);

impl Stores<'_> {
    fn parked(&self, place: usize) -> Option<BTreeMap<Key, Vec<ParkedVersion>>> {
        let process = self.0.get(place)?.process.as_ref()?;
        Some(parked::versions(&process.store).unwrap_or_default())
    }
}

impl Disks for Stores<'_> {
    fn is_parked(&self, place: usize, key: &Key, ms: u64) -> bool {
        self.parked(place).is_none_or(|parked| {
            parked.get(key).is_some_and(|versions| versions.iter().any(|version| version.due_ms >= ms))
        })
    }

    fn has_parked(&self, place: usize, key: &Key, held: &Held) -> bool {
        match self.parked(place) {
            Some(parked) => {
                parked.get(key).is_some_and(|versions| versions.iter().any(|version| version.dot == held.dot))
            }
            None => {
                let rows = self.0.get(place).map(|node| parked::on_disk(&node.device)).unwrap_or_default();
                rows.iter().any(|(_, dot)| *dot == held.dot)
            }
        }
    }

    fn has_received(&self, place: usize, dot: &Dot) -> bool {
        let process = self.0.get(place).and_then(|node| node.process.as_ref());
        process.is_some_and(|process| process.store.vector().covers(dot))
    }

    fn is_void(&self, place: usize, key: &Key, held: &Held) -> bool {
        let process = self.0.get(place).and_then(|node| node.process.as_ref());
        // What revokes is never recalled.
        key.namespace != Namespace::Auth
            && process.is_some_and(|process| {
                let until_ms = process.store.standing().recalls.until_ms(&held.dot.origin);
                until_ms.is_some_and(|until_ms| held.version.stamp.ms > until_ms)
            })
    }
}
