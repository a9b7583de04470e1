//! The measuring process: runs the parts that were asked for, one after another, and shows what came out.

use anyhow::Context as _;

use crate::bench::figures::{Figures, Target};
use crate::bench::options::NodeOptions;
use crate::bench::scratch::Scratch;
use crate::bench::{disk, document, machine, report, residence, throughput};
use crate::clock;
use crate::workspace::root;

/// How the figures come about, for the reader of the document.
const METHOD: &str = "One load generator (a thread with its own epoll loop) drives every target in one run, on the same \
machine and over loopback, so ratios carry over to other machines and absolute figures do not. Values are 1 KiB of JSON, \
the same bytes for every target, under random keys, with one request in flight on each connection. Rounds alternate between the \
targets; figures are medians over the rounds, rates with their range in thousands. CPU is user and system time of the \
whole server process (for webdis with the Redis behind it) per operation. MB are millions of bytes. Durable means \
synced to disk before the answer: the default of a node, `appendfsync always` for Redis, what etcd always does.";

/// Runs the benchmark in this process.
///
/// # Errors
///
/// The machine fails, or the document cannot be written. Targets that fail are shown in the table instead.
pub(crate) fn run(options: &NodeOptions) -> anyhow::Result<()> {
    options.check()?;
    let begin = clock::now();
    let load_before = machine::load_average();
    println!("bench: the load average of this machine is {load_before}");
    let scratch = Scratch::open()?;
    let mut figures = Figures::default();
    throughput::run(options, &scratch, &mut figures)?;
    residence::run(options, &scratch, &mut figures);
    disk::run(options, &scratch, &mut figures);
    drop(scratch);

    let description = machine::description(&load_before, &Target::ALL);
    let goals = report::goals(options, &figures);
    let targets = report::targets(&figures);
    let remarks = report::remarks(&figures);
    println!("\n{}\n\n{}", description.join("\n"), goals.terminal());
    if !targets.is_empty() {
        println!("{}", targets.terminal());
    }
    remarks.iter().for_each(|remark| println!("{remark}"));
    println!("bench: done in {:.0} s", begin.elapsed().as_secs_f64());

    if options.write {
        let path = root().join("docs/benchmarks.md");
        let list = |lines: &[String]| lines.iter().map(|line| format!("- {line}\n")).collect::<String>();
        let text = format!(
            "# Benchmarks of one node\n\nWritten by `{}`.\n\n{}\n{METHOD}\n\n## Goals\n\n{}\n## Every target\n\n{}\n{}",
            options.command_line(),
            list(&description),
            goals.markdown(),
            targets.markdown(),
            list(&remarks),
        );
        document::write(&path, &text).context("the table was not written down")?;
        println!("bench: written to {}", path.display());
    }
    Ok(())
}
