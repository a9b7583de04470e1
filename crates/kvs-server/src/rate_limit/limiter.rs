//! The limiter: who is asking, when, and whether that is within the number of requests per window.
//!
//! A caller may use its whole number at once, and each request comes back after the window divided by the number. So at
//! most twice the number falls into one window, after a time of rest.
//!
//! Invariants: a caller that makes no more requests in any window than the limit says is never refused, whatever others
//! do; a refused request is not counted; principals and addresses have ledgers of their own, so that strangers cannot make
//! the node forget what its users used. Callers that share a fingerprint in `ledger.rs` are one caller here.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::{NotUntil, Quota, RateLimiter as Cells};
use uuid::Uuid;

use super::given_clock::GivenClock;
use super::ledger::{Fingerprint, Ledger};
use super::verdict::{Allowance, Verdict};
use crate::limits::{LIMITED_ADDRESSES, LIMITED_PRINCIPALS};

/// Longest window: a hundred years, so that all sums of times have room.
const WINDOW_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Who makes a request, as far as the limit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The user behind a valid token.
    Principal(Uuid),
    /// The address of a caller without one. IPv4 counts address by address (also when it is written as IPv6), IPv6 by
    /// networks of 64 bits, since whoever has one address of such a network has them all.
    Address(IpAddr),
}

/// Callers of one kind: the library's decision over our store.
#[derive(Debug)]
struct Accounts {
    ledger: Ledger,
    cells: Cells<Fingerprint, Ledger, GivenClock, StateInformationMiddleware>,
}

impl Accounts {
    fn new(quota: Quota, places: usize, clock: GivenClock) -> Self {
        let ledger = Ledger::new(places);
        Self { cells: Cells::new(quota, ledger.clone(), clock), ledger }
    }

    fn check(&self, caller: impl Hash) -> Result<StateSnapshot, NotUntil<Nanos>> {
        self.cells.check_key(&self.ledger.fingerprint(caller))
    }
}

/// A number of requests per window for every subject.
#[derive(Debug)]
pub struct RateLimiter {
    limit: NonZeroU32,
    /// The time after which one request comes back, in nanoseconds; at least 1.
    interval_ns: u64,
    clock: GivenClock,
    principals: Accounts,
    addresses: Accounts,
}

impl RateLimiter {
    /// A limiter of `requests` per `window` for each subject; 0 counts as 1, of both. Windows are at most a day in the
    /// configuration; here they may be years.
    #[must_use]
    pub fn new(requests: u32, window: Duration) -> Self {
        Self::with_places(requests, window, LIMITED_PRINCIPALS, LIMITED_ADDRESSES)
    }

    /// The same with ledgers of these sizes.
    fn with_places(requests: u32, window: Duration, principals: usize, addresses: usize) -> Self {
        let limit = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
        // Rounded down, in favour of the caller.
        let interval = (window.min(WINDOW_MAX) / limit.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(limit)).allow_burst(limit);
        let clock = GivenClock::default();
        Self {
            limit,
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            principals: Accounts::new(quota, principals, clock.clone()),
            addresses: Accounts::new(quota, addresses, clock.clone()),
            clock,
        }
    }

    /// Counts a request of `subject` at the time `now` of any clock that does not go back, and says whether it may be
    /// served. A `now` from before the latest one counts as the latest.
    pub fn check(&self, subject: Subject, now: Duration) -> Verdict {
        self.clock.tell(now);
        let checked = match subject {
            Subject::Principal(user) => self.principals.check(user.as_u128()),
            Subject::Address(address) => self.addresses.check(network(address)),
        };
        match checked {
            Ok(state) => Verdict::Within(self.allowance(state.remaining_burst_capacity())),
            Err(refusal) => {
                let wait = refusal.wait_time_from(self.clock.now());
                Verdict::Exceeded { allowance: self.allowance(0), retry_after_s: seconds(wait).max(1) }
            }
        }
    }

    /// The memory that the debts of callers take now, in bytes; it has a bound.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.principals.ledger.bytes() + self.addresses.ledger.bytes()
    }

    fn allowance(&self, remaining: u32) -> Allowance {
        let limit = self.limit.get();
        let used = limit.saturating_sub(remaining);
        let reset = Duration::from_nanos(self.interval_ns.saturating_mul(used.into()));
        Allowance { limit, remaining, reset_s: seconds(reset) }
    }
}

