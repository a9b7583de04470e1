//! A record: one version of one key, with everything that replication and permission need to know about it.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::digest::ContentDigest;
use crate::limits::PRINCIPAL_BYTES_MAX;
use crate::origin::Dot;
use crate::version::Version;

/// What a version says about its key. Numbers are part of the format; the greater number wins within one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The key holds the payload.
    Value = 1,
    /// The key was deleted.
    Tombstone = 2,
    /// The value of this version reached its expiry; it is its own tombstone, with the same stamp and dot.
    Expired = 3,
    /// Nothing is held of the key but its history, since a peer that had received this version holds it no more. Only at
    /// rest on one node.
    Dropped = 4,
    /// Nothing is held of the key but its history, since this version was recalled and no other is left. Only at rest on
    /// one node.
    Voided = 5,
}

impl Kind {
    /// The stored number, 1..=5.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Value),
            2 => Some(Self::Tombstone),
            3 => Some(Self::Expired),
            4 => Some(Self::Dropped),
            5 => Some(Self::Voided),
            _ => None,
        }
    }

    /// Whether it only keeps the place of a history: nothing is held of the key, and nobody else is told.
    #[must_use]
    pub const fn is_placeholder(self) -> bool {
        matches!(self, Self::Dropped | Self::Voided)
    }
}

/// The name of whoever wrote or owns a key; empty for nobody. 0..=255 bytes of UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Principal(Bytes);

impl Principal {
    /// Nobody: an anonymous author, a key that no one owns.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(Bytes::new())
    }

    /// The principal of this name; `None` when the name is longer than 255 bytes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (name.len() <= PRINCIPAL_BYTES_MAX).then(|| Self(Bytes::copy_from_slice(name.as_bytes())))
    }

    /// The name; empty for nobody.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only made from text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The JSON bytes of a value, as they rest.
///
/// Two payloads may differ in bytes and say the same: equality of content is the record's digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// As sent.
    Raw(Bytes),
    /// A zstd frame of what was sent; taken only when it is smaller.
    Zstd {
        /// Length of what was sent, in bytes; decompression is bounded by it.
        raw_len: u32,
        /// The zstd frame.
        frame: Bytes,
    },
}

impl Payload {
    /// The payload of a tombstone.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Raw(Bytes::new())
    }

    /// The bytes that rest.
    #[must_use]
    pub const fn stored(&self) -> &Bytes {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Zstd { frame, .. } => frame,
        }
    }

    /// Length of the JSON as sent, in bytes.
    #[must_use]
    pub fn raw_len(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.len(),
            Self::Zstd { raw_len, .. } => *raw_len as usize,
        }
    }
}

/// One version of one key.
///
/// **Invariant:** only a value has a payload that is not empty; the codec refuses any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What orders it.
    pub version: Version,
    /// Who gave it which number.
    pub dot: Dot,
    /// What it says about its key.
    pub kind: Kind,
    /// When it expires, in milliseconds since 1970; 0 for never. Of a placeholder, when it is forgotten.
    pub expires_at_ms: u64,
    /// Who wrote it.
    pub author: Principal,
    /// Who owns the key; kept by tombstones, so that deleting and creating again takes nothing over.
    pub owner: Principal,
    /// Digest of the JSON bytes that this version was written with (an expired record keeps its value's).
    pub digest: ContentDigest,
    /// The JSON bytes.
    pub payload: Payload,
}

impl Record {
    /// Whether a reader at `now_ms` sees a value: the kind says so and the expiry has not come.
    #[must_use]
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.kind == Kind::Value && !self.has_expired(now_ms)
    }

    /// Whether the expiry has come at `now_ms`.
    #[must_use]
    pub const fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= now_ms
    }

    /// This value as its own tombstone: same version, dot and digest, no payload.
    #[must_use]
    pub fn expired(&self) -> Self {
        Self { kind: Kind::Expired, payload: Payload::empty(), ..self.clone() }
    }

    /// The placeholder of this version's history, which is forgotten at `until_ms`.
    #[must_use]
    pub fn placeholder(&self, kind: Kind, until_ms: u64) -> Self {
        Self { kind, expires_at_ms: until_ms, payload: Payload::empty(), ..self.clone() }
    }

    /// The total order of records of one key: the version first; then, for one version in two states, the kind.
    ///
    /// The remaining fields only matter for records that break the rule "one uuid, one version"; they are compared so
    /// that even those end the same on every node. Payload bytes are left out, as they may rest in two forms.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.version
            .cmp(&other.version)
            .then_with(|| self.kind.cmp(&other.kind))
            .then_with(|| self.digest.cmp(&other.digest))
            .then_with(|| self.expires_at_ms.cmp(&other.expires_at_ms))
            .then_with(|| self.dot.cmp(&other.dot))
            .then_with(|| self.author.cmp(&other.author))
            .then_with(|| self.owner.cmp(&other.owner))
    }
}
