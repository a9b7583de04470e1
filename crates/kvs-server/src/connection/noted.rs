//! The socket below TLS: what leaves it is noted, as above TLS nobody sees what the client takes.
//!
//! TLS takes bytes into a buffer of its own and hands them on when the socket lets it; whether a client takes anything of
//! an answer shows only here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// A socket whose writes are noted.
#[derive(Debug)]
pub(crate) struct Noted<S> {
    socket: S,
    activity: Arc<Activity>,
}

impl<S> Noted<S> {
    /// Notes the writes of `socket`.
    pub(super) const fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, activity }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.activity.has_written(),
            Poll::Pending => self.activity.is_stalled(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.note(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, pieces);
        this.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

    use super::Noted;
    use crate::connection::activity::{Activity, CoarseClock};
    use crate::limits::SEND_STALL_TIMEOUT;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_overdue_and_one_that_takes_a_little_is_not() {
        let clock = Arc::new(CoarseClock::default());
        clock.advance(1000);
        let activity = Arc::new(Activity::new(Arc::clone(&clock)));
        activity.begin_request();
        let (mut client, node) = tokio::io::duplex(8);
        let mut noted = Noted::new(node, Arc::clone(&activity));
        let mut context = Context::from_waker(Waker::noop());
        let mut write = || Pin::new(&mut noted).poll_write(&mut context, &[0; 8]).is_ready();
        assert!(write() && !write());
        let late_ms = 1001 + u64::try_from(SEND_STALL_TIMEOUT.as_millis()).unwrap();
        assert!(activity.is_overdue(late_ms));
        client.read_exact(&mut [0; 3]).await.unwrap();
        assert!(write());
        assert!(!activity.is_overdue(late_ms));
    }
}
