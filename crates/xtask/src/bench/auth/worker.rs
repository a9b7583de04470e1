//! The measuring process of `bench auth`: runs the parts that were asked for, one after another, and shows what came out.

use anyhow::Context as _;

use crate::bench::auth::options::{AuthOptions, Part};
use crate::bench::auth::{addresses, encryption, revocation, rights};
use crate::bench::cluster::finding::Findings;
use crate::bench::document::{self, Section};
use crate::bench::figures::Target;
use crate::bench::machine;
use crate::bench::scratch::Scratch;
use crate::clock;
use crate::workspace::root;

type Measure = fn(&AuthOptions, &Scratch, &mut Findings) -> anyhow::Result<()>;

/// The parts in their order, with what stands in the table when one fails.
const PARTS: [(Part, &str, Measure); 5] = [
    (Part::Get, "`GET`/s with a token and permissions against accounts off", rights::reads),
    (Part::Put, "durable `PUT`/s with token, permissions and audit trail against all off", rights::writes),
    (Part::Revocation, "revocation sent to one node until both others refuse the token", revocation::run),
    (Part::Addresses, "client addresses through the limit of requests", addresses::run),
    (Part::Tls, "`GET`/s over TLS on kept connections against plain", encryption::run),
];

/// How the figures come about, for the reader of the document.
const METHOD: &str = "Nodes are processes of the release build on loopback, with `durability: always`, that differ in what a row \
names and in nothing else: rate limits are off but in their own row, the audit trail but where it is named and in the cluster of \
the revocations. One load generator drives them in turns, each round beginning with another one; a ratio is taken within \
each round, and the table holds the median. It shares the machine's cores with the nodes, so ratios in one run carry over to \
other machines and absolute figures do not. Loads are 64 connections with one request in flight on each, values 1 KiB of JSON \
under 20,000 random keys, all of which were read before. Tokens are a user's own, with the scopes `read` and `write`; the \
user wrote the keys, so every request is decided by their owner and mode. CPU is user and system time of the whole process \
for each operation. A revocation counts from the moment at which `DELETE /auth/tokens/{jti}` is sent to one of three nodes until \
both others, which are asked with that token without a pause and took it before, have answered 401. Client addresses are told \
by `X-Forwarded-For` from a trusted proxy. MB are millions of bytes.";

const SECTION: Section = Section {
    begin: "<!-- Access: `cargo xtask bench auth --write` replaces what follows, up to the next mark. -->",
    end: "<!-- Access: by hand again from here on. -->",
};

/// Runs the benchmark in this process.
///
/// # Errors
///
/// Too few rounds to write down, the machine fails, or the document cannot be written. Parts that fail are shown in the table instead.
pub(crate) fn run(options: &AuthOptions) -> anyhow::Result<()> {
    options.check()?;
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
    let mut description = machine::description(&load_before, &[Target::Node]);
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
            "## Access\n\nWritten by `{}`.\n\n{}\n{METHOD}\n\n{}\n{}",
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
