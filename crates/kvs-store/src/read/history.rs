//! The history of a key: its current version and those that lost, newest first.

use std::ops::Bound;

use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::Record;
use kvs_core::version::Rule;
use uuid::Uuid;

use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::history_key;
use crate::observer::Key;
use crate::read::view::View;
use crate::row::RevisionRow;
use crate::table::Table;

/// A version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The version, with its payload.
    pub record: Record,
    /// The version it lost to and the rule that decided; `None` for the current one.
    pub superseded: Option<(Uuid, Rule)>,
}

/// The versions of a key, newest first; empty for a key that never was, or was forgotten.
///
/// # Errors
///
/// A row cannot be read.
pub fn history(view: &View, namespace: Namespace, path: &Path) -> Result<Vec<Revision>, StoreError> {
    let Some(row) = view.row(namespace, path)? else {
        return Ok(Vec::new());
    };
    let key = Key { namespace, path: path.clone() };
    // The exact numbers, so that revisions dropped long ago are not even passed by.
    let from = history_key(namespace, path, row.revisions.first());
    let to = history_key(namespace, path, row.revisions.next);
    let is_held = !row.record.kind.is_placeholder();
    let mut revisions = Vec::new();
    if is_held {
        revisions.push(Revision { record: row.record, superseded: None });
    }
    for stored in view.range(Table::History, (Bound::Included(from), Bound::Excluded(to)), Order::Ascending) {
        let RevisionRow { superseded_by, rule, record, .. } = RevisionRow::decode(&key, &stored?.1)?;
        revisions.push(Revision { record, superseded: Some((superseded_by, rule)) });
    }
    revisions.sort_by(|left, right| right.record.precedence(&left.record));
    Ok(revisions)
}
