//! Durable writes on one node while two peers take them too, against the same load on a node without peers.
//!
//! Both run at once and are driven in turns, so that a disturbance of the machine meets both alike. All processes share
//! the machine's cores: the peers' work on every write is in the figure.

use std::time::Duration;

use anyhow::Context as _;

use crate::bench::cluster::finding::{Findings, Goal, Unit, middle_and_worst};
use crate::bench::cluster::group::{Group, wait_equal};
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::dialect::Dialect;
use crate::bench::load::{self, Load, Outcome, Stop};
use crate::bench::quiet;
use crate::bench::reader::Protocol;
use crate::bench::scratch::Scratch;
use crate::bench::server::{Server, free_ports};
use crate::bench::values::{Documents, mix};
use crate::clock;

/// Connections, one request in flight on each.
const CONNECTIONS: usize = 64;

/// Keys that are written, at random.
const KEYS: u64 = 20_000;

/// How long each is driven before its first measurement.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures both and adds the ratio.
///
/// # Errors
///
/// The nodes do not work as a cluster, or a write fails.
pub(crate) fn run(
    options: &ClusterOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let documents = Documents::new(KEYS);
    let mut group = Group::start(scratch.folder("writes")?, &free_ports::<3>()?, 3)?;
    group.wait_formed()?;
    let mut alone = Group::start(scratch.folder("writes-alone")?, &free_ports::<1>()?, 1)?;
    alone.wait_formed()?;
    let (writer, lonely) = (group.node(0)?, alone.node(0)?);
    let everyone: Vec<&Server> = group.nodes.iter().chain(&alone.nodes).collect();
    let members: Vec<&Server> = group.nodes.iter().collect();
    for server in [writer, lonely] {
        quiet::wait(everyone.iter().copied());
        drive(server, WARM_UP, 0, &documents)?;
    }
    let (mut shared_rates, mut lonely_rates, mut ratios, mut behind) = (vec![], vec![], vec![], vec![]);
    for round in 1..=options.rounds() {
        quiet::wait(everyone.iter().copied());
        let before = cpu(&members)?;
        let shared = drive(writer, options.duration(), u64::from(round), &documents)?;
        let answered = clock::now();
        wait_equal(&members)?;
        let late = answered.elapsed().as_secs_f64() * 1000.0;
        let after = cpu(&members)?;
        quiet::wait(everyone.iter().copied());
        let lonely_before = lonely.cpu_time()?;
        let single = drive(lonely, options.duration(), u64::from(round), &documents)?;
        let lonely_cpu = lonely.cpu_time()? - lonely_before;
        let each =
            |cpu: Duration, outcome: &Outcome| cpu.as_secs_f64() * 1e6 / outcome.completed.max(1) as f64;
        let of_members: Vec<String> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| format!("{:.0}", each(*after - *before, &shared)))
            .collect();
        println!(
            "bench: put, round {round}: with two peers {:.0}/s (p99 {:.1} ms; CPU a write {} us), alone {:.0}/s (p99 {:.1} ms; {:.0} us), equal {late:.0} ms after the last answer",
            shared.rate(),
            p99(&shared),
            of_members.join(" + "),
            single.rate(),
            p99(&single),
            each(lonely_cpu, &single),
        );
        shared_rates.push(shared.rate());
        lonely_rates.push(single.rate());
        ratios.push(shared.rate() / single.rate().max(1.0));
        behind.push(late);
    }
    let middle = |samples: &[f64]| middle_and_worst(samples).map(|(middle, _)| middle).context("no rounds");
    let beside =
        format!("{:.1} k/s against {:.1} k/s", middle(&shared_rates)? / 1e3, middle(&lonely_rates)? / 1e3);
    findings.add_beside(
        "durable `PUT`/s on a node with 2 peers against one alone",
        middle(&ratios)?,
        Unit { name: "x", digits: 2 },
        Goal::AtLeast(0.6),
        beside,
    );
    let name = "equal roots on all three after the last answer of that load";
    findings.add(name, middle(&behind)?, Unit::ms(0), Goal::Shown);
    alone.stop()?;
    group.stop()
}

fn cpu(servers: &[&Server]) -> anyhow::Result<Vec<Duration>> {
    servers.iter().map(|server| server.cpu_time()).collect()
}

fn drive(server: &Server, duration: Duration, round: u64, documents: &Documents) -> anyhow::Result<Outcome> {
    let load = Load {
        address: server.address,
        protocol: Protocol::Http,
        connections: CONNECTIONS,
        stop: Stop::After(duration),
        least_body_bytes: 0,
    };
    let outcome = load::run(load, &mut |number, out| {
        let key = mix(number ^ (round << 48)) % KEYS;
        Dialect::Node.write_put(key, documents.document(number + round), out);
    })?;
    outcome.verified()
}

fn p99(outcome: &Outcome) -> f64 {
    outcome.latency.quantile(990).map_or(0.0, |nanoseconds| nanoseconds as f64 / 1e6)
}
