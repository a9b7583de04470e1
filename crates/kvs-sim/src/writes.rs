//! Every write that clients asked for: when, where, and what became of it.

use std::collections::BTreeMap;

use kvs_core::digest::ContentDigest;
use kvs_core::record::Kind;
use kvs_store::observer::Key;
use uuid::Uuid;

use crate::held::{Held, Moment};

/// One write that a client asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The machine that was asked.
    pub place: usize,
    /// When, by the world's own clock.
    pub at: Moment,
    /// The version that it made. Of one that was not acknowledged only the content and the kind are known.
    pub held: Held,
    /// Whether the client was told that it is done.
    pub is_acknowledged: bool,
    /// Whether it went with a disk before anybody else had it: it may come back, but need not.
    pub is_lost: bool,
}

impl Asked {
    /// A write that was acknowledged.
    #[must_use]
    pub const fn new(place: usize, held: Held, at: Moment) -> Self {
        Self { place, at, held, is_acknowledged: true, is_lost: false }
    }

    /// Whether a value says what this write said.
    #[must_use]
    pub fn is_said_by(&self, value: &Held) -> bool {
        self.held.kind == Kind::Value && self.held.digest == value.digest
    }
}

/// Every write that clients asked for, in the order of time.
#[derive(Debug, Default)]
pub struct Writes {
    by_key: BTreeMap<Key, Vec<Asked>>,
    acknowledged: usize,
}

impl Writes {
    /// A write was acknowledged.
    pub fn acknowledged(&mut self, key: &Key, asked: Asked) {
        self.acknowledged += 1;
        self.by_key.entry(key.clone()).or_default().push(asked);
    }

    /// A write was asked for whose end nobody knows: it may be found later.
    pub fn attempted(&mut self, key: &Key, asked: Asked) {
        let asked = Asked { is_acknowledged: false, ..asked };
        self.by_key.entry(key.clone()).or_default().push(asked);
    }

    /// How many were acknowledged.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.acknowledged
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Asked)> {
        self.by_key.iter().flat_map(|(key, writes)| writes.iter().map(move |asked| (key, asked)))
    }

    /// Those of a key, in the order of time.
    #[must_use]
    pub fn of(&self, key: &Key) -> &[Asked] {
        self.by_key.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// A write went with a disk.
    pub fn lose(&mut self, key: &Key, uuid: &Uuid) {
        let writes = self.by_key.get_mut(key).map(Vec::as_mut_slice).unwrap_or_default();
        for asked in writes.iter_mut().filter(|asked| asked.held.version.uuid == *uuid) {
            asked.is_lost = true;
        }
    }

    /// The newest acknowledged delete of a key, by the order of versions.
    #[must_use]
    pub fn newest_delete(&self, key: &Key) -> Option<Held> {
        let deletes =
            self.of(key).iter().filter(|asked| asked.is_acknowledged && asked.held.kind == Kind::Tombstone);
        deletes.map(|asked| asked.held).max_by_key(|held| held.version)
    }

    /// The newest acknowledged write of a key, by the order of versions, that was not lost.
    #[must_use]
    pub fn newest(&self, key: &Key) -> Option<Held> {
        let kept = self.of(key).iter().filter(|asked| asked.is_acknowledged && !asked.is_lost);
        kept.map(|asked| asked.held).max_by_key(|held| held.version)
    }
}

/// What a delete says.
#[must_use]
pub fn nothing_said() -> ContentDigest {
    ContentDigest::of(b"")
}
