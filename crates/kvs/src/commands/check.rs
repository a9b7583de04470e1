//! `kvs check`: every record and index of a stopped node's data directory.

use std::collections::BTreeMap;

use anyhow::Result;
use kvs_client::progress::Progress;
use kvs_store::check::report::Report;
use kvs_store::check::stopped::check as check_stopped;
use serde::Serialize;

use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::printer::{self, Fact, Printer};

/// How often the bar moves, in rows.
const ROWS_PER_STEP: u64 = 1000;

/// The result as JSON.
#[derive(Serialize)]
struct CheckAnswer<'a> {
    healthy: bool,
    keys: u64,
    bytes: u64,
    tombstones: u64,
    rows: BTreeMap<&'static str, u64>,
    problems_total: u64,
    problems: &'a [String],
}

/// Checks a data directory and says what is wrong with it.
pub(super) fn check(args: &CheckArgs, printer: &Printer) -> Result<Exit> {
    let progress = Progress::counting();
    let outcome = check_stopped(&args.data_dir, &mut |rows| {
        if rows % ROWS_PER_STEP == 0 {
            progress.show(rows, format!("{rows} rows"));
        }
    });
    progress.clear();
    let report = outcome?;
    if args.json {
        printer.json(&answer(&report))?;
    } else {
        printer.facts(&facts(&report))?;
        for problem in &report.problems {
            printer::note(problem);
        }
        let unlisted = report.problems_total - report.problems.len() as u64;
        if unlisted > 0 {
            printer::note(&format!("and {unlisted} more problems"));
        }
    }
    Ok(if report.is_healthy() { Exit::Done } else { Exit::Failed })
}

fn answer(report: &Report) -> CheckAnswer<'_> {
    CheckAnswer {
        healthy: report.is_healthy(),
        keys: report.keys,
        bytes: report.bytes,
        tombstones: report.tombstones,
        rows: report.tables().map(|(table, rows)| (table.name(), rows)).collect(),
        problems_total: report.problems_total,
        problems: &report.problems,
    }
}

fn facts(report: &Report) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("keys", report.keys),
        Fact::new("bytes", report.bytes).with_remark("of their values as sent"),
        Fact::new("tombstones", report.tombstones).with_remark("deleted and expired keys"),
    ];
    facts.extend(report.tables().map(|(table, rows)| Fact::new(format!("rows in {}", table.name()), rows)));
    facts.push(Fact::new("problems", report.problems_total));
    facts
}
