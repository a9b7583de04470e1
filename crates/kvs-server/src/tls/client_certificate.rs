//! What a connection has shown of a client certificate.

/// What a connection has shown of a client certificate; the same for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    /// None is asked for: the connection is in the clear, or `tls_client_ca` is not set.
    NotAsked,
    /// One was asked for, and the client has none.
    Missing,
    /// One that `tls_client_ca` vouches for. A connection with any other has no life.
    Verified,
}
