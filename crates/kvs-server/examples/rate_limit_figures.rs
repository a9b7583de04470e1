//! Measures the limiter of requests alone and prints the figures as JSON: the time of a check for one caller and for many,
//! on one thread and on two, with the headers of the answer, and the memory after a million addresses.

#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use http::HeaderMap;
use kvs_server::rate_limit::limiter::{RateLimiter, Subject};

/// Callers whose memory is measured.
const CALLERS: u32 = 1_000_000;
/// Checks whose time is measured.
const CHECKS: u32 = 5_000_000;

fn limiter() -> RateLimiter {
    RateLimiter::new(100, Duration::from_secs(60))
}

/// Memory of the process that is in use, in bytes.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(1024 * line.trim().trim_end_matches("kB").trim().parse::<usize>()?)
}

/// Nanoseconds for each of [`CHECKS`] calls of `check`, which is given their numbers.
fn time_ns(mut check: impl FnMut(u32)) -> f64 {
    let started = Instant::now();
    for number in 0..CHECKS {
        check(number);
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(CHECKS)
}

fn caller(number: u32) -> Subject {
    // Scattered, as addresses are.
    Subject::Address(Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761)).into())
}

/// Microseconds go by between the checks.
fn time_of(number: u32) -> Duration {
    Duration::from_micros(number.into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let before = resident_bytes()?;
    let many = limiter();
    let empty = resident_bytes()?;
    for number in 0..CALLERS {
        black_box(many.check(caller(number), time_of(number)));
    }
    let full = resident_bytes()?;
    let one = limiter();
    let one_ns = time_ns(|number| {
        black_box(one.check(caller(1), time_of(number)));
    });
    let many_ns = time_ns(|number| {
        black_box(many.check(caller(number % CALLERS), time_of(CALLERS.saturating_add(number))));
    });
    let with_headers_ns = time_ns(|number| {
        let mut headers = HeaderMap::with_capacity(8);
        one.check(caller(1), time_of(CHECKS.saturating_add(number))).write_to(&mut headers);
        black_box(headers);
    });
    let shared = limiter();
    let two_threads_ns = std::thread::scope(|scope| {
        let timed = |first| {
            let shared = &shared;
            move || {
                time_ns(|number| {
                    black_box(shared.check(caller(first + number % 1_000), time_of(number)));
                })
            }
        };
        let (one, other) = (scope.spawn(timed(0)), scope.spawn(timed(5_000)));
        one.join().ok().zip(other.join().ok()).map(|(one, other)| f64::midpoint(one, other))
    });
    println!(
        "{{\"one_caller_ns\":{one_ns:.1},\"many_callers_ns\":{many_ns:.1},\"two_threads_ns\":{:.1},\
         \"with_headers_ns\":{with_headers_ns:.1},\"empty_bytes\":{},\"callers\":{CALLERS},\"bytes\":{},\
         \"accounted_bytes\":{}}}",
        two_threads_ns.unwrap_or(f64::NAN),
        empty.saturating_sub(before),
        full.saturating_sub(before),
        many.bytes(),
    );
    Ok(())
}
