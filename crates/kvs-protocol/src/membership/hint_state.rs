//! How far the verification of a refused connection is.

use uuid::Uuid;

/// Where the verification of one hint stands.
#[derive(Debug, Default)]
pub(crate) struct Hint {
    pub(crate) refusals: u32,
    /// It is verified: the member is suspected, and what is still refused until that is over says nothing new.
    pub(crate) is_verified: bool,
    pub(crate) asked: Vec<Uuid>,
}
