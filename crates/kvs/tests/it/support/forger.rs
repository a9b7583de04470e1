//! Whoever has stolen the secret and makes tokens of its own, by its own arithmetic.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kvs_core::cluster_keys::ClusterKeys;
use serde_json::Value;
use sha2::Sha256;

/// A forger with a genuine token as its pattern.
#[derive(Debug)]
pub(crate) struct Forger {
    key: [u8; 32],
    /// The header of the genuine token.
    pub(crate) header: String,
    /// What the genuine token says.
    pub(crate) payload: String,
}

impl Forger {
    /// A forger that knows the secret and has seen this token.
    pub(crate) fn new(secret: &str, genuine: &str) -> Self {
        let mut segments = genuine.split('.').map(|segment| {
            String::from_utf8(URL_SAFE_NO_PAD.decode(segment).unwrap_or_default()).unwrap_or_default()
        });
        let (header, payload) = (segments.next().unwrap(), segments.next().unwrap());
        Self { key: ClusterKeys::derive(secret.as_bytes()).token, header, payload }
    }

    /// What the genuine token says, as JSON.
    pub(crate) fn claims(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap()
    }

    /// The first two segments.
    pub(crate) fn message(header: &str, payload: &str) -> String {
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    /// A message with the MAC that belongs to it.
    pub(crate) fn sign(&self, message: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).unwrap().chain_update(message).finalize();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
    }

    /// A token with a good MAC.
    pub(crate) fn token(&self, header: &str, payload: &str) -> String {
        self.sign(&Self::message(header, payload))
    }

    /// A token that says what the genuine one says but for these members.
    pub(crate) fn with(&self, members: &[(&str, Value)]) -> String {
        let mut claims = self.claims();
        for (name, value) in members {
            claims[*name] = value.clone();
        }
        self.token(&self.header, &claims.to_string())
    }
}
