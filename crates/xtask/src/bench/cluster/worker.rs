//! The measuring process of `bench cluster`: runs the parts that were asked for, one after another, and shows what came out.

use anyhow::Context as _;

use crate::bench::cluster::finding::Findings;
use crate::bench::cluster::options::{ClusterOptions, Part};
use crate::bench::cluster::{formation, idle, joining, lag, outage, simulated, writes};
use crate::bench::document::{self, Section};
use crate::bench::figures::Target;
use crate::bench::machine;
use crate::bench::scratch::Scratch;
use crate::clock;
use crate::workspace::root;

type Measure = fn(&ClusterOptions, &Scratch, &mut Findings) -> anyhow::Result<()>;

/// The parts in their order, with what stands in the table when one fails.
const PARTS: [(Part, &str, Measure); 8] = [
    (Part::Formation, "3 nodes started together, one seed: all know all", formation::run),
    (Part::Lag, "`PUT` sent to visible on both others", lag::run),
    (Part::Kill, "kill -9 of a node, and its restart", outage::run),
    (Part::Join, "a new node joins a cluster that holds the cities", joining::run),
    (Part::Put, "durable `PUT`/s on a node with 2 peers against one alone", writes::run),
    (Part::Digest, "digest and sessions", simulated::digest),
    (Part::Membership, "simulated membership", simulated::membership),
    (Part::Idle, "3 idle nodes, real processes", idle::run),
];

/// How the figures come about, for the reader of the document.
const METHOD: &str = "Nodes are processes of the release build on loopback, with `durability: always` and everything else as by default \
except accounts, rate limits and backups. All nodes, the clients and Redis share the machine's cores, so ratios in one run carry \
over to other machines and absolute figures do not. Where a figure is taken several times, the table holds the median and beside \
it the worst. The lag is taken by one client that writes 1 KiB under new keys and two that read the newest key again and \
again, 0.1 ms after each answer, one on each of the other nodes: the figure is the later of the two. The same threads do the \
same with a primary and two replicas of Redis (`appendfsync always` on each), in turns. Clients beside a join ask 400 times a \
second, every fifth time with a write.";

const SECTION: Section = Section {
    begin: "<!-- Cluster: `cargo xtask bench cluster --write` replaces what follows, up to the next mark. -->",
    end: "<!-- Cluster: by hand again from here on. -->",
};

/// Runs the benchmark in this process.
///
/// # Errors
///
/// The machine fails, or the document cannot be written. Parts that fail are shown in the table instead.
pub(crate) fn run(options: &ClusterOptions) -> anyhow::Result<()> {
    let begin = clock::now();
    let load_before = machine::load_average();
    println!("bench: the load average of this machine is {load_before}");
    let scratch = Scratch::open()?;
    let mut findings = Findings::default();
    for (part, name, measure) in PARTS {
        if options.wants(part)
            && let Err(error) = measure(options, &scratch, &mut findings)
        {
            findings.miss(name, &format!("{error:#}"));
        }
    }
    drop(scratch);
    let mut description = machine::description(&load_before, &[Target::Node, Target::Redis]);
    description
        .push(format!("Load average at the end, with the benchmark itself: {}", machine::load_average()));
    let table = findings.table();
    println!("\n{}\n\n{}", description.join("\n"), table.terminal());
    findings.remarks().iter().for_each(|remark| println!("{remark}"));
    println!("bench: done in {:.0} s", begin.elapsed().as_secs_f64());
    if options.write {
        let path = root().join("docs/benchmarks.md");
        let list = |lines: &[String]| lines.iter().map(|line| format!("- {line}\n")).collect::<String>();
        let text = format!(
            "## Cluster\n\nWritten by `{}`.\n\n{}\n{METHOD}\n\n{}\n{}",
            options.command_line(),
            list(&description),
            table.markdown(),
            list(findings.remarks()),
        );
        document::write_section(&path, SECTION, &text).context("the table was not written down")?;
        println!("bench: written to {}", path.display());
    }
    Ok(())
}
