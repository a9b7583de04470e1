//! Which paths may have metadata, so that keys without any on their way up cost no read of the disk.
//!
//! It holds hashes under a key of this process, 8 bytes a path. A path that is not in it has no metadata; one that is in it
//! may have. It only grows, and before a commit makes metadata visible, so it is never wrong about a path that it denies.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use kvs_core::path::Path;

/// The paths.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    is_any: AtomicBool,
    hashes: RwLock<HashSet<u64>>,
    hasher: RandomState,
}

impl Presence {
    /// Adds a path.
    pub(crate) fn add(&self, path: &Path) {
        let hash = self.hasher.hash_one(path.as_bytes());
        self.hashes.write().unwrap_or_else(PoisonError::into_inner).insert(hash);
        self.is_any.store(true, Ordering::Release);
    }

    /// Whether a path may have metadata.
    pub(crate) fn may_hold(&self, path: &Path) -> bool {
        self.is_any.load(Ordering::Acquire)
            && self
                .hashes
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&self.hasher.hash_one(path.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::Presence;
    use kvs_core::path::Path;

    #[test]
    fn what_was_added_is_never_denied() {
        let presence = Presence::default();
        let paths: Vec<Path> = (0..100).map(|number| Path::parse(&format!("a/{number}")).unwrap()).collect();
        assert!(!presence.may_hold(&paths[0]));
        for path in paths.iter().take(50) {
            presence.add(path);
        }
        assert!(paths.iter().take(50).all(|path| presence.may_hold(path)));
        assert!(paths.iter().skip(50).any(|path| !presence.may_hold(path)));
    }
}
