//! The keys that a node knows: its cluster's, and while the secret is being changed those of the secret before.

use kvs_core::cluster_keys::ClusterKeys;

/// The first half of a cluster's public id, which says on the wire which secret is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterTag(pub [u8; 8]);

impl ClusterTag {
    /// The tag of the cluster with these keys.
    #[must_use]
    pub fn of(keys: &ClusterKeys) -> Self {
        let mut tag = [0; 8];
        tag.iter_mut().zip(keys.id).for_each(|(to, from)| *to = from);
        Self(tag)
    }
}

/// One or two sets of keys. `Debug` tells public ids alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    current: ClusterKeys,
    previous: Option<ClusterKeys>,
}

impl Keyring {
    /// The keys of the secret, and of the one before while it is still accepted.
    #[must_use]
    pub const fn new(current: ClusterKeys, previous: Option<ClusterKeys>) -> Self {
        Self { current, previous }
    }

    /// The keys of the secret.
    #[must_use]
    pub const fn current(&self) -> &ClusterKeys {
        &self.current
    }

    /// The keys of the cluster with this tag, if its secret is accepted.
    #[must_use]
    pub fn known(&self, tag: ClusterTag) -> Option<&ClusterKeys> {
        std::iter::once(&self.current).chain(&self.previous).find(|keys| ClusterTag::of(keys) == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterTag, Keyring};
    use kvs_core::cluster_keys::ClusterKeys;

    #[test]
    fn the_secret_and_the_one_before_are_known_and_no_other() {
        let [new, old, older] = ["new", "old", "older"].map(|secret| ClusterKeys::derive(secret.as_bytes()));
        let tag = ClusterTag::of;
        let keyring = Keyring::new(new.clone(), Some(old.clone()));
        assert_eq!(keyring.known(tag(&new)), Some(&new));
        assert_eq!(keyring.known(tag(&old)), Some(&old));
        assert_eq!(keyring.known(tag(&older)), None);
        assert_eq!(Keyring::new(new, None).known(tag(&old)), None);
    }
}
