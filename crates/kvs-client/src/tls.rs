//! TLS towards a node: who vouches for it, and what to say when nobody does.

use std::sync::Arc;

use kvs_certs::pem_file::read_certificates;
use rustls::crypto::ring;
use rustls::{CertificateError, Error as TlsError};
use rustls_native_certs::load_native_certs;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::error::ClientError;
use crate::target::Trust;

/// How connections are made when the address says `https`.
///
/// # Errors
///
/// [`ClientError::Certificates`] when a named file cannot be read, [`ClientError::NoAuthorities`] when the system names
/// nobody.
pub(crate) fn config(trust: &Trust) -> Result<TlsConfig, ClientError> {
    let mut vouching = Vec::new();
    match trust {
        Trust::Files(paths) => {
            for path in paths {
                vouching.extend(read_certificates(path)?);
            }
        }
        // What cannot be read of them is missed when a certificate hangs on it.
        Trust::System => vouching = load_native_certs().certs,
    }
    if vouching.is_empty() {
        return Err(ClientError::NoAuthorities);
    }
    let certificates: Vec<Certificate<'static>> =
        vouching.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .build())
}

/// Why TLS came to nothing, when it was TLS; nothing was sent then.
pub(crate) fn distrust(error: &ureq::Error) -> Option<String> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(io) => io.get_ref()?.downcast_ref::<TlsError>()?,
        _ => return None,
    };
    Some(match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "nobody who is trusted here vouches for its certificate; name who does by --ca FILE or KVS_CA"
                .to_owned()
        }
        TlsError::InvalidMessage(_) => {
            "it does not speak TLS; does its address begin with http://?".to_owned()
        }
        TlsError::InvalidCertificate(_) | TlsError::PeerIncompatible(_) => error.to_string(),
        // Anything else may come when the request was on its way.
        _ => return None,
    })
}
