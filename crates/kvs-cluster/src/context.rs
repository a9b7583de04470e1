//! What every part of the replicator works with.

use std::sync::Arc;

use kvs_protocol::call::Now;
use kvs_store::store::Store;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::settings::ReplicatorSettings;

/// What every part of the replicator works with.
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) settings: ReplicatorSettings,
    /// This node.
    pub(crate) own: Uuid,
    /// All of the replicator's randomness.
    pub(crate) random: StdRng,
    /// When the event came that is being handled.
    pub(crate) now: Now,
}
