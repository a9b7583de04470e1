//! One copy of rights that many keys share: most keys belong to few users, and a cached answer must not carry its own.

use std::sync::Arc;

use kvs_auth::rights::{Metadata, Rights};
use quick_cache::sync::Cache;

/// Rights that are shared; beyond it the ones not asked for are let go of, and keys that use them keep their copy.
const RIGHTS_SHARED_MAX: usize = 4096;

/// The shared copies.
#[derive(Debug)]
pub(crate) struct RightsPool {
    open: Arc<Rights>,
    governed: Cache<(Vec<u8>, Vec<u8>, u16), Arc<Rights>>,
}

impl RightsPool {
    /// An empty pool.
    pub(crate) fn new() -> Self {
        Self { open: Arc::new(Rights::Open), governed: Cache::new(RIGHTS_SHARED_MAX) }
    }

    /// The shared copy of these rights.
    pub(crate) fn share(&self, rights: Rights) -> Arc<Rights> {
        let Rights::Governed(metadata) = rights else { return Arc::clone(&self.open) };
        let Metadata { owner, group, mode } = &metadata;
        let key = (owner.as_str().as_bytes().to_vec(), group.as_str().as_bytes().to_vec(), mode.bits());
        if let Some(shared) = self.governed.get(&key) {
            return shared;
        }
        let shared = Arc::new(Rights::Governed(metadata));
        self.governed.insert(key, Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::RightsPool;
    use kvs_auth::mode::Mode;
    use kvs_auth::rights::{Metadata, Rights};
    use kvs_core::record::Principal;
    use std::sync::Arc;

    #[test]
    fn equal_rights_are_one_and_others_are_not() {
        let pool = RightsPool::new();
        let governed = |owner: &str, mode| {
            Rights::Governed(Metadata {
                owner: Principal::named(owner).unwrap(),
                group: Principal::nobody(),
                mode: Mode::from_bits(mode).unwrap(),
            })
        };
        let ann = pool.share(governed("ann", 7));
        assert!(Arc::ptr_eq(&ann, &pool.share(governed("ann", 7))));
        assert_ne!(ann, pool.share(governed("ann", 8)));
        assert_ne!(ann, pool.share(governed("bob", 7)));
        assert!(Arc::ptr_eq(&pool.share(Rights::Open), &pool.share(Rights::Open)));
    }
}
