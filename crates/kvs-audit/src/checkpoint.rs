//! Checkpoints: what a node signs about the head of its trail, for others to keep.
//!
//! ```text
//! {"kind":"checkpoint","node":"<uuid>","seq":7,"head":"<64 hex>","time_ms":1700000000000,"key":"<64 hex>","signature":"<128 hex>"}
//! ```
//!
//! `seq` is the number of the last entry covered, which is how many there are, and `head` its hash; all entries up to there
//! are on disk when it is signed. The signature is Ed25519 over these bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 29 | `kvs audit trail 1: checkpoint`; of a retirement 26, `kvs audit trail 1: retired` |
//! | 1 | 0 |
//! | 16 | node uuid |
//! | 8 | seq, big-endian |
//! | 32 | head |
//! | 8 | time in milliseconds since 1970-01-01 UTC, big-endian |
//! | 32 | public key |
//!
//! A retirement is the same statement with another meaning: up to this entry the trail was removed because of its age. A
//! value of type [`Checkpoint`] or [`Retirement`] has a right signature; decoding is the only way to one from outside.

use std::borrow::Cow;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::AuditError;
use crate::hash::{EntryHash, bytes_from_hex, hex};
use crate::limits::CHECKPOINT_BYTES_MAX;
use crate::node_key::NodeKey;
pub use crate::public_key::PublicKey;

/// A signed statement: a node's trail had this many entries, and this head, at this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The node whose trail it is.
    pub node: Uuid,
    /// The number of the last entry covered.
    pub seq: u64,
    /// That entry's hash.
    pub head: EntryHash,
    /// When it was signed, in milliseconds since 1970-01-01 UTC by the node's clock.
    pub time_ms: u64,
    /// The key that it is signed with.
    pub key: PublicKey,
    signature: [u8; 64],
}

/// A signed statement: a node removed its trail up to and with this entry because of its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retirement(
    /// The last entry that was removed.
    pub Checkpoint,
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Checkpoint,
    Retired,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Retired => "retired",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    node: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    head: Cow<'a, str>,
    time_ms: u64,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

impl Checkpoint {
    /// Signs a statement about the entry `seq`, whose hash is `head`.
    pub(crate) fn sign(key: &NodeKey, node: Uuid, seq: u64, head: EntryHash, time_ms: u64) -> Self {
        Self::sign_as(Purpose::Checkpoint, key, node, seq, head, time_ms)
    }

    /// One line of JSON without a line break, at most [`CHECKPOINT_BYTES_MAX`] bytes.
    pub fn encode(&self) -> String {
        self.encode_as(Purpose::Checkpoint)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`AuditError::CheckpointFormat`] or [`AuditError::CheckpointSignature`].
    pub fn decode(bytes: &[u8]) -> Result<Self, AuditError> {
        Self::decode_as(Purpose::Checkpoint, bytes)
    }

    fn sign_as(purpose: Purpose, key: &NodeKey, node: Uuid, seq: u64, head: EntryHash, time_ms: u64) -> Self {
        let mut signed = Self { node, seq, head, time_ms, key: key.public(), signature: [0; 64] };
        signed.signature = key.sign(&signed.message(purpose));
        signed
    }

    fn encode_as(&self, purpose: Purpose) -> String {
        format!(
            r#"{{"kind":"{}","node":"{}","seq":{},"head":"{}","time_ms":{},"key":"{}","signature":"{}"}}"#,
            purpose.name(),
            self.node,
            self.seq,
            self.head,
            self.time_ms,
            self.key,
            hex(&self.signature)
        )
    }

