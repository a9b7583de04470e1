//! The table `node`: who this node is, how far its numbers go, and whether it was closed in order.
//!
//! | key | value |
//! | --- | --- |
//! | `identity` | node uuid (16), join time ms (8), epoch (4) |
//! | `counters` | next local seq (8), next origin seq (8), live keys (8), live JSON bytes (8), tombstones (8) |
//! | `generation` | how often the node was started (4) |
//! | `epochs` | where its epochs began, see `standing` |
//! | `members`, `bootstrap`, `acknowledged` | notes of the cluster |
//! | `closed` | 1 after an orderly end, 0 while open (1); durability while open (1) |
//!
//! The counters are written with every batch, so they are exact after any crash.

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};
use kvs_core::origin::Origin;
use kvs_core::version::JOINED_YOUNGEST_MS;
use uuid::Uuid;

use crate::engine::contract::{Batch, Engine};
use crate::error::StoreError;
use crate::read::view::View;
use crate::settings::{Durability, FirstJoined};
use crate::standing::{self, EpochStart, Standing};
use crate::table::Table;

const IDENTITY: &[u8] = b"identity";
const COUNTERS: &[u8] = b"counters";
const CLOSED: &[u8] = b"closed";
const GENERATION: &[u8] = b"generation";
const RESTORED: &[u8] = b"restored";
pub(crate) const EPOCHS: &[u8] = b"epochs";

/// Who this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The node's uuid and epoch.
    pub origin: Origin,
    /// When it joined, ms since 1970; [`kvs_core::version::JOINED_YOUNGEST_MS`] before it has.
    pub joined_ms: u64,
}

impl Identity {
    /// Who a new node is: a uuid from random bytes, in its first epoch.
    pub(crate) fn first(random: [u8; 16], first_joined: FirstJoined, now_ms: u64) -> Self {
        let joined_ms = match first_joined {
            FirstJoined::Now => now_ms,
            FirstJoined::Youngest => JOINED_YOUNGEST_MS,
        };
        Self { origin: Origin { node: random_uuid(random), epoch: 1 }, joined_ms }
    }
}

/// How far this node's numbers go, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The next local sequence number, from 1.
    pub next_local_seq: u64,
    /// The next number of this origin's writes, from 1 in each epoch.
    pub next_origin_seq: u64,
    /// Keys with a value (expired ones count until they are reaped).
    pub keys: u64,
    /// Bytes of their JSON as sent.
    pub bytes: u64,
    /// Keys with a tombstone.
    pub tombstones: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { next_local_seq: 1, next_origin_seq: 1, keys: 0, bytes: 0, tombstones: 0 }
    }
}

/// How the store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Closed in order.
    InOrder,
    /// Not closed; this was its durability.
    Open(Durability),
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
    batch.put(Table::Node, EPOCHS.to_vec(), standing::encode_epochs(epochs));
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
    standing::decode_epochs(&bytes)
        .ok_or_else(|| StoreError::corrupt(Table::Node.name(), EPOCHS, "it ends early"))
}

/// The epochs at the view's moment; `None` for a node from before they were noted.
pub(crate) fn epochs_at(view: &View) -> Result<Option<Vec<EpochStart>>, StoreError> {
    let Some(bytes) = view.get(Table::Node, EPOCHS)? else { return Ok(None) };
    standing::decode_epochs(&bytes)
        .map(Some)
        .ok_or_else(|| StoreError::corrupt(Table::Node.name(), EPOCHS, "it ends early"))
}

/// How often the node was started before.
pub(crate) fn load_generation(engine: &dyn Engine) -> Result<u32, StoreError> {
    let Some(bytes) = engine.get(Table::Node, GENERATION)? else { return Ok(0) };
    Cursor::new(&bytes)
        .u32()
        .map_err(|_| StoreError::corrupt(Table::Node.name(), GENERATION, "it ends early"))
}

/// How often the node had been started at the view's moment.
pub(crate) fn generation_at(view: &View) -> Result<u32, StoreError> {
    let Some(bytes) = view.get(Table::Node, GENERATION)? else { return Ok(0) };
    Cursor::new(&bytes)
        .u32()
        .map_err(|_| StoreError::corrupt(Table::Node.name(), GENERATION, "it ends early"))
}

pub(crate) fn put_generation(batch: &mut Batch, generation: u32) {
    batch.put(Table::Node, GENERATION.to_vec(), generation.to_be_bytes().to_vec());
}

