//! What callers used of their number of requests, for very many callers in bounded memory.
//!
//! The library's own stores are maps that grow with every new key until somebody sweeps them; whoever has a large IPv6
//! network could fill the memory with them. This store is a table of fixed size instead. A caller's fingerprint names one
//! bucket of eight places. A place holds the rest of the fingerprint and the *debt*: the moment at which everything that
//! was used will have come back. A debt that lies in the past is the same as no debt, so nothing need ever be swept.
//!
//! **When a bucket is full**, a new caller takes the place of the one with the smallest debt. What follows from that:
//!
//! - A new caller is never refused because others filled the table: nobody can be locked out.
//! - A debt is forgotten only when seven others in its bucket are as large, so those who used up their number are
//!   remembered longest. Which callers share a bucket depends on a secret of the process, so nobody can choose them:
//!   pushing one caller out means filling all of the table with callers who used as much, and whoever can do that has
//!   that many limits to use anyway.
//! - The trade-off: while there are more callers with a debt than places, small debts are forgiven, and callers near the
//!   bottom can make more requests than their number. A debt of one request lasts for a window divided by the number of
//!   requests, 0.6 s by default; a million places are then full at 1.7 million requests a second.
//!
//! Two callers of one bucket whose fingerprints agree share one limit; the chance is eight in four thousand million
//! per caller, and again depends on the secret.
//!
//! Memory comes in segments when the first caller of a segment does.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Places in a bucket.
const PLACES: usize = 8;

/// Buckets in a segment: 6.5 KiB.
const SEGMENT_BUCKETS: usize = 64;

/// Most segments of a ledger, whatever is asked for: 16 million places.
const SEGMENTS_MAX: usize = 1 << 15;

/// Who a caller is, as far as a ledger knows: 64 bits that nobody outside can foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// What tells callers of one bucket apart; not 0, which marks a free place.
    fn tag(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }

    /// The bucket, for whoever takes as many of the lowest 32 bits as it has buckets.
    fn bucket(self) -> usize {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0)
    }
}

/// Eight places.
///
/// Invariants: a tag that is not 0 is there once; a place whose tag is 0 has the debt 0.
#[derive(Debug, Default)]
struct Bucket {
    tags: [u32; PLACES],
    /// Nanoseconds of the limiter's clock.
    debts: [u64; PLACES],
}

impl Bucket {
    /// Tag and debt at the place of `tag`, or else at the place with the smallest debt.
    fn place(&mut self, tag: u32) -> Option<(&mut u32, &mut u64)> {
        let known = self.tags.iter().position(|found| *found == tag);
        let at = known.or_else(|| {
            let smallest = self.debts.iter().enumerate().min_by_key(|(_, debt)| **debt);
            smallest.map(|(at, _)| at)
        })?;
        self.tags.get_mut(at).zip(self.debts.get_mut(at))
    }
}

type Segment = Box<[Mutex<Bucket>]>;

/// The debts of callers. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// At least one; a power of two.
    segments: Arc<[OnceLock<Segment>]>,
    secret: RandomState,
}

impl Ledger {
    /// An empty ledger with places for at least so many callers.
    pub(super) fn new(callers: usize) -> Self {
        let segments = callers.div_ceil(PLACES * SEGMENT_BUCKETS).clamp(1, SEGMENTS_MAX).next_power_of_two();
        Self { segments: (0..segments).map(|_| OnceLock::new()).collect(), secret: RandomState::new() }
    }

    /// The fingerprint of `caller`, of use in this ledger alone.
    pub(super) fn fingerprint(&self, caller: impl Hash) -> Fingerprint {
        Fingerprint(self.secret.hash_one(caller))
    }

    /// The memory that is in use now, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let in_use = self.segments.iter().filter(|segment| segment.get().is_some()).count();
        size_of_val(&*self.segments) + in_use * SEGMENT_BUCKETS * size_of::<Mutex<Bucket>>()
    }

    /// The bucket of a caller. There always is one; the type cannot know.
    fn bucket(&self, fingerprint: Fingerprint) -> Option<&Mutex<Bucket>> {
        let bucket = fingerprint.bucket();
        // Their number is a power of two.
        let segment = self.segments.get((bucket / SEGMENT_BUCKETS) & (self.segments.len() - 1))?;
        let new = || (0..SEGMENT_BUCKETS).map(|_| Mutex::default()).collect();
        segment.get_or_init(new).get(bucket % SEGMENT_BUCKETS)
    }
}

