//! The receiving side: who sent this head, is it new, is this its body; and the seal on the reply.
//!
//! A head is checked before its body is read. The number of a call counts as used from then on, whatever becomes of its
//! body, so that a head that was overheard opens nothing a second time.

use std::collections::BTreeMap;

use kvs_core::cluster_keys::ClusterKeys;
use uuid::Uuid;

use super::challenge::{Challenge, Nonce};
use super::credential::{BootTag, Credential, NonceTag};
use super::denial::Denial;
use super::keyring::{ClusterTag, Keyring};
use super::mac::{Line, body_digest, head_mac, is_same, reply_mac};
use super::text;
use super::window::ReplayWindow;

/// Sending processes whose windows are kept, half a KiB each. With one more the receiver takes a new nonce and forgets
/// all: every sender then asks for the new challenge once, and nothing sent before is accepted again.
pub const SENDERS_MAX: usize = 1024;

/// Checks what one process receives.
///
/// **Invariant:** a window is dropped only together with the nonce that the credentials in it are bound to.
pub struct Receiver {
    keyring: Keyring,
    node: Uuid,
    /// Nobody outside knows it, so nobody knows the nonces to come.
    seed: [u8; 32],
    nonces: u64,
    challenge: Challenge,
    windows: BTreeMap<(Uuid, u32, BootTag), ReplayWindow>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Receiver")
            .field("challenge", &self.challenge)
            .field("senders", &self.windows.len())
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// The receiver of a process of `node`; `seed` is random for each process and told to nobody.
    #[must_use]
    pub fn new(keyring: Keyring, node: Uuid, seed: [u8; 32]) -> Self {
        let challenge = Challenge { cluster: ClusterTag::of(keyring.current()), nonce: Nonce([0; 16]), node };
        let mut receiver = Self { keyring, node, seed, nonces: 0, challenge, windows: BTreeMap::new() };
        receiver.renew();
        receiver
    }

    /// Takes a new nonce and forgets all senders.
    fn renew(&mut self) {
        self.windows.clear();
        self.nonces += 1;
        let mut nonce = [0; 16];
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&self.nonces.to_be_bytes()).finalize_xof().fill(&mut nonce);
        self.challenge = Challenge { nonce: Nonce(nonce), ..self.challenge };
    }

    /// What a credential must be bound to.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The node that it receives for.
    #[must_use]
    pub const fn node(&self) -> Uuid {
        self.node
    }

    /// Checks the head of a request; `authorization` is the value of its one `Authorization`.
    ///
    /// # Errors
    ///
    /// [`Denial`]; only [`Denial::Seen`] and success tell that the sender holds the key. After
    /// [`Denial::OtherProcess`] the challenge may be a new one.
    pub fn admit(&mut self, line: Line<'_>, authorization: Option<&[u8]>) -> Result<Admitted, Denial> {
        let credential =
            Credential::decode(authorization.ok_or(Denial::NoCredential)?).ok_or(Denial::Malformed)?;
        let keys = self
            .keyring
            .known(credential.cluster)
            .ok_or(Denial::OtherCluster { claimed: credential.node })?
            .clone();
        let NonceTag(tag) = credential.nonce;
        if !self.challenge.nonce.0.starts_with(&tag) {
            return Err(Denial::OtherProcess);
        }
        if !is_same(&head_mac(&keys, &self.challenge, line, &credential), &credential.mac) {
            return Err(Denial::Invalid);
        }
        let process = (credential.node, credential.generation, credential.boot);
        if !self.windows.contains_key(&process) && self.windows.len() >= SENDERS_MAX {
            self.renew();
            return Err(Denial::OtherProcess);
        }
        if !self.windows.entry(process).or_default().take(credential.counter) {
            return Err(Denial::Seen);
        }
        Ok(Admitted { keys, credential })
    }
}

/// A request whose head was checked.
#[derive(Debug)]
pub struct Admitted {
    keys: ClusterKeys,
    credential: Credential,
}

impl Admitted {
    /// The node that sent it.
    #[must_use]
    pub const fn from(&self) -> Uuid {
        self.credential.node
    }

    /// The generation of that node.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.credential.generation
    }

    /// When it was sent by the sender's clock, ms since 1970.
    #[must_use]
    pub const fn sent_ms(&self) -> u64 {
        self.credential.sent_ms
    }

    /// Checks that `body` is the one it was sent with.
    ///
    /// # Errors
    ///
    /// [`Denial::OtherBody`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), Denial> {
        if is_same(&body_digest(&self.keys, body), &self.credential.digest) {
            Ok(())
        } else {
            Err(Denial::OtherBody)
        }
    }

    /// The seal for a reply to it: the value of a header, 22 characters.
    #[must_use]
    pub fn seal(&self, status: u16, body: &[u8]) -> String {
        text::encode(&reply_mac(&self.keys, &self.credential, status, body))
    }
}

