//! One connection of the load generator below HTTP: bytes as they are, or through TLS.
//!
//! Both are driven by readiness: a call does what it can at once and fails with `WouldBlock` for the rest. TLS is done by the
//! library that the node uses, with its defaults, in this process: its work shares the machine with the server.
//! Invariant: a TLS connection that is open has its handshake behind it, and none resumes a session of another.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How long a handshake may take between two messages.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom the certificates of nodes are made for, whatever else they name.
const NAME: &str = "localhost";

/// How connections are made.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    /// TCP alone.
    Plain,
    /// TLS over TCP.
    Tls(&'a TlsClient),
}

/// What a client needs for TLS: whom it trusts.
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// A client that trusts the authority whose certificate is in this file (PEM), and speaks HTTP/1.1.
    ///
    /// # Errors
    ///
    /// The file holds no certificate.
    pub(crate) fn trusting(authority: &Path) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from_pem_file(authority)
            .with_context(|| format!("{} holds no certificate", authority.display()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name: ServerName::try_from(NAME)? })
    }

    /// What the server at this address agrees to: version and cipher suite.
    ///
    /// # Errors
    ///
    /// The handshake fails.
    pub(crate) fn agreed(&self, address: SocketAddr) -> anyhow::Result<String> {
        let (session, _) = self.connect(address)?;
        let version = session.protocol_version().context("no version was agreed")?;
        let suite = session.negotiated_cipher_suite().context("no cipher suite was agreed")?;
        Ok(format!("{version:?} with {:?}", suite.suite()))
    }

    fn connect(&self, address: SocketAddr) -> anyhow::Result<(ClientConnection, std::net::TcpStream)> {
        let mut stream = connect(address)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let mut session = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        while session.is_handshaking() || session.wants_write() {
            session.complete_io(&mut stream).context("the TLS handshake failed")?;
        }
        Ok((session, stream))
    }
}

fn connect(address: SocketAddr) -> anyhow::Result<std::net::TcpStream> {
    let stream =
        std::net::TcpStream::connect(address).with_context(|| format!("no connection to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An open connection.
pub(crate) enum Transport {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<ClientConnection>, TcpStream),
}

impl Transport {
    /// Connects, with the handshake; from then on nothing blocks.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or the handshake fails.
    pub(crate) fn open(address: SocketAddr, way: Way<'_>) -> anyhow::Result<Self> {
        let (session, stream) = match way {
            Way::Plain => (None, connect(address)?),
            Way::Tls(client) => {
                let (session, stream) = client.connect(address)?;
                (Some(Box::new(session)), stream)
            }
        };
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        Ok(match session {
            None => Self::Plain(stream),
            Some(session) => Self::Tls(session, stream),
        })
    }

    /// What is to be watched for readiness.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) | Self::Tls(_, stream) => stream,
        }
    }

    /// Takes bytes of a request; gives how many. They may rest here until [`Transport::flush`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` when it takes none now; anything else means that the connection is of no more use.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(session, stream) => match session.writer().write(bytes)? {
                0 => {
                    // Its buffer is full: room comes when the kernel takes some of it.
                    send(session, stream)?;
                    session.writer().write(bytes)
                }
                count => Ok(count),
            },
        }
    }

    /// Hands to the kernel what rests here.
    ///
    /// # Errors
    ///
    /// As [`Transport::write`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(session, stream) => send(session, stream),
        }
    }

    /// Reads what is there; 0 at the end.
    ///
    /// # Errors
    ///
    /// As [`Transport::write`].
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (session, stream) = match self {
            Self::Plain(stream) => return stream.read(buffer),
            Self::Tls(session, stream) => (session, stream),
        };
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if session.read_tls(stream)? == 0 {
                return Ok(0);
            }
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

fn send(session: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(stream)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::bench::load::{self, Load, Stop};
    use crate::bench::reader::Protocol;

    /// Serves this many connections: each line is answered with itself. Gives the address and the certificate (PEM).
    fn serve(connections: usize) -> (SocketAddr, String) {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let stream = StreamOwned::new(session, stream.unwrap());
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
                        let text = line.trim_end();
                        let answer = format!("${}\r\n{text}\r\n", text.len());
                        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                        line.clear();
                    }
                });
            }
        });
        (address, made.cert.pem())
    }

    fn trusting(certificate: &str) -> TlsClient {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, certificate).unwrap();
        TlsClient::trusting(&path).unwrap()
    }

    #[test]
    fn requests_and_answers_of_any_size_pass_through_tls() {
        // Larger than what the library takes at once.
        const LARGE: usize = 300_000;
        let (address, certificate) = serve(4);
        let client = trusting(&certificate);
        let load = |least_body_bytes| Load {
            address,
            protocol: Protocol::Resp,
            connections: 2,
            stop: Stop::Count(20),
            least_body_bytes,
        };
        for length in [10, LARGE] {
            let outcome = load::run_over(Way::Tls(&client), load(length), &mut |_, out| {
                out.resize(length, b'x');
                out.extend_from_slice(b"\r\n");
            });
            let outcome = outcome.unwrap().verified().unwrap();
            assert_eq!(outcome.completed, 20);
        }
    }

    #[test]
    fn a_server_whose_authority_is_not_trusted_is_not_spoken_to() {
        let (address, certificate) = serve(2);
        let (_, other) = serve(0);
        assert!(Transport::open(address, Way::Tls(&trusting(&other))).is_err());
        let agreed = trusting(&certificate).agreed(address).unwrap();
        assert!(agreed.starts_with("TLSv1_3 with "), "{agreed}");
    }
}
