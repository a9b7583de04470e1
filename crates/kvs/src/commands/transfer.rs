//! `kvs import` and `kvs export`: many keys, with a progress bar and a final account.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kvs_client::error::ClientError;
use kvs_client::export::{ExportReport, export_to, export_to_file};
use kvs_client::import::{ImportOptions, KeySource, Mode, OnDuplicate, import as run_import};
use kvs_client::progress::Progress;
use kvs_client::report::ImportReport;
use kvs_client::template::Template;

use super::connect::connect;
use crate::args::{DuplicateRule, ExportArgs, ImportArgs};
use crate::exit::{self, Exit};
use crate::printer::{self, Fact, Printer};

/// The name of standard input and standard output on the command line.
const STANDARD: &str = "-";

/// Loads a file.
pub(super) fn import(args: ImportArgs, printer: &Printer) -> Result<Exit> {
    let keys = match &args.key {
        Some(template) => KeySource::Template(Template::parse(template, &args.empty)?),
        None => KeySource::Lines,
    };
    let (input, bytes): (Box<dyn Read>, _) = if args.file == Path::new(STANDARD) {
        (Box::new(io::stdin().lock()), None)
    } else {
        let unreadable = |source| ClientError::Read { path: args.file.clone(), source };
        let file = File::open(&args.file).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let bytes = metadata.is_file().then_some(metadata.len());
        (Box::new(file), bytes)
    };
    let options = ImportOptions {
        input: args.file,
        keys,
        on_duplicate: match args.on_duplicate {
            DuplicateRule::Overwrite => OnDuplicate::Overwrite,
            DuplicateRule::Number => OnDuplicate::Number,
            DuplicateRule::Skip => OnDuplicate::Skip,
        },
        ttl: args.ttl,
        mode: if args.dry_run { Mode::DryRun } else { Mode::Write },
        errors: args.errors,
    };
    let http = connect(args.node)?;
    let report = run_import(&http, input, &options, &Progress::over_bytes(bytes));
    if args.json {
        printer.json(&report)?;
    } else {
        printer.facts(&import_facts(&report, options.mode))?;
    }
    note_refusals(&report);
    Ok(match &report.stopped {
        Some(error) => {
            printer::note(&format!("kvs: the import stopped at line {}: {error}", report.lines));
            exit::of_client_error(error)
        }
        None if report.refused > 0 => Exit::Failed,
        None => Exit::Done,
    })
}

/// Writes a subtree to a file or to standard output.
pub(super) fn export(args: ExportArgs, _: &Printer) -> Result<Exit> {
    let http = connect(args.node)?;
    let progress = Progress::counting();
    let report = match args.output.as_deref() {
        Some(path) if path != Path::new(STANDARD) => export_to_file(&http, &args.prefix, path, &progress)?,
        _ => {
            let mut output = io::BufWriter::new(io::stdout().lock());
            export_to(&http, &args.prefix, &mut output, Path::new("standard output"), &progress)?
        }
    };
    if args.json {
        printer::note(&serde_json::to_string(&report)?);
    } else {
        printer::note_facts(&export_facts(&report))?;
    }
    Ok(Exit::Done)
}

/// The account of an import: what was done always, what was special when there was any.
fn import_facts(report: &ImportReport, mode: Mode) -> Vec<Fact> {
    let unsent = match mode {
        Mode::Write => "good, but not sent because the import stopped",
        Mode::DryRun => "good, and not sent: this was a dry run",
    };
    let duplicates = if report.duplicates_incomplete {
        "lines whose key came before; a lower bound, there were too many keys to compare all"
    } else {
        "lines whose key came before"
    };
    let special = [
        ("unsent lines", report.unsent, unsent),
        ("blank lines", report.blank, ""),
        ("refused lines", report.refused, "not stored; the reasons are below and in --errors FILE"),
        ("expired lines", report.expired, "their time was over"),
        ("repeated keys", report.duplicate_keys, duplicates),
        ("numbered keys", report.numbered, "of these, stored under a key of their own: KEY~2, KEY~3, ..."),
        ("skipped lines", report.skipped, "of these, left out"),
        ("escaped fields", report.escaped_fields, "a character of the field is written %XX in the key"),
        ("empty fields", report.empty_fields, "empty or missing, written as the placeholder"),
        ("pauses", report.pauses, "the node asked to wait"),
    ];
    let mut facts = vec![
        Fact::new("lines", report.lines),
        Fact::new("created", report.created).with_remark("new keys"),
        Fact::new("replaced", report.replaced).with_remark("keys that had a value; it is in their history"),
    ];
    facts.extend(
        special
            .into_iter()
            .filter(|(_, count, _)| *count > 0)
            .map(|(name, count, remark)| Fact::new(name, count).with_remark(remark)),
    );
    facts.push(Fact::new("seconds", seconds(report.elapsed)));
    facts
}

fn export_facts(report: &ExportReport) -> Vec<Fact> {
    vec![
        Fact::new("keys", report.keys),
        Fact::new("bytes", report.bytes),
        Fact::new("seconds", seconds(report.elapsed)),
    ]
}

/// Says on standard error which lines were refused and why.
fn note_refusals(report: &ImportReport) {
    for refusal in &report.refusals {
        let key = refusal.path.as_ref().map(|path| format!(" ({path})")).unwrap_or_default();
        printer::note(&format!("line {}{key}: {}", refusal.line, refusal.reason));
    }
    let shown = report.refusals.len() as u64;
    if report.refused > shown {
        printer::note(&format!("and {} more refused lines", report.refused - shown));
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1}", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::import_facts;
    use kvs_client::import::Mode;
    use kvs_client::report::ImportReport;

    #[test]
    fn what_is_special_shows_only_when_there_was_any() {
        let quiet = ImportReport { lines: 3, created: 3, ..ImportReport::default() };
        assert_eq!(import_facts(&quiet, Mode::Write).len(), 4);
        let special = ImportReport { lines: 3, created: 1, refused: 2, ..ImportReport::default() };
        assert_eq!(import_facts(&special, Mode::Write).len(), 5);
    }
}
