//! The socket of a connection, under TLS or not, as hyper reads and writes it: what passes is noted, nothing is changed.
//!
//! Reads feed the [`HeadWatch`] and the [`Activity`]; writes of HTTP/1 are collected in an [`Outbox`]. The first bytes are
//! read before hyper is there, to tell HTTP/2 from HTTP/1, and handed to it afterwards.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::head_watch::HeadWatch;
use super::outbox::Outbox;
use super::socket::{Reader, Socket};

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// The client closed before it said enough.
    None,
}

/// When written bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// When the task of the connection is about to wait.
    Collected,
    /// As they are written: HTTP/2 collects frames by itself.
    AtOnce,
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Reader,
    outbox: Arc<Outbox>,
    sending: Sending,
    activity: Arc<Activity>,
    /// Bytes that were read to tell the protocol and not handed on yet: `first[handed..filled]`.
    first: [u8; PREFACE.len()],
    filled: usize,
    handed: usize,
    /// `None` on HTTP/2, whose framing has one length only.
    watch: Option<HeadWatch>,
    is_at_end: bool,
}

impl Wire {
    /// Takes over a socket.
    pub(crate) fn new(socket: Socket, activity: Arc<Activity>) -> Self {
        let (socket, sender) = socket.split();
        Self {
            socket,
            outbox: Arc::new(Outbox::new(sender, Arc::clone(&activity))),
            sending: Sending::Collected,
            activity,
            first: [0; PREFACE.len()],
            filled: 0,
            handed: 0,
            watch: Some(HeadWatch::new()),
            is_at_end: false,
        }
    }

    /// What is to be sent.
    pub(crate) const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Whether the client closed its side.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Reads until the protocol is known; the bytes stay for the parser.
    ///
    /// # Errors
    ///
    /// What the socket says.
    pub(crate) fn poll_protocol(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        loop {
            let seen = self.first.get(..self.filled).unwrap_or_default();
            if !PREFACE.starts_with(seen) {
                return Poll::Ready(Ok(Protocol::Http1));
            }
            if self.filled == PREFACE.len() {
                self.watch = None;
                self.sending = Sending::AtOnce;
                return Poll::Ready(Ok(Protocol::Http2));
            }
            let mut buffer = ReadBuf::new(self.first.get_mut(self.filled..).unwrap_or_default());
            ready!(self.socket.poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => return Poll::Ready(Ok(Protocol::None)),
                count => self.filled += count,
            }
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        let Some(watch) = &mut self.watch else { return };
        self.activity.has_read();
        let sight = watch.follow(bytes);
        if sight.ambiguous_length {
            self.activity.note_ambiguous_length();
        }
        if sight.fragment {
            self.activity.note_fragment();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.handed < this.filled {
            let first = this.first;
            let waiting = first.get(this.handed..this.filled).unwrap_or_default();
            let bytes = waiting.get(..buffer.remaining()).unwrap_or(waiting);
            buffer.put_slice(bytes);
            this.handed += bytes.len();
            this.note_read(bytes);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(this.socket.poll_read(context, buffer))?;
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            this.is_at_end = true;
        } else {
            this.note_read(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.sending {
            Sending::Collected => self.outbox.poll_put(context, &[io::IoSlice::new(bytes)]),
            Sending::AtOnce => self.outbox.poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.sending {
            Sending::AtOnce => self.outbox.poll_write_vectored(context, pieces),
            Sending::Collected => self.outbox.poll_put(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.sending {
            Sending::AtOnce if self.socket.is_sealed() => self.outbox.poll_flush(context),
            // Collected bytes are sent by the task around the parser; a socket in the clear has nothing to flush.
            Sending::AtOnce | Sending::Collected => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_shutdown(context)
    }
}