/// When the node was restored from a backup, ms since 1970.
pub(crate) fn load_restored(engine: &dyn Engine) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = engine.get(Table::Node, RESTORED)? else { return Ok(None) };
    Cursor::new(&bytes)
        .u64()
        .map(Some)
        .map_err(|_| StoreError::corrupt(Table::Node.name(), RESTORED, "it ends early"))
}

pub(crate) fn put_restored(batch: &mut Batch, restored_ms: u64) {
    batch.put(Table::Node, RESTORED.to_vec(), restored_ms.to_be_bytes().to_vec());
}

/// What the table says; `None` for a new node.
pub(crate) fn load(engine: &dyn Engine) -> Result<Option<(Identity, Counters, Left)>, StoreError> {
    load_with(|key| Ok(engine.get(Table::Node, key)?))
}

/// What the table said at the view's moment; `None` for a new node.
pub(crate) fn load_at(view: &View) -> Result<Option<(Identity, Counters, Left)>, StoreError> {
    load_with(|key| view.get(Table::Node, key))
}

fn load_with(
    get: impl Fn(&[u8]) -> Result<Option<Bytes>, StoreError>,
) -> Result<Option<(Identity, Counters, Left)>, StoreError> {
    let Some(identity) = get(IDENTITY)? else {
        return Ok(None);
    };
    let missing = |key: &[u8]| StoreError::corrupt(Table::Node.name(), key, "it is missing");
    let counters = get(COUNTERS)?.ok_or_else(|| missing(COUNTERS))?;
    let closed = get(CLOSED)?.ok_or_else(|| missing(CLOSED))?;
    let short = |key: &'static [u8]| move |_| StoreError::corrupt(Table::Node.name(), key, "it ends early");
    Ok(Some((
        read_identity(&identity).map_err(short(IDENTITY))?,
        read_counters(&counters).map_err(short(COUNTERS))?,
        read_left(&closed).map_err(short(CLOSED))?,
    )))
}

pub(crate) fn put_identity(batch: &mut Batch, identity: &Identity) {
    let mut value = Vec::with_capacity(28);
    value.extend_from_slice(identity.origin.node.as_bytes());
    value.extend_from_slice(&identity.joined_ms.to_be_bytes());
    value.extend_from_slice(&identity.origin.epoch.to_be_bytes());
    batch.put(Table::Node, IDENTITY.to_vec(), value);
}

pub(crate) fn put_counters(batch: &mut Batch, counters: &Counters) {
    let mut value = Vec::with_capacity(40);
    for number in [
        counters.next_local_seq,
        counters.next_origin_seq,
        counters.keys,
        counters.bytes,
        counters.tombstones,
    ] {
        value.extend_from_slice(&number.to_be_bytes());
    }
    batch.put(Table::Node, COUNTERS.to_vec(), value);
}

pub(crate) fn put_left(batch: &mut Batch, left: Left) {
    let value = match left {
        Left::InOrder => [1, 0],
        Left::Open(Durability::Always) => [0, 1],
        Left::Open(Durability::Interval) => [0, 2],
        Left::Open(Durability::Never) => [0, 3],
    };
    batch.put(Table::Node, CLOSED.to_vec(), value.to_vec());
}

/// A random uuid from random bytes.
pub(crate) fn random_uuid(random: [u8; 16]) -> Uuid {
    uuid::Builder::from_random_bytes(random).into_uuid()
}

fn read_identity(bytes: &Bytes) -> Result<Identity, EndsEarly> {
    let mut cursor = Cursor::new(bytes);
    let node = cursor.uuid()?;
    let joined_ms = cursor.u64()?;
    let epoch = cursor.u32()?;
    Ok(Identity { origin: Origin { node, epoch }, joined_ms })
}

fn read_counters(bytes: &Bytes) -> Result<Counters, EndsEarly> {
    let mut cursor = Cursor::new(bytes);
    Ok(Counters {
        next_local_seq: cursor.u64()?,
        next_origin_seq: cursor.u64()?,
        keys: cursor.u64()?,
        bytes: cursor.u64()?,
        tombstones: cursor.u64()?,
    })
}

fn read_left(bytes: &Bytes) -> Result<Left, EndsEarly> {
    let mut cursor = Cursor::new(bytes);
    Ok(match (cursor.u8()?, cursor.u8()?) {
        (1, _) => Left::InOrder,
        (_, 1) => Left::Open(Durability::Always),
        (_, 2) => Left::Open(Durability::Interval),
        _ => Left::Open(Durability::Never),
    })
}
