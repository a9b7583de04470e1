//! Where a node stands among others: which writes it has received, how far it has read its peers' logs, and where its
//! own epochs began.
//!
//! | table, key | value |
//! | --- | --- |
//! | `vectors` | see `vector_rows.rs` |
//! | `cursors`, node uuid | epoch (4 or 8), local sequence (8) |
//! | `node`, `lives` | per epoch of this node, 48 bytes: epoch (8), local sequence before it (8), last seq of it (8), and in ms the latest stamp in it (8), by how much the clock was ahead (8), what the clock read at its end (8) |
//! | `node`, `sweep` | stamp in ms (8) above which records may be void and current, for how many recalls (8) |
//!
//! A vector and a cursor change in the same batch as the records that make them true. What is parked and what was recalled
//! follows from the tables `parked` and `records`.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};
use kvs_core::log_position::LogPosition;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, EpochWidth, Origin, born_s, push_epoch};
use kvs_core::recall::{RECALL_PREFIX, Recalls, read_recall};
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::engine::contract::{Batch, Engine, Order, Snapshot};
use crate::epoch_start::EpochStart;
use crate::error::StoreError;
use crate::heard::Heard;
use crate::keys::{after_prefix, read_record_key};
use crate::node::{Counters, Identity, epoch_of};
use crate::parked::{self, ParkedDots};
use crate::read::view::View;
use crate::table::Table;
use crate::vector_rows;

/// What was kept of epochs before their stamps were: 20 bytes each, without the last field.
const EPOCHS: &[u8] = b"epochs";
pub(crate) const LIVES: &[u8] = b"lives";
const SWEEP: &[u8] = b"sweep";

/// Most epochs that are kept apart; older ones are forgotten, and a peer that last read then reads from the start.
const EPOCHS_MAX: usize = 256;

