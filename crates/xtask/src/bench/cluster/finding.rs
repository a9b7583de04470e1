//! What a run found: a row of the table for each figure, with its goal and whether it was met.

use crate::bench::goals::Verdict;
use crate::bench::table::Table;

/// One row.
pub(crate) struct Finding {
    figure: String,
    measured: String,
    beside: String,
    goal: String,
    verdict: Verdict,
}

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Shown only.
    Shown,
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    /// What stands behind the number.
    pub(crate) name: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
}

impl Unit {
    /// Milliseconds with this many digits behind the point.
    pub(crate) const fn ms(digits: usize) -> Self {
        Self { name: "ms", digits }
    }

    fn text(self, value: f64) -> String {
        format!("{value:.*} {}", self.digits, self.name).trim_end().to_owned()
    }
}

/// All rows of a run.
#[derive(Default)]
pub(crate) struct Findings {
    rows: Vec<Finding>,
    remarks: Vec<String>,
}

impl Findings {
    /// Adds a figure; its value and its goal are told in the same unit.
    pub(crate) fn add(&mut self, figure: &str, value: f64, unit: Unit, goal: Goal) {
        self.add_beside(figure, value, unit, goal, String::new());
    }

    /// Adds a figure with something that it is compared with.
    pub(crate) fn add_beside(&mut self, figure: &str, value: f64, unit: Unit, goal: Goal, beside: String) {
        let text = |value: f64| unit.text(value);
        let (met, goal) = match goal {
            Goal::AtMost(bound) => (Some(value <= bound), format!("<= {}", text(bound))),
            Goal::AtLeast(bound) => (Some(value >= bound), format!(">= {}", text(bound))),
            Goal::Shown => (None, "shown".to_owned()),
        };
        let verdict = match met {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::Shown,
        };
        let finding = Finding { figure: figure.to_owned(), measured: text(value), beside, goal, verdict };
        println!(
            "bench: {}: {} {} ({})",
            finding.figure,
            finding.measured,
            finding.beside,
            finding.verdict.text()
        );
        self.rows.push(finding);
    }

    /// Says that a figure could not be taken.
    pub(crate) fn miss(&mut self, figure: &str, reason: &str) {
        println!("bench: {figure}: not measured: {reason}");
        self.rows.push(Finding {
            figure: figure.to_owned(),
            measured: "-".to_owned(),
            beside: String::new(),
            goal: String::new(),
            verdict: Verdict::NotMeasured(reason.to_owned()),
        });
    }

    /// Adds a sentence below the table.
    pub(crate) fn remark(&mut self, sentence: String) {
        println!("bench: {sentence}");
        self.remarks.push(sentence);
    }

    /// The sentences below the table.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["figure", "kvs", "beside it", "goal", "verdict"]);
        for row in &self.rows {
            table.push(vec![
                row.figure.clone(),
                row.measured.clone(),
                row.beside.clone(),
                row.goal.clone(),
                row.verdict.text(),
            ]);
        }
        table
    }
}

/// The middle sample and the largest one; nothing without samples.
pub(crate) fn middle_and_worst(samples: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.get((sorted.len().checked_sub(1)?) / 2)?, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(value: f64, goal: Goal) -> String {
        let mut findings = Findings::default();
        findings.add("figure", value, Unit::ms(1), goal);
        findings.table().markdown().lines().last().unwrap().to_owned()
    }

    #[test]
    fn a_figure_at_its_goal_is_met_and_just_beyond_is_missed() {
        assert_eq!(verdict_of(5.0, Goal::AtMost(5.0)), "| figure | 5.0 ms |  | <= 5.0 ms | met |");
        assert_eq!(verdict_of(5.1, Goal::AtMost(5.0)), "| figure | 5.1 ms |  | <= 5.0 ms | MISSED |");
        assert_eq!(verdict_of(4.9, Goal::AtLeast(5.0)), "| figure | 4.9 ms |  | >= 5.0 ms | MISSED |");
        assert_eq!(verdict_of(9.0, Goal::Shown), "| figure | 9.0 ms |  | shown | shown |");
    }

    #[test]
    fn the_middle_of_an_even_number_is_the_lower_one() {
        assert_eq!(middle_and_worst(&[3.0, 1.0, 9.0]), Some((3.0, 9.0)));
        assert_eq!(middle_and_worst(&[2.0, 1.0]), Some((1.0, 2.0)));
        assert_eq!(middle_and_worst(&[]), None);
    }
}
