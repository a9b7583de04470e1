//! A new node joins two that hold the cities, and fetches them, while clients of the two go on.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::bench::cities::{self, City};
use crate::bench::cluster::finding::{Findings, Goal, Unit, middle_and_worst};
use crate::bench::cluster::group::{Group, wait_equal};
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::cluster::paced::{self, Noticed, Questions};
use crate::bench::histogram::Histogram;
use crate::bench::scratch::Scratch;
use crate::bench::server::{Server, free_ports};
use crate::bench::values::Documents;
use crate::bench::{batches, quiet};
use crate::clock;

/// Nodes that hold the cities.
const HOLDERS: usize = 2;

/// How long clients are watched before a node joins.
const BEFORE: Duration = Duration::from_secs(10);

/// How long they are watched while two threads of this process do nothing but compute, in place of the new node: what any
/// work on the same cores does to them.
const COMPUTING: Duration = Duration::from_secs(5);

/// Different values that the clients write.
const VALUES: u64 = 1_000;

/// Of so many cities, clients read one.
const READ_EVERY: usize = 17;

/// Lets a node join some times and adds how long it took and what clients noticed.
///
/// # Errors
///
/// There are no cities, or the nodes do not work as a cluster.
pub(crate) fn run(
    options: &ClusterOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let file = options.cities.as_ref().context("no --cities FILE was given")?;
    let cities = cities::read(file)?;
    let mut group = Group::start(scratch.folder("joining")?, &free_ports::<5>()?, HOLDERS)?;
    group.wait_formed()?;
    import(group.node(0)?, &cities)?;
    let holders: Vec<&Server> = group.nodes.iter().collect();
    let count = wait_equal(&holders)?;
    println!("bench: join: both hold {count} cities");
    let paths: anyhow::Result<Vec<String>> = cities.iter().step_by(READ_EVERY).map(in_request_line).collect();
    let (paths, documents) = (paths?, Documents::new(VALUES));
    drop(cities);
    let questions = Questions { paths: &paths, documents: &documents };
    let (mut took, mut reads, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut told_reads, mut told_writes) = (String::new(), String::new());
    for round in 1..=options.rounds() {
        quiet::wait(holders.iter().copied());
        let ((), before) = beside(&holders, questions, || {
            thread::sleep(BEFORE);
            Ok(())
        })?;
        let ((), computing) = beside(&holders, questions, || {
            compute(COMPUTING);
            Ok(())
        })?;
        let number = HOLDERS + usize::try_from(round)? - 1;
        let ((seconds, mut newcomer), during) = beside(&holders, questions, || {
            let begin = clock::now();
            let newcomer = group.spawn(number)?;
            wait_equal(&[holders.first().context("nobody holds the cities")?, &newcomer])?;
            Ok((begin.elapsed().as_secs_f64(), newcomer))
        })?;
        took.push(seconds);
        println!("bench: join, round {round}: equal roots after {seconds:.2} s");
        for (name, samples, told, pick) in [
            ("reads", &mut reads, &mut told_reads, (|noticed| &noticed.reads) as fn(&Noticed) -> &Histogram),
            ("writes", &mut writes, &mut told_writes, |noticed| &noticed.writes),
        ] {
            let (calm, busy, loops) = (p99(pick(&before)), p99(pick(&during)), p99(pick(&computing)));
            println!(
                "bench: join, round {round}: p99 of {name} {calm:.2} ms before, {loops:.2} ms beside two busy loops, {busy:.2} ms during"
            );
            samples.push(busy / calm.max(f64::MIN_POSITIVE));
            let comma = if told.is_empty() { "" } else { "; " };
            write!(told, "{comma}{calm:.1} to {busy:.1} ms (busy loops instead: {loops:.1})")?;
        }
        newcomer.process.stop()?;
    }
    let worst = middle_and_worst(&took).context("no rounds")?;
    let name = format!("a new node joins a cluster of {count} cities: equal roots");
    let beside_it = format!("worst of {}: {:.1} s", took.len(), worst.1);
    findings.add_beside(&name, worst.0, Unit { name: "s", digits: 2 }, Goal::AtMost(15.0), beside_it);
    for (name, samples, told) in [
        ("p99 of the others' clients meanwhile, reads", reads, told_reads),
        ("p99 of the others' clients meanwhile, writes", writes, told_writes),
    ] {
        let (middle, _) = middle_and_worst(&samples).context("no rounds")?;
        findings.add_beside(name, middle, Unit { name: "x", digits: 2 }, Goal::AtMost(2.0), told);
    }
    group.stop()
}

fn import(node: &Server, cities: &[City]) -> anyhow::Result<()> {
    let at = |number: u64| usize::try_from(number).ok().and_then(|number| cities.get(number));
    let write = |number, out: &mut Vec<u8>, text: fn(&City) -> &str| {
        out.extend_from_slice(at(number).map(text).unwrap_or_default().as_bytes());
    };
    let count = cities.len() as u64;
    let outcome = batches::put_all(
        node,
        count,
        &|number, out| write(number, out, |city| &city.path),
        &|number, out| write(number, out, |city| &city.value),
    )?;
    println!("bench: join: {count} cities imported in {:.1} s", outcome.elapsed.as_secs_f64());
    Ok(())
}

/// The path as it stands in a request line: everything but letters, digits and slashes is percent-encoded.
fn in_request_line(city: &City) -> anyhow::Result<String> {
    let path: String = serde_json::from_str(&format!("\"{}\"", city.path))?;
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'/' {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}")?;
        }
    }
    Ok(encoded)
}

/// Does the work while clients ask, and gives what they noticed.
fn beside<T>(
    nodes: &[&Server],
    questions: Questions<'_>,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Noticed)> {
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = scope.spawn(|| paced::drive(&addresses, questions, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let noticed = clients.join().map_err(|_| anyhow!("the clients panicked"))?;
        Ok((done?, noticed?))
    })
}

/// Keeps two cores busy.
fn compute(duration: Duration) {
    let begin = clock::now();
    let compute = || {
        while begin.elapsed() < duration {
            std::hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        scope.spawn(compute);
        scope.spawn(compute);
    });
}

fn p99(histogram: &Histogram) -> f64 {
    histogram.quantile(990).map_or(0.0, |nanoseconds| nanoseconds as f64 / 1e6)
}
