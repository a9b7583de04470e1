//! The sending side: a credential for each call, and the check of the seal on its reply.

use std::sync::atomic::{AtomicU64, Ordering};

use kvs_core::cluster_keys::ClusterKeys;
use uuid::Uuid;

use super::challenge::Challenge;
use super::credential::{BootTag, Credential, NonceTag};
use super::keyring::{ClusterTag, Keyring};
use super::mac::{Line, body_digest, head_mac, is_same, reply_mac};
use super::text;

/// Makes the credentials of one process.
///
/// **Invariant:** no number is used twice; so there is one sender per process and boot tag.
#[derive(Debug)]
pub struct Sender {
    keyring: Keyring,
    node: Uuid,
    generation: u32,
    boot: BootTag,
    numbers: AtomicU64,
}

impl Sender {
    /// The sender of a process of `node`; `boot` is random for each process.
    #[must_use]
    pub const fn new(keyring: Keyring, node: Uuid, generation: u32, boot: BootTag) -> Self {
        Self { keyring, node, generation, boot, numbers: AtomicU64::new(0) }
    }

    /// A credential for one request to the process of `challenge`: with the secret that this one prefers where we know
    /// it, else with ours, which it may know as the one before.
    #[must_use]
    pub fn sign(&self, challenge: &Challenge, line: Line<'_>, body: &[u8], sent_ms: u64) -> Signed {
        let keys = self.keyring.known(challenge.cluster).unwrap_or_else(|| self.keyring.current());
        let [n0, n1, n2, n3, n4, n5, n6, n7, ..] = challenge.nonce.0;
        let mut credential = Credential {
            cluster: ClusterTag::of(keys),
            node: self.node,
            generation: self.generation,
            boot: self.boot,
            counter: self.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            sent_ms,
            nonce: NonceTag([n0, n1, n2, n3, n4, n5, n6, n7]),
            digest: body_digest(keys, body),
            mac: Default::default(),
        };
        credential.mac = head_mac(keys, challenge, line, &credential);
        Signed { keys: keys.clone(), credential }
    }
}

/// A signed request, which knows the seal of its reply.
#[derive(Debug)]
pub struct Signed {
    keys: ClusterKeys,
    credential: Credential,
}

impl Signed {
    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> String {
        self.credential.encode()
    }

    /// Whether `seal` is the one that the receiver put on this reply to this request.
    #[must_use]
    pub fn is_answered_by(&self, status: u16, body: &[u8], seal: &[u8]) -> bool {
        let expected = reply_mac(&self.keys, &self.credential, status, body);
        text::decode(seal).is_some_and(|seal| is_same(&seal, &expected))
    }
}
