//! The stamp of a version: milliseconds and a counter that breaks ties within one of them.
//!
//! A stamp says when the origin accepted the write. The counter is the tick: a write that overwrites a version stamped
//! at or after the clock's reading takes that version's stamp plus one tick, so it always wins over what it overwrote,
//! whatever the clocks say.

/// When a version was written, as its origin's clock and counter say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Milliseconds since 1970-01-01 UTC.
    pub ms: u64,
    /// Ticks within the millisecond.
    pub counter: u16,
}

impl Stamp {
    /// The first stamp of a millisecond.
    #[must_use]
    pub const fn at(ms: u64) -> Self {
        Self { ms, counter: 0 }
    }

    /// The stamp of a local write at `now_ms` over `stored`: the later of the clock and `stored` plus one tick.
    ///
    /// `None` when `stored` is the greatest stamp of all, which nothing can overwrite; the write must be refused.
    #[must_use]
    pub fn over(now_ms: u64, stored: Option<Self>) -> Option<Self> {
        let clock = Self::at(now_ms);
        match stored {
            Some(stored) if stored >= clock => stored.tick(),
            _ => Some(clock),
        }
    }

    /// The next stamp; `None` after the greatest.
    #[must_use]
    pub const fn tick(self) -> Option<Self> {
        match self.counter.checked_add(1) {
            Some(counter) => Some(Self { ms: self.ms, counter }),
            None => match self.ms.checked_add(1) {
                Some(ms) => Some(Self::at(ms)),
                None => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;
    use proptest::prelude::{any, proptest};

    const GREATEST: Stamp = Stamp { ms: u64::MAX, counter: u16::MAX };

    #[test]
    fn a_write_within_the_same_millisecond_takes_the_next_tick() {
        let first = Stamp::over(5, None).unwrap();
        let second = Stamp::over(5, Some(first)).unwrap();
        assert_eq!(second, Stamp { ms: 5, counter: 1 });
    }

    #[test]
    fn a_clock_that_went_back_does_not_lose_the_write() {
        let ahead = Stamp { ms: 9_000, counter: 7 };
        assert_eq!(Stamp::over(5, Some(ahead)), Some(Stamp { ms: 9_000, counter: 8 }));
    }

    #[test]
    fn a_full_counter_carries_into_the_millisecond() {
        assert_eq!(Stamp { ms: 5, counter: u16::MAX }.tick(), Some(Stamp::at(6)));
        assert_eq!(GREATEST.tick(), None);
        assert_eq!(Stamp::over(5, Some(GREATEST)), None);
    }

    proptest! {
        #[test]
        fn a_write_is_always_later_than_what_it_overwrote(now in any::<u64>(), ms in any::<u64>(), counter in any::<u16>()) {
            let stored = Stamp { ms, counter };
            if let Some(stamp) = Stamp::over(now, Some(stored)) {
                assert!(stamp > stored);
                assert!(stamp.ms >= now);
            } else {
                assert_eq!(stored, GREATEST);
            }
        }
    }
}
