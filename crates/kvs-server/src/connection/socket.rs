//! The two directions of a socket, in the clear or under TLS.
//!
//! An enum and no type parameter: one more branch that is always taken the same way costs a read of a socket nothing,
//! while everything around it would be compiled twice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

use super::noted::Noted;

/// A socket, ready for HTTP.
#[derive(Debug)]
pub(crate) enum Socket {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Sealed(Box<TlsStream<Noted<TcpStream>>>),
}

impl Socket {
    /// Takes it apart. Both halves are used by one task.
    pub(super) fn split(self) -> (Reader, Writer) {
        match self {
            Self::Plain(socket) => {
                let (reader, writer) = socket.into_split();
                (Reader::Plain(reader), Writer::Plain(writer))
            }
            Self::Sealed(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                (Reader::Sealed(reader), Writer::Sealed(writer))
            }
        }
    }
}

/// What comes in.
#[derive(Debug)]
pub(super) enum Reader {
    /// In the clear.
    Plain(OwnedReadHalf),
    /// Under TLS.
    Sealed(ReadHalf<TlsStream<Noted<TcpStream>>>),
}

impl Reader {
    /// Whether bytes that were written must be flushed to be sent.
    pub(super) const fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

    /// Reads some bytes; none at the end.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Sealed(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

/// What goes out.
#[derive(Debug)]
pub(super) enum Writer {
    /// In the clear.
    Plain(OwnedWriteHalf),
    /// Under TLS.
    Sealed(WriteHalf<TlsStream<Noted<TcpStream>>>),
}

impl Writer {
    /// Writes some bytes.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Sealed(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Writes some bytes of several pieces.
    pub(super) fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(context, pieces),
            Self::Sealed(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    /// Hands what was written to the system; a socket in the clear did so already.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Sealed(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    /// Closes this direction, under TLS with the alert that says so.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Sealed(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    /// Whether an end without the alert of TLS would look like a cut, and whether writes are noted below it.
    pub(super) const fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }
}
