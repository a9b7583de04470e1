//! A credential: the `Authorization` of a call, `KVS1` and 123 characters.
//!
//! | bytes | field |
//! | --- | --- |
//! | 8 | start of the cluster id: which secret the keys come from |
//! | 16 | the sending node |
//! | 4 | its generation |
//! | 8 | the sending process, random |
//! | 8 | number of the call in that process, from 1 |
//! | 8 | wall time of the sender, ms since 1970; told, not trusted |
//! | 8 | start of the receiver's nonce |
//! | 16 | keyed digest of the body |
//! | 16 | MAC over all of the above, the receiver's whole nonce and uuid, the whole cluster id, method and target |
//!
//! Integers are big-endian; the text is base64url without padding. The digest stands in the head so that the head alone
//! proves its sender: not one byte of a stranger's body is ever kept.

use kvs_core::cursor::{Cursor, EndsEarly};
use uuid::Uuid;

use super::keyring::ClusterTag;
use super::text;

/// The scheme of the `Authorization`.
pub const SCHEME: &str = "KVS1";

/// Bytes of a credential before they become text.
pub const CREDENTIAL_BYTES: usize = 92;

/// Bytes of a MAC and of a digest.
pub const MAC_BYTES: usize = 16;

/// Tells the processes of one node and generation apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTag(pub [u8; 8]);

/// The first half of a receiver's nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceTag(pub [u8; 8]);

/// What a sender says about itself and its call; true only once the MAC was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// Which secret.
    pub cluster: ClusterTag,
    /// The sending node.
    pub node: Uuid,
    /// Its generation.
    pub generation: u32,
    /// The sending process.
    pub boot: BootTag,
    /// Number of the call in that process, from 1.
    pub counter: u64,
    /// The sender's wall time, ms since 1970.
    pub sent_ms: u64,
    /// Which process it was made for.
    pub nonce: NonceTag,
    /// Keyed digest of the body.
    pub digest: [u8; MAC_BYTES],
    /// Proof of all that.
    pub mac: [u8; MAC_BYTES],
}

impl Credential {
    /// The bytes in front of the MAC, which it covers.
    pub(super) fn covered(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CREDENTIAL_BYTES);
        bytes.extend_from_slice(&self.cluster.0);
        bytes.extend_from_slice(self.node.as_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.boot.0);
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.sent_ms.to_be_bytes());
        bytes.extend_from_slice(&self.nonce.0);
        bytes.extend_from_slice(&self.digest);
        bytes
    }

    /// The value of `Authorization`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = self.covered();
        bytes.extend_from_slice(&self.mac);
        format!("{SCHEME} {}", text::encode(&bytes))
    }

    /// Reads the value of `Authorization`; `None` when it is no credential.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let text = value.strip_prefix(SCHEME.as_bytes())?.strip_prefix(b" ")?;
        let bytes: [u8; CREDENTIAL_BYTES] = text::decode(text)?;
        Self::read(&mut Cursor::new(&bytes)).ok()
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, EndsEarly> {
        Ok(Self {
            cluster: ClusterTag(cursor.array()?),
            node: cursor.uuid()?,
            generation: cursor.u32()?,
            boot: BootTag(cursor.array()?),
            counter: cursor.u64()?,
            sent_ms: cursor.u64()?,
            nonce: NonceTag(cursor.array()?),
            digest: cursor.array()?,
            mac: cursor.array()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BootTag, Credential, NonceTag};
    use crate::peer_auth::keyring::ClusterTag;
    use uuid::Uuid;

    fn credential() -> Credential {
        Credential {
            cluster: ClusterTag([1; 8]),
            node: Uuid::from_bytes([2; 16]),
            generation: 3,
            boot: BootTag([4; 8]),
            counter: 5,
            sent_ms: 1_700_000_000_000,
            nonce: NonceTag([6; 8]),
            digest: [7; 16],
            mac: [8; 16],
        }
    }

    #[test]
    fn a_credential_reads_back_and_its_bytes_stay_what_they_are() {
        let text = credential().encode();
        assert_eq!(
            text,
            "KVS1 AQEBAQEBAQECAgICAgICAgICAgICAgICAAAAAwQEBAQEBAQEAAAAAAAAAAUAAAGLz-VoAAYGBgYGBgYGBwcHBwcHBwcHBwcH\
             BwcHBwgICAgICAgICAgICAgICAg"
        );
        assert_eq!(text.len(), 128);
        assert_eq!(Credential::decode(text.as_bytes()), Some(credential()));
    }

    #[test]
    fn what_is_no_credential_is_not_read() {
        let text = credential().encode();
        let short = text.as_bytes().split_last().unwrap().1;
        for value in [b"".as_slice(), b"KVS1", b"KVS1 ", b"Bearer abc", b"Basic YTpi", short] {
            assert_eq!(Credential::decode(value), None);
        }
        assert_eq!(Credential::decode(text.replace("KVS1", "kvs1").as_bytes()), None);
        assert_eq!(Credential::decode(text.replace("KVS1 ", "KVS1  ").as_bytes()), None);
        assert_eq!(Credential::decode(format!("{text}A").as_bytes()), None);
    }
}
