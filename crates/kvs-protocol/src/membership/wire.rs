//! What can be wrong with bytes of a peer, and the small pieces that all codecs of membership share.

use kvs_core::cursor::{Cursor, EndsEarly};

use crate::membership::settings::NAME_BYTES_MAX;
use crate::wire::decode_error::DecodeError;

/// Why bytes are no message. Nothing of them was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// Too short for their own lengths.
    #[error("the message ends early")]
    EndsEarly,
    /// Written by another version of the program.
    #[error("message version {0} is unknown to this version")]
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

impl From<EndsEarly> for WireError {
    fn from(_: EndsEarly) -> Self {
        Self::EndsEarly
    }
}

impl From<WireError> for DecodeError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::EndsEarly => Self::EndsEarly,
            WireError::UnknownVersion(version) => Self::UnknownVersion(version),
            WireError::Field(field) => Self::Field(field),
            WireError::TooMany(bound) => Self::TooMany(bound),
            WireError::TrailingBytes => Self::TrailingBytes,
        }
    }
}

/// Appends a length of one byte and the text, cut at a character where it is longer than that.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    out.push(u8::try_from(text.len()).unwrap_or_default());
    out.extend_from_slice(text.as_bytes());
}

/// Reads a length of one byte and a text without control characters.
pub(crate) fn take_text(cursor: &mut Cursor<'_>, field: &'static str) -> Result<String, WireError> {
    let len = usize::from(cursor.u8()?);
    let text = std::str::from_utf8(cursor.take(len)?).map_err(|_| WireError::Field(field))?;
    if text.chars().any(char::is_control) {
        return Err(WireError::Field(field));
    }
    Ok(text.to_owned())
}

/// Nothing may follow.
pub(crate) fn ended(cursor: &Cursor<'_>) -> Result<(), WireError> {
    if cursor.rest().is_empty() { Ok(()) } else { Err(WireError::TrailingBytes) }
}
