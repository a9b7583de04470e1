//! Why a peer's call was not served, and what state it left.

use kvs_protocol::wire::decode_error::DecodeError;
use kvs_store::error::{ErrorKind, StoreError};

/// Why a call was not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The bytes are no message. Nothing was taken.
    #[error("a malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// The message of a session cannot be read. Nothing was taken.
    #[error("a malformed session message: {0}")]
    MalformedSession(String),
    /// The store refused or failed. What was committed before stays; sending again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a call that this answers.
    #[error("this call is answered elsewhere")]
    Elsewhere,
}

impl ServeError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error.kind(), ErrorKind::Refused | ErrorKind::Config),
            Self::Malformed(_) | Self::MalformedSession(_) | Self::Elsewhere => false,
        }
    }
}
