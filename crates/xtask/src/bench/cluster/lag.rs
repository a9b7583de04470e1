//! From a write on one node until it is visible on both others, at a fixed rate of writes; Redis in the same way.
//!
//! One client writes new keys at its pace. A watcher for each of the others is told the number of every key at the moment
//! before it is sent, and reads it again and again until it is there. The same threads, the same pauses and the same
//! values go to three nodes of ours and to a primary with two replicas of Redis, in turns.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::group::{Group, wait_until};
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::cluster::talk::Talk;
use crate::bench::dialect::Dialect;
use crate::bench::histogram::Histogram;
use crate::bench::peers;
use crate::bench::scratch::Scratch;
use crate::bench::server::{Recipe, Server, free_ports};
use crate::bench::values::Documents;
use crate::bench::{procfs, quiet};
use crate::clock;

/// Time between two writes: 200 a second.
const PACE: Duration = Duration::from_millis(5);

/// Pause of a watcher between two looks.
const PAUSE: Duration = Duration::from_micros(100);

/// A write that is not visible after this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Different values.
const VALUES: u64 = 1_000;

/// Who takes the writes and who is watched.
struct Trio {
    name: &'static str,
    dialect: Dialect,
    writer: SocketAddr,
    others: [SocketAddr; 2],
    pids: Vec<u32>,
    sent_to_seen: Histogram,
    answered_to_seen: Histogram,
    write: Histogram,
    next: u64,
}

/// One write: when it was sent and when it was answered.
struct Written {
    sent: Instant,
    answered: Instant,
}

/// Measures the lag and adds it.
///
/// # Errors
///
/// The nodes do not work as a cluster. A Redis that is not there is left out.
pub(crate) fn run(
    options: &ClusterOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let documents = Documents::new(VALUES);
    let mut group = Group::start(scratch.folder("lag")?, &free_ports::<3>()?, 3)?;
    group.wait_formed()?;
    let redis = start_redis(scratch);
    let mut trios = vec![trio("kvs", Dialect::Node, &group.nodes)?];
    match &redis {
        Ok(servers) => trios.push(trio("Redis", Dialect::Redis, servers)?),
        Err(error) => findings.remark(format!("Redis is not beside the lag: {error:#}.")),
    }
    for trio in &mut trios {
        trio.settle(&documents)?;
    }
    for round in 1..=options.rounds() {
        for trio in &mut trios {
            quiet::wait(&group.nodes);
            let before = trio.cpu()?;
            let written = trio.round(options.duration(), &documents)?;
            let cpu = (trio.cpu()? - before).as_secs_f64() * 1e6 / written.max(1) as f64;
            println!(
                "bench: lag, round {round}: {}: {written} writes, so far {}, {cpu:.0} us of CPU of all three a write and its looks",
                trio.name,
                trio.text()
            );
        }
    }
    report(&trios, findings)?;
    group.stop()
}

fn trio(name: &'static str, dialect: Dialect, servers: &[Server]) -> anyhow::Result<Trio> {
    let [writer, first, second] = servers else { bail!("three servers are needed") };
    Ok(Trio {
        name,
        dialect,
        writer: writer.address,
        others: [first.address, second.address],
        pids: servers.iter().map(|server| server.process.pid()).collect(),
        sent_to_seen: Histogram::new(),
        answered_to_seen: Histogram::new(),
        write: Histogram::new(),
        next: 1,
    })
}

/// A primary and two replicas, all of which sync every write.
fn start_redis(scratch: &Scratch) -> anyhow::Result<Vec<Server>> {
    let mut servers: Vec<Server> = Vec::new();
    for number in 0..3 {
        let folder = scratch.folder(&format!("redis-{number}"))?;
        let mut recipe: Recipe = peers::redis(&folder)?;
        let mut argue =
            |arguments: &[&str]| recipe.arguments.extend(arguments.iter().map(|it| (*it).to_owned()));
        match servers.first() {
            None => argue(&["--repl-diskless-sync-delay", "0"]),
            Some(primary) => {
                let port = primary.address.port().to_string();
                argue(&["--replicaof", "127.0.0.1", &port]);
            }
        }
        servers.push(start(&recipe, &folder)?);
    }
    Ok(servers)
}

fn start(recipe: &Recipe, folder: &Path) -> anyhow::Result<Server> {
    Server::start(recipe, folder).context("Redis does not start")
}

impl Trio {
    fn cpu(&self) -> anyhow::Result<Duration> {
        self.pids.iter().map(|pid| procfs::cpu_time(*pid)).sum()
    }

    /// Waits until a write reaches both others.
    fn settle(&self, documents: &Documents) -> anyhow::Result<()> {
        let mut request = Vec::new();
        self.dialect.write_put(0, documents.document(0), &mut request);
        let answer = Talk::open(self.writer, self.dialect.protocol())?.ask(&request)?;
        if !answer.success {
            bail!("{}: the first write was answered with {}", self.name, answer.status);
        }
        request.clear();
        self.dialect.write_get(0, &mut request);
        for other in self.others {
            let mut talk = Talk::open(other, self.dialect.protocol())?;
            wait_until("the first write on the others", || Ok(talk.ask(&request)?.success))?;
        }
        Ok(())
    }

