//! The checkpoint of the digest: readable, and of as many values as there are.
//!
//! Its sums cannot be checked here, as their key follows from the cluster's secret; the node's own scrub does that.

use std::ops::Bound;

use kvs_core::sum_tree::codec;

use crate::check::report::Report;
use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::node::Counters;
use crate::read::view::View;
use crate::table::Table;
use crate::tree::checkpoint_rows::{HEAD, chunk_key, read_head};

/// Checks the table `tree`.
///
/// # Errors
///
/// The engine cannot read the table.
pub(crate) fn check_checkpoint(
    view: &View,
    counters: Option<&Counters>,
    report: &mut Report,
    progress: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    for stored in view.range(Table::Tree, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        stored?;
        progress();
        report.count_row(Table::Tree);
    }
    // Without a head the chunks are those of an earlier one, and nothing is read from them.
    let Some(head) = view.get(Table::Tree, &HEAD)? else { return Ok(()) };
    let Some((_, local_seq, count)) = read_head(&head) else {
        report.add_row_problem(Table::Tree, &HEAD, "it cannot be read");
        return Ok(());
    };
    let mut chunks = Vec::new();
    for number in 0..count {
        let key = chunk_key(number);
        match view.get(Table::Tree, &key)? {
            Some(chunk) => chunks.push(chunk),
            None => {
                report.add_row_problem(Table::Tree, &key, "it is missing");
                return Ok(());
            }
        }
    }
    match codec::decode(&chunks) {
        Err(error) => report.add_row_problem(Table::Tree, &HEAD, format!("its chunks: {error}")),
        Ok(tree) => {
            let counted = tree.total().count;
            let is_current =
                counters.is_some_and(|counters| counters.next_local_seq.saturating_sub(1) == local_seq);
            // Where records are damaged or missing that was told, and this would say it once more.
            if is_current && report.is_healthy() && counted != report.keys {
                let reason = format!("it counts {counted} values where there are {}", report.keys);
                report.add_row_problem(Table::Tree, &HEAD, reason);
            }
        }
    }
    Ok(())
}
