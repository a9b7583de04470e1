//! The check of all tables at one moment, on any engine.

use std::ops::Bound;

use crate::check::checkpoint::check_checkpoint;
use crate::check::dots::{DOTS_HELD_MAX, Dots};
use crate::check::indexes::check_indexes;
use crate::check::report::Report;
use crate::check::versions::Walk;
use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::node::{self, Counters, Identity};
use crate::read::view::View;
use crate::table::Table;

/// `progress` is called once for so many rows.
const PROGRESS_ROWS: u64 = 1024;

/// Checks everything that a view shows. `progress` is told how many rows were read so far, every now and then and at
/// the end. Nothing is written. A table that cannot be read is a problem of the report, like a damaged row.
#[must_use]
pub fn check_view(view: &View, progress: &mut dyn FnMut(u64)) -> Report {
    let mut read = 0;
    let mut count = || {
        read += 1;
        if read % PROGRESS_ROWS == 0 {
            progress(read);
        }
    };
    let mut report = Report::default();
    if let Err(error) = check_tables(view, &mut report, &mut count) {
        report.add_problem(format!("the check ended early: {error}"));
    }
    progress(read);
    report
}

fn check_tables(view: &View, report: &mut Report, progress: &mut dyn FnMut()) -> Result<(), StoreError> {
    for stored in view.range(Table::Node, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        stored?;
        report.count_row(Table::Node);
    }
    let node = match node::load_at(view) {
        Ok(Some((identity, counters, _))) => Some((identity, counters)),
        Ok(None) => None,
        Err(error) => {
            report.add_problem(error);
            None
        }
    };
    let mut walk = Walk::new(report, node.as_ref(), Dots::first_class(DOTS_HELD_MAX), progress);
    walk.run(view)?;
    let Walk { sums, dots, .. } = walk;
    check_indexes(view, &sums, report, progress)?;
    check_checkpoint(view, node.as_ref().map(|(_, counters)| counters), report, progress)?;
    check_dots(view, dots, report, progress)?;
    check_counters(node.as_ref(), report);
    Ok(())
}

/// Tells numbers of writes that stand for more than one key.
fn check_dots(
    view: &View,
    first: Dots,
    report: &mut Report,
    progress: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    let classes = first.classes();
    tell_repeated(first, report);
    for class in 1..classes {
        // Whatever else this walk finds was told by the first one.
        let mut told_already = Report::default();
        let mut walk =
            Walk::new(&mut told_already, None, Dots::class(class, classes, DOTS_HELD_MAX), progress);
        walk.run(view)?;
        tell_repeated(walk.dots, report);
    }
    Ok(())
}

fn tell_repeated(dots: Dots, report: &mut Report) {
    if let (count, Some(dot)) = dots.repeated() {
        let origin = dot.origin;
        report.add_problem(format!(
            "{count} writes have the number of another one; for example number {} of node {} epoch {}",
            dot.seq, origin.node, origin.epoch
        ));
    }
}

fn check_counters(node: Option<&(Identity, Counters)>, report: &mut Report) {
    let Some((_, counters)) = node else {
        if Table::ALL.iter().any(|table| report.rows(*table) > 0) {
            report.add_problem("the table 'node' does not say who this node is");
        }
        return;
    };
    for (name, noted, counted) in [
        ("keys", counters.keys, report.keys),
        ("bytes", counters.bytes, report.bytes),
        ("tombstones", counters.tombstones, report.tombstones),
    ] {
        if noted != counted {
            report.add_problem(format!("the counter of {name} is {noted}, counted were {counted}"));
        }
    }
}
