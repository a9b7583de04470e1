//! The measuring process of `bench fleet`.

use anyhow::Context as _;

use crate::bench::cluster::finding::Findings;
use crate::bench::document::{self, Section};
use crate::bench::figures::Target;
use crate::bench::fleet::options::FleetOptions;
use crate::bench::fleet::{formation, killed, quiet, spread};
use crate::bench::machine;
use crate::bench::scratch::Scratch;
use crate::clock;
use crate::workspace::root;

type Measure = fn(&FleetOptions, &Scratch, &mut Findings) -> anyhow::Result<()>;

/// The parts in their order, with what stands in the table when one fails.
const PARTS: [(&str, Measure); 5] = [
    ("nodes started together", formation::run),
    ("idle nodes", quiet::run),
    ("nodes killed at once", killed::run),
    ("a write until it is seen on all", spread::lag),
    ("CPU of a write", spread::cost),
];

/// How the figures come about, for the reader of the document.
const METHOD: &str = "Nodes are processes of the release build on loopback with a cache of 8 MiB, everything else as by default except accounts, the \
audit trail, rate limits and backups. All of them and the bench share the machine's cores. A write is followed by asking every other \
node for it again and again, one after the other, so the figure holds that asking too. CPU of a write: 500 writes, 100 a second, \
without what the same nodes use when nobody writes.";

const SECTION: Section = Section {
    begin: "<!-- Fleet: `cargo xtask bench fleet --write` replaces what follows, up to the next mark. -->",
    end: "<!-- Fleet: by hand again from here on. -->",
};

/// Runs the benchmark in this process.
///
/// # Errors
///
/// The machine fails, or the document cannot be written. Parts that fail are shown in the table instead.
pub(crate) fn run(options: &FleetOptions) -> anyhow::Result<()> {
    let begin = clock::now();
    let load_before = machine::load_average();
    let scratch = Scratch::open()?;
    let mut findings = Findings::default();
    for (name, measure) in PARTS {
        if let Err(error) = measure(options, &scratch, &mut findings) {
            findings.miss(name, &format!("{error:#}"));
        }
    }
    drop(scratch);
    let description = machine::description(&load_before, &[Target::Node]);
    let table = findings.table();
    println!("\n{}\n\n{}", description.join("\n"), table.terminal());
    println!("bench: done in {:.0} s", begin.elapsed().as_secs_f64());
    if options.write {
        let path = root().join("docs/benchmarks.md");
        let list: String = description.iter().map(|line| format!("- {line}\n")).collect();
        let text = format!(
            "## Fleet\n\nWritten by `{}`.\n\n{list}\n{METHOD}\n\n{}",
            options.command_line(),
            table.markdown()
        );
        document::write_section(&path, SECTION, &text).context("the table was not written down")?;
        println!("bench: written to {}", path.display());
    }
    Ok(())
}
