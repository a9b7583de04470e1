//! The listening socket: bound, accepted from, bounded.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::connection::refusal::whole_answer;
use crate::connection::serve::Protocols;
use crate::context::Node;
use crate::error::ServerError;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, CONNECTIONS_MIN, CONNECTIONS_PEER_RESERVE, DESCRIPTORS_RESERVE,
    LISTEN_BACKLOG,
};
use crate::problem::{Code, Problem};
use crate::request_id::RequestIds;

/// Binds the socket. Must be called within the runtime.
///
/// # Errors
///
/// [`ServerError::Listen`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted node takes its port back while old connections linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(LISTEN_BACKLOG)
    };
    bind().map_err(|source| ServerError::Listen { address, source })
}

/// How many connections of clients there may be: the bound of this file's limits, or fewer where the system allows the
/// process fewer open files. Raises the process's own limit as far as the system lets it.
pub(crate) fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let descriptors = current.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let connections = descriptors.saturating_sub(DESCRIPTORS_RESERVE).min(CONNECTIONS_MAX);
    connections.saturating_sub(CONNECTIONS_PEER_RESERVE).max(CONNECTIONS_MIN)
}

/// Accepts connections until the future is dropped. A failed accept is not the end.
pub(crate) async fn accept(listener: &TcpListener, node: &Arc<Node>) {
    let protocols = Arc::new(Protocols::new());
    loop {
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers leave at once; a socket that cannot be told so is gone already.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        match node.registry.admit(from.ip()) {
            Some(place) => {
                let (protocols, node) = (Arc::clone(&protocols), Arc::clone(node));
                drop(tokio::spawn(async move { protocols.serve(socket, node, place).await }));
            }
            // Under TLS there is nobody yet to tell.
            None if node.tls.is_some() => {}
            None => turn_away(socket, node),
        }
    }
}

/// Tells a client that there are too many, without waiting for it.
fn turn_away(socket: TcpStream, node: &Node) {
    let problem = Problem::new(Code::Overloaded, "too many connections");
    let id = RequestIds::of_connection(node.request_id_key, node.registry.counts().accepted).id(0);
    let answer = whole_answer(&problem, id);
    // A courtesy: a new socket has room for it, and whoever does not get it sees the connection closed.
    if let Ok(mut socket) = socket.into_std() {
        drop(socket.write_all(&answer));
    }
}
