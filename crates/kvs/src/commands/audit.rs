//! `kvs audit`: look whether a trail was bent, and what is in it.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use kvs_audit::entry::Entry;
use kvs_audit::fault::Fault;
use kvs_audit::files::audit_dir;
use kvs_audit::report::{Report, Verdict};
use kvs_audit::show::{Filter, show as show_entries};
use kvs_audit::verify::{Against, verify as verify_trail};
use kvs_client::progress::Progress;
use serde::Serialize;

use super::settings;
use crate::audit_args::{AuditCommand, AuditShowArgs, AuditVerifyArgs, Since, TrailArgs};
use crate::clock::now_ms;
use crate::exit::Exit;
use crate::printer::{self, Audience, Fact, Printer};

/// How many entries one table for a person has.
const ROWS_PER_TABLE: usize = 500;

/// The titles of the columns of `show`.
const TITLES: [&str; 8] = ["entry", "time", "event", "who", "what", "result", "request", "detail"];

/// The result of `verify` as JSON.
#[derive(Serialize)]
struct VerifyAnswer<'a> {
    verdict: &'static str,
    node: Option<String>,
    first_seq: u64,
    last_seq: u64,
    head: Option<String>,
    entries: u64,
    segments: u64,
    anchored_up_to: Option<u64>,
    unanchored_since: u64,
    own_checkpoints_up_to: Option<u64>,
    peer_checkpoints: u64,
    torn_bytes: u64,
    recoveries: u64,
    damages: u64,
    fault: Option<FaultAnswer<'a>>,
}

/// The first fault as JSON.
#[derive(Serialize)]
struct FaultAnswer<'a> {
    kind: &'static str,
    file: Option<&'a str>,
    line: Option<u64>,
    seq: Option<u64>,
    what: &'a str,
}

/// Does what is asked for about an audit trail.
pub(super) fn audit(command: &AuditCommand, printer: &Printer) -> Result<Exit> {
    match command {
        AuditCommand::Verify(args) => verify(args, printer),
        AuditCommand::Show(args) => show(args, printer),
    }
}

/// The folder of the trail that is meant.
fn trail_dir(args: &TrailArgs) -> Result<PathBuf> {
    let data_dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => settings::read(args.config.as_deref())?.data_dir,
    };
    Ok(audit_dir(&data_dir))
}

fn verify(args: &AuditVerifyArgs, printer: &Printer) -> Result<Exit> {
    let dir = trail_dir(&args.trail)?;
    let progress = Progress::counting();
    let against = Against { peer_paths: &args.peer_checkpoints, node: args.node };
    let outcome =
        verify_trail(&dir, against, &mut |entries| progress.show(entries, format!("{entries} entries")));
    progress.clear();
    let report = outcome?;
    let is_asked_for = !args.peer_checkpoints.is_empty();
    if args.json {
        printer.json(&answer(&report))?;
    } else {
        printer.line(&sentence(&report, is_asked_for))?;
        printer.facts(&facts(&report))?;
        if let Some(fault) = &report.fault {
            printer::note(&fault.to_string());
        }
    }
    Ok(match report.verdict() {
        Verdict::Anchored { .. } => Exit::Done,
        Verdict::Unanchored if !is_asked_for => Exit::Done,
        Verdict::Unanchored | Verdict::Bad => Exit::Failed,
    })
}

/// What can be said of the trail, never more than that.
fn sentence(report: &Report, is_asked_for: bool) -> String {
    let since = report.unanchored_since();
    match report.verdict() {
        Verdict::Bad => "BAD: the trail is not what the node has written".to_owned(),
        Verdict::Anchored { up_to } if up_to == report.last_seq() => {
            format!("intact, anchored up to entry {up_to}, its last")
        }
        Verdict::Anchored { up_to } => {
            format!("intact, anchored up to entry {up_to}, unanchored since {since}")
        }
        Verdict::Unanchored if is_asked_for => {
            format!(
                "NOT CONFIRMED, unanchored since {since}: none of the checkpoints given is about a part of this trail"
            )
        }
        Verdict::Unanchored => format!(
            "chain intact, unanchored since {since}: no other node's checkpoints were given (--peer-checkpoints)"
        ),
    }
}

