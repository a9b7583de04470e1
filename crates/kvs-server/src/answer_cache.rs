//! The cache of framed answers, which never holds what a finished commit has overwritten.
//!
//! Readers fill it from the store without a lock over both, so a commit may come between the read and the fill. Two things
//! exclude that the older value stays:
//!
//! 1. A reader fills through a *placeholder* that it put in before it read the store. Whatever replaces or removes the
//!    placeholder meanwhile makes the fill fail.
//! 2. Before a commit can become visible its keys are marked *changing*, which replaces values and placeholders alike;
//!    readers that meet the mark read the store and fill nothing. Once the commit is visible and durable the marks are
//!    removed, before any writer is answered.
//!
//! So a fill that succeeds read the store either before the mark, and then the mark replaced it, or after the commit was
//! visible. Marks weigh nothing and are therefore never evicted.
//!
//! A disk failure is the one case in which the store can change without a commit being announced (it opens its engine
//! again): while the store is not open for writes nothing is filled, and [`AnswerCache::forget_all`] is called.
//!
//! Its keys are decoded paths and nothing else: the raw text of a request may be the decoded text of another key, so only
//! a [`DecodedText`] is looked up.
//!
//! Left out: absent keys. A miss of the store is cheap there and unbounded in number here.

use std::hash::BuildHasher;
use std::time::Duration;

use kvs_core::path::{DecodedText, Path};
use quick_cache::sync::{Cache, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::answer::Answer;
use crate::limits::{CACHED_ANSWER_BYTES_MAX, CACHED_ANSWER_OVERHEAD_BYTES};

/// What a path is found by: its hash, under a key of this process. The path itself stands in the answer and is compared
/// there. Two paths with one hash share a slot and its marks, so they push each other out and never mix.
type PathHash = u64;

#[derive(Debug, Clone)]
enum Slot {
    Answer(Answer),
    /// A commit is changing the key.
    Changing,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<PathHash, Slot> for ByBytes {
    fn weight(&self, _: &PathHash, slot: &Slot) -> u64 {
        match slot {
            Slot::Answer(answer) => (answer.len() + CACHED_ANSWER_OVERHEAD_BYTES) as u64,
            Slot::Changing => 0,
        }
    }
}

/// Evicted answers are dropped outside the lock.
#[derive(Debug, Clone)]
struct DropLater;

#[derive(Default)]
struct Evicted(Vec<Slot>);

impl Lifecycle<PathHash, Slot> for DropLater {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, _: PathHash, slot: Slot) {
        evicted.0.push(slot);
    }
}

type Slots = Cache<PathHash, Slot, ByBytes, DefaultHashBuilder, DropLater>;

/// The cache. See the module's documentation for its law.
#[derive(Debug)]
pub(crate) struct AnswerCache {
    slots: Slots,
    hasher: DefaultHashBuilder,
}

/// What a reader finds.
pub(crate) enum Lookup<'a> {
    /// The current answer (its expiry is the reader's to check).
    Found(Answer),
    /// Nothing: read the store, then fill.
    Missing(Fill<'a>),
    /// Read the store and fill nothing: a commit or another reader is at it.
    Bypass,
}

/// The right to fill one key, void once a commit touches it.
pub(crate) struct Fill<'a>(PlaceholderGuard<'a, PathHash, Slot, ByBytes, DefaultHashBuilder, DropLater>);

impl Fill<'_> {
    /// Puts an answer in, unless a commit came in between.
    pub(crate) fn with(self, answer: &Answer) {
        if answer.len() <= CACHED_ANSWER_BYTES_MAX {
            // Refused when the placeholder is gone: then the answer is from before a commit.
            drop(self.0.insert(Slot::Answer(answer.clone())));
        }
    }
}

/// Numbers for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes held, as they are counted.
    pub(crate) bytes: u64,
    /// Answers held.
    pub(crate) answers: u64,
}

/// What an answer of a small value weighs, for the number of entries to expect.
const TYPICAL_ANSWER_BYTES: u64 = 1536;

