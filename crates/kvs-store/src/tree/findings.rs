//! What the slow scrub found since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the scrub found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// Records that were read and checked.
    pub checked_records: u64,
    /// Records whose bytes or content are damaged.
    pub damaged_records: u64,
    /// Blocks of the digest that were not the sum of their records, and were repaired.
    pub repaired_blocks: u64,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct FindingCounters {
    checked_records: AtomicU64,
    damaged_records: AtomicU64,
    repaired_blocks: AtomicU64,
}

impl FindingCounters {
    pub(crate) fn add(&self, found: &Findings) {
        self.checked_records.fetch_add(found.checked_records, Ordering::Relaxed);
        self.damaged_records.fetch_add(found.damaged_records, Ordering::Relaxed);
        self.repaired_blocks.fetch_add(found.repaired_blocks, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Findings {
        Findings {
            checked_records: self.checked_records.load(Ordering::Relaxed),
            damaged_records: self.damaged_records.load(Ordering::Relaxed),
            repaired_blocks: self.repaired_blocks.load(Ordering::Relaxed),
        }
    }
}
