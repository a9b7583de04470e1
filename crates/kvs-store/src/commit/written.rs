//! What a write made, as its answer and the observer tell it.

use kvs_core::origin::Dot;
use kvs_core::version::Version;

/// The version that a write made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its version; the uuid is its entity tag, the stamp's milliseconds its timestamp.
    pub version: Version,
    /// When it expires, ms since 1970; 0 for never.
    pub expires_at_ms: u64,
    /// Its number among the writes of its origin.
    pub dot: Dot,
}
