//! The replay window: which numbers of one sending process were received.
//!
//! Calls travel on several connections, so they arrive out of order; a number is taken once, and only while it is less
//! than [`WINDOW_CALLS`] behind the highest. Source: RFC 4303 section 3.4.3, RFC 6479.

/// How far a call may be overtaken by later ones of its sender.
pub const WINDOW_CALLS: u64 = 4096;

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = (WINDOW_CALLS / WORD_BITS) as usize;

/// The window over the numbers of one sending process.
///
/// **Invariant:** bit `n % 4096` is set exactly if number `n`, of those above `highest - 4096`, was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayWindow {
    highest: u64,
    taken: [u64; WORDS],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { highest: 0, taken: [0; WORDS] }
    }
}

impl ReplayWindow {
    /// Takes a number; answers whether it is new. Numbers begin at 1.
    pub fn take(&mut self, number: u64) -> bool {
        if number == 0 {
            return false;
        }
        if number > self.highest {
            self.forget_up_to(number);
            self.highest = number;
        } else if self.highest - number >= WINDOW_CALLS {
            return false;
        }
        let Some(word) = self.word(number) else { return false };
        let bit = 1 << (number % WORD_BITS);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Clears the places of the numbers above `highest`, up to `number`.
    fn forget_up_to(&mut self, number: u64) {
        if number - self.highest >= WINDOW_CALLS {
            self.taken = [0; WORDS];
            return;
        }
        for passed in self.highest + 1..=number {
            if let Some(word) = self.word(passed) {
                *word &= !(1 << (passed % WORD_BITS));
            }
        }
    }

    fn word(&mut self, number: u64) -> Option<&mut u64> {
        usize::try_from(number % WINDOW_CALLS / WORD_BITS).ok().and_then(|word| self.taken.get_mut(word))
    }
}

#[cfg(test)]
mod tests {
    use super::{ReplayWindow, WINDOW_CALLS};
    use proptest::prelude::{Strategy, any, proptest};
    use std::collections::BTreeSet;

    #[test]
    fn a_number_is_taken_once() {
        let mut window = ReplayWindow::default();
        assert!(!window.take(0));
        for number in [1, 2, 7, 5, 6] {
            assert!(window.take(number) && !window.take(number), "{number}");
        }
    }

    #[test]
    fn what_is_too_far_behind_is_refused_and_what_is_just_inside_is_taken() {
        let mut window = ReplayWindow::default();
        assert!(window.take(WINDOW_CALLS + 1));
        assert!(!window.take(1));
        assert!(window.take(2));
    }

    #[test]
    fn the_last_number_is_taken_once() {
        let mut window = ReplayWindow::default();
        assert!(window.take(1) && window.take(u64::MAX) && !window.take(u64::MAX) && !window.take(1));
        assert!(window.take(u64::MAX - WINDOW_CALLS + 1));
    }

    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        // Mostly near each other, so that places are used again.
        let near = (0_u64..3, 0_u64..9000).prop_map(|(far, near)| far * 100_000 + near);
        proptest::collection::vec(near, 0..300)
    }

    proptest! {
        #[test]
        fn it_does_what_a_set_with_a_floor_does(numbers in numbers(), shift in any::<u32>()) {
            let mut window = ReplayWindow::default();
            let (mut seen, mut highest) = (BTreeSet::new(), 0);
            for number in numbers {
                let number = number + u64::from(shift % 4);
                let is_late = number == 0 || number + WINDOW_CALLS <= highest;
                highest = highest.max(number);
                assert_eq!(window.take(number), !is_late && seen.insert(number), "{number}");
            }
        }

        #[test]
        fn any_order_within_the_window_is_taken(order in proptest::sample::subsequence((1..WINDOW_CALLS).collect::<Vec<_>>(), 50)) {
            let mut window = ReplayWindow::default();
            for number in order.iter().rev() {
                assert!(window.take(*number));
            }
            for number in order {
                assert!(!window.take(number));
            }
        }
    }
}