/// What of an address counts: its family, and all of an IPv4 address or the network of an IPv6 one.
fn network(address: IpAddr) -> (u8, u64) {
    match address.to_canonical() {
        IpAddr::V4(address) => (4, address.to_bits().into()),
        IpAddr::V6(address) => {
            let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
            (6, u64::from_be_bytes(network))
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::atomic::{AtomicU32, Ordering};

    use proptest::prelude::{any, prop_assert_eq, proptest};
    use proptest::{collection, prop_oneof, strategy::Just};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> Subject {
        Subject::Address(text.parse().unwrap())
    }

    fn numbered(number: u32) -> Subject {
        Subject::Address(Ipv4Addr::from_bits(number).into())
    }

    fn is_served(limiter: &RateLimiter, subject: Subject, now: Duration) -> bool {
        matches!(limiter.check(subject, now), Verdict::Within(_))
    }

    /// How many of `tries` requests at one moment are served.
    fn served(limiter: &RateLimiter, subject: Subject, now: Duration, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(is_served(limiter, subject, now))).sum()
    }

    #[test]
    fn a_caller_is_told_what_remains_and_when_it_comes_back() {
        let limiter = RateLimiter::new(3, MINUTE);
        let caller = address("192.0.2.1");
        let allowance = |remaining, reset_s| Allowance { limit: 3, remaining, reset_s };
        let now = Duration::from_secs(1_000);
        assert_eq!(limiter.check(caller, now), Verdict::Within(allowance(2, 20)));
        assert_eq!(limiter.check(caller, now), Verdict::Within(allowance(1, 40)));
        assert_eq!(limiter.check(caller, now), Verdict::Within(allowance(0, 60)));
        let refused = |retry_after_s| Verdict::Exceeded { allowance: allowance(0, 60), retry_after_s };
        assert_eq!(limiter.check(caller, now), refused(20));
        assert_eq!(limiter.check(caller, now + Duration::from_millis(19_500)), refused(1));
        assert_eq!(limiter.check(caller, now + Duration::from_secs(20)), Verdict::Within(allowance(0, 60)));
        assert_eq!(limiter.check(caller, now + 3 * MINUTE), Verdict::Within(allowance(2, 20)));
    }

    #[test]
    fn an_ipv6_network_is_one_caller_and_so_is_an_ipv4_address_however_written() {
        for (one, other, are_one) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            // The same bits in another family are somebody else.
            ("0.0.0.5", "::5:0:0:0:0", false),
        ] {
            let limiter = RateLimiter::new(1, MINUTE);
            assert!(is_served(&limiter, address(one), MINUTE));
            assert_eq!(is_served(&limiter, address(other), MINUTE), !are_one, "{one} and {other}");
        }
    }

    #[test]
    fn a_principal_is_one_caller_wherever_it_calls_from_and_no_address() {
        let limiter = RateLimiter::new(1, MINUTE);
        let user = Uuid::from_u128(u128::from(u32::from_be_bytes([192, 0, 2, 1])));
        assert!(is_served(&limiter, Subject::Principal(user), MINUTE));
        assert!(!is_served(&limiter, Subject::Principal(user), MINUTE));
        assert!(is_served(&limiter, Subject::Principal(Uuid::from_u128(7)), MINUTE));
        assert!(is_served(&limiter, address("192.0.2.1"), MINUTE));
    }

    #[test]
    fn a_clock_that_stands_still_gives_the_number_once() {
        let limiter = RateLimiter::new(100, MINUTE);
        assert_eq!(served(&limiter, numbered(1), Duration::ZERO, 1_000), 100);
    }

    #[test]
    fn a_clock_that_jumps_neither_locks_out_nor_opens_nor_panics() {
        let limiter = RateLimiter::new(10, MINUTE);
        let start = Duration::from_secs(86_400);
        assert_eq!(served(&limiter, numbered(1), start, 20), 10);
        // Back: the latest time still holds.
        assert_eq!(served(&limiter, numbered(1), Duration::ZERO, 20), 0);
        assert_eq!(served(&limiter, numbered(2), Duration::ZERO, 20), 10);
        // Far ahead: the number is back, once.
        assert_eq!(served(&limiter, numbered(1), start + 1_000 * MINUTE, 20), 10);
        // To the end of time, where the clock stands still.
        assert_eq!(served(&limiter, numbered(1), Duration::MAX, 20), 10);
        assert_eq!(served(&limiter, numbered(3), Duration::MAX, 20), 10);
    }

    #[test]
    fn every_number_and_window_makes_a_limiter() {
        let windows = [Duration::ZERO, Duration::from_nanos(1), MINUTE, 1_440 * MINUTE, Duration::MAX];
        for window in windows {
            for requests in [0, 1, 2, 1_000_000_000, u32::MAX] {
                let limiter = RateLimiter::new(requests, window);
                for (caller, now) in [Duration::ZERO, MINUTE, Duration::MAX].into_iter().enumerate() {
                    let caller = numbered(u32::try_from(caller).unwrap());
                    assert!(is_served(&limiter, caller, now), "{requests} in {window:?} at {now:?}");
                    served(&limiter, numbered(0), now, 3);
                }
            }
        }
    }

    #[test]
    fn those_who_used_up_their_number_stay_refused_while_a_crowd_floods_the_ledger() {
        // 1,024 places, 200,000 callers.
        let limiter = RateLimiter::with_places(5, MINUTE, 512, 512);
        let user = Subject::Principal(Uuid::from_u128(1));
        for subject in [numbered(0), user] {
            assert_eq!(served(&limiter, subject, MINUTE, 10), 5);
        }
        for number in 1..200_000 {
            assert!(is_served(&limiter, numbered(number), MINUTE), "a new caller was refused");
            assert!(number % 1_000 != 0 || !is_served(&limiter, numbered(0), MINUTE));
        }
        assert!(!is_served(&limiter, numbered(0), MINUTE));
        assert!(!is_served(&limiter, user, MINUTE));
        assert!(limiter.bytes() < 16 * 1024, "{}", limiter.bytes());
    }

    #[test]
    fn nobody_is_locked_out_by_a_crowd_that_uses_up_its_number_everywhere() {
        let limiter = RateLimiter::with_places(3, MINUTE, 512, 512);
        let mut now = Duration::ZERO;
        for round in 0..300 {
            for number in 0..200 {
                served(&limiter, numbered(1_000_000 + round * 200 + number), now, 4);
            }
            // Three calls a minute are within the limit.
            assert!(is_served(&limiter, numbered(7), now), "round {round}");
            now += Duration::from_secs(20);
        }
    }

    #[test]
    fn many_threads_together_get_the_number() {
        let limiter = RateLimiter::new(1_000, MINUTE);
        let total = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope
                    .spawn(|| total.fetch_add(served(&limiter, numbered(1), MINUTE, 600), Ordering::Relaxed));
            }
        });
        assert_eq!(total.into_inner(), 1_000);
    }

    /// A token bucket in another form: credit in nanoseconds, which grows with time up to the whole window.
    struct Model {
        interval: u64,
        full: u64,
        credits: BTreeMap<u32, (u64, u64)>,
    }

    impl Model {
        fn serves(&mut self, caller: u32, now: u64) -> bool {
            let (credit, since) = self.credits.entry(caller).or_insert((self.full, now));
            *credit = self.full.min(*credit + (now - *since));
            *since = now;
            let is_served = *credit >= self.interval;
            *credit -= if is_served { self.interval } else { 0 };
            is_served
        }
    }

    proptest! {
        #[test]
        fn decisions_are_those_of_a_token_bucket(
            limit in 1..20_u32,
            window_s in 1..100_u64,
            steps in collection::vec(
                (0..6_u32, prop_oneof![Just(0_u64), 0..50_u64, 0..5_000_u64, 0..200_000_u64]),
                1..300,
            ),
        ) {
            let limiter = RateLimiter::new(limit, Duration::from_secs(window_s));
            let interval = window_s * 1_000_000_000 / u64::from(limit);
            let full = interval * u64::from(limit);
            let mut model = Model { interval, full, credits: BTreeMap::new() };
            let mut now_ms = 0;
            for (caller, step_ms) in steps {
                now_ms += step_ms;
                let verdict = limiter.check(numbered(caller), Duration::from_millis(now_ms));
                prop_assert_eq!(
                    matches!(verdict, Verdict::Within(_)),
                    model.serves(caller, now_ms * 1_000_000)
                );
                let credit = model.credits.get(&caller).map_or(0, |(credit, _)| *credit);
                match verdict {
                    Verdict::Within(allowance) => {
                        prop_assert_eq!(u64::from(allowance.remaining), credit / interval);
                    }
                    Verdict::Exceeded { allowance, retry_after_s } => {
                        prop_assert_eq!(allowance.remaining, 0);
                        prop_assert_eq!(
                            retry_after_s,
                            (interval - credit).div_ceil(1_000_000_000).max(1)
                        );
                    }
                }
            }
        }

        #[test]
        fn all_addresses_of_a_network_are_one_caller(network in any::<u64>(), one in any::<u64>(), other in any::<u64>()) {
            let of = |host: u64| Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host));
            // Addresses that are IPv4 ones in disguise are told apart whole.
            if network != 0 {
                prop_assert_eq!(super::network(of(one).into()), super::network(of(other).into()));
                prop_assert_eq!(super::network(of(one).into()), (6, network));
            }
        }
    }
}
