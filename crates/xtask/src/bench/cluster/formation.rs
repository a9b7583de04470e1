//! Three nodes whose processes are started at once, two of which know the address of the third: until all know all.
//!
//! The time counts from before the first process is started: it holds the creation of three stores, too.

use crate::bench::cluster::finding::{Findings, Goal, Unit, middle_and_worst};
use crate::bench::cluster::group::Group;
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::scratch::Scratch;
use crate::bench::server::free_ports;

/// Forms some clusters and adds the time.
///
/// # Errors
///
/// The nodes do not become a cluster.
pub(crate) fn run(
    options: &ClusterOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut samples = Vec::new();
    for round in 1..=options.short_rounds() {
        let folder = scratch.folder(&format!("formation-{round}"))?;
        let mut group = Group::start(folder, &free_ports::<3>()?, 3)?;
        let formed = group.wait_formed()?.as_secs_f64() * 1000.0;
        println!("bench: formation, round {round}: {formed:.0} ms");
        samples.push(formed);
        group.stop()?;
    }
    if let Some((middle, worst)) = middle_and_worst(&samples) {
        let name = "3 nodes started together, one seed: all know all";
        let beside = format!("worst of {}: {worst:.0} ms", samples.len());
        findings.add_beside(name, middle, Unit::ms(0), Goal::AtMost(1000.0), beside);
    }
    Ok(())
}
