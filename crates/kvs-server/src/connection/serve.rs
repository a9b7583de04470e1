//! One connection from its first byte to its end: which protocol, which limits, how it closes.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Order;
use super::handshake::{self, Opening};
use super::orders::obey;
use super::refusal::whole_answer;
use super::registry::Place;
use super::socket::Socket;
use super::wire::{Protocol, Wire};
use crate::context::Node;
use crate::http::door::Door;
use crate::limits::{
    H2_CONNECTION_WINDOW_BYTES, H2_HEADER_LIST_BYTES_MAX, H2_LOCAL_RESETS_MAX, H2_PENDING_RESETS_MAX,
    H2_PING_INTERVAL, H2_PING_TIMEOUT, H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX,
    HEAD_BYTES_MAX, LINGER_BYTES_MAX, LINGER_TIMEOUT, READ_BUFFER_BYTES_MAX,
};
use crate::problem::{Code, Problem};
use crate::request_id::{RequestId, RequestIds};
use crate::tls::client_certificate::ClientCertificate;

/// The settings of both protocols, made once.
#[derive(Debug, Clone)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    /// All limits named.
    pub(crate) fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .keep_alive(true)
            // A client may close its side once it has said what it wants, and still read the answer.
            .half_close(true)
            // Bytes are copied once, into the outbox.
            .writev(true)
            .max_buf_size(READ_BUFFER_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            // The sweeper keeps this deadline, without a timer for each request.
            .header_read_timeout(None::<Duration>);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS_MAX)
            .max_header_list_size(H2_HEADER_LIST_BYTES_MAX)
            .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(H2_SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
            .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT);
        Self { http1, http2 }
    }

    /// Serves a connection until it ends. What ends it is no concern of the node.
    pub(crate) async fn serve(&self, socket: TcpStream, node: Arc<Node>, place: Place) {
        // No request has this number: it is for what never became one.
        let refusal_id = RequestIds::of_connection(node.request_id_key, place.number()).id(u64::MAX);
        let (socket, certificate) = match &node.tls {
            None => (Socket::Plain(socket), ClientCertificate::NotAsked),
            // In a box, so that the task of a connection in the clear has no room for it.
            Some(tls) => match Box::pin(handshake::open(socket, tls, &node, &place)).await {
                Opening::Sealed(socket, certificate) => (socket, certificate),
                Opening::InTheClear(socket) => {
                    return Box::pin(refuse_clear(socket, &place, refusal_id)).await;
                }
                Opening::Over => return,
            },
        };
        let mut wire = Wire::new(socket, Arc::clone(place.activity()));
        let door = Door::of(node, &place, certificate);
        let protocol = obey(place.activity(), |context, order| match order {
            Order::Serve => wire.poll_protocol(context),
            Order::Drain | Order::Close => Poll::Ready(Ok(Protocol::None)),
        });
        match protocol.await {
            Some(Ok(Protocol::Http1)) => self.serve_http1(wire, door, &place, refusal_id).await,
            Some(Ok(Protocol::Http2)) => self.serve_http2(wire, door, &place).await,
            Some(Ok(Protocol::None) | Err(_)) | None => {}
        }
    }

    async fn serve_http1(&self, wire: Wire, door: Door, place: &Place, refusal_id: RequestId) {
        let activity = place.activity();
        let outbox = Arc::clone(wire.outbox());
        let mut connection = self.http1.serve_connection(TokioIo::new(wire), door);
        let mut is_draining = false;
        let ended = obey(activity, |context, order| {
            if order == Order::Drain && !is_draining {
                is_draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            let polled = connection.poll_without_shutdown(context);
            if matches!(&polled, Poll::Ready(Err(error)) if error.is_parse()) {
                outbox.replace_bare_refusal(refusal_id);
            }
            match outbox.poll_send(context) {
                // The client is gone.
                Poll::Ready(Err(_)) => Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) | Poll::Pending => polled,
            }
        });
        let was_malformed = match ended.await {
            None => return,
            Some(Ok(())) => false,
            Some(Err(error)) => error.is_parse(),
        };
        let wire = connection.into_parts().io.into_inner();
        if (was_malformed || activity.leaves_unread()) && !wire.is_at_end() {
            linger(wire).await;
        } else {
            // What the last poll could not send.
            drop(obey(activity, |context, _| outbox.poll_end(context)).await);
        }
    }

    async fn serve_http2(&self, wire: Wire, door: Door, place: &Place) {
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(wire), door));
        let mut is_draining = false;
        let ended = obey(place.activity(), |context, order| {
            if order == Order::Drain && !is_draining {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        });
        // How a connection ended is the client's affair.
        drop(ended.await);
    }
}

/// Tells a client that speaks plain HTTP to a port with TLS.
async fn refuse_clear(socket: TcpStream, place: &Place, id: RequestId) {
    let wire = Wire::new(Socket::Plain(socket), Arc::clone(place.activity()));
    let problem = Problem::new(Code::BadRequest, "this port speaks TLS: the address begins with https://");
    let (outbox, answer) = (Arc::clone(wire.outbox()), whole_answer(&problem, id));
    let sent = obey(place.activity(), |context, _| {
        ready!(outbox.poll_put(context, &[io::IoSlice::new(&answer)]))?;
        outbox.poll_send(context)
    });
    if let Some(Ok(())) = sent.await {
        linger(wire).await;
    }
}

/// Closes the node's side and takes what the client still sends off the wire, for a while: a reset because of unread
/// bytes would take the answer with it.
async fn linger(mut wire: Wire) {
    let closing = async {
        wire.shutdown().await?;
        let mut taken = 0;
        poll_fn(|context| poll_discard(&mut wire, &mut taken, context)).await
    };
    // Both the end and the deadline end the connection.
    drop(tokio::time::timeout(LINGER_TIMEOUT, closing).await);
}

fn poll_discard(wire: &mut Wire, taken: &mut usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut scratch = [0; 4096];
    while *taken < LINGER_BYTES_MAX {
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut *wire).poll_read(context, &mut buffer))?;
        match buffer.filled().len() {
            0 => break,
            count => *taken += count,
        }
    }
    Poll::Ready(Ok(()))
}
