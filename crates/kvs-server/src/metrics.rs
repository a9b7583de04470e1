//! What the node counts about itself, cheaply enough to count everything.
//!
//! Counters of requests are kept once per thread (up to [`SHARDS`]), each on cache lines of its own, and added up when
//! somebody asks: counting a request costs three uncontended additions.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use kvs_core::version::Rule;
use kvs_store::observer::BatchStats;

use crate::limits::CACHED_READS_PER_SAMPLE;
use crate::routes::Family;

/// Copies of the request counters.
const SHARDS: usize = 8;

/// Classes of status: 1xx to 5xx.
const CLASSES: usize = 5;

/// Upper ends of the buckets of a time, in nanoseconds, about 2.5 per decade from 50 us to 10 s; one more bucket takes
/// what is longer.
pub(crate) const BUCKETS_NS: [u64; 16] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// Upper ends of the buckets of a size of a batch, in transactions.
pub(crate) const BUCKETS_BATCH: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// A distribution over buckets with fixed upper ends.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    ends: &'static [u64; N],
    counts: [AtomicU64; N],
    beyond: AtomicU64,
    sum: AtomicU64,
}

/// A distribution as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// Upper ends, and how many values were at most that, cumulated.
    pub(crate) buckets: Vec<(u64, u64)>,
    /// How many values there were.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: u64,
}

