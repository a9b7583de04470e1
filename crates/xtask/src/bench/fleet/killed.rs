//! A fifth of a fleet killed at once: until all others know it, and whether they take anybody else for dead.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::fleet::group::Fleet;
use crate::bench::fleet::options::FleetOptions;
use crate::bench::scratch::Scratch;
use crate::clock;

/// How long a fleet may take to form, and to know who was killed.
const PATIENCE: Duration = Duration::from_secs(180);

/// After this time everybody has said what he thinks of everybody.
const AFTERWARDS: Duration = Duration::from_secs(20);

/// How often nodes are asked.
const LOOK: Duration = Duration::from_millis(50);

/// Kills nodes and adds what came of it.
///
/// # Errors
///
/// The nodes do not become a cluster, or do not notice.
pub(crate) fn run(options: &FleetOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let count = options.nodes();
    let killed = count / 5;
    let mut fleet = Fleet::start(&scratch.folder("killed")?, count)?;
    fleet.wait_formed(PATIENCE)?;
    thread::sleep(Duration::from_secs(10));
    let begin = clock::now();
    fleet.kill_last(killed);
    let left = fleet.count();
    let mut unknowing: Vec<usize> = (0..left).collect();
    while !unknowing.is_empty() {
        if begin.elapsed() > PATIENCE {
            bail!("{} nodes still show {} more than there are", unknowing.len(), killed);
        }
        thread::sleep(LOOK);
        unknowing.retain(|number| fleet.shown(*number).is_none_or(|shown| shown.alive > left));
    }
    let known = begin.elapsed().as_secs_f64();
    let mut wrong = 0;
    while begin.elapsed() < AFTERWARDS {
        thread::sleep(Duration::from_secs(1));
        for number in 0..left {
            let shown = fleet.shown(number).context("a node does not answer")?;
            wrong += shown.failed.saturating_sub(killed);
        }
    }
    let name = format!("{killed} of {count} killed at once: known to all others");
    findings.add(&name, known, Unit { name: "s", digits: 1 }, Goal::AtMost(3.0));
    let name = format!("{killed} of {count} killed at once: others shown failed");
    findings.add(&name, wrong as f64, Unit { name: "", digits: 0 }, Goal::AtMost(0.0));
    fleet.end();
    Ok(())
}
