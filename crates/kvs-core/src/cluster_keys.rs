//! The keys of a cluster: each derived from its one secret under a label of its own.
//!
//! Who holds the secret is a member; who holds one derived key learns nothing about another. A label never changes its
//! meaning: a new use gets a new label.
//!
//! **Invariant:** neither the secret nor a key is ever printed; `Debug` tells the public id alone.
//!
//! Left out: where the secret comes from and how it is kept.

use std::fmt;

const PEER_LABEL: &str = "kvs 2026-11 cluster secret to peer authentication key v1";
const DIGEST_LABEL: &str = "kvs 2026-11 cluster secret to digest item key v1";
const ROOT_LABEL: &str = "kvs 2026-11 cluster secret to digest root key v1";
const TOKEN_LABEL: &str = "kvs 2026-11 cluster secret to access token key v1";
const CURSOR_LABEL: &str = "kvs 2026-11 cluster secret to listing cursor key v1";
const ID_LABEL: &str = "kvs 2026-11 cluster secret to public cluster id v1";

/// Everything that follows from a cluster's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKeys {
    /// Authenticates what nodes say to each other.
    pub peer: [u8; 32],
    /// Keys the digest of each record, so that nobody outside can make two sets look equal.
    pub digest: [u8; 32],
    /// Finalises sums of digests before they leave the node.
    pub root: [u8; 32],
    /// Signs the access tokens of users.
    pub token: [u8; 32],
    /// Hides where a listing ended from callers who may not know what is there.
    pub cursor: [u8; 32],
    /// Names the cluster; public, the same on every member.
    pub id: [u8; 16],
}

impl ClusterKeys {
    /// Derives all keys from a secret of any length.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let named = blake3::derive_key(ID_LABEL, secret);
        let mut id = [0; 16];
        id.iter_mut().zip(named).for_each(|(to, from)| *to = from);
        Self {
            peer: blake3::derive_key(PEER_LABEL, secret),
            digest: blake3::derive_key(DIGEST_LABEL, secret),
            root: blake3::derive_key(ROOT_LABEL, secret),
            cursor: blake3::derive_key(CURSOR_LABEL, secret),
            token: blake3::derive_key(TOKEN_LABEL, secret),
            id,
        }
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClusterKeys")
            .field("id", &format_args!("{:032x}", u128::from_be_bytes(self.id)))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterKeys;

    #[test]
    fn every_key_is_another_one_and_follows_from_the_secret_alone() {
        let keys = ClusterKeys::derive(b"a secret");
        assert_eq!(keys, ClusterKeys::derive(b"a secret"));
        assert_ne!(keys.peer, keys.digest);
        assert_ne!(keys.digest, keys.root);
        assert_ne!(keys.peer, keys.root);
        for other in [keys.peer, keys.digest, keys.root] {
            assert_ne!(keys.token, other);
            assert_ne!(keys.cursor, other);
        }
        assert_ne!(keys.id, keys.peer[..16]);
        let other = ClusterKeys::derive(b"a secret ");
        assert_ne!((keys.peer, keys.id), (other.peer, other.id));
    }

    #[test]
    fn printing_tells_the_public_id_alone() {
        let keys = ClusterKeys::derive(b"a secret");
        let printed = format!("{keys:?}");
        assert_eq!(printed, format!("ClusterKeys {{ id: {:032x}, .. }}", u128::from_be_bytes(keys.id)));
    }
}
