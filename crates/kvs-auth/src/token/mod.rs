//! Access tokens: JSON Web Tokens (RFC 7519), signed with HMAC-SHA-256 by a key that every node of the cluster derives
//! from its secret, so that any node verifies any token without asking anyone.

pub mod claims;
pub mod error;
mod hs256;
pub mod keys;
pub mod mint;
pub mod verify;
