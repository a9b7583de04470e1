//! How a warrant refuses a write, as the error tells it.

/// How a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody without a name may.
    Unauthorized,
    /// Whoever asks may not.
    Forbidden,
    /// Whoever asks may not, and may not know whether the key is there.
    Hidden,
}
