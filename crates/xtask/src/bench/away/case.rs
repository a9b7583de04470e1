//! One case: all present, one away, one catching up, under one load that goes on through all three.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::bench::away::options::{AwayOptions, Case, How};
use crate::bench::away::watch::{Latency, Look, PEER, Phase, Standings, probe, sessions};
use crate::bench::away::writers::{FIXED_KEYS, Ledger, Writing};
use crate::bench::cluster::group::{Group, wait_equal};
use crate::bench::scratch::Scratch;
use crate::bench::server::{Server, free_ports};
use crate::bench::{batches, dialect, quiet};
use crate::clock;

/// How long clients write before anything is measured.
const WARM_UP: Duration = Duration::from_secs(5);

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often a peer that catches up is looked at.
const CATCH_UP_LOOK: Duration = Duration::from_millis(250);

/// How often a line tells how it stands.
const TELL: Duration = Duration::from_secs(10);

/// How soon a write must be on a peer that has caught up.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// What a case came to.
pub(crate) struct Seen {
    /// All nodes run.
    pub(crate) present: Phase,
    /// One is away.
    pub(crate) away: Phase,
    /// It is back.
    pub(crate) back: Phase,
    /// Whether it had caught up when that ended.
    pub(crate) has_caught_up: bool,
    /// Rows behind, as the nodes that stay told it while it was back, with the seconds since it was.
    pub(crate) progress: Vec<(f64, u64)>,
    /// What each node tells of its sessions at the end.
    pub(crate) sessions: Vec<String>,
}

/// Runs the three phases.
///
/// # Errors
///
/// The nodes do not work as a cluster.
pub(crate) fn run(
    options: &AwayOptions,
    case: Case,
    scratch: &Scratch,
    ledger: &Ledger,
) -> anyhow::Result<Seen> {
    let mut group = Group::start(scratch.folder(&case.folder())?, &free_ports::<3>()?, PEER + 1)?;
    group.wait_formed()?;
    let nodes: anyhow::Result<Vec<SocketAddr>> =
        (0..PEER).map(|number| Ok(group.node(number)?.address)).collect();
    let writing = Writing::new(nodes?, options.rate, options.batch, case);
    fill(&group, &writing)?;
    let seen = thread::scope(|scope| {
        let clients = scope.spawn(|| writing.run(ledger));
        let seen = watch(options, case, &mut group, ledger);
        ledger.end();
        clients.join().map_err(|_| anyhow!("the clients panicked"))??;
        seen
    });
    // A process that is suspended is let go on before it is asked to end.
    group.stop()?;
    seen
}

/// Writes every key of which some are written again later, and waits until all nodes have them.
fn fill(group: &Group, writing: &Writing) -> anyhow::Result<()> {
    batches::put_all(
        group.node(0)?,
        FIXED_KEYS,
        &|number, out| out.extend_from_slice(dialect::key(number).as_bytes()),
        &|number, out| writing.value(number, out),
    )?;
    let nodes: Vec<&Server> = group.nodes.iter().collect();
    wait_equal(&nodes)?;
    quiet::wait(nodes);
    Ok(())
}

fn watch(options: &AwayOptions, case: Case, group: &mut Group, ledger: &Ledger) -> anyhow::Result<Seen> {
    thread::sleep(WARM_UP);
    let present = stay(group, ledger, "all present", options.present())?;
    match case.how {
        How::Stop => group.node(PEER)?.process.suspend(),
        How::Kill => group.nodes.get_mut(PEER).context("there is no such node")?.process.kill(),
    }
    let away = stay(group, ledger, "one away", options.away())?;
    match case.how {
        How::Stop => group.node(PEER)?.process.resume(),
        How::Kill => group.restart(PEER)?,
    }
    let mut seen = Seen {
        back: Phase { from: Look::take(group, ledger)?, to: Look::take(group, ledger)?, disk_most: 0 },
        present,
        away,
        has_caught_up: false,
        progress: Vec::new(),
        sessions: Vec::new(),
    };
    catch_up(options, group, ledger, &mut seen)?;
    seen.back.to = Look::take(group, ledger)?;
    seen.sessions = sessions(group)?;
    Ok(seen)
}

/// Looks at the nodes for this long.
fn stay(group: &Group, ledger: &Ledger, what: &str, time: Duration) -> anyhow::Result<Phase> {
    let from = Look::take(group, ledger)?;
    let (mut disk_most, mut told) = (from.disk_bytes(), clock::now());
    while from.at.elapsed() < time {
        thread::sleep(LOOK);
        let now = Look::take(group, ledger)?;
        disk_most = disk_most.max(now.disk_bytes());
        if told.elapsed() >= TELL {
            tell(what, &from, &now, ledger, told, "");
            told = clock::now();
        }
    }
    Ok(Phase { to: Look::take(group, ledger)?, from, disk_most })
}

/// Waits until the peer has caught up, or for as long as it may take.
fn catch_up(options: &AwayOptions, group: &Group, ledger: &Ledger, seen: &mut Seen) -> anyhow::Result<()> {
    let begin = seen.back.from.at;
    let mut standings = Standings::open(group)?;
    let mut told = clock::now();
    for number in 0.. {
        if begin.elapsed() > options.catch_up_max() {
            return Ok(());
        }
        thread::sleep(CATCH_UP_LOOK);
        let lags = standings.lags()?;
        let now = Look::take(group, ledger)?;
        seen.back.disk_most = seen.back.disk_most.max(now.disk_bytes());
        if told.elapsed() >= TELL {
            tell("one back", &seen.back.from, &now, ledger, told, &format!(", behind {lags:?}"));
            told = clock::now();
        }
        let Some(lags) = lags.iter().copied().collect::<Option<Vec<u64>>>() else { continue };
        let behind = lags.iter().copied().max().unwrap_or(0);
        seen.progress.push((begin.elapsed().as_secs_f64(), behind));
        // No more than the writes of a second, and what is written now is there at once.
        if behind <= u64::from(options.rate) && probe(group, number, PROBE_PATIENCE)? {
            seen.has_caught_up = true;
            return Ok(());
        }
    }
    Ok(())
}

/// Tells how it stands, and how long batches took since it was told before.
fn tell(what: &str, from: &Look, now: &Look, ledger: &Ledger, since: Instant, more: &str) {
    let latency = Latency::of(ledger, since, now.at);
    let megabytes: Vec<String> = now.disk.iter().map(|bytes| format!("{:.0}", *bytes as f64 / 1e6)).collect();
    println!(
        "bench: {what}, {:.0} s: {} rows, batches p50 {:.1} p99 {:.1} ms, disk {} MB{more}",
        now.at.duration_since(from.at).as_secs_f64(),
        now.rows - from.rows,
        latency.p50,
        latency.p99,
        megabytes.join(" + "),
    );
}