    /// Writes for this long; gives how many writes there were, all of which were seen on both others.
    fn round(&mut self, duration: Duration, documents: &Documents) -> anyhow::Result<usize> {
        let first = self.next;
        let (dialect, writer, others) = (self.dialect, self.writer, self.others);
        let (written, seen) = thread::scope(|scope| {
            let (mut told, mut watchers) = (Vec::new(), Vec::new());
            for other in others {
                let (sender, receiver) = channel();
                told.push(sender);
                watchers.push(scope.spawn(move || watch(dialect, other, &receiver)));
            }
            let written = write(dialect, writer, duration, first, documents, &told);
            drop(told);
            let seen: anyhow::Result<Vec<Vec<Instant>>> = watchers
                .into_iter()
                .map(|watcher| watcher.join().map_err(|_| anyhow!("a watcher panicked"))?)
                .collect();
            Ok::<_, anyhow::Error>((written?, seen?))
        })?;
        let [first_seen, second_seen] = seen.as_slice() else { bail!("two watchers were started") };
        for ((written, first), second) in written.iter().zip(first_seen).zip(second_seen) {
            let seen = *first.max(second);
            self.sent_to_seen.record(nanoseconds(seen.duration_since(written.sent)));
            self.answered_to_seen.record(nanoseconds(seen.saturating_duration_since(written.answered)));
            self.write.record(nanoseconds(written.answered.duration_since(written.sent)));
        }
        self.next += written.len() as u64;
        Ok(written.len())
    }

    fn text(&self) -> String {
        format!(
            "sent to visible p50 {:.2} p99 {:.2} max {:.2} ms, answered to visible p50 {:.2} p99 {:.2} ms, the write itself p50 {:.2} p99 {:.2} ms",
            milliseconds(&self.sent_to_seen, 500),
            milliseconds(&self.sent_to_seen, 990),
            milliseconds(&self.sent_to_seen, 1000),
            milliseconds(&self.answered_to_seen, 500),
            milliseconds(&self.answered_to_seen, 990),
            milliseconds(&self.write, 500),
            milliseconds(&self.write, 990),
        )
    }
}

/// Writes one new key after another at the pace, telling its number before.
fn write(
    dialect: Dialect,
    address: SocketAddr,
    duration: Duration,
    first: u64,
    documents: &Documents,
    told: &[Sender<u64>],
) -> anyhow::Result<Vec<Written>> {
    let mut talk = Talk::open(address, dialect.protocol())?;
    let (mut all, mut request) = (Vec::new(), Vec::new());
    let begin = clock::now();
    for number in first.. {
        let due = PACE * u32::try_from(number - first)?;
        if due >= duration {
            break;
        }
        thread::sleep(due.saturating_sub(begin.elapsed()));
        request.clear();
        dialect.write_put(number, documents.document(number), &mut request);
        for watcher in told {
            watcher.send(number).context("a watcher has ended")?;
        }
        let sent = clock::now();
        let answer = talk.ask(&request)?;
        if !answer.success {
            bail!("write {number} was answered with {}", answer.status);
        }
        all.push(Written { sent, answered: clock::now() });
    }
    Ok(all)
}

/// Looks for each key until it is there; gives the moments.
fn watch(dialect: Dialect, address: SocketAddr, numbers: &Receiver<u64>) -> anyhow::Result<Vec<Instant>> {
    let mut talk = Talk::open(address, dialect.protocol())?;
    let (mut seen, mut request) = (Vec::new(), Vec::new());
    for number in numbers {
        request.clear();
        dialect.write_get(number, &mut request);
        let begin = clock::now();
        while !talk.ask(&request)?.success {
            if begin.elapsed() > PATIENCE {
                bail!("key {number} was not visible after {} s", PATIENCE.as_secs());
            }
            thread::sleep(PAUSE);
        }
        seen.push(clock::now());
    }
    Ok(seen)
}

fn report(trios: &[Trio], findings: &mut Findings) -> anyhow::Result<()> {
    let (ours, theirs) = (trios.first().context("no figures")?, trios.get(1));
    let sent = |trio: &Trio, per_mille| milliseconds(&trio.sent_to_seen, per_mille);
    let answered = |trio: &Trio, per_mille| milliseconds(&trio.answered_to_seen, per_mille);
    let pair = |of: &dyn Fn(&Trio) -> f64| (of(ours), theirs.map(of));
    let figures = [
        (
            "`PUT` sent to visible on both others, 200/s, p50",
            pair(&|trio| sent(trio, 500)),
            Goal::AtMost(5.0),
        ),
        ("the same, p99", pair(&|trio| sent(trio, 990)), Goal::AtMost(50.0)),
        ("`PUT` answered to visible on both others, p50", pair(&|trio| answered(trio, 500)), Goal::Shown),
        ("the same, p99", pair(&|trio| answered(trio, 990)), Goal::Shown),
    ];
    for (name, (value, theirs), goal) in figures {
        let beside = theirs.map_or_else(String::new, |theirs| format!("Redis {theirs:.2} ms"));
        findings.add_beside(name, value, Unit::ms(2), goal, beside);
    }
    Ok(())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn milliseconds(histogram: &Histogram, per_mille: u64) -> f64 {
    histogram.quantile(per_mille).map_or(0.0, |nanoseconds| nanoseconds as f64 / 1e6)
}
