//! Latencies in a table of fixed size: 128 steps to each power of two, so a figure is at most 0.8 % too high.

/// Steps within one power of two, as a power of two itself.
const STEP_BITS: u32 = 7;
const STEPS: u64 = 1 << STEP_BITS;
/// One row of steps for small values and one for each remaining power of two of a `u64`.
const SLOTS: usize = (64 - STEP_BITS as usize + 1) << STEP_BITS;

/// Counts of values (nanoseconds here) by size.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; SLOTS], total: 0 }
    }

    /// Counts one value.
    pub(crate) fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(slot_of(value)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The value that `per_mille` thousandths of all values do not exceed, rounded up to its step; `None` when empty.
    pub(crate) fn quantile(&self, per_mille: u64) -> Option<u64> {
        let rank = (u128::from(self.total) * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen: u128 = 0;
        self.counts.iter().enumerate().find_map(|(slot, count)| {
            seen += u128::from(*count);
            (seen >= rank).then(|| highest_of(slot))
        })
    }
}

/// The slot that counts `value`.
fn slot_of(value: u64) -> usize {
    let shift = (u64::BITS - (value | STEPS).leading_zeros()) - STEP_BITS - 1;
    let step = value >> shift;
    // Below `STEPS` the step is the value itself; above, its highest bit is the row and is not counted again.
    let row = if value < STEPS { 0 } else { u64::from(shift) + 1 };
    usize::try_from(row * STEPS + (step & (STEPS - 1))).unwrap_or(SLOTS)
}

/// The highest value that `slot` counts.
fn highest_of(slot: usize) -> u64 {
    let (row, step) = (slot as u64 / STEPS, slot as u64 % STEPS);
    match row.checked_sub(1) {
        None => step,
        Some(shift) => ((STEPS + step) << shift) | ((1 << shift) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_slot_whose_highest_value_is_close_above_it() {
        let edges = (0..64).flat_map(|bit| [1u64 << bit, (1u64 << bit) - 1, (1u64 << bit) + 1]);
        for value in edges.chain(0..1_000).chain([u64::MAX, 123_456_789]) {
            let slot = slot_of(value);
            assert!(slot < SLOTS, "{value}");
            let highest = highest_of(slot);
            assert!(highest >= value, "{value} {highest}");
            assert!(highest - value <= value / 128, "{value} {highest}");
            assert_eq!(slot_of(highest), slot, "{value}");
        }
    }

    #[test]
    fn quantiles_of_one_to_a_thousand_are_exact_to_a_step() {
        let mut histogram = Histogram::new();
        for value in (1..=1000).rev() {
            histogram.record(value);
        }
        assert_eq!(histogram.total, 1000);
        for (per_mille, exact) in [(0, 1), (1, 1), (100, 100), (500, 500), (990, 990), (1000, 1000)] {
            let found = histogram.quantile(per_mille).unwrap();
            assert!(found >= exact && found <= exact + exact / 128, "{per_mille}: {found}");
        }
    }

    #[test]
    fn one_slow_answer_in_a_hundred_is_beyond_the_99th_percentile_and_at_the_maximum() {
        let mut histogram = Histogram::new();
        (0..99).for_each(|_| histogram.record(50));
        histogram.record(1_000_000);
        assert_eq!(histogram.quantile(990), Some(50));
        assert!(histogram.quantile(1000).unwrap() >= 1_000_000);
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::new().quantile(500), None);
    }
}
