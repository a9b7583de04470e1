//! One connection that stays open, one request at a time on it: for polling without the cost of connecting.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::answer::{Answer, Progress};
use crate::bench::reader::{Protocol, Reader};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// An answer larger than this is refused.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// An open connection.
pub(crate) struct Talk {
    stream: TcpStream,
    protocol: Protocol,
    buffer: Vec<u8>,
    answer: Vec<u8>,
}

impl Talk {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub(crate) fn open(address: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .with_context(|| format!("no connection to {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, protocol, buffer: vec![0; READ_BYTES], answer: Vec::new() })
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is no answer. It is of no more use then.
    pub(crate) fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).context("the request could not be sent")?;
        self.answer.clear();
        let mut reader = Reader::new(self.protocol);
        while self.answer.len() < MAX_ANSWER_BYTES {
            let count = self.stream.read(&mut self.buffer).context("the answer could not be read")?;
            let piece = self.buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                bail!("the server closed the connection");
            }
            self.answer.extend_from_slice(piece);
            match reader.feed(piece) {
                Progress::Incomplete => {}
                Progress::Complete(answer) => return Ok(answer),
                Progress::Broken(reason) => bail!("the answer cannot be read: {reason}"),
            }
        }
        bail!("the answer is longer than {MAX_ANSWER_BYTES} bytes")
    }

    /// Asks a node for a page that is JSON.
    ///
    /// # Errors
    ///
    /// As [`Talk::ask`], and an answer that reports no success.
    pub(crate) fn json(&mut self, page: &str) -> anyhow::Result<Value> {
        let answer = self.ask(format!("GET {page} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
        if !answer.success {
            bail!("{page} was answered with {}", answer.status);
        }
        let begin = self.answer.len().saturating_sub(answer.body_bytes);
        serde_json::from_slice(self.answer.get(begin..).unwrap_or_default())
            .with_context(|| format!("{page} was answered with no JSON"))
    }
}
