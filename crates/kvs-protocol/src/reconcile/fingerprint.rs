//! What leaves a node instead of sums and items: short keyed fingerprints that are good for one session.

use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::item::{DigestKey, root};
use kvs_core::sum_tree::sum::Sum;

/// A range's fingerprint or a record's id.
pub type Short = [u8; 8];

/// Random, drawn by the asker for one session.
pub type Nonce = [u8; 16];

/// The keys of one session, the same on both sides.
#[derive(Clone)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// The keys that follow from the cluster's root key and the session's nonce.
    #[must_use]
    pub fn new(root_key: &[u8; 32], nonce: &Nonce) -> Self {
        Self(*blake3::keyed_hash(root_key, nonce).as_bytes())
    }

    /// The fingerprint of a set of records.
    #[must_use]
    pub fn range(&self, sum: &Sum) -> Short {
        short(&root(&self.0, b"range", sum))
    }

    /// The id of a record.
    #[must_use]
    pub fn id(&self, item: u128) -> Short {
        short(blake3::keyed_hash(&self.0, &item.to_be_bytes()).as_bytes())
    }
}

fn short(hash: &[u8; 32]) -> Short {
    hash.first_chunk().copied().unwrap_or_default()
}

/// What both sides of a session share before it begins.
#[derive(Clone)]
pub struct Secrets {
    root_key: [u8; 32],
    key_fingerprint: Short,
}

impl Secrets {
    /// From the keys of the cluster.
    #[must_use]
    pub fn of(keys: &ClusterKeys) -> Self {
        Self { root_key: keys.root, key_fingerprint: DigestKey::of(keys).fingerprint() }
    }

    /// Tells whether both sides digest with the same key.
    #[must_use]
    pub const fn key_fingerprint(&self) -> Short {
        self.key_fingerprint
    }

    /// The keys of the session with this nonce.
    #[must_use]
    pub fn session(&self, nonce: &Nonce) -> SessionKey {
        SessionKey::new(&self.root_key, nonce)
    }
}
