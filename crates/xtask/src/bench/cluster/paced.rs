//! Clients that ask at a fixed rate, far below what the nodes could do: what an application beside the nodes notices.
//!
//! A request counts from when it was sent; one that had to wait for the answer before it counts from when it was due.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use crate::bench::cluster::talk::Talk;
use crate::bench::dialect::Dialect;
use crate::bench::histogram::Histogram;
use crate::bench::reader::Protocol;
use crate::bench::values::{Documents, mix};
use crate::clock;

/// Time between two requests of one client.
const PACE: Duration = Duration::from_millis(10);

/// Clients of each node.
const CLIENTS: usize = 2;

/// Every so many requests one is a write.
const WRITE_EVERY: u64 = 5;

/// What clients noticed, in nanoseconds.
pub(crate) struct Noticed {
    /// From request to answer of reads.
    pub(crate) reads: Histogram,
    /// From request to answer of writes.
    pub(crate) writes: Histogram,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) struct Questions<'a> {
    /// Paths that hold values, as they stand in the request line.
    pub(crate) paths: &'a [String],
    /// Values that are written under keys of their own.
    pub(crate) documents: &'a Documents,
}

/// Asks these nodes until told to stop.
///
/// # Errors
///
/// A request was not answered with success.
pub(crate) fn drive(
    nodes: &[SocketAddr],
    questions: Questions<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<Noticed> {
    let all: anyhow::Result<Vec<Vec<(bool, Duration)>>> = thread::scope(|scope| {
        let clients: Vec<_> = nodes
            .iter()
            .flat_map(|node| [*node; CLIENTS])
            .zip(0_u64..)
            .map(|(node, number)| scope.spawn(move || client(node, number, questions, stop)))
            .collect();
        let ended =
            clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
        ended.collect()
    });
    let mut noticed = Noticed { reads: Histogram::new(), writes: Histogram::new() };
    for (is_write, took) in all?.into_iter().flatten() {
        let histogram = if is_write { &mut noticed.writes } else { &mut noticed.reads };
        histogram.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(noticed)
}

/// One client; for each request whether it was a write, and how long it took.
fn client(
    node: SocketAddr,
    client: u64,
    questions: Questions<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<(bool, Duration)>> {
    let mut talk = Talk::open(node, Protocol::Http)?;
    let (mut all, mut request) = (Vec::new(), Vec::new());
    let mut due: Instant = clock::now();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        request.clear();
        let key = mix(number ^ (client << 48));
        let is_write = number % WRITE_EVERY == 0;
        if is_write {
            Dialect::Node.write_put(key % 10_000, questions.documents.document(key), &mut request);
        } else {
            let count = questions.paths.len().max(1) as u64;
            let path = usize::try_from(key % count).ok().and_then(|at| questions.paths.get(at));
            let path = path.map_or("", String::as_str);
            request
                .extend_from_slice(format!("GET /kv/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes());
        }
        let early = due.saturating_duration_since(clock::now());
        thread::sleep(early);
        let from = if early.is_zero() { due } else { clock::now() };
        let answer = talk.ask(&request)?;
        if !answer.success {
            bail!("a client was answered with {}", answer.status);
        }
        all.push((is_write, from.elapsed()));
        due += PACE;
    }
    Ok(all)
}