impl<const N: usize> Histogram<N> {
    pub(crate) const fn new(ends: &'static [u64; N]) -> Self {
        Self {
            ends,
            counts: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one value.
    pub(crate) fn observe(&self, value: u64) {
        self.observe_times(value, 1);
    }

    /// Counts one value for several.
    fn observe_times(&self, value: u64, times: u64) {
        let bucket = self.ends.iter().zip(&self.counts).find(|(end, _)| value <= **end);
        bucket.map_or(&self.beyond, |(_, count)| count).fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }

    /// The sum over `parts`.
    fn add_up<'a>(parts: impl Iterator<Item = &'a Self>, ends: &'static [u64; N]) -> Distribution {
        let mut distribution =
            Distribution { buckets: ends.iter().map(|end| (*end, 0)).collect(), count: 0, sum: 0 };
        for part in parts {
            let mut below = 0;
            for ((_, total), count) in distribution.buckets.iter_mut().zip(&part.counts) {
                below += count.load(Ordering::Relaxed);
                *total += below;
            }
            distribution.count += below + part.beyond.load(Ordering::Relaxed);
            distribution.sum = distribution.sum.wrapping_add(part.sum.load(Ordering::Relaxed));
        }
        distribution
    }

    /// Its values now.
    pub(crate) fn distribution(&self) -> Distribution {
        Self::add_up(std::iter::once(self), self.ends)
    }
}

/// The counters of one family on one shard.
#[derive(Debug)]
struct FamilyCounters {
    classes: [AtomicU64; CLASSES],
    seconds: Histogram<16>,
}

impl FamilyCounters {
    fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).wrapping_sub(1);
        if let Some(class) = self.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How a look into the cache of answers ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheLookup {
    /// The answer was there.
    Hit,
    /// The store was read.
    Miss,
}

/// Aligned so that two shards share no cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    families: [FamilyCounters; Family::ALL.len()],
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

/// All counters of the node that are not kept elsewhere.
#[derive(Debug)]
pub(crate) struct Metrics {
    shards: Box<[Shard]>,
    next_shard: AtomicUsize,
    /// Transactions per commit.
    pub(crate) batch_transactions: Histogram<11>,
    /// Nanoseconds per commit, sync included.
    pub(crate) commit_ns: Histogram<16>,
    /// Keys changed by commits.
    pub(crate) committed_keys: AtomicU64,
    /// Bytes handed to the engine by commits.
    pub(crate) committed_bytes: AtomicU64,
    /// Conflicts resolved, by the rule's number.
    resolutions: [AtomicU64; 5],
}

thread_local! {
    /// The shard of this thread; `usize::MAX` before its first request.
    static SHARD: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

impl Metrics {
    /// Counters at zero.
    pub(crate) fn new() -> Self {
        let shard = |_| Shard {
            families: std::array::from_fn(|_| FamilyCounters {
                classes: [const { AtomicU64::new(0) }; CLASSES],
                seconds: Histogram::new(&BUCKETS_NS),
            }),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            next_shard: AtomicUsize::new(0),
            batch_transactions: Histogram::new(&BUCKETS_BATCH),
            commit_ns: Histogram::new(&BUCKETS_NS),
            committed_keys: AtomicU64::new(0),
            committed_bytes: AtomicU64::new(0),
            resolutions: [const { AtomicU64::new(0) }; 5],
        }
    }

    /// Counts a conflict that this rule decided.
    pub(crate) fn count_resolution(&self, rule: Rule) {
        if let Some(count) = self.resolutions.get(usize::from(rule.number())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many conflicts this rule decided.
    pub(crate) fn resolutions(&self, rule: Rule) -> u64 {
        self.resolutions.get(usize::from(rule.number())).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts an answered request.
    pub(crate) fn count_request(&self, family: Family, status: StatusCode, elapsed: Duration) {
        let Some(counters) = self.shard().and_then(|shard| shard.families.get(family as usize)) else {
            return;
        };
        counters.count(status);
        counters.seconds.observe(nanoseconds(elapsed));
    }

    /// Counts a read that the cache answered; one of [`CACHED_READS_PER_SAMPLE`] brings its time.
    pub(crate) fn count_cached_read(&self, sample: Option<Duration>) {
        let Some(shard) = self.shard() else { return };
        shard.cache_hits.fetch_add(1, Ordering::Relaxed);
        let Some(counters) = shard.families.get(Family::KvGet as usize) else { return };
        counters.count(StatusCode::OK);
        if let Some(elapsed) = sample {
            counters.seconds.observe_times(nanoseconds(elapsed), CACHED_READS_PER_SAMPLE);
        }
    }

    /// Counts a look into the cache that is no request of its own, or ended elsewhere.
    pub(crate) fn count_lookup(&self, lookup: CacheLookup) {
        let Some(shard) = self.shard() else { return };
        match lookup {
            CacheLookup::Hit => shard.cache_hits.fetch_add(1, Ordering::Relaxed),
            CacheLookup::Miss => shard.cache_misses.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Hits and misses of the cache.
    pub(crate) fn lookups(&self) -> (u64, u64) {
        self.shards.iter().fold((0, 0), |(hits, misses), shard| {
            let (hit, miss) = (&shard.cache_hits, &shard.cache_misses);
            (hits + hit.load(Ordering::Relaxed), misses + miss.load(Ordering::Relaxed))
        })
    }

    /// The counters of this thread.
    fn shard(&self) -> Option<&Shard> {
        let number = SHARD.with(|shard| {
            if shard.get() == usize::MAX {
                shard.set(self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS);
            }
            shard.get()
        });
        self.shards.get(number)
    }

    /// Counts a commit.
    pub(crate) fn count_batch(&self, stats: &BatchStats) {
        self.batch_transactions.observe(stats.transactions as u64);
        self.commit_ns.observe(nanoseconds(stats.commit_time));
        self.committed_keys.fetch_add(stats.keys as u64, Ordering::Relaxed);
        self.committed_bytes.fetch_add(stats.bytes as u64, Ordering::Relaxed);
    }

    /// Requests of a family by class of status, `(100, n)` to `(500, n)`.
    pub(crate) fn requests(&self, family: Family) -> [(u16, u64); CLASSES] {
        let mut sums = [(100, 0), (200, 0), (300, 0), (400, 0), (500, 0)];
        for counters in self.family(family) {
            for ((_, sum), class) in sums.iter_mut().zip(&counters.classes) {
                *sum += class.load(Ordering::Relaxed);
            }
        }
        sums
    }

    /// Times of a family.
    pub(crate) fn latency(&self, family: Family) -> Distribution {
        Histogram::add_up(self.family(family).map(|counters| &counters.seconds), &BUCKETS_NS)
    }

    fn family(&self, family: Family) -> impl Iterator<Item = &FamilyCounters> {
        self.shards.iter().filter_map(move |shard| shard.families.get(family as usize))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS_BATCH, CACHED_READS_PER_SAMPLE, CacheLookup, Histogram, Metrics};
    use crate::routes::Family;
    use http::StatusCode;
    use std::time::Duration;

    #[test]
    fn buckets_cumulate_and_nothing_is_lost_beyond_the_last() {
        let histogram = Histogram::new(&BUCKETS_BATCH);
        for value in [1, 2, 3, 5000] {
            histogram.observe(value);
        }
        let distribution = histogram.distribution();
        assert_eq!(distribution.buckets[0], (1, 1));
        assert_eq!(distribution.buckets[1], (2, 2));
        assert_eq!(distribution.buckets[2], (4, 3));
        assert_eq!(distribution.buckets[10], (1024, 3));
        assert_eq!((distribution.count, distribution.sum), (4, 5006));
    }

    #[test]
    fn requests_of_all_threads_add_up() {
        let metrics = Metrics::new();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    metrics.count_request(Family::KvGet, StatusCode::OK, Duration::from_micros(60));
                    metrics.count_request(Family::KvGet, StatusCode::NOT_FOUND, Duration::from_secs(60));
                });
            }
        });
        assert_eq!(metrics.requests(Family::KvGet), [(100, 0), (200, 20), (300, 0), (400, 20), (500, 0)]);
        let latency = metrics.latency(Family::KvGet);
        assert_eq!(latency.count, 40);
        assert_eq!(latency.buckets[1].1, 20);
        assert_eq!(metrics.latency(Family::KvPut).count, 0);
    }

    #[test]
    fn a_timed_cached_read_counts_for_those_that_were_not() {
        let metrics = Metrics::new();
        for read in 0..32 {
            metrics.count_cached_read(
                (read % CACHED_READS_PER_SAMPLE == 0).then_some(Duration::from_micros(60)),
            );
        }
        metrics.count_lookup(CacheLookup::Hit);
        metrics.count_lookup(CacheLookup::Miss);
        assert_eq!(metrics.requests(Family::KvGet)[1], (200, 32));
        assert_eq!(metrics.latency(Family::KvGet).count, 32);
        assert_eq!(metrics.lookups(), (33, 1));
    }
}
