//! Cuts: short bounds between neighbouring keys.

/// The shortest bound that parts two neighbouring keys: `left < bound <= right`.
#[must_use]
pub fn separator(left: &[u8], right: &[u8]) -> Vec<u8> {
    debug_assert!(left < right, "keys come in order");
    let shared = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    right.get(..=shared).unwrap_or(right).to_vec()
}

/// Cuts sorted keys into at most `parts` runs of even length; answers where each run but the first begins, and the bound
/// before it.
#[must_use]
pub fn cuts<K: AsRef<[u8]>>(keys: &[K], parts: usize) -> Vec<(usize, Vec<u8>)> {
    let parts = parts.min(keys.len()).max(1);
    let starts = (1..parts).map(|part| part * keys.len() / parts);
    starts
        .filter_map(|at| {
            let left = keys.get(at.checked_sub(1)?)?;
            let right = keys.get(at)?;
            Some((at, separator(left.as_ref(), right.as_ref())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{cuts, separator};
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn a_separator_parts_its_neighbours_and_no_shorter_one_does(
            left in proptest::collection::vec(any::<u8>(), 0..6),
            right in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let (left, right) = if left < right { (left, right) } else { (right, left) };
            if left != right {
                let bound = separator(&left, &right);
                assert!(left < bound && bound <= right);
                assert!(bound[..bound.len() - 1] <= left[..], "a shorter prefix of the right key parts nothing");
            }
        }

        #[test]
        fn cuts_are_even_and_in_order(count in 0_usize..200, parts in 1_usize..30) {
            let keys: Vec<Vec<u8>> = (0..count).map(|key| format!("{key:05}").into_bytes()).collect();
            let cuts = cuts(&keys, parts);
            assert_eq!(cuts.len(), parts.min(count).max(1) - 1);
            let mut last = 0;
            for (at, bound) in &cuts {
                assert!(*at > last && *at - last <= count / cuts.len() + 1);
                assert!(keys[*at - 1] < *bound && *bound <= keys[*at]);
                last = *at;
            }
        }
    }
}
