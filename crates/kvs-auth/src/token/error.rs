//! Why a token is none, or cannot be made.

/// Why a token is refused, or cannot be minted. Nothing of the token's text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than [`TOKEN_BYTES_MAX`](crate::limits::TOKEN_BYTES_MAX) bytes.
    #[error("the token is too long")]
    TooLong,
    /// Not three segments of base64url, or a MAC of another length.
    #[error("the token is malformed")]
    Malformed,
    /// The header is not the one that we write: another algorithm or type, or members that we do not know.
    #[error("the token's header is not of a kind that is accepted")]
    Header,
    /// Signed by a key that the cluster does not have, or no longer has.
    #[error("the token was signed with a key that is not known here")]
    UnknownKey,
    /// The MAC is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// The payload is authentic and not what we write.
    #[error("the token's claims are not readable")]
    Payload,
    /// Issued by another cluster than its key says.
    #[error("the token was issued by another cluster")]
    Issuer,
    /// No scope at all.
    #[error("the token has no scope")]
    NoScope,
    /// It ends before it begins, or lives longer than
    /// [`TOKEN_LIFETIME_MAX_S`](crate::limits::TOKEN_LIFETIME_MAX_S).
    #[error("the token's lifetime is not within the limits")]
    Lifetime,
    /// Issued later than now, by more than clocks may differ.
    #[error("the token was issued in the future")]
    FromTheFuture,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// The library that signs refused; never seen with the keys of [`TokenKeys`](super::keys::TokenKeys).
    #[error("the token could not be signed")]
    Signing,
}
