//! Nodes that nobody asks for anything: what they cost, and whether they take each other for dead while other work takes a core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::idle::loopback_bytes;
use crate::bench::fleet::group::Fleet;
use crate::bench::fleet::options::FleetOptions;
use crate::bench::scratch::Scratch;
use crate::clock;

/// What follows a start is not idle.
const SETTLE: Duration = Duration::from_secs(15);

/// How long a fleet may take to form.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often nodes are asked for failed members.
const LOOK: Duration = Duration::from_secs(5);

/// Watches a fleet and adds what it costs.
///
/// # Errors
///
/// The nodes do not become a cluster.
pub(crate) fn run(options: &FleetOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let count = options.nodes();
    let mut fleet = Fleet::start(&scratch.folder("quiet")?, count)?;
    fleet.wait_formed(PATIENCE)?;
    thread::sleep(SETTLE);
    let (cpu, bytes, begin) = (fleet.cpu()?, loopback_bytes()?, clock::now());
    thread::sleep(options.idle());
    let took = begin.elapsed().as_secs_f64();
    let each = took * count as f64;
    let cpu = (fleet.cpu()? - cpu).as_secs_f64() / each * 100.0;
    let bytes = loopback_bytes()?.saturating_sub(bytes) as f64 / each / 1000.0;
    let over = format!("over {took:.0} s");
    let name = format!("idle, {count} nodes: CPU of one");
    findings.add_beside(&name, cpu, Unit { name: "%", digits: 2 }, Goal::AtMost(0.3), over.clone());
    let name = format!("idle, {count} nodes: everything sent, of one, TCP and IP included");
    findings.add_beside(&name, bytes, Unit { name: "kB/s", digits: 2 }, Goal::AtMost(2.5), over);
    let memory = fleet.memory()? as f64 / 1_048_576.0;
    let name = format!("idle, {count} nodes: memory of one (PSS)");
    findings.add(&name, memory, Unit { name: "MiB", digits: 1 }, Goal::AtMost(8.0));
    let failed = beside_work(&fleet, options.beside_work())?;
    let name = format!("{count} nodes beside other work on one core: living ones shown failed");
    let over = format!("over {} s", options.beside_work().as_secs());
    findings.add_beside(&name, failed as f64, Unit { name: "", digits: 0 }, Goal::AtMost(0.0), over);
    fleet.end();
    Ok(())
}

/// How often a node showed another as failed while a thread of this process kept a core busy.
fn beside_work(fleet: &Fleet, time: Duration) -> anyhow::Result<usize> {
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    let worker = thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let begin = clock::now();
    let mut failed = 0;
    while begin.elapsed() < time {
        thread::sleep(LOOK);
        for number in 0..fleet.count() {
            failed += fleet.shown(number).context("a node does not answer")?.failed;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    // It has nothing to say.
    drop(worker.join());
    Ok(failed)
}
