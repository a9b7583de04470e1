//! The measuring process of `bench away`.

use anyhow::Context as _;

use crate::bench::away::options::AwayOptions;
use crate::bench::away::writers::Ledger;
use crate::bench::away::{case, told};
use crate::bench::cluster::finding::Findings;
use crate::bench::document::{self, Section};
use crate::bench::figures::Target;
use crate::bench::machine;
use crate::bench::scratch::Scratch;
use crate::clock;
use crate::workspace::root;

/// How the figures come about, for the reader of the document.
const METHOD: &str = "Three nodes of the release build on loopback, with `durability: always` and everything else as by default except accounts, \
the audit trail, rate limits and backups. They hold 200,000 keys before. Four clients write batches to the two nodes that stay, at a \
fixed rate that goes on through all phases; a batch that went out late counts from when it was due. Disk is blocks of the file system \
below the data directory, the mean of the two that stay. The peer has caught up when both others say that it is behind by no more \
than the writes of a second and a key that is written now on each is readable there within a second. Rows that it takes while it \
catches up are those written while it was away and since.";

const SECTION: Section = Section {
    begin: "<!-- Away: `cargo xtask bench away --write` replaces what follows, up to the next mark. -->",
    end: "<!-- Away: by hand again from here on. -->",
};

/// Runs the benchmark in this process.
///
/// # Errors
///
/// The machine fails, or the document cannot be written. Cases that fail are shown in the table instead.
pub(crate) fn run(options: &AwayOptions) -> anyhow::Result<()> {
    let begin = clock::now();
    let load_before = machine::load_average();
    println!("bench: the load average of this machine is {load_before}");
    let scratch = Scratch::open()?;
    let mut findings = Findings::default();
    for case in options.cases() {
        let ledger = Ledger::default();
        match case::run(options, case, &scratch, &ledger) {
            Ok(seen) => told::add(case, &seen, &ledger, &mut findings),
            Err(error) => findings.miss(&case.name(), &format!("{error:#}")),
        }
    }
    drop(scratch);
    let description = machine::description(&load_before, &[Target::Node]);
    let table = findings.table();
    println!("\n{}\n\n{}", description.join("\n"), table.terminal());
    findings.remarks().iter().for_each(|remark| println!("{remark}"));
    println!("bench: done in {:.0} s", begin.elapsed().as_secs_f64());
    if options.write {
        let path = root().join("docs/benchmarks.md");
        let list = |lines: &[String]| lines.iter().map(|line| format!("- {line}\n")).collect::<String>();
        let text = format!(
            "## A peer that is away\n\nWritten by `{}`.\n\n{}\n{METHOD}\n\n{}\n{}",
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
