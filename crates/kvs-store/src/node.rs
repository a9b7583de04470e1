//! The table `node`: who this node is, how far its numbers go, and whether it was closed in order.
//!
//! | key | value |
//! | --- | --- |
//! | `identity` | node uuid (16), join time ms (8), epoch (4 or 8) |
//! | `counters` | next local seq (8), next origin seq (8), live keys (8), live JSON bytes (8), tombstones (8), latest stamp that this epoch gave in ms (8) |
//! | `generation` | how often the node was started (4) |
//! | `lives` | where its epochs began, see `standing` |
//! | `sweep` | records above a stamp are still to be looked through for recalled ones, see `standing` |
//! | `members`, `bootstrap`, `acknowledged`, `shortest_grace` | notes of the cluster |
//! | `closed` | 1 after an orderly end, 0 while open (1); durability while open (1) |
//!
//! The counters are written with every batch, so they are exact after any crash.

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};
use kvs_core::origin::{EpochWidth, Origin, epoch_at, push_epoch};
use kvs_core::version::JOINED_YOUNGEST_MS;
use uuid::Uuid;

use crate::engine::contract::{Batch, Engine};
use crate::error::StoreError;
use crate::read::view::View;
use crate::settings::{Durability, FirstJoined};
use crate::table::Table;

const IDENTITY: &[u8] = b"identity";
const COUNTERS: &[u8] = b"counters";
const CLOSED: &[u8] = b"closed";
const GENERATION: &[u8] = b"generation";
const RESTORED: &[u8] = b"restored";

/// Who this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The node's uuid and epoch.
    pub origin: Origin,
    /// When it joined, ms since 1970; [`kvs_core::version::JOINED_YOUNGEST_MS`] before it has.
    pub joined_ms: u64,
}

impl Identity {
    /// Who a new node is: a uuid and a first epoch from random bytes.
    pub(crate) fn first(random: NewIdentity, first_joined: FirstJoined, now_ms: u64) -> Self {
        let joined_ms = match first_joined {
            FirstJoined::Now => now_ms,
            FirstJoined::Youngest => JOINED_YOUNGEST_MS,
        };
        let epoch = epoch_of(now_ms / 1000, random.epoch);
        Self { origin: Origin { node: random_uuid(random.node), epoch }, joined_ms }
    }
}

/// Random bytes for a new identity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewIdentity {
    pub(crate) node: [u8; 16],
    pub(crate) epoch: [u8; 4],
}

impl NewIdentity {
    /// Bytes of a seed that nothing else is made of.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let (node, rest) = seed.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self { node: *node, epoch: rest.first_chunk().copied().unwrap_or_default() }
    }
}

/// The epoch that begins at a moment, with a random part.
pub(crate) fn epoch_of(born_s: u64, random: [u8; 4]) -> u64 {
    epoch_at(u32::try_from(born_s).unwrap_or(u32::MAX), u32::from_be_bytes(random))
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
    /// The latest stamp that this node gave in its epoch, ms since 1970.
    pub top_ms: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { next_local_seq: 1, next_origin_seq: 1, keys: 0, bytes: 0, tombstones: 0, top_ms: 0 }
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
        read_identity(&identity).ok_or(EndsEarly).map_err(short(IDENTITY))?,
        read_counters(&counters).map_err(short(COUNTERS))?,
        read_left(&closed).map_err(short(CLOSED))?,
    )))
}

pub(crate) fn put_identity(batch: &mut Batch, identity: &Identity) {
    let mut value = Vec::with_capacity(28);
    value.extend_from_slice(identity.origin.node.as_bytes());
    value.extend_from_slice(&identity.joined_ms.to_be_bytes());
    push_epoch(identity.origin.epoch, &mut value);
    batch.put(Table::Node, IDENTITY.to_vec(), value);
}

pub(crate) fn put_counters(batch: &mut Batch, counters: &Counters) {
    let mut value = Vec::with_capacity(48);
    for number in [
        counters.next_local_seq,
        counters.next_origin_seq,
        counters.keys,
        counters.bytes,
        counters.tombstones,
        counters.top_ms,
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

fn read_identity(bytes: &Bytes) -> Option<Identity> {
    let mut cursor = Cursor::new(bytes);
    let node = cursor.uuid().ok()?;
    let joined_ms = cursor.u64().ok()?;
    let epoch = EpochWidth::from_bytes(cursor.rest().len())?.take(&mut cursor)?;
    Some(Identity { origin: Origin { node, epoch }, joined_ms })
}

fn read_counters(bytes: &Bytes) -> Result<Counters, EndsEarly> {
    let mut cursor = Cursor::new(bytes);
    Ok(Counters {
        next_local_seq: cursor.u64()?,
        next_origin_seq: cursor.u64()?,
        keys: cursor.u64()?,
        bytes: cursor.u64()?,
        tombstones: cursor.u64()?,
        // Absent in directories from before it was counted.
        top_ms: if cursor.rest().is_empty() { 0 } else { cursor.u64()? },
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
