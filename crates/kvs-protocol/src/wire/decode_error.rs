//! Why bytes of a peer are no message.

use kvs_core::cursor::EndsEarly;

/// Why bytes are no message. Nothing of them was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short for its own lengths, or a list longer than its bound.
    #[error("the message ends early")]
    EndsEarly,
    /// Of a version that this node does not speak.
    #[error("message version {0} is unknown to this version of kvs")]
    UnknownVersion(u8),
    /// A field has a value that the format does not allow.
    #[error("the message's field '{0}' has a value that is not allowed")]
    Field(&'static str),
    /// More than the named bound.
    #[error("the message has too many of '{0}'")]
    TooMany(&'static str),
    /// Bytes follow the message.
    #[error("bytes follow the message")]
    TrailingBytes,
}

impl From<EndsEarly> for DecodeError {
    fn from(_: EndsEarly) -> Self {
        Self::EndsEarly
    }
}
