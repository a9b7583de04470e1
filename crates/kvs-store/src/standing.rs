//! Where a node stands among others: which writes it has received, how far it has read its peers' logs, and where its
//! own epochs began.
//!
//! | table, key | value |
//! | --- | --- |
//! | `vectors`, origin | seq (8) |
//! | `cursors`, node uuid | epoch (4), local sequence (8) |
//! | `node`, `epochs` | per epoch of this node, 20 bytes: epoch (4), local sequence before it (8), last seq of it (8) |
//!
//! A vector and a cursor change in the same batch as the records that make them true.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use kvs_core::log_position::LogPosition;
use kvs_core::origin::Origin;
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::engine::contract::{Batch, Engine, Order};
use crate::error::StoreError;
use crate::keys::{origin_key, read_origin_key};
use crate::node::{Counters, Identity};
use crate::read::view::View;
use crate::table::Table;

/// Most epochs that are kept apart; older ones are forgotten, and a peer that last read then reads from the start.
const EPOCHS_MAX: usize = 256;

/// The row of the table `node` with the list of epochs.
pub(crate) const EPOCHS: &[u8] = b"epochs";

/// Where an epoch of this node began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: u32,
    /// The end of the log when it began.
    pub after_local_seq: u64,
    /// The last number given out in it, as far as this node remembers; 0 while it lasts.
    pub last_seq: u64,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// What was received of each origin; this node's current epoch is counted elsewhere.
    pub vector: Vector,
    /// How far the peers' logs were read.
    pub cursors: BTreeMap<Uuid, LogPosition>,
    /// This node's epochs, oldest first; the last one is current.
    pub epochs: Vec<EpochStart>,
    /// How many records are parked.
    pub parked: u64,
}

impl Standing {
    /// Reads the tables.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub(crate) fn load(engine: &dyn Engine, epochs: Vec<EpochStart>) -> Result<Self, StoreError> {
        let snapshot = engine.snapshot();
        let all = || (Bound::Unbounded, Bound::Unbounded);
        let mut standing = Self { epochs, ..Self::default() };
        for row in snapshot.range(Table::Vectors, all(), Order::Ascending) {
            let (key, value) = row?;
            let corrupt = || StoreError::corrupt(Table::Vectors.name(), &key, "it cannot be read");
            let origin = read_origin_key(&key).ok_or_else(corrupt)?;
            standing.vector.raise(origin, Cursor::new(&value).u64().map_err(|_| corrupt())?);
        }
        for row in snapshot.range(Table::Cursors, all(), Order::Ascending) {
            let (key, value) = row?;
            let corrupt = || StoreError::corrupt(Table::Cursors.name(), &key, "it cannot be read");
            let node = Cursor::new(&key).uuid().map_err(|_| corrupt())?;
            let mut cursor = Cursor::new(&value);
            let position = (|| Ok(LogPosition { epoch: cursor.u32()?, local_seq: cursor.u64()? }))();
            let position = position.map_err(|_: kvs_core::cursor::EndsEarly| corrupt())?;
            standing.cursors.insert(node, position);
        }
        for row in snapshot.range(Table::Parked, all(), Order::Ascending) {
            row?;
            standing.parked += 1;
        }
        Ok(standing)
    }

    /// Notes that a new epoch begins after `local_seq`, the one before having given out numbers up to `last_seq`.
    pub(crate) fn begin_epoch(&mut self, identity: &Identity, local_seq: u64, last_seq: u64) {
        if let Some(before) = self.epochs.last_mut() {
            before.last_seq = last_seq;
        }
        let epoch = identity.origin.epoch;
        self.epochs.push(EpochStart { epoch, after_local_seq: local_seq, last_seq: 0 });
        let surplus = self.epochs.len().saturating_sub(EPOCHS_MAX);
        self.epochs.drain(..surplus);
    }

    /// Adds the rows by which `after` differs from this.
    pub(crate) fn put_changes(&self, after: &Self, batch: &mut Batch) {
        for (origin, seq) in after.vector.iter().filter(|(origin, seq)| self.vector.seq(origin) != *seq) {
            put_vector(batch, origin, seq);
        }
        for (node, position) in &after.cursors {
            if self.cursors.get(node) != Some(position) {
                put_cursor(batch, *node, *position);
            }
        }
        if self.epochs != after.epochs {
            put_epochs(batch, &after.epochs);
        }
    }

    /// Where a peer that was at `position` goes on in the log as it is now: everything of it up to the answer is the
    /// same as what the peer has read.
    #[must_use]
    pub fn resume(&self, position: Option<LogPosition>) -> u64 {
        let first = self.epochs.first().map_or(0, |start| start.after_local_seq);
        let Some(position) = position else { return first };
        let known = self.epochs.iter().any(|start| start.epoch == position.epoch);
        if !known {
            return first;
        }
        let later = self.epochs.iter().filter(|start| start.epoch > position.epoch);
        later
            .map(|start| start.after_local_seq)
            .min()
            .map_or(position.local_seq, |end| end.min(position.local_seq))
    }
}

