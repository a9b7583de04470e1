//! Writes on one node of a fleet: until each is on every node, and what it costs all of them together.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::talk::Talk;
use crate::bench::fleet::group::Fleet;
use crate::bench::fleet::options::FleetOptions;
use crate::bench::histogram::Histogram;
use crate::bench::scratch::Scratch;
use crate::clock;

/// How long a fleet may take to form, and a write to arrive.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two writes that are followed.
const PACE: Duration = Duration::from_millis(100);

/// Writes whose CPU is taken, and the pause after each.
const COSTED: u64 = 500;
const COSTED_PACE: Duration = Duration::from_millis(10);

/// Follows writes and adds how long they took.
///
/// # Errors
///
/// The nodes do not become a cluster, or a write does not arrive.
pub(crate) fn lag(options: &FleetOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let count = options.nodes();
    let mut fleet = Fleet::start(&scratch.folder("lag")?, count)?;
    fleet.wait_formed(PATIENCE)?;
    thread::sleep(Duration::from_secs(5));
    let mut talks: Vec<Talk> = (0..count).map(|number| fleet.talk(number)).collect::<Result<_, _>>()?;
    let mut histogram = Histogram::new();
    for number in 0..options.followed() {
        let key = format!("spread/{number}");
        let begin = clock::now();
        put(talks.first_mut().context("a fleet has nodes")?, &key)?;
        let get = format!("GET /kv/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let mut lacking: Vec<usize> = (1..count).collect();
        while !lacking.is_empty() {
            if begin.elapsed() > PATIENCE {
                bail!("{} nodes do not have a write", lacking.len());
            }
            let mut still = Vec::new();
            for node in lacking {
                let talk = talks.get_mut(node).context("there is no such node")?;
                if !talk.ask(get.as_bytes())?.success {
                    still.push(node);
                }
            }
            lacking = still;
        }
        histogram.record(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
        thread::sleep(PACE);
    }
    let ms = |per_mille: u64| histogram.quantile(per_mille).unwrap_or_default() as f64 / 1000.0;
    let name = |which: &str| format!("a write on one of {count} until it is seen on all, {which}");
    findings.add(&name("p50"), ms(500), Unit::ms(0), Goal::AtMost(100.0));
    findings.add(&name("p99"), ms(990), Unit::ms(0), Goal::AtMost(500.0));
    fleet.end();
    Ok(())
}

/// Takes the CPU of writes in fleets of several sizes.
///
/// # Errors
///
/// The nodes do not become a cluster.
pub(crate) fn cost(options: &FleetOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let mut first: Option<f64> = None;
    for count in options.costed() {
        let mut fleet = Fleet::start(&scratch.folder(&format!("cost-{count}"))?, *count)?;
        fleet.wait_formed(PATIENCE)?;
        thread::sleep(Duration::from_secs(15));
        // What they cost without a write is taken off.
        let (cpu, begin) = (fleet.cpu()?, clock::now());
        thread::sleep(Duration::from_secs(10));
        let idle = (fleet.cpu()? - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        let mut talk = fleet.talk(0)?;
        let (cpu, begin) = (fleet.cpu()?, clock::now());
        for number in 0..COSTED {
            put(&mut talk, &format!("cost/{number}"))?;
            thread::sleep(COSTED_PACE);
        }
        thread::sleep(Duration::from_secs(2));
        let spent = (fleet.cpu()? - cpu).as_secs_f64() - idle * begin.elapsed().as_secs_f64();
        fleet.end();
        let of_node = spent / COSTED as f64 * 1e6 / *count as f64;
        let smallest = *first.get_or_insert(of_node);
        let name = format!("CPU of all {count} nodes for a write, per node");
        let goal = if *count == 10 { Goal::Shown } else { Goal::AtMost(smallest * 1.1) };
        let beside = format!("{:.1} ms of all", of_node * *count as f64 / 1000.0);
        findings.add_beside(&name, of_node, Unit { name: "us", digits: 0 }, goal, beside);
    }
    Ok(())
}

fn put(talk: &mut Talk, key: &str) -> anyhow::Result<()> {
    let body = "{\"some\":\"json of a few bytes\"}";
    let request = format!(
        "PUT /kv/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = talk.ask(request.as_bytes())?;
    if !answer.success {
        bail!("a write was answered with {}", answer.status);
    }
    Ok(())
}
