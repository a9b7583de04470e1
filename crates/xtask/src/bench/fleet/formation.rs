//! Fleets whose nodes are started at once through one seed, until each knows each.

use std::time::Duration;

use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::fleet::group::Fleet;
use crate::bench::fleet::options::FleetOptions;
use crate::bench::scratch::Scratch;

/// A fleet that does not know itself after this long is told of as that.
const PATIENCE: Duration = Duration::from_secs(180);

/// Forms fleets and adds their times.
///
/// # Errors
///
/// The nodes do not become a cluster.
pub(crate) fn run(options: &FleetOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    for count in options.sizes() {
        let mut fleet = Fleet::start(&scratch.folder(&format!("formation-{count}"))?, *count)?;
        let formed = fleet.wait_formed(PATIENCE)?;
        let cpu = fleet.cpu()?;
        fleet.end();
        let name = format!("{count} nodes started together, one seed: all know all");
        let goal = Goal::AtMost(if *count > 50 { 60.0 } else { 20.0 });
        let beside = format!("{:.1} s of CPU of all", cpu.as_secs_f64());
        findings.add_beside(&name, formed.as_secs_f64(), Unit { name: "s", digits: 1 }, goal, beside);
    }
    Ok(())
}
