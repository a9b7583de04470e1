//! What was taken back: versions that were stamped by a clock that was ahead.
//!
//! A node whose clock was ahead, and is right again at the time `T`, ends its epoch and *recalls* what it stamped later
//! than `T`. The epoch had ended when a right clock said `T`, so every version of it that is stamped later was stamped by
//! a wrong clock, whoever holds it, whether it is current, was overwritten since, or is still on its way: it is *void*
//! everywhere. No number is needed beside the epoch, which gives out none any more.
//!
//! Recalls travel as records of the namespace `cluster`, whose paths say everything: `recall/<node>/<epoch>/<T in ms>`.
//! They are never deleted, and of two for one epoch the earlier `T` holds, so that the order of their arrival is nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use uuid::Uuid;

use crate::namespace::Namespace;
use crate::origin::Origin;
use crate::path::Path;
use crate::record::Record;

/// The path that every recall's path begins with.
pub const RECALL_PREFIX: &str = "recall/";

/// Most recalls that a node obeys; one more is refused. Far more than clocks are ever set.
pub const RECALLS_MAX: usize = 65_536;

/// The recalls that a node knows of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recalls(BTreeMap<Origin, u64>);

impl Recalls {
    /// Notes that what an ended epoch stamped later than `until_ms` (ms since 1970) is void. Answers whether more is void
    /// than before.
    pub fn add(&mut self, origin: Origin, until_ms: u64) -> bool {
        let has_room = self.0.len() < RECALLS_MAX;
        match self.0.entry(origin) {
            Entry::Occupied(mut held) if until_ms < *held.get() => {
                held.insert(until_ms);
                true
            }
            Entry::Vacant(free) if has_room => {
                free.insert(until_ms);
                true
            }
            _ => false,
        }
    }

    /// Whether a version was taken back.
    #[must_use]
    pub fn is_void(&self, record: &Record) -> bool {
        !self.0.is_empty()
            && self.0.get(&record.dot.origin).is_some_and(|until_ms| record.version.stamp.ms > *until_ms)
    }

    /// Up to which stamp versions of an epoch hold; `None` when nothing of it was recalled.
    #[must_use]
    pub fn until_ms(&self, origin: &Origin) -> Option<u64> {
        self.0.get(origin).copied()
    }

    /// Whether anything of a node was recalled.
    #[must_use]
    pub fn has_node(&self, node: Uuid) -> bool {
        let from = Origin { node, epoch: 0 };
        self.0.range(from..).next().is_some_and(|(origin, _)| origin.node == node)
    }

    /// The epochs of which something was recalled, with the stamps up to which they hold.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.0.iter().map(|(origin, until_ms)| (origin, *until_ms))
    }

    /// How many epochs that is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was recalled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The path of the record that recalls what an ended epoch stamped later than `until_ms`.
#[must_use]
pub fn recall_path(origin: &Origin, until_ms: u64) -> Option<Path> {
    Path::parse(&format!("{RECALL_PREFIX}{}/{}/{until_ms}", origin.node, origin.epoch)).ok()
}

/// Whether the records of a key may be recalled, and wait while they are ahead. A revocation must do neither, and a recall is true
/// whatever its stamp is: nodes would differ in what is void if some obeyed one that is void elsewhere.
#[must_use]
pub fn may_be_recalled(namespace: Namespace, path: &Path) -> bool {
    let is_recall = namespace == Namespace::Cluster && path.as_str().starts_with(RECALL_PREFIX);
    namespace != Namespace::Auth && !is_recall
}

/// What a record under this key recalls; `None` for every other record.
#[must_use]
pub fn read_recall(namespace: Namespace, path: &Path) -> Option<(Origin, u64)> {
    if namespace != Namespace::Cluster {
        return None;
    }
    let mut parts = path.as_str().strip_prefix(RECALL_PREFIX)?.split('/');
    let node = Uuid::try_parse(parts.next()?).ok()?;
    let (epoch, until_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some((Origin { node, epoch }, until_ms))
}

#[cfg(test)]
mod tests {
    use super::{Recalls, read_recall, recall_path};
    use crate::namespace::Namespace;
    use crate::origin::Origin;
    use crate::path::Path;
    use crate::testing::arbitrary_record;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    proptest! {
        #[test]
        fn a_path_reads_back(node in any::<u128>(), epoch in any::<u64>(), until_ms in any::<u64>()) {
            let origin = Origin { node: Uuid::from_u128(node), epoch };
            let path = recall_path(&origin, until_ms).unwrap();
            assert_eq!(read_recall(Namespace::Cluster, &path), Some((origin, until_ms)));
            assert_eq!(read_recall(Namespace::Data, &path), None);
        }

        #[test]
        fn only_later_stamps_of_its_epoch_are_void_and_the_order_of_recalls_is_nothing(
            record in arbitrary_record(), first in any::<u64>(), second in any::<u64>(),
        ) {
            let origin = record.dot.origin;
            let (mut forth, mut back) = (Recalls::default(), Recalls::default());
            forth.add(origin, first);
            forth.add(origin, second);
            back.add(origin, second);
            back.add(origin, first);
            assert_eq!(forth, back);
            assert_eq!(forth.is_void(&record), record.version.stamp.ms > first.min(second));
            let mut other = Recalls::default();
            other.add(Origin { epoch: origin.epoch.wrapping_add(1), ..origin }, 0);
            assert!(!other.is_void(&record));
        }
    }

    #[test]
    fn other_paths_recall_nothing() {
        for text in ["recall", "recall/x/1/2", "recall/00000000-0000-0000-0000-000000000001/1", "other/1"] {
            assert_eq!(read_recall(Namespace::Cluster, &Path::parse(text).unwrap()), None, "{text}");
        }
        let long = "recall/00000000-0000-0000-0000-000000000001/1/2/3";
        assert_eq!(read_recall(Namespace::Cluster, &Path::parse(long).unwrap()), None);
    }
}
