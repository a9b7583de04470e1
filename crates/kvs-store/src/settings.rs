//! What the store is told at opening.

use kvs_core::item::DigestKey;

/// When a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After an fsync that covers it.
    #[default]
    Always,
    /// At once; an fsync follows within [`crate::limits::SYNC_INTERVAL`].
    Interval,
    /// At once; the operating system writes when it likes.
    Never,
}

/// The join time that a node without one takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstJoined {
    /// The first node of a cluster, or one alone: now.
    #[default]
    Now,
    /// It waits for a cluster to admit it and wins no tie until then.
    Youngest,
}

/// Who else must have a tombstone before it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collection {
    /// Nobody: the node is alone, and age decides.
    #[default]
    Alone,
    /// Every member: nothing is collected until [`crate::store::Store::set_collection_floor`] says what they have.
    Covered,
}

/// What the store is told at opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When a write is answered.
    pub durability: Durability,
    /// Revisions kept per key besides the current one; 0 keeps none.
    pub revision_limit: u32,
    /// The zstd level for payloads, 1..=19; `None` stores every payload as sent.
    pub compression_level: Option<i32>,
    /// The engine's block cache, in bytes.
    pub cache_bytes: u64,
    /// How long a tombstone stays at least, in milliseconds.
    pub tombstone_grace_ms: u64,
    /// The join time of a node that has none yet.
    pub first_joined: FirstJoined,
    /// How far ahead of this node's clock a peer's record may be stamped, in milliseconds; one further ahead is parked.
    pub clock_skew_ms_max: u64,
    /// Who else must have a tombstone before it is forgotten.
    pub collection: Collection,
    /// The key of the digest of what the node holds.
    pub digest_key: DigestKey,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Always,
            revision_limit: 10,
            compression_level: Some(3),
            cache_bytes: 32 * 1024 * 1024,
            tombstone_grace_ms: 24 * 3_600_000,
            first_joined: FirstJoined::Now,
            clock_skew_ms_max: 60_000,
            collection: Collection::Alone,
            digest_key: DigestKey::alone(),
        }
    }
}
