//! The rows of the table: what is compared with what, the goal, and whether it was met.

use crate::bench::figures::{Figures, Metric, Target};
use crate::bench::options::Part;

/// What a row must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Ours divided by theirs is at least this.
    RatioAtLeast(f64),
    /// Ours divided by theirs is at most this.
    RatioAtMost(f64),
    /// Ours is at most this, in the metric's unit.
    AtMost(f64),
    /// Shown only.
    Shown,
}

/// One comparison.
pub(crate) struct Row {
    /// What stands in the first column.
    pub(crate) name: &'static str,
    /// The figure of the node.
    pub(crate) ours: Metric,
    /// What it is compared with.
    pub(crate) theirs: Option<(Target, Metric)>,
    /// What it must reach.
    pub(crate) goal: Goal,
    /// The part of the benchmark that measures it.
    pub(crate) part: Part,
}

/// Whether a goal was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// There is no goal.
    Shown,
    /// There is no figure, and why.
    NotMeasured(String),
}

/// A row with its figures.
#[derive(Debug, PartialEq)]
pub(crate) struct Evaluation {
    /// Our median.
    pub(crate) ours: Option<f64>,
    /// Theirs.
    pub(crate) theirs: Option<f64>,
    /// Ours divided by theirs.
    pub(crate) ratio: Option<f64>,
    /// Whether the goal was reached.
    pub(crate) verdict: Verdict,
}

const fn versus(part: Part, name: &'static str, ours: Metric, theirs: (Target, Metric), goal: Goal) -> Row {
    Row { name, ours, theirs: Some(theirs), goal, part }
}

const fn alone(part: Part, name: &'static str, ours: Metric, goal: Goal) -> Row {
    Row { name, ours, theirs: None, goal, part }
}

/// Every row, in order.
pub(crate) const ROWS: &[Row] = &[
    versus(
        Part::Get,
        "`GET`/s against Redis `GET`",
        Metric::GetRate,
        (Target::Redis, Metric::GetRate),
        Goal::RatioAtLeast(1.0),
    ),
    versus(
        Part::Put,
        "durable `PUT`/s against Redis `SET`, `appendfsync always`",
        Metric::PutRate,
        (Target::Redis, Metric::PutRate),
        Goal::RatioAtLeast(0.6),
    ),
    versus(
        Part::Put,
        "durable `PUT`/s against etcd `put`, JSON gateway",
        Metric::PutRate,
        (Target::Etcd, Metric::PutRate),
        Goal::RatioAtLeast(3.0),
    ),
    versus(
        Part::Get,
        "`GET`/s against webdis",
        Metric::GetRate,
        (Target::Webdis, Metric::GetRate),
        Goal::RatioAtLeast(1.8),
    ),
    versus(
        Part::Put,
        "durable `PUT`/s against webdis, `appendfsync always`",
        Metric::PutRate,
        (Target::Webdis, Metric::PutRate),
        Goal::RatioAtLeast(1.0),
    ),
    versus(
        Part::Get,
        "`GET`/s against nginx `return 200`",
        Metric::GetRate,
        (Target::Nginx, Metric::GetRate),
        Goal::RatioAtLeast(0.8),
    ),
    versus(
        Part::Get,
        "server CPU per `GET` against nginx",
        Metric::GetCpu,
        (Target::Nginx, Metric::GetCpu),
        Goal::RatioAtMost(1.4),
    ),
    versus(
        Part::Get,
        "`GET`/s against a bare hyper server",
        Metric::GetRate,
        (Target::Hyper, Metric::GetRate),
        Goal::Shown,
    ),
    alone(Part::Latency, "`GET` at 1 connection, p50", Metric::GetP50, Goal::AtMost(60.0)),
    alone(Part::Latency, "`GET` at 1 connection, p99", Metric::GetP99, Goal::AtMost(250.0)),
    versus(
        Part::Latency,
        "durable `PUT` at 1 connection, p50, against Redis `SET`",
        Metric::PutP50,
        (Target::Redis, Metric::PutP50),
        Goal::RatioAtMost(1.0),
    ),
    alone(Part::Memory, "resident memory, empty and idle", Metric::MemoryEmpty, Goal::AtMost(20.0)),
    alone(Part::Memory, "resident memory, all keys loaded", Metric::MemoryLoaded, Goal::AtMost(400.0)),
    alone(
        Part::Memory,
        "resident memory, all keys loaded, then read at random",
        Metric::MemoryRead,
        Goal::Shown,
    ),
    alone(Part::Start, "start to first answer, empty", Metric::StartEmpty, Goal::AtMost(100.0)),
    alone(
        Part::Start,
        "start to first answer, all keys, after SIGTERM",
        Metric::StartClean,
        Goal::AtMost(1_000.0),
    ),
    alone(
        Part::Start,
        "start to first answer, all keys, after kill -9 under writes",
        Metric::StartKilled,
        Goal::AtMost(5_000.0),
    ),
    versus(
        Part::Disk,
        "disk for the cities, compression on against off",
        Metric::DiskCompressed,
        (Target::Node, Metric::DiskPlain),
        Goal::Shown,
    ),
];