fn facts(report: &Report) -> Vec<Fact> {
    let known = |seq: Option<u64>| seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
    let mut facts = vec![
        Fact::new("node", report.node.map_or_else(|| "-".to_owned(), |node| node.to_string())),
        Fact::new("entries", report.entries).with_remark("sound, from the oldest on"),
        Fact::new("first entry", report.first_seq),
        Fact::new("last entry", report.last_seq()),
        Fact::new("segments", report.segments),
        Fact::new("anchored up to", known(report.anchored_up_to))
            .with_remark("by what other nodes have kept"),
        Fact::new("own checkpoints up to", known(report.own_up_to))
            .with_remark("as good as the data directory is safe"),
        Fact::new("checkpoints of peers", report.peer_checkpoints),
    ];
    if report.torn_bytes > 0 {
        let remark = "of a last line without an end: a crash or a write just now, no tampering";
        facts.push(Fact::new("torn bytes", report.torn_bytes).with_remark(remark));
    }
    if report.recoveries > 0 {
        facts.push(Fact::new("recoveries", report.recoveries).with_remark("starts that cut off a torn line"));
    }
    if report.damages > 0 {
        facts.push(Fact::new("damages", report.damages).with_remark("starts that found the trail damaged"));
    }
    facts
}

fn answer(report: &Report) -> VerifyAnswer<'_> {
    VerifyAnswer {
        verdict: match report.verdict() {
            Verdict::Anchored { .. } => "anchored",
            Verdict::Unanchored => "unanchored",
            Verdict::Bad => "bad",
        },
        node: report.node.map(|node| node.to_string()),
        first_seq: report.first_seq,
        last_seq: report.last_seq(),
        head: report.last.map(|last| last.head.to_hex()),
        entries: report.entries,
        segments: report.segments,
        anchored_up_to: report.anchored_up_to,
        unanchored_since: report.unanchored_since(),
        own_checkpoints_up_to: report.own_up_to,
        peer_checkpoints: report.peer_checkpoints,
        torn_bytes: report.torn_bytes,
        recoveries: report.recoveries,
        damages: report.damages,
        fault: report.fault.as_ref().map(fault_answer),
    }
}

fn fault_answer(fault: &Fault) -> FaultAnswer<'_> {
    let place = fault.place.as_ref();
    FaultAnswer {
        kind: fault.kind.name(),
        file: place.map(|place| place.file.as_str()),
        line: place.map(|place| place.line),
        seq: place.and_then(|place| place.seq),
        what: &fault.what,
    }
}

fn show(args: &AuditShowArgs, printer: &Printer) -> Result<Exit> {
    let since_ms = match args.since {
        None => 0,
        Some(Since::At(at_ms)) => at_ms,
        Some(Since::Ago(ago_ms)) => now_ms().saturating_sub(ago_ms),
    };
    let filter = Filter { who: args.who.clone(), path: args.path.clone(), since_ms };
    let mut rows: Vec<Vec<String>> = Vec::new();
    let rows_max = if printer.audience() == Audience::Person { ROWS_PER_TABLE } else { 1 };
    let mut failure: Option<io::Error> = None;
    let shown = show_entries(&trail_dir(&args.trail)?, &filter, &mut |entry, line| {
        let printed = if args.json {
            printer.line(&String::from_utf8_lossy(line))
        } else {
            rows.push(row(entry, printer));
            if rows.len() < rows_max { Ok(()) } else { flush(&mut rows, printer) }
        };
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    flush(&mut rows, printer)?;
    if shown.unsound > 0 {
        printer::note(&format!("{} lines are no sound entries; run `kvs audit verify`", shown.unsound));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

fn flush(rows: &mut Vec<Vec<String>>, printer: &Printer) -> io::Result<()> {
    let rows = std::mem::take(rows);
    if rows.is_empty() { Ok(()) } else { printer.rows(&TITLES, &rows) }
}

fn row(entry: &Entry, printer: &Printer) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        entry.seq.to_string(),
        printer.time(entry.time_ms),
        entry.event.clone(),
        entry.who.clone(),
        entry.path.clone().unwrap_or_else(|| text(&entry.subject)),
        entry.result.clone(),
        text(&entry.request_id),
        text(&entry.detail),
    ]
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use kvs_audit::hash::EntryHash;
    use kvs_audit::position::Position;
    use kvs_audit::report::Report;

    #[test]
    fn an_answer_without_a_peer_is_never_a_bare_good_one() {
        let last = Some(Position { seq: 9, head: EntryHash::GENESIS });
        let alone = Report { first_seq: 1, last, own_up_to: Some(9), ..Report::default() };
        assert!(sentence(&alone, false).contains("unanchored since 1"));
        assert!(sentence(&alone, true).contains("NOT CONFIRMED"));
        let anchored = Report { anchored_up_to: Some(7), ..alone };
        assert!(sentence(&anchored, true).ends_with("anchored up to entry 7, unanchored since 8"));
    }
}