/// What is still to be looked through for recalled records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// Current records stamped above this may be void, ms since 1970.
    pub above_ms: u64,
    /// How many recalls it is for: one more begins it again, as what was looked through may be void by it.
    pub recalls: u64,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// What was received of each origin; this node's current epoch is counted elsewhere.
    pub vector: Vector,
    /// What was heard of besides.
    pub heard: Heard,
    /// How far the peers' logs were read.
    pub cursors: BTreeMap<Uuid, LogPosition>,
    /// This node's epochs, oldest first; the last one is current.
    pub epochs: Vec<EpochStart>,
    /// How many records are parked.
    pub parked: u64,
    /// Which numbers of which origins the parked records have, about.
    pub parked_dots: ParkedDots,
    /// What was recalled.
    pub recalls: Recalls,
    /// What is still to be looked through for recalled records.
    pub sweep: Option<Sweep>,
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
        let mut standing = Self { epochs, sweep: load_sweep(engine)?, ..Self::default() };
        (standing.vector, standing.heard) = vector_rows::load(&*snapshot)?;
        for row in snapshot.range(Table::Cursors, all(), Order::Ascending) {
            let (key, value) = row?;
            let corrupt = || StoreError::corrupt(Table::Cursors.name(), &key, "it cannot be read");
            let node = Cursor::new(&key).uuid().map_err(|_| corrupt())?;
            standing.cursors.insert(node, read_position(&value).ok_or_else(corrupt)?);
        }
        (standing.parked, standing.parked_dots) = parked::summary(&*snapshot)?;
        standing.recalls = recalls(&*snapshot)?;
        Ok(standing)
    }

    /// Notes that an epoch begins after `local_seq`, the one before having given out numbers and stamps up to `last`.
    pub(crate) fn begin_epoch(&mut self, epoch: u64, local_seq: u64, last: (u64, u64)) {
        if let Some(before) = self.epochs.last_mut() {
            (before.last_seq, before.top_ms) = last;
        }
        self.epochs.push(EpochStart::new(epoch, local_seq));
        if self.epochs.len() > EPOCHS_MAX {
            // One that gave nothing out is missed the least: whoever read the log in it reads it again.
            let last = self.epochs.len().saturating_sub(1);
            let unused = self.epochs.iter().take(last).position(|start| start.last_seq == 0);
            self.epochs.remove(unused.unwrap_or_default());
        }
    }

    /// Whether anything is known of an epoch.
    pub(crate) fn knows_epoch(&self, origin: &Origin) -> bool {
        self.vector.seq(origin) > 0
            || self.epochs.iter().any(|start| start.epoch == origin.epoch)
            || self.recalls.until_ms(origin).is_some()
            || self.parked_dots.lowest(origin).is_some()
    }

    /// The vector without the writes that are parked, and without those behind them: what is held.
    #[must_use]
    pub fn held(&self) -> Vector {
        let mut held = self.vector.clone();
        self.parked_dots.lower(&mut held);
        held
    }

    /// The highest numbers of a node's epochs that came here in some way, where they are not held up to there; `None` when
    /// some may be missing.
    #[must_use]
    pub fn heard_of(&self, node: Uuid) -> Option<BTreeMap<u64, u64>> {
        if self.heard.is_full() {
            return None;
        }
        let mut heard: BTreeMap<u64, u64> = self.heard.of_node(node).collect();
        if !self.parked_dots.is_empty() {
            let held = self.held();
            let received = self.vector.iter().filter(|(origin, _)| origin.node == node);
            for (origin, seq) in received.filter(|(origin, seq)| held.seq(origin) < *seq) {
                let highest = heard.entry(origin.epoch).or_default();
                *highest = seq.max(*highest);
            }
        }
        Some(heard)
    }

    /// Folds the epochs of this node away that began before a second since 1970. One of which stamps are ahead of the clock is
    /// still listed, as they may have to be taken back.
    pub(crate) fn fold(&mut self, own: Origin, before_s: u64, now_ms: u64) {
        self.vector.fold(own.node, before_s);
        self.heard.forget_covered(&self.vector);
        let first = self.epochs.first().map_or(0, |start| start.after_local_seq);
        self.epochs.retain(|start| {
            start.epoch == own.epoch || born_s(start.epoch) >= before_s || start.top_ms > now_ms
        });
        // Whoever last read the log in an epoch that is not listed any more reads it from its beginning.
        if let Some(start) = self.epochs.first_mut() {
            start.after_local_seq = first;
        }
    }

    /// Whether a write of another origin was received and is held, or something newer is.
    pub(crate) fn holds(&self, dot: &Dot) -> bool {
        self.vector.covers(dot) && dot.seq <= self.parked_dots.below(&dot.origin)
    }

    /// Adds the rows by which `after` differs from this.
    pub(crate) fn put_changes(&self, after: &Self, batch: &mut Batch) {
        if self.vector != after.vector {
            vector_rows::put_vector_changes(&self.vector, &after.vector, batch);
        }
        if self.heard != after.heard {
            vector_rows::put_heard_changes(&self.heard, &after.heard, batch);
        }
        for node in self.cursors.keys().filter(|node| !after.cursors.contains_key(node)) {
            batch.remove(Table::Cursors, node.as_bytes().to_vec());
        }
        for (node, position) in &after.cursors {
            if self.cursors.get(node) != Some(position) {
                put_cursor(batch, *node, *position);
            }
        }
        if self.epochs != after.epochs {
            put_epochs(batch, &after.epochs);
        }
        if self.sweep != after.sweep {
            put_sweep(batch, after.sweep);
        }
    }

    /// Where a peer that was at `position` goes on in the log as it is now: everything of it up to the answer is the
    /// same as what the peer has read.
    #[must_use]
    pub fn resume(&self, position: Option<LogPosition>) -> u64 {
        let first = self.epochs.first().map_or(0, |start| start.after_local_seq);
        let Some(position) = position else { return first };
        let mut later = self.epochs.iter().skip_while(|start| start.epoch != position.epoch);
        if later.next().is_none() {
            return first;
        }
        // The log was cut where a later epoch began behind it.
        later.map(|start| start.after_local_seq).fold(position.local_seq, u64::min)
    }
}

