//! TLS: certificates of this node, for clients and for peers on the one port.
//!
//! [`endpoint`] is what one reading of the files gives; [`keeper`] holds the current one and exchanges it when the files
//! change; [`dialling`] speaks TLS to peers. How a connection is accepted stands with the other rules of connections.
//!
//! **Invariant:** what was negotiated on a connection stays: an exchange of certificates touches new connections only.

pub(crate) mod client_certificate;
pub(crate) mod dialling;
pub(crate) mod endpoint;
pub(crate) mod files;
pub(crate) mod keeper;
