//! The keyed hashes: of a body, of a request's head, of a reply.
//!
//! Each begins with a label of its own and lengths stand before what varies, so that no two messages hash the same
//! bytes. BLAKE3 with the cluster's peer key, cut to 128 bits; compared in constant time.

use kvs_core::cluster_keys::ClusterKeys;

use super::challenge::Challenge;
use super::credential::{Credential, MAC_BYTES};

const BODY_LABEL: &[u8; 16] = b"kvs peer body  1";
const HEAD_LABEL: &[u8; 16] = b"kvs peer head  1";
const REPLY_LABEL: &[u8; 16] = b"kvs peer reply 1";

/// What a request asks of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, as sent.
    pub target: &'a str,
}

/// The digest of a request's body.
pub(super) fn body_digest(keys: &ClusterKeys, body: &[u8]) -> [u8; MAC_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(&keys.peer);
    hasher.update(BODY_LABEL).update(body);
    cut(&hasher)
}

/// The MAC of a request to the process of `challenge`.
pub(super) fn head_mac(
    keys: &ClusterKeys,
    challenge: &Challenge,
    line: Line<'_>,
    credential: &Credential,
) -> [u8; MAC_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(&keys.peer);
    hasher
        .update(HEAD_LABEL)
        .update(&keys.id)
        .update(&challenge.nonce.0)
        .update(challenge.node.as_bytes())
        .update(&credential.covered())
        .update(&length(line.method.as_bytes()))
        .update(line.method.as_bytes())
        .update(&length(line.target.as_bytes()))
        .update(line.target.as_bytes());
    cut(&hasher)
}

/// The MAC of the reply to the request that carried `credential`.
pub(super) fn reply_mac(
    keys: &ClusterKeys,
    credential: &Credential,
    status: u16,
    body: &[u8],
) -> [u8; MAC_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(&keys.peer);
    hasher
        .update(REPLY_LABEL)
        // Stands for the whole request: sender, process, number, receiver, body.
        .update(&credential.mac)
        .update(&credential.counter.to_be_bytes())
        .update(&status.to_be_bytes())
        .update(body);
    cut(&hasher)
}

/// Whether two MACs are the same, in a time that does not tell where they differ.
pub(super) fn is_same(one: &[u8; MAC_BYTES], other: &[u8; MAC_BYTES]) -> bool {
    // The comparison of the library, which is over 32 bytes.
    let whole = |half: &[u8; MAC_BYTES]| {
        let mut bytes = [0; blake3::OUT_LEN];
        bytes.iter_mut().zip(half).for_each(|(to, from)| *to = *from);
        blake3::Hash::from_bytes(bytes)
    };
    whole(one) == whole(other)
}

fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}

fn cut(hasher: &blake3::Hasher) -> [u8; MAC_BYTES] {
    let mut mac = [0; MAC_BYTES];
    hasher.finalize_xof().fill(&mut mac);
    mac
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn macs_differ_in_any_byte() {
        let mac = [7; 16];
        assert!(is_same(&mac, &[7; 16]));
        for place in 0..16 {
            let mut other = mac;
            other[place] ^= 0x80;
            assert!(!is_same(&mac, &other));
        }
    }
}
