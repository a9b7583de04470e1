//! A node is killed, its cluster notices, takes writes without it, and it catches up when it is back.

use crate::bench::cluster::finding::{Findings, Goal, Unit, middle_and_worst};
use crate::bench::cluster::group::{Group, wait_equal, wait_missed};
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::dialect::Dialect;
use crate::bench::load::{self, Load, Stop};
use crate::bench::quiet;
use crate::bench::reader::Protocol;
use crate::bench::scratch::Scratch;
use crate::bench::server::{Server, free_ports};
use crate::bench::values::Documents;
use crate::clock;

/// Which node is killed: the last.
const VICTIM: usize = 2;

/// Writes that it misses.
const MISSED: u64 = 10_000;

/// Connections that write them.
const CONNECTIONS: usize = 16;

/// Kills and restarts a node some times and adds the times.
///
/// # Errors
///
/// The nodes do not work as a cluster, or a write fails.
pub(crate) fn run(
    options: &ClusterOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let documents = Documents::new(MISSED);
    let mut group = Group::start(scratch.folder("outage")?, &free_ports::<3>()?, 3)?;
    group.wait_formed()?;
    let (mut noticed, mut caught_up) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds() {
        quiet::wait(&group.nodes);
        let begin = clock::now();
        if let Some(victim) = group.nodes.get_mut(VICTIM) {
            victim.process.kill();
        }
        let others: Vec<&Server> = group.nodes.iter().take(VICTIM).collect();
        wait_missed(&others, &format!("node-{VICTIM}"))?;
        noticed.push(begin.elapsed().as_secs_f64() * 1000.0);
        write(group.node(0)?, &documents, u64::from(round))?;
        wait_equal(&others)?;
        quiet::wait(others);
        let begin = clock::now();
        group.restart(VICTIM)?;
        let count = wait_equal(&group.nodes.iter().collect::<Vec<_>>())?;
        caught_up.push(begin.elapsed().as_secs_f64() * 1000.0);
        println!(
            "bench: kill, round {round}: missed after {:.0} ms, all {count} keys equal {:.0} ms after the start",
            noticed.last().copied().unwrap_or_default(),
            caught_up.last().copied().unwrap_or_default(),
        );
        group.wait_formed()?;
    }
    let rows = [
        ("kill -9 of a node: all others show it failed or suspect", &noticed, 1000.0),
        ("the killed node started again: caught up with 10,000 missed writes", &caught_up, 3000.0),
    ];
    for (name, samples, bound) in rows {
        if let Some((middle, worst)) = middle_and_worst(samples) {
            let beside = format!("worst of {}: {worst:.0} ms", samples.len());
            findings.add_beside(name, middle, Unit::ms(0), Goal::AtMost(bound), beside);
        }
    }
    group.stop()
}

/// Writes as many keys as are to be missed: all are new in the first round, all have new values in the others.
fn write(server: &Server, documents: &Documents, round: u64) -> anyhow::Result<()> {
    let load = Load {
        address: server.address,
        protocol: Protocol::Http,
        connections: CONNECTIONS,
        stop: Stop::Count(MISSED),
        least_body_bytes: 0,
    };
    let outcome = load::run(load, &mut |number, out| {
        Dialect::Node.write_put(number, documents.document(number + round), out);
    })?;
    outcome.verified().map(drop)
}
