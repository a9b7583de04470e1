//! This node's log as its peers read it: what it has to send, in the order in which it changed.
//!
//! A pass reads one view of the log from a cursor to the view's end. Only at that end is it true that the reader has
//! every write of this node up to a number, because a key that changes again moves to the end of the log: so only the
//! last piece of a pass carries a claim.

use std::ops::Bound;

use bytes::Bytes;
use kvs_core::origin::Origin;
use kvs_core::record::Record;
use kvs_core::record_codec;
use kvs_core::vector::Vector;

use crate::engine::contract::Order;
use crate::error::StoreError;
use crate::keys::{log_key, read_log_key, read_log_value, record_key};
use crate::node;
use crate::observer::Key;
use crate::read::view::View;
use crate::row::Row;
use crate::standing;
use crate::table::Table;

/// Most rows of the log that one piece looks at, to be sent or not.
const PIECE_ROWS_MAX: usize = 50_000;

/// How much one piece may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceLimits {
    /// Most records.
    pub records: usize,
    /// No further record is added once it holds this many bytes.
    pub bytes: usize,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Keys and their encoded records.
    pub records: Vec<(Key, Bytes)>,
    /// Up to where the log was read.
    pub to_local_seq: u64,
    /// Where it ends.
    pub end: PieceEnd,
}

/// What the keys hold now that changed since a moment, whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Keys and their records, values and tombstones, in the order of their changes.
    pub records: Vec<(Key, Record)>,
    /// Up to where the log was read.
    pub to_local_seq: u64,
    /// Where it ends.
    pub end: PieceEnd,
}

/// What the keys hold at the view's moment that changed behind `after`, but for what `known` covers.
///
/// # Errors
///
/// A row cannot be read.
pub fn changed(view: &View, after: u64, known: &Vector, limits: PieceLimits) -> Result<Changed, StoreError> {
    let mut changed = Changed { records: Vec::new(), to_local_seq: after, end: PieceEnd::Complete };
    let mut bytes = 0;
    let from = Bound::Excluded(log_key(after));
    let rows = view.range(Table::Log, (from, Bound::Unbounded), Order::Ascending);
    for (seen, row) in rows.enumerate() {
        if seen == PIECE_ROWS_MAX || changed.records.len() == limits.records || bytes >= limits.bytes {
            changed.end = PieceEnd::More;
            break;
        }
        let (log_row, value) = row?;
        let corrupt = || StoreError::corrupt(Table::Log.name(), &log_row, "it cannot be read");
        changed.to_local_seq = read_log_key(&log_row).ok_or_else(corrupt)?;
        let (_, key) = read_log_value(&value).ok_or_else(corrupt)?;
        let Some(row) = view.row(key.namespace, &key.path)? else { continue };
        if row.record.kind.is_placeholder() || known.covers(&row.record.dot) {
            continue;
        }
        bytes += record_codec::encoded_len(&row.record) + key.path.as_bytes().len();
        changed.records.push((key, row.record));
    }
    Ok(changed)
}

/// Where a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceEnd {
    /// Before the view's end: there is more.
    More,
    /// At the view's end: the claim of the pass is true with it.
    Complete,
}

/// One pass over the log.
pub struct LogPass {
    view: View,
    origin: Origin,
    end_local_seq: u64,
    claim: Vector,
}

impl LogPass {
    /// Begins a pass at the view's moment.
    ///
    /// # Errors
    ///
    /// The node table cannot be read.
    pub fn begin(view: View) -> Result<Self, StoreError> {
        let (identity, counters, _) = node::load_at(&view)?
            .ok_or_else(|| StoreError::corrupt(Table::Node.name(), b"identity", "it is missing"))?;
        let mut claim = Vector::default();
        for start in standing::epochs_at(&view)?.unwrap_or_default() {
            claim.raise(Origin { node: identity.origin.node, epoch: start.epoch }, start.last_seq);
        }
        claim.raise(identity.origin, counters.next_origin_seq.saturating_sub(1));
        let end_local_seq = counters.next_local_seq.saturating_sub(1);
        Ok(Self { view, origin: identity.origin, end_local_seq, claim })
    }

    /// What a reader that has read everything has received.
    #[must_use]
    pub const fn claim(&self) -> &Vector {
        &self.claim
    }

    /// The current origin of the log's owner.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The last number of the log.
    #[must_use]
    pub const fn end_local_seq(&self) -> u64 {
        self.end_local_seq
    }

    /// The next piece after `after`, without what `received` covers.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub fn next(&self, after: u64, received: &Vector, limits: PieceLimits) -> Result<LogPiece, StoreError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut to_local_seq = after;
        let from = Bound::Excluded(log_key(after));
        let rows = self.view.range(Table::Log, (from, Bound::Unbounded), Order::Ascending);
        for (seen, row) in rows.enumerate() {
            if seen == PIECE_ROWS_MAX || records.len() == limits.records || bytes >= limits.bytes {
                return Ok(LogPiece { records, to_local_seq, end: PieceEnd::More });
            }
            let (log_row, value) = row?;
            let corrupt = || StoreError::corrupt(Table::Log.name(), &log_row, "it cannot be read");
            to_local_seq = read_log_key(&log_row).ok_or_else(corrupt)?;
            let (mark, key) = read_log_value(&value).ok_or_else(corrupt)?;
            let Some(mark) = mark else { continue };
            if received.seq(&Origin { node: self.origin.node, epoch: mark.epoch }) >= mark.seq {
                continue;
            }
            let stored = self.view.get(Table::Records, &record_key(key.namespace, &key.path))?;
            let record = stored.as_ref().and_then(Row::record_bytes).ok_or_else(corrupt)?;
            bytes += record.len() + key.path.as_bytes().len();
            records.push((key, record));
        }
        Ok(LogPiece { records, to_local_seq: self.end_local_seq.max(to_local_seq), end: PieceEnd::Complete })
    }
}