impl AnswerCache {
    /// An empty cache for `capacity_bytes`.
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let answers = usize::try_from(capacity_bytes / TYPICAL_ANSWER_BYTES).unwrap_or(usize::MAX).max(64);
        let options = OptionsBuilder::new()
            .weight_capacity(capacity_bytes)
            .estimated_items_capacity(answers)
            // Bounds what one shard takes, so that one large answer does not push everything else out.
            .shards(SHARDS)
            .build();
        // Both required options are set just above.
        let options = options.unwrap_or_else(|error| unreachable!("the options are complete: {error:?}"));
        let slots = Cache::with_options(options, ByBytes, DefaultHashBuilder::default(), DropLater);
        Self { slots, hasher: DefaultHashBuilder::default() }
    }

    fn hash(&self, path: &[u8]) -> PathHash {
        self.hasher.hash_one(path)
    }

    /// The answer under the decoded text `path`, which need not be a valid path: an invalid one is never found.
    pub(crate) fn find(&self, path: DecodedText<'_>) -> Option<Answer> {
        let path = path.as_bytes();
        match self.slots.get(&self.hash(path)) {
            Some(Slot::Answer(answer)) => Some(answer).filter(|answer| answer.is_for(path)),
            Some(Slot::Changing) | None => None,
        }
    }

    /// The answer under `path`, or the right to fill it.
    pub(crate) fn look_up(&self, path: &Path) -> Lookup<'_> {
        let path = path.as_bytes();
        match self.slots.get_value_or_guard(&self.hash(path), Some(Duration::ZERO)) {
            GuardResult::Value(Slot::Answer(answer)) if answer.is_for(path) => Lookup::Found(answer),
            // The slot is another path's, or a commit or another reader is at it.
            GuardResult::Value(_) | GuardResult::Timeout => Lookup::Bypass,
            GuardResult::Guard(guard) => Lookup::Missing(Fill(guard)),
        }
    }

    /// A commit is about to change these keys.
    pub(crate) fn mark_changing<'a>(&self, paths: impl Iterator<Item = &'a Path>) {
        for path in paths {
            self.slots.insert(self.hash(path.as_bytes()), Slot::Changing);
        }
    }

    /// The commit is visible, or has failed.
    pub(crate) fn forget<'a>(&self, paths: impl Iterator<Item = &'a Path>) {
        for path in paths {
            drop(self.slots.remove(&self.hash(path.as_bytes())));
        }
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        self.slots.clear();
    }

    /// Numbers for the metrics.
    pub(crate) fn counts(&self) -> Counts {
        Counts { bytes: self.slots.weight(), answers: self.slots.len() as u64 }
    }
}

