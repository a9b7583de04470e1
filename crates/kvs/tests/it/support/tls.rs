//! Certificates for tests, made by the program or by hand, and clients that speak TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::support::client::Client;
use crate::support::sandbox::Sandbox;
use crate::support::wire::Wire;

/// Certificate and key of one node.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The chain.
    pub(crate) certificate: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
}

/// What `kvs tls init` makes for a node that is reached under `host` too.
pub(crate) fn init(sandbox: &Sandbox, dir: &str, node: &str, host: &str) -> Identity {
    sandbox.run(&["tls", "init", "--dir", dir, "--node", node, "--host", host, "--force"]).expect(0);
    let path = |file: String| sandbox.folder().join(dir).join(file);
    Identity { certificate: path(format!("{node}.pem")), key: path(format!("{node}.key")) }
}

/// The authority of a folder that `kvs tls init` made.
pub(crate) fn authority(sandbox: &Sandbox, dir: &str) -> PathBuf {
    sandbox.folder().join(dir).join("ca.pem")
}

/// A certificate by the authority of a folder, for these hosts, that ends on the first day of a year.
pub(crate) fn by_hand(sandbox: &Sandbox, dir: &str, node: &str, hosts: &[&str], end_year: i32) -> Identity {
    let folder = sandbox.folder().join(dir);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let authority_key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), authority_key).unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(end_year, 1, 1);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let identity =
        Identity { certificate: folder.join(format!("{node}.pem")), key: folder.join(format!("{node}.key")) };
    std::fs::write(&identity.certificate, certificate.pem()).unwrap();
    write_key(&identity.key, &key.serialize_pem(), 0o600);
    identity
}

fn write_key(path: &Path, pem: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, pem).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

impl Identity {
    /// The lines of a configuration with this certificate, and the authority when it is given.
    pub(crate) fn lines(&self, client_ca: Option<&Path>) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut lines = vec![
            ("auth_enabled", "false".to_owned()),
            ("tls_cert", text(&self.certificate)),
            ("tls_key", text(&self.key)),
        ];
        lines.extend(client_ca.map(|path| ("tls_client_ca", text(path))));
        lines
    }
}

/// Lines as configurations take them.
pub(crate) fn borrowed<'a>(lines: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    lines.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// A client's side of TLS that trusts this authority, shows this certificate, and offers these protocols.
pub(crate) fn config(authority: &Path, identity: Option<&Identity>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain =
                CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<_, _>>().unwrap();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Connects to a node, which must be `name`.
pub(crate) fn try_open(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Wire> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    Wire::try_open_sealed(address, session)
}

/// Connects to a node under its own address.
#[track_caller]
pub(crate) fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> Wire {
    try_open(address, &address.ip().to_string(), config).unwrap()
}

/// A client of a node, on one connection.
#[track_caller]
pub(crate) fn client(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
    Client::over(address, open(address, config))
}
