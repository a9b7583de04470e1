//! The keys that sign tokens: the cluster's own, and the one before while the secret is being changed.
//!
//! A key is named in the header of every token that it signs by its `kid`, eight bytes that follow from it, as
//! hexadecimal digits. Each key goes with the one header that we write and the one issuer, the public id of the cluster
//! that its secret makes; so a token of the old secret is judged by the old secret's rules alone.
//!
//! **Invariant:** neither key nor secret is ever printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use kvs_core::cluster_keys::ClusterKeys;
use serde::Deserialize;

use super::error::TokenError;
use super::hs256::{self, HmacSha256};
use crate::json::read_object;

/// What a key says about itself under its own MAC to get its name. No signed text of a token has a space.
const KID_LABEL: &[u8] = b"kvs 2026-11 access token key to key id v1";

/// One key with what belongs to it.
#[derive(Clone)]
pub(super) struct TokenKey {
    /// Sixteen hexadecimal digits.
    kid: String,
    /// Thirty-two hexadecimal digits: the cluster's public id.
    pub(super) issuer: String,
    /// The first segment of every token that it signs, in base64url.
    pub(super) header: String,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
    /// What the library is to check, without the times: the clock is an argument here, and the library would read it.
    pub(super) validation: Validation,
}

/// The keys of a node: one that signs, and at most one more that is still accepted.
#[derive(Clone)]
pub struct TokenKeys {
    pub(super) current: TokenKey,
    previous: Option<TokenKey>,
}

/// The header of a token, read only to tell why it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl TokenKeys {
    /// The keys that follow from the cluster's secret, and from the one before while it is being changed.
    #[must_use]
    pub fn new(current: &ClusterKeys, previous: Option<&ClusterKeys>) -> Self {
        hs256::install();
        Self { current: TokenKey::of(current), previous: previous.map(TokenKey::of) }
    }

    /// The name of the key that signs: sixteen hexadecimal digits, no secret.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.current.kid
    }

    /// The key whose header this is, compared byte for byte: a header is never interpreted to accept a token.
    pub(super) fn of_header(&self, header: &str) -> Result<&TokenKey, TokenError> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.header == header)
            .ok_or_else(|| refusal(header))
    }
}

impl TokenKey {
    fn of(keys: &ClusterKeys) -> Self {
        let kid = kid_of(&keys.token);
        let issuer = format!("{:032x}", u128::from_be_bytes(keys.id));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.set_issuer(&[&issuer]);
        Self {
            header: header_of(&kid),
            kid,
            issuer,
            signing: EncodingKey::from_secret(&keys.token),
            verifying: DecodingKey::from_secret(&keys.token),
            validation,
        }
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenKeys")
            .field("kid", &self.current.kid)
            .field("previous_kid", &self.previous.as_ref().map(|key| &key.kid))
            .finish_non_exhaustive()
    }
}

/// The one header that names this key. A `kid` is made of hexadecimal digits and needs no escapes.
fn header_of(kid: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}"}}"#))
}

fn kid_of(key: &[u8]) -> String {
    // An HMAC takes keys of any length, so the other branch is never taken; an empty name would only fit no token.
    let Ok(mac) = HmacSha256::new_from_slice(key) else { return String::new() };
    let name = mac.chain_update(KID_LABEL).finalize().into_bytes();
    name.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Why a header that is none of ours is refused: a good one of another key, or no good one.
fn refusal(segment: &str) -> TokenError {
    let Ok(text) = URL_SAFE_NO_PAD.decode(segment) else { return TokenError::Malformed };
    match read_object::<Header>(&text) {
        Ok(Header { alg, typ, kid }) if alg == "HS256" && typ == "JWT" && header_of(&kid) == segment => {
            TokenError::UnknownKey
        }
        Ok(_) | Err(_) => TokenError::Header,
    }
}

#[cfg(test)]
mod tests {
    use super::TokenKeys;
    use kvs_core::cluster_keys::ClusterKeys;

    #[test]
    fn every_secret_has_its_own_name_issuer_and_header() {
        let (a, b) = (ClusterKeys::derive(b"a secret"), ClusterKeys::derive(b"another secret"));
        let (ours, theirs) = (TokenKeys::new(&a, None), TokenKeys::new(&b, Some(&a)));
        assert_eq!(ours.kid().len(), 16);
        assert_ne!(ours.kid(), theirs.kid());
        assert_ne!(ours.current.issuer, theirs.current.issuer);
        assert_eq!(ours.current.header, theirs.previous.unwrap().header);
    }

    #[test]
    fn printing_tells_no_key() {
        let keys = ClusterKeys::derive(b"a secret");
        let printed = format!("{:?}", TokenKeys::new(&keys, None));
        assert!(printed.starts_with("TokenKeys { kid: \""), "{printed}");
        let hex: String = keys.token.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!printed.contains(&hex) && !printed.contains(&format!("{:?}", keys.token)));
    }
}
