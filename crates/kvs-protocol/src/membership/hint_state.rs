//! How far the verification of a refused connection is.

use uuid::Uuid;

/// Where the verification of one hint stands.
#[derive(Debug, Default)]
pub(crate) struct Hint {
    pub(crate) refusals: u32,
    pub(crate) asked: Vec<Uuid>,
}
