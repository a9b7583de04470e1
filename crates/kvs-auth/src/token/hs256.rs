//! HMAC-SHA-256 for the token library, and nothing else.
//!
//! The library takes its cryptography from a provider. Its own providers bring RSA and elliptic curves with them; this
//! one has the single algorithm that our tokens have, so that no other can be asked for, and it compares MACs in constant
//! time.
//!
//! **Invariant:** every other algorithm and every use of a JWK is an error, never a panic.

use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use sha2::Sha256;

/// HMAC with SHA-256 (RFC 2104, RFC 7518 section 3.2).
pub(super) type HmacSha256 = Hmac<Sha256>;

/// The provider of one algorithm.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Makes this the provider of the process, once. A provider that somebody installed before stays, and signs the same.
pub(super) fn install() {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    INSTALLED.get_or_init(|| PROVIDER.install_default().is_ok());
}

/// A keyed MAC that has seen no message yet.
struct Keyed(HmacSha256);

impl Signer<Vec<u8>> for Keyed {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Keyed {
    fn verify(&self, message: &[u8], mac: &Vec<u8>) -> std::result::Result<(), Error> {
        self.0.clone().chain_update(message).verify_slice(mac).map_err(|_| Error::new())
    }
}

impl JwtSigner for Keyed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Keyed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    check(*algorithm, key.family())?;
    Ok(Box::new(keyed(key.as_bytes())?))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    check(*algorithm, key.family())?;
    Ok(Box::new(keyed(key.try_get_as_bytes()?)?))
}

fn keyed(key: &[u8]) -> Result<Keyed> {
    HmacSha256::new_from_slice(key).map(Keyed).map_err(|_| ErrorKind::InvalidKeyFormat.into())
}

fn check(algorithm: Algorithm, family: AlgorithmFamily) -> Result<()> {
    if algorithm == Algorithm::HS256 && family == AlgorithmFamily::Hmac { Ok(()) } else { Err(unsupported()) }
}

fn unsupported() -> jsonwebtoken::errors::Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

#[cfg(test)]
mod tests {
    use super::{keyed, signer, verifier};
    use jsonwebtoken::signature::{Signer as _, Verifier as _};
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

    /// RFC 4231, test case 2.
    #[test]
    fn the_mac_is_that_of_the_rfc() {
        let mac = keyed(b"Jefe").unwrap().try_sign(b"what do ya want for nothing?").unwrap();
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_mac_is_verified_whole() {
        let keyed = keyed(b"key").unwrap();
        let mac = keyed.try_sign(b"message").unwrap();
        assert!(keyed.verify(b"message", &mac).is_ok());
        assert!(keyed.verify(b"massage", &mac).is_err());
        for length in 0..mac.len() {
            assert!(keyed.verify(b"message", &mac[..length].to_vec()).is_err(), "{length}");
        }
        assert!(keyed.verify(b"message", &[mac.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn every_other_algorithm_is_an_error() {
        let (ours, theirs) = (EncodingKey::from_secret(b"key"), DecodingKey::from_secret(b"key"));
        assert!(signer(&Algorithm::HS256, &ours).is_ok());
        assert!(verifier(&Algorithm::HS256, &theirs).is_ok());
        for algorithm in [
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
        ] {
            assert!(signer(&algorithm, &ours).is_err(), "{algorithm:?}");
            assert!(verifier(&algorithm, &theirs).is_err(), "{algorithm:?}");
        }
        assert!(signer(&Algorithm::HS256, &EncodingKey::from_rsa_der(b"key")).is_err());
        assert!(verifier(&Algorithm::HS256, &DecodingKey::from_rsa_der(b"key")).is_err());
    }
}