#[cfg(test)]
mod tests {
    use super::{Receiver, SENDERS_MAX};
    use crate::peer_auth::credential::BootTag;
    use crate::peer_auth::denial::Denial;
    use crate::peer_auth::keyring::Keyring;
    use crate::peer_auth::mac::Line;
    use crate::peer_auth::sender::Sender;
    use kvs_core::cluster_keys::ClusterKeys;
    use proptest::prelude::{Just, Strategy as _, any, prop, proptest};
    use uuid::Uuid;

    const LINE: Line<'_> = Line { method: "POST", target: "/peer/v1/swim" };
    const NOW_MS: u64 = 1_700_000_000_000;

    fn keys(secret: &str) -> ClusterKeys {
        ClusterKeys::derive(secret.as_bytes())
    }

    fn keyring(secret: &str) -> Keyring {
        Keyring::new(keys(secret), None)
    }

    fn sender(keyring: Keyring) -> Sender {
        Sender::new(keyring, Uuid::from_u128(1), 7, BootTag([9; 8]))
    }

    fn receiver(keyring: Keyring, seed: u8) -> Receiver {
        Receiver::new(keyring, Uuid::from_u128(2), [seed; 32])
    }

    #[test]
    fn a_call_and_its_reply_are_taken_once() {
        let (sender, mut receiver) = (sender(keyring("one")), receiver(keyring("one"), 1));
        let signed = sender.sign(receiver.challenge(), LINE, b"frame", NOW_MS);
        let authorization = signed.authorization();
        let admitted = receiver.admit(LINE, Some(authorization.as_bytes())).unwrap();
        assert_eq!((admitted.from(), admitted.generation()), (Uuid::from_u128(1), 7));
        assert_eq!(admitted.sent_ms(), NOW_MS);
        assert_eq!(admitted.check_body(b"frame"), Ok(()));
        assert_eq!(admitted.check_body(b"frame "), Err(Denial::OtherBody));
        let seal = admitted.seal(200, b"answer");
        assert!(signed.is_answered_by(200, b"answer", seal.as_bytes()));
        let again = receiver.admit(LINE, Some(authorization.as_bytes())).unwrap_err();
        assert_eq!(again, Denial::Seen);
    }

    #[test]
    fn a_stranger_is_asked_for_a_credential() {
        let mut receiver = receiver(keyring("one"), 1);
        assert_eq!(receiver.admit(LINE, None).unwrap_err(), Denial::NoCredential);
        assert_eq!(receiver.admit(LINE, Some(b"Bearer x")).unwrap_err(), Denial::Malformed);
    }

    #[test]
    fn another_secret_is_refused() {
        let (mut receiver, stranger) = (receiver(keyring("one"), 1), sender(keyring("two")));
        let signed = stranger.sign(receiver.challenge(), LINE, b"", NOW_MS);
        let denied = receiver.admit(LINE, Some(signed.authorization().as_bytes())).unwrap_err();
        assert_eq!(denied, Denial::OtherCluster { claimed: Uuid::from_u128(1) });
    }

    #[test]
    fn a_tag_of_the_right_cluster_does_not_help_without_its_key() {
        let mut receiver = receiver(keyring("one"), 1);
        let mut stolen = keys("two");
        stolen.id = keys("one").id;
        let stranger = sender(Keyring::new(stolen, None));
        let signed = stranger.sign(receiver.challenge(), LINE, b"", NOW_MS);
        let denied = receiver.admit(LINE, Some(signed.authorization().as_bytes())).unwrap_err();
        assert_eq!(denied, Denial::Invalid);
        assert!(!signed.is_answered_by(200, b"", b"AAAAAAAAAAAAAAAAAAAAAA"));
    }

    #[test]
    fn while_the_secret_changes_both_sides_understand_each_other() {
        let rotating = || Keyring::new(keys("new"), Some(keys("old")));
        for (ours, theirs) in
            [(keyring("old"), rotating()), (rotating(), keyring("old")), (rotating(), keyring("new"))]
        {
            let (sender, mut receiver) = (sender(ours), receiver(theirs, 1));
            let signed = sender.sign(receiver.challenge(), LINE, b"x", NOW_MS);
            let admitted = receiver.admit(LINE, Some(signed.authorization().as_bytes())).unwrap();
            assert!(signed.is_answered_by(200, b"y", admitted.seal(200, b"y").as_bytes()));
        }
    }

