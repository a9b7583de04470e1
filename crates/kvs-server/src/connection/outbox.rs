//! What a connection has to send, collected while its task runs and sent when it is about to wait.
//!
//! Answers to pipelined requests so leave in one write, and no answer ever waits for a request that may not come: the
//! task of the connection sends at the end of each poll, whatever the parser's buffer holds. (hyper's own option for this
//! holds answers back for as long as bytes of a next request are in its buffer, even half of one.)
//!
//! Shared between the parser, which puts bytes in through [`Wire`](super::wire::Wire), and the task around it. Both are
//! one task, so the lock is never contended.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use super::activity::Activity;
use super::refusal;
use super::socket::Writer;
use crate::limits::{OUTBOX_BYTES_KEPT, OUTBOX_BYTES_MAX};
use crate::request_id::RequestId;

/// Bytes on their way to a client.
#[derive(Debug)]
pub(crate) struct Outbox(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    socket: Writer,
    activity: Arc<Activity>,
    waiting: Vec<u8>,
    /// How many of them were sent.
    sent: usize,
}

impl Outbox {
    /// An empty one.
    pub(super) const fn new(socket: Writer, activity: Arc<Activity>) -> Self {
        Self(Mutex::new(Inner { socket, activity, waiting: Vec::new(), sent: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes pieces to be sent by [`Outbox::poll_send`], as many bytes as fit; when none fit it waits until earlier ones
    /// are gone.
    pub(crate) fn poll_put(
        &self,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        if inner.waiting.len() >= OUTBOX_BYTES_MAX {
            ready!(inner.poll_send(context))?;
        }
        let mut taken = 0;
        for piece in pieces {
            let room = OUTBOX_BYTES_MAX.saturating_sub(inner.waiting.len());
            let part = piece.get(..room).unwrap_or(piece);
            inner.waiting.extend_from_slice(part);
            taken += part.len();
        }
        Poll::Ready(Ok(taken))
    }

    /// Sends bytes at once, past those that wait (there are none where this is used).
    pub(crate) fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().poll_write(context, bytes)
    }

    /// The same for several pieces.
    pub(crate) fn poll_write_vectored(
        &self,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let written = inner.socket.poll_write_vectored(context, pieces);
        inner.note(&written);
        written
    }

    /// Puts an answer of ours in place of the parser's own, if that is what was put in last.
    pub(crate) fn replace_bare_refusal(&self, id: RequestId) {
        let mut inner = self.lock();
        // Nothing of it was sent: it was put in by the poll that is just over.
        if inner.sent == 0 {
            refusal::replace_bare(&mut inner.waiting, id);
        }
    }

    /// Sends what waits; ready when all of it was handed to the system.
    pub(crate) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(context)
    }

    /// Sends what waits, then closes the node's side.
    pub(crate) fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_send(context))?;
        inner.socket.poll_shutdown(context)
    }

    /// Sends what waits, and under TLS says that this is the end, so that it does not look like a cut.
    pub(crate) fn poll_end(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_send(context))?;
        if inner.socket.is_sealed() { inner.socket.poll_shutdown(context) } else { Poll::Ready(Ok(())) }
    }

    /// Hands what was written under TLS to the system.
    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_flush(context)
    }
}

impl Inner {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let left = self.waiting.get(self.sent..).unwrap_or_default();
            let written = self.socket.poll_write(context, left);
            self.note(&written);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        // Under TLS, bytes that were taken may still wait for room in the socket.
        ready!(self.poll_flush(context))?;
        self.sent = 0;
        if self.waiting.capacity() > OUTBOX_BYTES_KEPT {
            self.waiting = Vec::new();
        } else {
            self.waiting.clear();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.socket.poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(context)
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            // What TLS takes is not yet what the client takes.
            _ if self.socket.is_sealed() => {}
            Poll::Ready(_) => self.activity.has_written(),
            Poll::Pending => self.activity.is_stalled(),
        }
    }
}