fn put_vector(batch: &mut Batch, origin: &Origin, seq: u64) {
    batch.put(Table::Vectors, origin_key(origin), seq.to_be_bytes().to_vec());
}

fn put_cursor(batch: &mut Batch, node: Uuid, position: LogPosition) {
    let mut value = position.epoch.to_be_bytes().to_vec();
    value.extend_from_slice(&position.local_seq.to_be_bytes());
    batch.put(Table::Cursors, node.as_bytes().to_vec(), value);
}

/// Begins a new epoch: numbers that this node gave out may be forgotten and must not be given out again. The numbers of
/// an epoch begin at 1.
pub(crate) fn begin_epoch(identity: &mut Identity, counters: &mut Counters, standing: &mut Standing) {
    let last_seq = counters.next_origin_seq.saturating_sub(1);
    // What is remembered of the old epoch was received, like any other origin's.
    standing.vector.raise(identity.origin, last_seq);
    identity.origin.epoch = identity.origin.epoch.saturating_add(1);
    counters.next_origin_seq = 1;
    standing.begin_epoch(identity, counters.next_local_seq.saturating_sub(1), last_seq);
}

pub(crate) fn put_epochs(batch: &mut Batch, epochs: &[EpochStart]) {
    batch.put(Table::Node, EPOCHS.to_vec(), encode_epochs(epochs));
}

/// The epochs as noted; a node from before they were has had one, whose log was sent to nobody.
pub(crate) fn load_epochs(
    engine: &dyn Engine,
    identity: &Identity,
    counters: &Counters,
) -> Result<Vec<EpochStart>, StoreError> {
    let Some(bytes) = engine.get(Table::Node, EPOCHS)? else {
        let after_local_seq = counters.next_local_seq.saturating_sub(1);
        return Ok(vec![EpochStart { epoch: identity.origin.epoch, after_local_seq, last_seq: 0 }]);
    };
    decode_epochs(&bytes).ok_or_else(|| StoreError::corrupt(Table::Node.name(), EPOCHS, "it ends early"))
}

/// The epochs at the view's moment; `None` for a node from before they were noted.
pub(crate) fn epochs_at(view: &View) -> Result<Option<Vec<EpochStart>>, StoreError> {
    let Some(bytes) = view.get(Table::Node, EPOCHS)? else { return Ok(None) };
    decode_epochs(&bytes)
        .map(Some)
        .ok_or_else(|| StoreError::corrupt(Table::Node.name(), EPOCHS, "it ends early"))
}

/// The bytes of the list of epochs.
pub(crate) fn encode_epochs(epochs: &[EpochStart]) -> Vec<u8> {
    let mut out = Vec::with_capacity(epochs.len() * 20);
    for start in epochs {
        out.extend_from_slice(&start.epoch.to_be_bytes());
        out.extend_from_slice(&start.after_local_seq.to_be_bytes());
        out.extend_from_slice(&start.last_seq.to_be_bytes());
    }
    out
}

/// Reads the list of epochs; `None` when the bytes end early.
pub(crate) fn decode_epochs(bytes: &Bytes) -> Option<Vec<EpochStart>> {
    let mut cursor = Cursor::new(bytes);
    let mut epochs = Vec::new();
    while !cursor.rest().is_empty() {
        epochs.push(EpochStart {
            epoch: cursor.u32().ok()?,
            after_local_seq: cursor.u64().ok()?,
            last_seq: cursor.u64().ok()?,
        });
    }
    Some(epochs)
}

#[cfg(test)]
mod tests {
    use super::{EpochStart, Standing, decode_epochs, encode_epochs};
    use kvs_core::log_position::LogPosition;

    fn standing(starts: &[(u32, u64)]) -> Standing {
        let epochs = starts
            .iter()
            .map(|&(epoch, after_local_seq)| EpochStart { epoch, after_local_seq, last_seq: 0 })
            .collect();
        Standing { epochs, ..Standing::default() }
    }

    #[test]
    fn a_peer_goes_on_where_it_was_within_an_epoch() {
        let standing = standing(&[(1, 0), (2, 80)]);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 2, local_seq: 120 })), 120);
    }

    #[test]
    fn a_peer_that_read_a_lost_end_goes_on_where_the_log_was_cut() {
        let standing = standing(&[(1, 0), (2, 80), (3, 70)]);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 1, local_seq: 100 })), 70);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 1, local_seq: 60 })), 60);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 2, local_seq: 75 })), 70);
    }

    #[test]
    fn a_peer_that_read_nothing_or_another_log_begins_where_this_identity_did() {
        let standing = standing(&[(5, 30), (6, 90)]);
        assert_eq!(standing.resume(None), 30);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 2, local_seq: 1000 })), 30);
    }

    #[test]
    fn epochs_read_back() {
        let epochs = standing(&[(1, 0), (2, 80)]).epochs;
        assert_eq!(decode_epochs(&encode_epochs(&epochs).into()), Some(epochs));
        assert_eq!(decode_epochs(&vec![0; 21].into()), None);
    }
}
