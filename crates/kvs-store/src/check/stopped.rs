//! The check of a stopped node's data directory, as `kvs check` makes it.

use std::path::Path;
use std::sync::Arc;

use crate::check::report::Report;
use crate::check::view::check_view;
use crate::data_dir::{DataDir, Expect};
use crate::engine::disk::DiskEngine;
use crate::error::StoreError;
use crate::node;
use crate::read::view::View;
use crate::settings::Settings;
use crate::store::disk_options;

/// Checks the data directory of a stopped node; the directory stays locked meanwhile. `progress` is told how many rows
/// were read so far.
///
/// The node's tables are only read: its identity, its counters and the note of how it was left stay as they are. (The
/// engine may bring its own files into order as it does at every opening.)
///
/// # Errors
///
/// [`StoreError::InUse`] when the node runs; [`StoreError::Format`] when there is no data directory of this format, or its
/// engine is gone;
/// [`StoreError::Engine`] when the engine cannot open its files. Nothing was changed.
pub fn check(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Report, StoreError> {
    let data_dir = DataDir::open(dir, Expect::Existing)?;
    data_dir.expect_engine()?;
    if !data_dir.engine_dir().is_dir() {
        return Err(StoreError::Format {
            dir: dir.to_owned(),
            reason: "it holds no data yet: the node was never started on it".into(),
        });
    }
    let engine = DiskEngine::open(&data_dir.engine_dir(), &disk_options(&Settings::default()))?;
    let view = View::of(Arc::new(engine));
    let mut report = check_view(&view, progress);
    // A damaged row is in the report already.
    if let (Ok(found), Ok(starts)) = (node::load_at(&view), node::generation_at(&view))
        && let Err(error) = data_dir.expect_node(found.map(|(identity, _, _)| (identity.origin.node, starts)))
    {
        report.add_problem(error);
    }
    Ok(report)
}