/// Reads which recalls are held.
fn recalls(snapshot: &dyn Snapshot) -> Result<Recalls, StoreError> {
    let from = [&[Namespace::Cluster.number()], RECALL_PREFIX.as_bytes()].concat();
    let to = after_prefix(&from).map_or(Bound::Unbounded, Bound::Excluded);
    let mut recalls = Recalls::default();
    for row in snapshot.range(Table::Records, (Bound::Included(from), to), Order::Ascending) {
        let (row_key, _) = row?;
        let key = read_record_key(&row_key);
        if let Some((origin, until_ms)) = key.and_then(|key| read_recall(key.namespace, &key.path)) {
            recalls.add(origin, until_ms);
        }
    }
    Ok(recalls)
}

fn put_cursor(batch: &mut Batch, node: Uuid, position: LogPosition) {
    let mut value = Vec::with_capacity(16);
    push_epoch(position.epoch, &mut value);
    value.extend_from_slice(&position.local_seq.to_be_bytes());
    batch.put(Table::Cursors, node.as_bytes().to_vec(), value);
}

/// Reads where a cursor is: the width of its epoch follows from its length.
fn read_position(value: &[u8]) -> Option<LogPosition> {
    let mut cursor = Cursor::new(value);
    let epoch = EpochWidth::from_bytes(value.len().checked_sub(8)?)?.take(&mut cursor)?;
    Some(LogPosition { epoch, local_seq: cursor.u64().ok()? })
}

/// Begins a new epoch: numbers that this node gave out may be forgotten and must not be given out again. The numbers of
/// an epoch begin at 1. Its beginning is after the node's marker and not before that of the epoch before it, and later when that
/// one gave numbers out.
/// The rest of it is drawn at random, so that no other life of the node, one that this directory has forgotten included, can
/// have had it.
pub(crate) fn begin_epoch(
    identity: &mut Identity,
    counters: &mut Counters,
    standing: &mut Standing,
    now_ms: u64,
    random: [u8; 4],
) {
    let last_seq = counters.next_origin_seq.saturating_sub(1);
    // What is remembered of the old epoch was received, like any other origin's.
    standing.vector.raise(identity.origin, last_seq);
    let node = identity.origin.node;
    let before_s = born_s(identity.origin.epoch).saturating_add(u64::from(last_seq > 0));
    let folded_s = Some(standing.vector.marker(node)).filter(|marker_s| *marker_s > 0);
    let born_s = before_s.max(now_ms / 1000).max(folded_s.map_or(0, |marker_s| marker_s.saturating_add(1)));
    let mut random = random;
    let mut epoch = epoch_of(born_s, random);
    while standing.knows_epoch(&Origin { node, epoch }) {
        random = u32::from_be_bytes(random).wrapping_add(1).to_be_bytes();
        epoch = epoch_of(born_s, random);
    }
    identity.origin.epoch = epoch;
    counters.next_origin_seq = 1;
    let top_ms = std::mem::take(&mut counters.top_ms);
    if let Some(current) = standing.epochs.last_mut()
        && top_ms > now_ms
        && current.ended_ms == 0
    {
        // The clock was set back since, while no process looked.
        current.ended_ms = top_ms;
    }
    standing.begin_epoch(epoch, counters.next_local_seq.saturating_sub(1), (last_seq, top_ms));
}

pub(crate) fn put_epochs(batch: &mut Batch, epochs: &[EpochStart]) {
    batch.put(Table::Node, LIVES.to_vec(), encode_epochs(epochs));
}

/// The epochs as noted; a node from before they were has had one, whose log was sent to nobody.
pub(crate) fn load_epochs(
    engine: &dyn Engine,
    identity: &Identity,
    counters: &Counters,
) -> Result<Vec<EpochStart>, StoreError> {
    let noted = read_epochs(|key| Ok(engine.get(Table::Node, key)?))?;
    Ok(noted.unwrap_or_else(|| {
        let after_local_seq = counters.next_local_seq.saturating_sub(1);
        vec![EpochStart::new(identity.origin.epoch, after_local_seq)]
    }))
}