    fn decode_as(purpose: Purpose, bytes: &[u8]) -> Result<Self, AuditError> {
        let refuse = AuditError::CheckpointFormat;
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(refuse("it is too long"));
        }
        let text: Text<'_> =
            serde_json::from_slice(bytes).map_err(|_| refuse("it is not the JSON of one"))?;
        if text.kind != purpose.name() {
            return Err(refuse("it is of another kind"));
        }
        let node = Uuid::try_parse(&text.node).ok().filter(|node| node.to_string() == text.node);
        let read = Self {
            node: node.ok_or(refuse("its node is no uuid"))?,
            seq: text.seq,
            head: EntryHash::from_hex(text.head.as_bytes()).ok_or(refuse("its head is no hash"))?,
            time_ms: text.time_ms,
            key: bytes_from_hex(text.key.as_bytes())
                .map(PublicKey::from_bytes)
                .ok_or(refuse("its key is none"))?,
            signature: bytes_from_hex(text.signature.as_bytes()).ok_or(refuse("its signature is none"))?,
        };
        let key = VerifyingKey::from_bytes(read.key.as_bytes()).map_err(|_| refuse("its key is none"))?;
        // Strict: no weak keys, and one signature has one spelling.
        key.verify_strict(&read.message(purpose), &Signature::from_bytes(&read.signature))
            .map_err(|_| AuditError::CheckpointSignature)?;
        Ok(read)
    }

    fn message(&self, purpose: Purpose) -> Vec<u8> {
        let mut message = Vec::with_capacity(128);
        message.extend_from_slice(b"kvs audit trail 1: ");
        message.extend_from_slice(purpose.name().as_bytes());
        message.push(0);
        message.extend_from_slice(self.node.as_bytes());
        message.extend_from_slice(&self.seq.to_be_bytes());
        message.extend_from_slice(self.head.as_bytes());
        message.extend_from_slice(&self.time_ms.to_be_bytes());
        message.extend_from_slice(self.key.as_bytes());
        message
    }
}

impl Retirement {
    /// Signs a statement that the trail was removed up to and with the entry `seq`, whose hash is `head`.
    pub(crate) fn sign(key: &NodeKey, node: Uuid, seq: u64, head: EntryHash, time_ms: u64) -> Self {
        Self(Checkpoint::sign_as(Purpose::Retired, key, node, seq, head, time_ms))
    }

    /// As [`Checkpoint::encode`].
    pub fn encode(&self) -> String {
        self.0.encode_as(Purpose::Retired)
    }

    /// As [`Checkpoint::decode`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn decode(bytes: &[u8]) -> Result<Self, AuditError> {
        Checkpoint::decode_as(Purpose::Retired, bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Retirement};
    use crate::hash::EntryHash;
    use crate::limits::CHECKPOINT_BYTES_MAX;
    use crate::node_key::NodeKey;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn signed(seq: u64, time_ms: u64) -> Checkpoint {
        Checkpoint::sign(&NodeKey::from_seed(&[3; 32]), Uuid::max(), seq, EntryHash::of(b"x"), time_ms)
    }

    #[test]
    fn a_checkpoint_travels_as_text() {
        let longest = signed(u64::MAX, u64::MAX);
        assert!(longest.encode().len() <= CHECKPOINT_BYTES_MAX);
        assert_eq!(Checkpoint::decode(longest.encode().as_bytes()).expect("right"), longest);
    }

    #[test]
    fn a_checkpoint_is_no_retirement() {
        let retired = Retirement::sign(&NodeKey::from_seed(&[3; 32]), Uuid::nil(), 5, EntryHash::of(b"x"), 6);
        assert_eq!(Retirement::decode(retired.encode().as_bytes()).expect("right"), retired);
        assert!(Checkpoint::decode(retired.encode().as_bytes()).is_err());
        let relabelled = retired.encode().replace("retired", "checkpoint");
        assert!(Checkpoint::decode(relabelled.as_bytes()).is_err());
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // With the neutral point as key, a lax check accepts one signature for every message.
        let neutral = format!("01{}", "0".repeat(62));
        let text = format!(
            r#"{{"kind":"checkpoint","node":"{}","seq":1,"head":"{}","time_ms":1,"key":"{neutral}","signature":"{neutral}{}"}}"#,
            Uuid::nil(),
            EntryHash::GENESIS,
            "0".repeat(64)
        );
        assert!(Checkpoint::decode(text.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_checkpoint_is_refused(at in 0_usize..400, flip in 1_u8..128) {
            let mut bytes = signed(77, 1_700_000_000_000).encode().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(Checkpoint::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_a_checkpoint_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            prop_assert!(Checkpoint::decode(&bytes).is_err());
        }
    }
}