impl Row {
    /// Compares the medians.
    pub(crate) fn evaluate(&self, figures: &Figures) -> Evaluation {
        let ours = figures.median(Target::Node, self.ours);
        let theirs = self.theirs.map(|(target, metric)| figures.median(target, metric)).transpose();
        let ratio = match (&ours, &theirs) {
            (Ok(ours), Ok(Some(theirs))) if *theirs > 0.0 => Some(ours / theirs),
            _ => None,
        };
        let verdict = match (&ours, &theirs) {
            (Err(reason), _) | (_, Err(reason)) => Verdict::NotMeasured(reason.clone()),
            (Ok(ours), Ok(_)) => self.goal.verdict(*ours, ratio),
        };
        Evaluation { ours: ours.ok(), theirs: theirs.ok().flatten(), ratio, verdict }
    }

    /// The goal as text.
    pub(crate) fn goal_text(&self) -> String {
        match self.goal {
            Goal::RatioAtLeast(bound) => format!(">= {bound:.1} x"),
            Goal::RatioAtMost(bound) => format!("<= {bound:.1} x"),
            Goal::AtMost(bound) => format!("<= {}", self.ours.unit().text(bound)),
            Goal::Shown => "shown".to_owned(),
        }
    }
}

impl Goal {
    fn verdict(self, ours: f64, ratio: Option<f64>) -> Verdict {
        let met = match (self, ratio) {
            (Self::Shown, _) => return Verdict::Shown,
            (Self::AtMost(bound), _) => ours <= bound,
            (Self::RatioAtLeast(bound), Some(ratio)) => ratio >= bound,
            (Self::RatioAtMost(bound), Some(ratio)) => ratio <= bound,
            (Self::RatioAtLeast(_) | Self::RatioAtMost(_), None) => {
                return Verdict::NotMeasured("nothing to divide by".to_owned());
            }
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

impl Verdict {
    /// The verdict as text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Met => "met".to_owned(),
            Self::Missed => "MISSED".to_owned(),
            Self::Shown => "shown".to_owned(),
            Self::NotMeasured(reason) => format!("not measured ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal) -> Row {
        versus(Part::Get, "row", Metric::GetRate, (Target::Redis, Metric::GetRate), goal)
    }

    fn figures(ours: f64, theirs: f64) -> Figures {
        let mut figures = Figures::default();
        figures.add(Target::Node, Metric::GetRate, ours);
        figures.add(Target::Redis, Metric::GetRate, theirs);
        figures
    }

    #[test]
    fn a_ratio_at_its_bound_is_met_and_just_beyond_is_missed() {
        assert_eq!(row(Goal::RatioAtLeast(0.6)).evaluate(&figures(60.0, 100.0)).verdict, Verdict::Met);
        assert_eq!(row(Goal::RatioAtLeast(0.6)).evaluate(&figures(59.0, 100.0)).verdict, Verdict::Missed);
        assert_eq!(row(Goal::RatioAtMost(1.5)).evaluate(&figures(150.0, 100.0)).verdict, Verdict::Met);
        assert_eq!(row(Goal::RatioAtMost(1.5)).evaluate(&figures(151.0, 100.0)).verdict, Verdict::Missed);
    }

    #[test]
    fn an_absolute_goal_needs_no_one_to_compare_with() {
        let row = alone(Part::Get, "row", Metric::GetRate, Goal::AtMost(60.0));
        assert_eq!(row.evaluate(&figures(60.0, 1.0)).verdict, Verdict::Met);
        let evaluation = row.evaluate(&figures(60.1, 1.0));
        assert_eq!(evaluation.verdict, Verdict::Missed);
        assert_eq!(evaluation.ratio, None);
    }

    #[test]
    fn a_row_without_a_goal_shows_its_ratio() {
        let evaluation = row(Goal::Shown).evaluate(&figures(50.0, 100.0));
        assert_eq!((evaluation.ratio, evaluation.verdict), (Some(0.5), Verdict::Shown));
    }

    #[test]
    fn errors_of_either_side_leave_the_goal_unjudged() {
        for target in [Target::Node, Target::Redis] {
            let mut figures = figures(1_000.0, 1.0);
            figures.void(target, &[Metric::GetRate], "3 errors");
            let verdict = row(Goal::RatioAtLeast(1.0)).evaluate(&figures).verdict;
            assert!(
                matches!(&verdict, Verdict::NotMeasured(reason) if reason.contains("3 errors")),
                "{verdict:?}"
            );
        }
        let verdict = row(Goal::RatioAtLeast(1.0)).evaluate(&figures(1.0, 0.0)).verdict;
        assert!(matches!(verdict, Verdict::NotMeasured(_)), "{verdict:?}");
    }

    #[test]
    fn goals_are_told_in_the_unit_of_their_figure() {
        assert_eq!(row(Goal::RatioAtLeast(0.8)).goal_text(), ">= 0.8 x");
        assert_eq!(
            alone(Part::Start, "row", Metric::StartClean, Goal::AtMost(1_000.0)).goal_text(),
            "<= 1000 ms"
        );
        assert_eq!(
            alone(Part::Memory, "row", Metric::MemoryEmpty, Goal::AtMost(20.0)).goal_text(),
            "<= 20.0 MB"
        );
    }
}
