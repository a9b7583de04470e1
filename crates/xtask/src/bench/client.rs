//! One request at a time over a connection of its own: for readiness, for spot checks, for the first answer of a start.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::answer::{Answer, Progress};
use crate::bench::reader::{Protocol, Reader};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer larger than this is refused.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Sends one request and waits for its answer; gives the answer and all its bytes, head included.
///
/// # Errors
///
/// No connection, no complete answer in time, or one that cannot be read.
pub(crate) fn fetch(
    address: SocketAddr,
    protocol: Protocol,
    request: &[u8],
) -> anyhow::Result<(Answer, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).context("no connection")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    stream.write_all(request).context("the request could not be sent")?;
    let mut reader = Reader::new(protocol);
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while bytes.len() < MAX_ANSWER_BYTES {
        let count = stream.read(&mut buffer).context("the answer could not be read")?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            bail!("the server closed the connection");
        }
        bytes.extend_from_slice(piece);
        match reader.feed(piece) {
            Progress::Incomplete => {}
            Progress::Complete(answer) => return Ok((answer, bytes)),
            Progress::Broken(reason) => bail!("the answer cannot be read: {reason}"),
        }
    }
    bail!("the answer is longer than {MAX_ANSWER_BYTES} bytes")
}
