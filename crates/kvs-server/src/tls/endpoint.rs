//! What one reading of the files gives: how to accept connections, and how to dial peers.
//!
//! The cryptography is ring's. TLS 1.2 and 1.3; ALPN `h2` and `http/1.1`. Peers are trusted by `tls_client_ca`; without it
//! by what stands behind the node's own certificate in `tls_cert`, since the nodes of one cluster have one authority.

use std::path::Path;
use std::sync::Arc;

use kvs_certs::error::CertsError;
use kvs_certs::pem_file::{read_certificates, read_private_key};
use kvs_certs::validity::valid_until_ms;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::files::TlsFiles;
use crate::error::ServerError;

/// What is negotiated with clients, best first.
const SERVED: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// What is spoken with peers.
const SPOKEN: &[u8] = b"http/1.1";

/// One state of the files, ready for use.
pub(crate) struct Endpoint {
    /// Accepts connections.
    pub(crate) acceptor: TlsAcceptor,
    /// Dials peers.
    pub(crate) connector: TlsConnector,
    /// Whether clients are asked for a certificate.
    pub(crate) asks_for_certificates: bool,
    /// Until when the node's own certificate is valid, in milliseconds since 1970, if that can be read.
    pub(crate) valid_until_ms: Option<u64>,
}

impl Endpoint {
    /// Reads the files. Blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// [`ServerError::Tls`], which names the key of the configuration, the file and what is wrong with it.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, ServerError> {
        let provider = Arc::new(ring::default_provider());
        let chain = read_certificates(&files.certificate).map_err(|error| unusable("tls_cert", &error))?;
        let valid_until_ms = chain.first().and_then(valid_until_ms);
        let authorities = match &files.client_ca {
            None => None,
            Some(path) => Some(authorities(path)?),
        };
        // Without authorities of their own, peers have ours. Not every certificate can vouch for others.
        let peers = authorities.clone().unwrap_or_else(|| {
            let mut own = RootCertStore::empty();
            own.add_parsable_certificates(chain.iter().cloned());
            own
        });
        let own = Arc::new(SingleCertAndKey::from(certified_key(files, chain, &provider)?));
        let versions = "tls_cert";
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(versions, &error))?
            .with_client_cert_verifier(client_verifier(files, authorities.as_ref(), &provider)?)
            .with_cert_resolver(Arc::clone(&own) as _);
        server.alpn_protocols = SERVED.map(<[u8]>::to_vec).to_vec();
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(versions, &error))?
            .with_root_certificates(peers)
            .with_client_cert_resolver(own);
        client.alpn_protocols = vec![SPOKEN.to_vec()];
        Ok(Self {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
            asks_for_certificates: authorities.is_some(),
            valid_until_ms,
        })
    }
}

/// The authorities of a file, all of which must be usable.
fn authorities(path: &Path) -> Result<RootCertStore, ServerError> {
    let certificates = read_certificates(path).map_err(|error| unusable("tls_client_ca", &error))?;
    let mut authorities = RootCertStore::empty();
    for certificate in certificates {
        authorities.add(certificate).map_err(|error| refused("tls_client_ca", path, &error.to_string()))?;
    }
    Ok(authorities)
}

/// The node's certificate with its key.
fn certified_key(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ServerError> {
    let der = read_private_key(&files.key).map_err(|error| unusable("tls_key", &error))?;
    let key = provider
        .key_provider
        .load_private_key(der)
        .map_err(|error| refused("tls_key", &files.key, &format!("it cannot be used: {error}")))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that does not tell its public half shows itself at the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let reason = format!("it is not the key of the certificate in {}", files.certificate.display());
            Err(refused("tls_key", &files.key, &reason))
        }
        Err(error) => Err(refused("tls_cert", &files.certificate, &error.to_string())),
    }
}

/// Certificates of clients are verified where there are authorities for them; who has none may still come.
fn client_verifier(
    files: &TlsFiles,
    authorities: Option<&RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let Some(authorities) = authorities else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.clone()), Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| {
            let path = files.client_ca.as_deref().unwrap_or(&files.certificate);
            refused("tls_client_ca", path, &error.to_string())
        })
}

fn unusable(key: &'static str, error: &dyn std::error::Error) -> ServerError {
    ServerError::Tls { key, reason: error.to_string() }
}

fn refused(key: &'static str, path: &Path, reason: &str) -> ServerError {
    unusable(key, &CertsError::Refused { path: path.to_owned(), reason: reason.to_owned() })
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Endpoint").field("valid_until_ms", &self.valid_until_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kvs_certs::authority::Authority;
    use kvs_certs::node_certificate::{Earlier, NodeCertificate, Wanted};

    use super::Endpoint;
    use crate::tls::files::TlsFiles;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn made(folder: &Path, node: &str) -> TlsFiles {
        let authority = Authority::open_or_make(folder, NOW_MS).unwrap();
        let wanted = Wanted { node, hosts: Vec::new(), days: 1, earlier: Earlier::Keep };
        let made = NodeCertificate::make(folder, &authority, &wanted, NOW_MS).unwrap();
        TlsFiles {
            certificate: made.certificate_path,
            key: made.key_path,
            client_ca: Some(authority.certificate_path),
        }
    }

    fn refusal(files: &TlsFiles) -> String {
        Endpoint::load(files).unwrap_err().to_string()
    }

    #[test]
    fn files_that_belong_together_make_an_endpoint() {
        let folder = tempfile::tempdir().unwrap();
        let files = made(folder.path(), "n1");
        assert!(Endpoint::load(&files).unwrap().asks_for_certificates);
        let alone = TlsFiles { client_ca: None, ..files };
        assert!(!Endpoint::load(&alone).unwrap().asks_for_certificates);
    }

    #[test]
    fn what_cannot_be_used_is_told_in_one_line_with_key_file_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (made(folder.path(), "n1"), made(folder.path(), "n2"));
        let strange = folder.path().join("strange");
        std::fs::write(&strange, "strange").unwrap();
        let missing = folder.path().join("missing");
        for (files, key, path, reason) in [
            (TlsFiles { key: other.key.clone(), ..one.clone() }, "tls_key", &other.key, "not the key"),
            (TlsFiles { key: missing.clone(), ..one.clone() }, "tls_key", &missing, "cannot open"),
            (
                TlsFiles { certificate: strange.clone(), ..one.clone() },
                "tls_cert",
                &strange,
                "no certificate",
            ),
            (
                TlsFiles { certificate: one.key.clone(), ..one.clone() },
                "tls_cert",
                &one.key,
                "no certificate",
            ),
            (
                TlsFiles { client_ca: Some(strange.clone()), ..one.clone() },
                "tls_client_ca",
                &strange,
                "no certificate",
            ),
        ] {
            let told = refusal(&files);
            assert!(told.starts_with(&format!("{key}: ")) && told.contains(reason), "{told}");
            assert!(told.contains(path.to_str().unwrap()) && !told.contains('\n'), "{told}");
        }
    }
}
