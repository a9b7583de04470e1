//! The handshake of a connection under TLS.
//!
//! It stands under the deadline of the first head, which begins with the connection, and counts as a connection from its
//! first byte. Nothing is said to whoever does not speak TLS, but for a plain HTTP request, which is told so.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kvs_store::clock::Clock as _;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::activity::Order;
use super::noted::Noted;
use super::orders::obey;
use super::registry::Place;
use super::socket::Socket;
use crate::context::Node;
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::keeper::Tls;

/// The first byte of a handshake: the type of its record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// How a connection to a port with TLS begins.
#[derive(Debug)]
pub(super) enum Opening {
    /// Under TLS.
    Sealed(Socket, ClientCertificate),
    /// With what looks like a plain HTTP request, of which nothing was read.
    InTheClear(TcpStream),
    /// It was over before it began.
    Over,
}

/// Waits for the client's first byte and then makes the handshake.
pub(super) async fn open(socket: TcpStream, tls: &Tls, node: &Node, place: &Place) -> Opening {
    let activity = place.activity();
    let first = obey(activity, |context, order| match order {
        Order::Serve => poll_first(&socket, context),
        Order::Drain | Order::Close => Poll::Ready(None),
    });
    match first.await.flatten() {
        Some(HANDSHAKE) => {}
        Some(b'A'..=b'Z') => return Opening::InTheClear(socket),
        Some(_) | None => return Opening::Over,
    }
    let endpoint = tls.current();
    let mut accepting = endpoint.acceptor.accept(Noted::new(socket, Arc::clone(activity)));
    let accepted = obey(activity, |context, order| match order {
        Order::Serve => Pin::new(&mut accepting).poll(context).map(Some),
        Order::Drain | Order::Close => Poll::Ready(None),
    });
    let stream = match accepted.await.flatten() {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(reason @ rustls::Error::InvalidCertificate(_)) => {
                    tls.complain(place.from(), reason, node.clock.monotonic());
                }
                _ => tracing::debug!(from = %place.from(), %error, "a TLS handshake failed"),
            }
            return Opening::Over;
        }
        None => return Opening::Over,
    };
    let (_, session) = stream.get_ref();
    let certificate = match session.peer_certificates() {
        _ if !endpoint.asks_for_certificates => ClientCertificate::NotAsked,
        // What was shown was verified, or there would be no stream.
        Some([_, ..]) => ClientCertificate::Verified,
        Some([]) | None => ClientCertificate::Missing,
    };
    Opening::Sealed(Socket::Sealed(Box::new(stream)), certificate)
}

/// The first byte, which stays where it is; `None` when there will be none.
fn poll_first(socket: &TcpStream, context: &mut Context<'_>) -> Poll<Option<u8>> {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    match ready!(socket.poll_peek(context, &mut buffer)) {
        Ok(_) => Poll::Ready(buffer.filled().first().copied()),
        Err(_) => Poll::Ready(None),
    }
}
