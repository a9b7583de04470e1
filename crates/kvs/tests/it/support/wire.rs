//! A connection with full control over the bytes that are sent, and a strict reader of HTTP/1.1 answers.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::support::answer::Answer;
use crate::support::wait::{Deadline, SOON};

/// Longest line of a chunk's size, and longest head.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// What bytes go through.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Sealed(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Sealed(stream) => &stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Sealed(stream) => stream.read(buffer),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap()
    }

    /// Connects, when somebody listens.
    pub(crate) fn try_open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: Stream::Plain(socket(address)?), unread: Vec::new() })
    }

    /// Connects and makes a handshake of TLS.
    pub(crate) fn try_open_sealed(address: SocketAddr, mut session: ClientConnection) -> io::Result<Self> {
        let mut socket = socket(address)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        let stream = Stream::Sealed(Box::new(StreamOwned::new(session, socket)));
        Ok(Self { stream, unread: Vec::new() })
    }

    /// The certificate that the other side showed.
    #[track_caller]
    pub(crate) fn certificate(&self) -> Vec<u8> {
        match &self.stream {
            Stream::Plain(_) => panic!("there is no TLS"),
            Stream::Sealed(stream) => stream.conn.peer_certificates().unwrap()[0].to_vec(),
        }
    }

    /// Sends bytes; the other side may have closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Sealed(stream) => stream.write_all(bytes),
        }
    }

    /// Sends bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).unwrap();
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&self) {
        self.stream.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer to a request that was no `HEAD`.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer("GET").unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The next answer, or `None` when the connection was closed or reset before its first byte.
    #[track_caller]
    pub(crate) fn answer_or_close(&mut self) -> Option<Answer> {
        match self.try_answer("GET") {
            Ok(answer) => Some(answer),
            Err(error) if is_closed(&error) && self.unread.is_empty() => None,
            Err(error) => panic!("neither an answer nor a clean end: {error}, after {:?}", self.unread),
        }
    }

    /// The next answer to a request with this method. An end or a reset of the connection is an error.
    pub(crate) fn try_answer(&mut self, method: &str) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end;
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(malformed("the head has no end"));
            }
            self.read_more()?;
        };
        let head: Vec<u8> = self.unread.drain(..end + 4).collect();
        let head = std::str::from_utf8(&head).map_err(|_| malformed("the head is no text"))?;
        let mut lines = head.trim_end().split("\r\n");
        let status = status(lines.next().unwrap_or_default())?;
        let headers = lines.map(header).collect::<io::Result<Vec<_>>>()?;
        let mut answer = Answer { status, headers, body: Vec::new(), head_only: method == "HEAD" };
        answer.body = self.body(&answer)?;
        Ok(answer)
    }

    /// Whether the other side closes the connection within `limit`; bytes that come before are read and dropped.
    pub(crate) fn is_closed_within(&mut self, limit: Duration) -> bool {
        let deadline = Deadline::after(limit);
        let mut buffer = [0; 4096];
        while let Some(left) = deadline.left() {
            self.stream.socket().set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if is_waiting(&error) => {}
                Err(_) => return true,
            }
        }
        false
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer.head_only || answer.status < 200 || matches!(answer.status, 204 | 304) {
            return Ok(Vec::new());
        }
        let field = |name| answer.header(name);
        match (field("transfer-encoding"), field("content-length")) {
            (Some("chunked"), None) => self.chunks(),
            (None, Some(length)) => {
                let length = length.parse().map_err(|_| malformed("Content-Length is no number"))?;
                self.take(length)
            }
            (None, None) => loop {
                match self.read_more() {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        break Ok(std::mem::take(&mut self.unread));
                    }
                    Err(error) => break Err(error),
                }
            },
            _ => Err(malformed("the length of the body is not clear")),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).map_err(|_| malformed("a chunk has no size"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            if !self.line()?.is_empty() {
                return Err(malformed("a chunk is longer than its size"));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).map_err(|_| malformed("a line is no text"));
            }
            self.read_more()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.read_more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            length => {
                self.unread.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, SOON)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.set_write_timeout(Some(SOON))?;
    Ok(socket)
}

/// Whether the other side ended the connection.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn is_waiting(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn status(line: &str) -> io::Result<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let digits = rest.and_then(|rest| rest.get(..3));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| malformed(&format!("no status line: {line:?}")))
}

fn header(line: &str) -> io::Result<(String, String)> {
    let (name, value) =
        line.split_once(':').ok_or_else(|| malformed(&format!("no header field: {line:?}")))?;
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
