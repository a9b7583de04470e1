//! The tables of a run: the goals, then the figures of every target, then what is missing and why.

use crate::bench::figures::{Figures, Metric, Target};
use crate::bench::goals::{Evaluation, ROWS, Row};
use crate::bench::options::NodeOptions;
use crate::bench::table::Table;

/// The columns of the second table.
const COLUMNS: [(&str, Metric); 10] = [
    ("GET/s", Metric::GetRate),
    ("CPU per GET", Metric::GetCpu),
    ("GET p99", Metric::GetBusyP99),
    ("PUT/s", Metric::PutRate),
    ("CPU per PUT", Metric::PutCpu),
    ("PUT p99", Metric::PutBusyP99),
    ("GET p50, 1 conn", Metric::GetP50),
    ("GET p99, 1 conn", Metric::GetP99),
    ("PUT p50, 1 conn", Metric::PutP50),
    ("PUT p99, 1 conn", Metric::PutP99),
];

/// The comparisons that were asked for, with goals and verdicts.
pub(crate) fn goals(options: &NodeOptions, figures: &Figures) -> Table {
    let mut table = Table::new(&["figure", "kvs", "other", "ratio", "goal", "verdict"]);
    for row in ROWS.iter().filter(|row| options.wants(row.part)) {
        table.push(cells(row, &row.evaluate(figures)));
    }
    table
}

fn cells(row: &Row, evaluation: &Evaluation) -> Vec<String> {
    let text = |metric: Metric, value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| metric.unit().text(value))
    };
    let theirs = row.theirs.map_or_else(String::new, |(_, metric)| text(metric, evaluation.theirs));
    let ratio = evaluation.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} x"));
    let ours = text(row.ours, evaluation.ours);
    vec![row.name.to_owned(), ours, theirs, ratio, row.goal_text(), evaluation.verdict.text()]
}

/// Medians of every target, with the range over the rounds for the rates.
pub(crate) fn targets(figures: &Figures) -> Table {
    let head: Vec<&str> = std::iter::once("target").chain(COLUMNS.map(|(name, _)| name)).collect();
    let mut table = Table::new(&head);
    for target in Target::ALL {
        let cells: Vec<String> =
            COLUMNS.iter().map(|(_, metric)| with_spread(figures, target, *metric)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.push(std::iter::once(target.label().to_owned()).chain(cells).collect());
        }
    }
    table
}

fn with_spread(figures: &Figures, target: Target, metric: Metric) -> String {
    let Ok(median) = figures.median(target, metric) else { return String::new() };
    let text = metric.unit().text(median);
    match figures.spread(target, metric) {
        Some((least, most)) if matches!(metric, Metric::GetRate | Metric::PutRate) => {
            format!("{text} ({:.0}-{:.0})", least / 1000.0, most / 1000.0)
        }
        _ => text,
    }
}

/// Sentences about what the tables leave open.
pub(crate) fn remarks(figures: &Figures) -> Vec<String> {
    let absent =
        figures.absent().map(|(target, reason)| format!("{} was left out: {reason}.", target.label()));
    let void = figures.faults().map(|(target, metric, reason)| {
        format!("{} has no figure for {metric:?}: {reason}.", target.label())
    });
    let peak = figures.median(Target::Node, Metric::MemoryPeak).ok();
    let peak = peak.map(|peak| {
        format!("The most resident memory that the node had during load and reads was {peak:.1} MB.")
    });
    absent.chain(void).chain(peak).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: NodeOptions,
    }

    fn options(arguments: &[&str]) -> NodeOptions {
        Command::parse_from(std::iter::once("bench").chain(arguments.iter().copied())).options
    }

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for (target, rate) in [(Target::Node, 110_000.0), (Target::Redis, 100_000.0)] {
            for sample in [rate, rate * 0.9, rate * 1.1] {
                figures.add(target, Metric::GetRate, sample);
            }
        }
        figures.mark_absent(Target::Etcd, "not installed");
        figures
    }

    #[test]
    fn the_goals_of_the_wanted_parts_are_there_with_ratio_and_verdict() {
        let text = goals(&options(&["--only", "get,put"]), &figures()).markdown();
        assert!(
            text.contains(
                "| `GET`/s against Redis `GET` | 110.0 k/s | 100.0 k/s | 1.10 x | >= 1.0 x | met |"
            ),
            "{text}"
        );
        assert!(text.contains("etcd: not installed") || text.contains("kvs: not measured"), "{text}");
        assert!(!text.contains("resident memory"), "{text}");
        let all = goals(&options(&[]), &figures()).markdown();
        assert_eq!(all.lines().count(), ROWS.len() + 2);
    }

    #[test]
    fn targets_without_figures_have_no_row() {
        let text = targets(&figures()).terminal();
        assert!(text.contains("110.0 k/s (99-121)"), "{text}");
        assert!(text.contains("Redis") && !text.contains("nginx"), "{text}");
    }

    #[test]
    fn remarks_say_what_is_missing() {
        let mut figures = figures();
        figures.void(Target::Node, &[Metric::PutRate], "3 errors");
        let remarks = remarks(&figures);
        assert_eq!(
            remarks,
            ["etcd was left out: not installed.", "kvs has no figure for PutRate: 3 errors."]
        );
    }

    #[test]
    fn a_run_of_two_rounds_is_not_written_down() {
        assert!(options(&["--write", "--rounds", "2"]).check().is_err());
        assert!(options(&["--write", "--rounds", "3"]).check().is_ok());
        assert!(Command::try_parse_from(["bench", "--write", "--only", "get"]).is_err());
    }
}
