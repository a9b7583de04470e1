//! TLS towards a peer: its certificate is verified for the host that was dialled, and ours is shown when asked for.

use std::io;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;

/// Why a connection to a peer has no TLS.
#[derive(Debug)]
pub(crate) enum Unsealed {
    /// The other side hung up before it said anything.
    HungUp,
    /// The other side is not who it should be, or does not speak TLS as this node does: a sentence.
    Untrusted(String),
    /// The connection failed.
    Failed(io::Error),
}

/// Puts TLS on a connection to `authority` (`host:port`). Nothing of a call was sent before it is there.
pub(crate) async fn seal(
    socket: TcpStream,
    authority: &str,
    endpoint: &Endpoint,
) -> Result<TlsStream<TcpStream>, Unsealed> {
    let name = server_name(authority)
        .ok_or_else(|| Unsealed::Untrusted("its host is no name that a certificate can be for".to_owned()))?;
    endpoint.connector.connect(name, socket).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => Unsealed::Untrusted(
                "it does not speak TLS; the nodes of a cluster have tls_cert all or none".to_owned(),
            ),
            Some(reason) => Unsealed::Untrusted(reason.to_string()),
            None if is_end(&error) => Unsealed::HungUp,
            None => Unsealed::Failed(error),
        }
    })
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// The host of `host:port`, as certificates name it.
fn server_name(authority: &str) -> Option<ServerName<'static>> {
    let (host, _) = authority.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::server_name;

    #[test]
    fn the_host_of_an_authority_is_a_name_or_an_address() {
        for authority in ["127.0.0.1:80", "[::1]:80"] {
            assert!(matches!(server_name(authority), Some(ServerName::IpAddress(_))), "{authority}");
        }
        assert!(matches!(server_name("node-1.example:80"), Some(ServerName::DnsName(_))));
        for authority in ["", ":80", "a b:80", "host"] {
            assert!(server_name(authority).is_none(), "{authority}");
        }
    }
}