/// The epochs at the view's moment; `None` for a node from before they were noted.
pub(crate) fn epochs_at(view: &View) -> Result<Option<Vec<EpochStart>>, StoreError> {
    read_epochs(|key| view.get(Table::Node, key))
}

fn read_epochs(
    get: impl Fn(&[u8]) -> Result<Option<Bytes>, StoreError>,
) -> Result<Option<Vec<EpochStart>>, StoreError> {
    let (key, read) = match get(LIVES)? {
        Some(bytes) => (LIVES, decode_epochs(&bytes)),
        None => match get(EPOCHS)? {
            Some(bytes) => (EPOCHS, decode_epochs_without_stamps(&bytes)),
            None => return Ok(None),
        },
    };
    read.map(Some).ok_or_else(|| StoreError::corrupt(Table::Node.name(), key, "it ends early"))
}

/// What is still to be looked through for recalled records; `None` when everything was.
pub(crate) fn load_sweep(engine: &dyn Engine) -> Result<Option<Sweep>, StoreError> {
    let Some(bytes) = engine.get(Table::Node, SWEEP)? else { return Ok(None) };
    let mut cursor = Cursor::new(&bytes);
    let mut read =
        || -> Result<Sweep, EndsEarly> { Ok(Sweep { above_ms: cursor.u64()?, recalls: cursor.u64()? }) };
    read().map(Some).map_err(|_| StoreError::corrupt(Table::Node.name(), SWEEP, "it ends early"))
}

pub(crate) fn put_sweep(batch: &mut Batch, sweep: Option<Sweep>) {
    match sweep {
        Some(Sweep { above_ms, recalls }) => {
            let value = [above_ms.to_be_bytes(), recalls.to_be_bytes()].concat();
            batch.put(Table::Node, SWEEP.to_vec(), value);
        }
        None => batch.remove(Table::Node, SWEEP.to_vec()),
    }
}

/// The bytes of the list of epochs.
pub(crate) fn encode_epochs(epochs: &[EpochStart]) -> Vec<u8> {
    let mut out = Vec::with_capacity(epochs.len() * 48);
    for start in epochs {
        out.extend_from_slice(&start.epoch.to_be_bytes());
        out.extend_from_slice(&start.after_local_seq.to_be_bytes());
        out.extend_from_slice(&start.last_seq.to_be_bytes());
        out.extend_from_slice(&start.top_ms.to_be_bytes());
        out.extend_from_slice(&start.lead_ms.to_be_bytes());
        out.extend_from_slice(&start.ended_ms.to_be_bytes());
    }
    out
}

/// Reads the list of epochs; `None` when the bytes end early.
pub(crate) fn decode_epochs(bytes: &Bytes) -> Option<Vec<EpochStart>> {
    let mut cursor = Cursor::new(bytes);
    let mut epochs = Vec::new();
    while !cursor.rest().is_empty() {
        let epoch = cursor.u64().ok()?;
        let (after_local_seq, last_seq) = (cursor.u64().ok()?, cursor.u64().ok()?);
        let (top_ms, lead_ms) = (cursor.u64().ok()?, cursor.u64().ok()?);
        let ended_ms = cursor.u64().ok()?;
        epochs.push(EpochStart { epoch, after_local_seq, last_seq, top_ms, lead_ms, ended_ms });
    }
    Some(epochs)
}

/// Reads the list as it was before stamps were in it; `None` when the bytes end early.
pub(crate) fn decode_epochs_without_stamps(bytes: &Bytes) -> Option<Vec<EpochStart>> {
    let mut cursor = Cursor::new(bytes);
    let mut epochs = Vec::new();
    while !cursor.rest().is_empty() {
        let epoch = EpochWidth::Short.take(&mut cursor)?;
        let (after_local_seq, last_seq) = (cursor.u64().ok()?, cursor.u64().ok()?);
        epochs.push(EpochStart { last_seq, ..EpochStart::new(epoch, after_local_seq) });
    }
    Some(epochs)
}

