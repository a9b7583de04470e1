//! What was seen of a case, as rows of the table.

use crate::bench::away::case::Seen;
use crate::bench::away::options::Case;
use crate::bench::away::watch::Phase;
use crate::bench::away::writers::Ledger;
use crate::bench::cluster::finding::{Findings, Goal, Unit};

/// A ratio.
const TIMES: Unit = Unit { name: "x", digits: 2 };

/// Folders of the disk that are told of.
const FOLDERS: usize = 4;

/// Moments of catching up that are told of.
const STEPS: usize = 12;

/// Adds the rows of a case.
pub(crate) fn add(case: Case, seen: &Seen, ledger: &Ledger, findings: &mut Findings) {
    let name = case.name();
    let Seen { present, away, back, .. } = seen;
    let latencies = [present, away, back].map(|phase| phase.latency(ledger));
    let [before, during, after] = latencies;
    let beside = |one: f64, other: f64| format!("{one:.1} to {other:.1} ms");
    let row = |figure: &str| format!("{name}: {figure}");
    findings.add_beside(
        &row("p50 of a batch, one away against all present"),
        during.p50 / before.p50,
        TIMES,
        Goal::AtMost(1.2),
        beside(before.p50, during.p50),
    );
    findings.add_beside(
        &row("p99 of a batch, one away against all present"),
        during.p99 / before.p99,
        TIMES,
        Goal::AtMost(2.0),
        beside(before.p99, during.p99),
    );
    let growth = |phase: &Phase| phase.growth() / phase.seconds() / 1e6;
    let per_byte = |phase: &Phase| phase.growth() / (phase.rows().max(1) as f64 * case.size.bytes() as f64);
    findings.add_beside(
        &row("growth of the others' disk a second, one away against all present"),
        growth(away) / growth(present),
        TIMES,
        Goal::AtMost(1.5),
        format!(
            "{:.2} to {:.2} MB/s; {:.2} to {:.2} bytes a byte of values",
            growth(present),
            growth(away),
            per_byte(present),
            per_byte(away)
        ),
    );
    findings.add_beside(
        &row("CPU of one of the others, one away"),
        away.cpu(),
        Unit { name: "%", digits: 1 },
        Goal::Shown,
        format!("all present: {:.1} %", present.cpu()),
    );
    let (missed, since) = (away.rows(), back.rows());
    if seen.has_caught_up {
        let rate = since as f64 / back.seconds();
        let caught = (missed + since) as f64 / back.seconds();
        findings.add_beside(
            &row("rows a second while it catches up, against the rate of writes"),
            caught / rate,
            TIMES,
            Goal::AtLeast(3.0),
            format!(
                "{caught:.0}/s against {rate:.0}/s; {missed} missed, {since} since, {:.1} s",
                back.seconds()
            ),
        );
    } else {
        let behind =
            seen.progress.last().map_or_else(|| "unknown".to_owned(), |(_, behind)| behind.to_string());
        let reason =
            format!("not within {:.0} s; {missed} rows missed, {behind} behind at the end", back.seconds());
        findings.miss(&row("rows a second while it catches up"), &reason);
    }
    findings.add_beside(
        &row("p99 of a batch while it catches up, against all present"),
        after.p99 / before.p99,
        TIMES,
        Goal::Shown,
        format!("p50 {:.1} ms, p99 {:.1} ms", after.p50, after.p99),
    );
    remarks(&name, seen, ledger, findings);
}

fn remarks(name: &str, seen: &Seen, ledger: &Ledger, findings: &mut Findings) {
    for (what, phase) in [("all present", &seen.present), ("one away", &seen.away), ("one back", &seen.back)]
    {
        let grown: Vec<String> = phase
            .grown(FOLDERS)
            .iter()
            .map(|(folder, bytes)| format!("{} {:+.0} MB", shown(folder), bytes / 1e6))
            .collect();
        findings.remark(format!(
            "{name}: {what} for {:.0} s, {} writes: the disk of one of the others went from {:.0} to {:.0} MB (mean, at most {:.0}), the most in {}.",
            phase.seconds(),
            phase.rows(),
            phase.from.disk_bytes() as f64 / 2e6,
            phase.to.disk_bytes() as f64 / 2e6,
            phase.disk_most as f64 / 2e6,
            grown.join(", "),
        ));
    }
    let steps = seen.progress.len().div_ceil(STEPS).max(1);
    let progress: Vec<String> = seen
        .progress
        .iter()
        .step_by(steps)
        .map(|(seconds, behind)| format!("{behind} after {seconds:.1} s"))
        .collect();
    findings.remark(format!(
        "{name}: rows that the peer was behind, as the others told it: {}; sessions since the start: {}.",
        progress.join(", "),
        seen.sessions.join("; "),
    ));
    if let (failures, Some(first)) = ledger.failures() {
        findings.remark(format!("{name}: {failures} batches failed, the first with: {first}."));
    }
}

fn shown(folder: &std::path::Path) -> String {
    if folder.as_os_str().is_empty() { "the folder itself".to_owned() } else { folder.display().to_string() }
}
