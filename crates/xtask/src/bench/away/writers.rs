//! Clients that write batches at a fixed rate, whatever the nodes do, and note how long each batch took.
//!
//! Each batch is due at a moment of its own. One that goes out late, as the batch before it was not answered yet, counts from
//! when it was due: otherwise a node that stalls would be asked less and look better.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::bench::away::options::{Case, Keys, Size};
use crate::bench::batches;
use crate::bench::cluster::talk::Talk;
use crate::bench::dialect;
use crate::bench::reader::Protocol;
use crate::bench::values::{Documents, mix};
use crate::clock;

/// Keys that are written again and again.
pub(crate) const FIXED_KEYS: u64 = 200_000;

/// Different values.
const VALUES: u64 = 10_000;

/// Clients, each with one batch in flight; they take turns.
const CLIENTS: usize = 4;

/// Pause of a client whose batch failed.
const PAUSE: Duration = Duration::from_millis(100);

/// A batch that was answered with success.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// When.
    pub(crate) at: Instant,
    /// From when it was due, or sent if that was later, until then.
    pub(crate) took: Duration,
}

/// What the clients have done so far.
#[derive(Default)]
pub(crate) struct Ledger {
    rows: AtomicU64,
    is_over: AtomicBool,
    answered: Mutex<Vec<Answered>>,
    failures: Mutex<(u64, Option<String>)>,
}

impl Ledger {
    /// Writes that were answered with success.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Batches that failed, and what the first of them was answered.
    pub(crate) fn failures(&self) -> (u64, Option<String>) {
        lock(&self.failures).clone()
    }

    /// The batches that were answered between two moments.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Vec<Answered> {
        lock(&self.answered).iter().filter(|batch| batch.at >= from && batch.at < to).copied().collect()
    }

    /// Tells the clients to end.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is written, how fast and where.
pub(crate) struct Writing {
    /// The nodes that take the writes, in turns.
    pub(crate) nodes: Vec<SocketAddr>,
    /// Writes a second.
    pub(crate) rate: u32,
    /// Writes in one batch.
    pub(crate) batch: u32,
    case: Case,
    documents: Documents,
}

impl Writing {
    /// Prepares the values.
    pub(crate) fn new(nodes: Vec<SocketAddr>, rate: u32, batch: u32, case: Case) -> Self {
        Self { nodes, rate, batch, case, documents: Documents::new(VALUES) }
    }

    /// Appends the value of write `number`.
    pub(crate) fn value(&self, number: u64, out: &mut Vec<u8>) {
        match self.case.size {
            Size::Large => out.extend_from_slice(self.documents.document(number)),
            Size::Small => {
                let begin = out.len();
                out.extend_from_slice(format!("{{\"id\":{number},\"note\":\"").as_bytes());
                for step in 0.. {
                    out.extend_from_slice(format!("{:016x}", mix(number ^ (step << 40))).as_bytes());
                    if out.len() - begin >= Size::Small.bytes() - 2 {
                        break;
                    }
                }
                out.truncate(begin + Size::Small.bytes() - 2);
                out.extend_from_slice(b"\"}");
            }
        }
    }

    /// Appends the path of write `number`.
    fn path(&self, number: u64, out: &mut Vec<u8>) {
        let key = match self.case.keys {
            Keys::Fixed => mix(number) % FIXED_KEYS,
            // Those that are there already come before.
            Keys::New => FIXED_KEYS + number,
        };
        out.extend_from_slice(dialect::key(key).as_bytes());
    }

    /// The request of batch `number`.
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let (first, count) = (number * u64::from(self.batch), u64::from(self.batch));
        let mut body = Vec::new();
        let (path, value) = (
            |number: u64, out: &mut Vec<u8>| self.path(number, out),
            |number: u64, out: &mut Vec<u8>| self.value(number, out),
        );
        batches::write_batch(first..first + count, &path, &value, &mut body);
        dialect::post(out, format_args!("POST /kv/_batch"), &body);
    }

    /// Writes until the ledger is told that it is over.
    ///
    /// # Errors
    ///
    /// There is no node to write to. Batches that fail are noted in the ledger instead.
    pub(crate) fn run(&self, ledger: &Ledger) -> anyhow::Result<()> {
        if self.nodes.is_empty() {
            bail!("nobody takes writes");
        }
        let begin = clock::now();
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || self.client(client, begin, ledger));
            }
        });
        Ok(())
    }

    fn client(&self, client: usize, begin: Instant, ledger: &Ledger) {
        let interval = Duration::from_secs(1) * self.batch / self.rate;
        let node = self.nodes.iter().cycle().nth(client).copied();
        let (mut talk, mut request): (Option<Talk>, _) = (None, Vec::new());
        for number in (client as u64..).step_by(CLIENTS) {
            request.clear();
            self.request(number, &mut request);
            let due = begin + interval.mul_f64(number as f64);
            let early = due.saturating_duration_since(clock::now());
            thread::sleep(early);
            if ledger.is_over.load(Ordering::Relaxed) {
                return;
            }
            let from = if early.is_zero() { due } else { clock::now() };
            match node.map_or_else(|| bail!("no node"), |node| ask(&mut talk, node, &request)) {
                Ok(()) => {
                    let at = clock::now();
                    ledger.rows.fetch_add(u64::from(self.batch), Ordering::Relaxed);
                    lock(&ledger.answered).push(Answered { at, took: at.duration_since(from) });
                }
                Err(error) => {
                    talk = None;
                    let mut failures = lock(&ledger.failures);
                    failures.0 += 1;
                    failures.1.get_or_insert_with(|| format!("{error:#}"));
                    drop(failures);
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

/// Sends a request over the connection, or over a new one.
fn ask(talk: &mut Option<Talk>, node: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let open = match talk {
        Some(open) => open,
        None => talk.insert(Talk::open(node, Protocol::Http)?),
    };
    let answer = open.ask(request)?;
    if !answer.success {
        bail!("a batch was answered with {}", answer.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::away::options::How;

    fn writing(keys: Keys, size: Size) -> Writing {
        Writing::new(Vec::new(), 1_000, 10, Case { how: How::Stop, keys, size })
    }

    #[test]
    fn values_are_json_of_their_size() {
        for size in [Size::Small, Size::Large] {
            for number in [0, 7, 123_456_789] {
                let mut value = Vec::new();
                writing(Keys::New, size).value(number, &mut value);
                assert_eq!(value.len(), size.bytes());
                assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok(), "{size:?} {number}");
            }
        }
    }

    #[test]
    fn new_keys_never_repeat_and_fixed_ones_stay_among_their_number() {
        let paths = |keys: Keys| -> Vec<Vec<u8>> {
            let writing = writing(keys, Size::Small);
            let path = |number| {
                let mut path = Vec::new();
                writing.path(number, &mut path);
                path
            };
            (0..1_000).map(path).collect()
        };
        let mut new = paths(Keys::New);
        new.dedup();
        assert_eq!(new.len(), 1_000);
        let bound = dialect::key(FIXED_KEYS).into_bytes();
        assert!(new.iter().all(|path| *path >= bound));
        assert!(paths(Keys::Fixed).iter().all(|path| *path < bound));
    }

    #[test]
    fn without_a_node_nothing_is_written() {
        assert!(writing(Keys::New, Size::Small).run(&Ledger::default()).is_err());
    }
}