impl StateStore for Ledger {
    type Key = Fingerprint;

    fn measure_and_replace<T, F, E>(&self, key: &Fingerprint, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let tag = key.tag();
        // A thread that died with the lock left whole numbers behind.
        let mut bucket =
            self.bucket(*key).map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner));
        let place = bucket.as_mut().and_then(|bucket| bucket.place(tag));
        let known = place.as_ref().filter(|(found, _)| **found == tag).map(|(_, debt)| Nanos::from(**debt));
        let (outcome, next) = decide(known)?;
        if let Some((found, debt)) = place {
            *found = tag;
            *debt = next.into();
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes a debt, and tells the one before.
    fn note(ledger: &Ledger, fingerprint: u64, debt: u64) -> Option<u64> {
        let noted = ledger.measure_and_replace(&Fingerprint(fingerprint), |known| {
            Ok::<_, ()>((known.map(u64::from), Nanos::from(debt)))
        });
        noted.unwrap()
    }

    /// The fingerprint with this tag in the first bucket.
    const fn in_first_bucket(tag: u32) -> u64 {
        (tag as u64) << 32
    }

    #[test]
    fn each_caller_has_its_own_debt() {
        let ledger = Ledger::new(512);
        for tag in 1..=8 {
            assert_eq!(note(&ledger, in_first_bucket(tag), 100 + u64::from(tag)), None);
        }
        assert_eq!(note(&ledger, in_first_bucket(3) | 1, 7), None, "the next bucket");
        for tag in 1..=8 {
            assert_eq!(note(&ledger, in_first_bucket(tag), 200), Some(100 + u64::from(tag)));
        }
        // A tag of 0 would look like a free place.
        assert_eq!(note(&ledger, in_first_bucket(0) | 2, 5), None);
        assert_eq!(note(&ledger, in_first_bucket(0) | 2, 6), Some(5));
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let ledger = Ledger::new(512);
        note(&ledger, in_first_bucket(1), 10);
        let refused = ledger.measure_and_replace(&Fingerprint(in_first_bucket(1)), |known| match known {
            Some(debt) => Err(u64::from(debt)),
            None => Ok(((), Nanos::from(99))),
        });
        assert_eq!(refused, Err(10));
        assert_eq!(note(&ledger, in_first_bucket(1), 11), Some(10));
    }

    #[test]
    fn in_a_full_bucket_the_smallest_debt_is_forgotten_first() {
        let ledger = Ledger::new(512);
        for tag in 1..=8 {
            note(&ledger, in_first_bucket(tag), 1_000 - u64::from(tag));
        }
        // A crowd comes and goes in the place of the smallest.
        for tag in 100..1_100 {
            assert_eq!(note(&ledger, in_first_bucket(tag), 5), None);
        }
        for tag in 1..8 {
            let debt = 1_000 - u64::from(tag);
            assert_eq!(note(&ledger, in_first_bucket(tag), debt), Some(debt), "tag {tag}");
        }
        assert_eq!(note(&ledger, in_first_bucket(8), 992), None);
    }

    #[test]
    fn memory_comes_with_the_callers_and_has_an_end() {
        let ledger = Ledger::new(1 << 20);
        let empty = ledger.bytes();
        note(&ledger, 1, 1);
        assert!(ledger.bytes() - empty < 8 * 1024);
        assert!(empty < 64 * 1024, "{empty}");
        for caller in 0..1_000_000_u32 {
            let fingerprint = ledger.fingerprint(caller);
            let noted = ledger.measure_and_replace(&fingerprint, |_| Ok::<_, ()>(((), Nanos::from(1))));
            noted.unwrap();
        }
        assert!(ledger.bytes() < 16_000_000, "{}", ledger.bytes());
    }
}