#[cfg(test)]
mod tests {
    use super::{
        EPOCHS_MAX, EpochStart, Standing, begin_epoch, decode_epochs, decode_epochs_without_stamps,
        encode_epochs, read_position,
    };
    use crate::node::{Counters, Identity};
    use kvs_core::log_position::LogPosition;
    use kvs_core::origin::{Origin, born_s};
    use uuid::Uuid;

    fn standing(starts: &[(u64, u64)]) -> Standing {
        let epochs = starts
            .iter()
            .map(|&(epoch, after_local_seq)| EpochStart {
                top_ms: 7,
                lead_ms: 8,
                ended_ms: 9,
                ..EpochStart::new(epoch, after_local_seq)
            })
            .collect();
        Standing { epochs, ..Standing::default() }
    }

    #[test]
    fn a_peer_goes_on_where_it_was_within_an_epoch() {
        let standing = standing(&[(9, 0), (2, 80)]);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 2, local_seq: 120 })), 120);
    }

    #[test]
    fn a_peer_that_read_a_lost_end_goes_on_where_the_log_was_cut() {
        let standing = standing(&[(5, 0), (2, 80), (3, 70)]);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 5, local_seq: 100 })), 70);
        assert_eq!(standing.resume(Some(LogPosition { epoch: 5, local_seq: 60 })), 60);
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
        assert_eq!(decode_epochs(&vec![0; 29].into()), None);
    }

    #[test]
    fn epochs_of_an_older_directory_read_as_if_they_had_no_stamps() {
        let bytes = [&7_u32.to_be_bytes()[..], &3_u64.to_be_bytes(), &5_u64.to_be_bytes()].concat();
        let start = EpochStart { last_seq: 5, ..EpochStart::new(7, 3) };
        assert_eq!(decode_epochs_without_stamps(&bytes.into()), Some(vec![start]));
    }

    #[test]
    fn a_cursor_is_read_in_both_widths() {
        let old = [&7_u32.to_be_bytes()[..], &9_u64.to_be_bytes()].concat();
        assert_eq!(read_position(&old), Some(LogPosition { epoch: 7, local_seq: 9 }));
        let long = [&(7_u64 << 32 | 1).to_be_bytes()[..], &9_u64.to_be_bytes()].concat();
        assert_eq!(read_position(&long), Some(LogPosition { epoch: 7 << 32 | 1, local_seq: 9 }));
        for bytes in [&long[1..], &old[1..], &[0; 16][..], &[][..]] {
            assert_eq!(read_position(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn an_epoch_begins_when_the_clock_says_and_after_one_that_gave_numbers_out() {
        let mut identity = Identity { origin: Origin { node: Uuid::from_u128(1), epoch: 7 }, joined_ms: 1 };
        let (mut counters, mut standing) = (Counters::default(), standing(&[(7, 0)]));
        let mut begin = |numbers: u64, now_ms| {
            counters.next_origin_seq += numbers;
            begin_epoch(&mut identity, &mut counters, &mut standing, now_ms, [0, 0, 0, 5]);
            (born_s(identity.origin.epoch), identity.origin.epoch & 0xffff_ffff)
        };
        assert_eq!(begin(0, 2_000_999), (2000, 5));
        assert_eq!(begin(0, 2_000_000), (2000, 6), "the same second, and the random part was had");
        assert_eq!(begin(3, 1_000_000), (2001, 5), "the clock was set back");
        assert_eq!(begin(1, 9_000_000), (9000, 5));
    }

    #[test]
    fn a_long_list_of_epochs_forgets_those_that_gave_nothing_out() {
        let mut standing = standing(&[(1, 0)]);
        for epoch in 2..400 {
            let last_seq = if epoch % 2 == 0 { 9 } else { 0 };
            standing.begin_epoch(epoch, 0, (last_seq, 0));
        }
        assert_eq!(standing.epochs.len(), EPOCHS_MAX);
        let used = standing.epochs.iter().filter(|start| start.last_seq > 0).count();
        assert_eq!(used, 199);
    }
}