/// Parts of the cache with a lock each.
const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::{AnswerCache, Lookup};
    use crate::answer::Answer;
    use crate::answer::tests::record;
    use kvs_core::path::{DecodedText, Path};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn answer(path: &Path, version: u128) -> Answer {
        Answer::frame(path, &record(version, 1000, 0), b"1", None)
    }

    fn cache() -> AnswerCache {
        AnswerCache::new(1 << 20)
    }

    fn found(cache: &AnswerCache, path: &Path) -> Option<u128> {
        cache.find(path.into()).map(|answer| answer.uuid().as_u128())
    }

    fn fill<'a>(cache: &'a AnswerCache, path: &Path) -> super::Fill<'a> {
        match cache.look_up(path) {
            Lookup::Missing(fill) => fill,
            Lookup::Found(_) | Lookup::Bypass => panic!("expected the right to fill"),
        }
    }

    #[test]
    fn what_was_filled_is_found_by_its_text() {
        let cache = cache();
        fill(&cache, &path("a/b")).with(&answer(&path("a/b"), 1));
        assert_eq!(found(&cache, &path("a/b")), Some(1));
        let find = |raw: &[u8]| DecodedText::of_raw(raw).and_then(|text| cache.find(text));
        assert!(find(b"a/b").is_some());
        assert!(find(b"/a/b").is_none());
        assert!(find(b"a%2Fb").is_none());
    }

    #[test]
    fn paths_that_share_a_slot_never_mix() {
        let cache = cache();
        let (one, other) = (path("one"), path("other"));
        // As if the two had one hash: the answer of one stands in the slot of the other.
        let Lookup::Missing(fill) = cache.look_up(&other) else { panic!("the cache is empty") };
        fill.with(&answer(&one, 1));
        assert_eq!(found(&cache, &other), None);
        assert!(matches!(cache.look_up(&other), Lookup::Bypass));
    }

    #[test]
    fn a_fill_that_a_commit_overtook_is_void() {
        let cache = cache();
        let key = path("a");
        let read_before = fill(&cache, &key);
        cache.mark_changing(std::iter::once(&key));
        cache.forget(std::iter::once(&key));
        read_before.with(&answer(&key, 1));
        assert_eq!(found(&cache, &key), None);
    }

    #[test]
    fn a_fill_during_the_commit_is_void() {
        let cache = cache();
        let key = path("a");
        let read_before = fill(&cache, &key);
        cache.mark_changing(std::iter::once(&key));
        read_before.with(&answer(&key, 1));
        assert_eq!(found(&cache, &key), None);
        assert!(matches!(cache.look_up(&key), Lookup::Bypass));
        cache.forget(std::iter::once(&key));
        fill(&cache, &key).with(&answer(&key, 2));
        assert_eq!(found(&cache, &key), Some(2));
    }

    #[test]
    fn an_old_fill_does_not_pass_for_a_later_readers() {
        let cache = cache();
        let key = path("a");
        let old = fill(&cache, &key);
        cache.mark_changing(std::iter::once(&key));
        cache.forget(std::iter::once(&key));
        let new = fill(&cache, &key);
        old.with(&answer(&key, 1));
        assert_eq!(found(&cache, &key), None);
        new.with(&answer(&key, 2));
        assert_eq!(found(&cache, &key), Some(2));
    }

    #[test]
    fn what_was_filled_before_the_commit_is_gone_after_it() {
        let cache = cache();
        let key = path("a");
        fill(&cache, &key).with(&answer(&key, 1));
        cache.mark_changing(std::iter::once(&key));
        assert_eq!(found(&cache, &key), None);
        cache.forget(std::iter::once(&key));
        assert_eq!(found(&cache, &key), None);
    }

    #[test]
    fn a_mark_is_never_evicted() {
        let cache = AnswerCache::new(64 * 1024);
        let key = path("marked");
        cache.mark_changing(std::iter::once(&key));
        for number in 0..10_000 {
            let other = path(&format!("k{number}"));
            if let Lookup::Missing(fill) = cache.look_up(&other) {
                fill.with(&answer(&other, number));
            }
        }
        assert!(cache.counts().bytes <= 64 * 1024);
        assert!(matches!(cache.look_up(&key), Lookup::Bypass));
    }

    #[test]
    fn clearing_voids_fills_too() {
        let cache = cache();
        let key = path("a");
        let read_before = fill(&cache, &key);
        cache.forget_all();
        read_before.with(&answer(&key, 1));
        assert_eq!(found(&cache, &key), None);
    }

    #[test]
    fn an_answer_too_large_is_not_kept() {
        let cache = AnswerCache::new(1 << 30);
        let key = path("a");
        let large = vec![b' '; super::CACHED_ANSWER_BYTES_MAX];
        fill(&cache, &key).with(&Answer::frame(&key, &record(1, 1, 0), &large, None));
        assert_eq!(found(&cache, &key), None);
        assert!(matches!(cache.look_up(&key), Lookup::Missing(_)));
    }

    /// Readers and one committer race over a "store" of one number; after each commit is finished, no reader may see
    /// an older number.
    #[test]
    fn no_reader_sees_an_older_value_once_its_commit_is_finished() {
        const COMMITS: u64 = 20_000;
        let cache = cache();
        let key = path("hot");
        let store = AtomicU64::new(0);
        let finished = AtomicU64::new(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Acquire) {
                        let at_least = finished.load(Ordering::Acquire);
                        let seen = match cache.look_up(&key) {
                            Lookup::Found(answer) => u64::try_from(answer.uuid().as_u128()).unwrap(),
                            Lookup::Missing(fill) => {
                                let value = store.load(Ordering::Acquire);
                                std::thread::yield_now();
                                fill.with(&answer(&key, u128::from(value)));
                                value
                            }
                            Lookup::Bypass => store.load(Ordering::Acquire),
                        };
                        assert!(seen >= at_least, "saw {seen} after {at_least} was finished");
                    }
                });
            }
            for commit in 1..=COMMITS {
                cache.mark_changing(std::iter::once(&key));
                store.store(commit, Ordering::Release);
                cache.forget(std::iter::once(&key));
                finished.store(commit, Ordering::Release);
            }
            done.store(true, Ordering::Release);
        });
        assert_eq!(store.load(Ordering::Acquire), COMMITS);
    }
}
