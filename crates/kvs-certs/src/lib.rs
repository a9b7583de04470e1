//! Certificates and private keys in files: what a node may be given, and a small authority that makes them.
//!
//! [`pem_file`] reads what `tls_cert`, `tls_key` and `tls_client_ca` name, and holds the rule for keys; [`authority`] and
//! [`node_certificate`] make files that fulfil it. What is done with certificates on a connection is not here.

pub mod authority;
pub mod error;
pub mod host;
pub mod limits;
pub mod node_certificate;
pub mod pem_file;
pub mod validity;
mod writing;
