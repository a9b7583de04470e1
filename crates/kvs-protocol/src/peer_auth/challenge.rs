//! A challenge: what a receiver tells everybody who asks, so that a sender can bind its credential to this process.
//!
//! It is public and proves nothing: whoever sends a false one gets a credential that no process accepts.
//!
//! | bytes | field |
//! | --- | --- |
//! | 8 | start of the receiver's cluster id |
//! | 16 | the receiver's nonce |
//! | 16 | the receiver's node uuid |
//!
//! As base64url without padding, 54 characters.

use kvs_core::cursor::Cursor;
use uuid::Uuid;

use super::keyring::ClusterTag;
use super::text;

/// Bytes of a challenge before they become text.
pub const CHALLENGE_BYTES: usize = 40;

/// Sixteen bytes that no other process uses, nor this one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// What a credential must be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// The secret that the receiver prefers.
    pub cluster: ClusterTag,
    /// The receiving process.
    pub nonce: Nonce,
    /// The receiving node.
    pub node: Uuid,
}

impl Challenge {
    /// Its text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(CHALLENGE_BYTES);
        bytes.extend_from_slice(&self.cluster.0);
        bytes.extend_from_slice(&self.nonce.0);
        bytes.extend_from_slice(self.node.as_bytes());
        text::encode(&bytes)
    }

    /// Reads its text; `None` when it is no challenge.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        let bytes: [u8; CHALLENGE_BYTES] = text::decode(text)?;
        let mut cursor = Cursor::new(&bytes);
        Some(Self {
            cluster: ClusterTag(cursor.array().ok()?),
            nonce: Nonce(cursor.array().ok()?),
            node: cursor.uuid().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Challenge, Nonce};
    use crate::peer_auth::keyring::ClusterTag;
    use uuid::Uuid;

    #[test]
    fn a_challenge_reads_back() {
        let challenge =
            Challenge { cluster: ClusterTag([1; 8]), nonce: Nonce([2; 16]), node: Uuid::from_bytes([3; 16]) };
        let text = challenge.encode();
        assert_eq!(text, "AQEBAQEBAQECAgICAgICAgICAgICAgICAwMDAwMDAwMDAwMDAwMDAw");
        assert_eq!(Challenge::decode(text.as_bytes()), Some(challenge));
        assert_eq!(Challenge::decode(text.as_bytes().split_last().unwrap().1), None);
        assert_eq!(Challenge::decode(b""), None);
    }
}
