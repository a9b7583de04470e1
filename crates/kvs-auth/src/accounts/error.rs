//! Why an account's record is none.

/// Why a record of the accounts is refused. Nothing of the record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The path is none of the accounts'.
    #[error("no account has this path")]
    Place,
    /// More than [`ACCOUNT_BYTES_MAX`](crate::limits::ACCOUNT_BYTES_MAX) bytes.
    #[error("the record is too long")]
    TooLong,
    /// No JSON object with exactly the members that are known, each once.
    #[error("the record is not readable")]
    Json,
    /// A name that is empty, longer than [`NICKNAME_BYTES_MAX`](crate::limits::NICKNAME_BYTES_MAX) bytes, or has control
    /// characters.
    #[error("the name is empty, too long, or has control characters")]
    Nickname,
    /// A member that is no uuid in its canonical spelling, or is named twice, or one too many.
    #[error("the members are not distinct uuids, or too many")]
    Members,
    /// A user, scope or path that cannot be.
    #[error("the rights are not readable")]
    Rights,
}