    #[test]
    fn what_was_sent_to_one_process_is_refused_by_the_next() {
        let sender = sender(keyring("one"));
        let mut before = receiver(keyring("one"), 1);
        let signed = sender.sign(before.challenge(), LINE, b"x", NOW_MS);
        assert!(before.admit(LINE, Some(signed.authorization().as_bytes())).is_ok());
        let mut after = receiver(keyring("one"), 2);
        let denied = after.admit(LINE, Some(signed.authorization().as_bytes())).unwrap_err();
        assert_eq!(denied, Denial::OtherProcess);
    }

    #[test]
    fn what_was_meant_for_one_node_is_refused_by_another() {
        let sender = sender(keyring("one"));
        let mut receiver = receiver(keyring("one"), 1);
        let mut challenge = *receiver.challenge();
        challenge.node = Uuid::from_u128(3);
        let signed = sender.sign(&challenge, LINE, b"x", NOW_MS);
        let denied = receiver.admit(LINE, Some(signed.authorization().as_bytes())).unwrap_err();
        assert_eq!(denied, Denial::Invalid);
    }

    #[test]
    fn too_many_senders_make_it_start_anew_and_nothing_old_is_taken() {
        let mut receiver = receiver(keyring("one"), 1);
        let first = sender(keyring("one"));
        let signed = first.sign(receiver.challenge(), LINE, b"x", NOW_MS);
        assert!(receiver.admit(LINE, Some(signed.authorization().as_bytes())).is_ok());
        for generation in 1..=SENDERS_MAX {
            let generation = u32::try_from(generation).unwrap();
            let sender = Sender::new(keyring("one"), Uuid::from_u128(5), generation, BootTag([1; 8]));
            let signed = sender.sign(receiver.challenge(), LINE, b"x", NOW_MS);
            let admitted = receiver.admit(LINE, Some(signed.authorization().as_bytes()));
            assert_eq!(admitted.is_ok(), (generation as usize) < SENDERS_MAX);
        }
        let again = receiver.admit(LINE, Some(signed.authorization().as_bytes())).unwrap_err();
        assert_eq!(again, Denial::OtherProcess);
        let signed = first.sign(receiver.challenge(), LINE, b"x", NOW_MS);
        assert!(receiver.admit(LINE, Some(signed.authorization().as_bytes())).is_ok());
    }

    #[test]
    fn printing_tells_no_key_and_no_seed() {
        let receiver = receiver(keyring("one"), 0xab);
        let printed = format!("{receiver:?}");
        assert!(!printed.contains("171") && !printed.contains("seed"), "{printed}");
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_refused(
            body in proptest::collection::vec(any::<u8>(), 1..64),
            place in any::<prop::sample::Index>(),
            change in 1_u8..,
        ) {
            let (sender, mut receiver) = (sender(keyring("one")), receiver(keyring("one"), 1));
            let signed = sender.sign(receiver.challenge(), LINE, &body, NOW_MS);
            let good = signed.authorization().into_bytes();
            let flip = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                let place = place.index(bytes.len());
                bytes[place] ^= change;
                bytes
            };
            assert!(receiver.admit(LINE, Some(&flip(&good))).is_err());
            for other in [Line { method: "PUT", ..LINE }, Line { target: "/peer/v1/sync", ..LINE }] {
                assert_eq!(receiver.admit(other, Some(&good)).unwrap_err(), Denial::Invalid);
            }
            // None of that has used up the number.
            let admitted = receiver.admit(LINE, Some(&good)).unwrap();
            assert_eq!(admitted.check_body(&flip(&body)), Err(Denial::OtherBody));
            let seal = admitted.seal(200, &body).into_bytes();
            assert!(signed.is_answered_by(200, &body, &seal));
            assert!(!signed.is_answered_by(200, &flip(&body), &seal));
            assert!(!signed.is_answered_by(200, &body, &flip(&seal)));
            assert!(!signed.is_answered_by(409, &body, &seal));
            let other = sender.sign(receiver.challenge(), LINE, &body, NOW_MS);
            assert!(!other.is_answered_by(200, &body, &seal));
        }

        #[test]
        fn any_order_is_taken_once(order in Just((0..200).collect::<Vec<usize>>()).prop_shuffle()) {
            let (sender, mut receiver) = (sender(keyring("one")), receiver(keyring("one"), 1));
            let sent: Vec<String> = (0..200)
                .map(|_| sender.sign(receiver.challenge(), LINE, b"", NOW_MS).authorization())
                .collect();
            for number in &order {
                assert!(receiver.admit(LINE, Some(sent[*number].as_bytes())).is_ok());
            }
            for number in order {
                assert_eq!(receiver.admit(LINE, Some(sent[number].as_bytes())).unwrap_err(), Denial::Seen);
            }
        }

        #[test]
        fn garbage_is_refused(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut receiver = receiver(keyring("one"), 1);
            assert_eq!(receiver.admit(LINE, Some(&value)).unwrap_err(), Denial::Malformed);
        }
    }
}
