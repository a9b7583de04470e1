//! One client of one node: HTTP/1.1 over a connection that is kept, with statuses and bodies.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(2);

/// An answer larger than this is refused.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The stable word of a problem.
    pub(crate) fn code(&self) -> String {
        self.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// Nothing was sent.
    NotSent,
    /// It was sent, and nobody knows what became of it.
    Unanswered,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Talk {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Talk {
    /// A client that waits for so long; it connects when it is used.
    pub(crate) const fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, stream: None }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        header: &str,
        body: &str,
    ) -> Result<Answer, Silence> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().map_err(|_| Silence::NotSent)?,
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{header}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(|_| Silence::Unanswered)?;
        let answer = read(&mut stream, method == "HEAD").map_err(|_| Silence::Unanswered)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    /// A page that is JSON.
    ///
    /// # Errors
    ///
    /// No answer, or not 200.
    pub(crate) fn json(&mut self, target: &str) -> anyhow::Result<Value> {
        match self.ask("GET", target, "", "") {
            Ok(answer) if answer.status == 200 => Ok(answer.json()),
            Ok(answer) => bail!("{target} on {}: {} {}", self.address, answer.status, answer.code()),
            Err(silence) => bail!("{target} on {}: {silence:?}", self.address),
        }
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECTING)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn read(stream: &mut TcpStream, is_head: bool) -> anyhow::Result<Answer> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut whole = None;
    loop {
        if whole.is_none()
            && let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            let (status, length) = parse(&head)?;
            let length = if is_head || matches!(status, 204 | 304) { 0 } else { length };
            whole = Some((status, end + 4, end + 4 + length));
        }
        if let Some((status, begin, end)) = whole
            && bytes.len() >= end
        {
            return Ok(Answer { status, body: bytes.get(begin..end).unwrap_or_default().to_vec() });
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 || bytes.len() > MAX_BYTES {
            bail!("no whole answer");
        }
        bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}

fn parse(head: &str) -> anyhow::Result<(u16, usize)> {
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status, length.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn status_and_length_are_read() {
        assert_eq!(parse("HTTP/1.1 201 Created\r\ncontent-length: 12").unwrap(), (201, 12));
        assert_eq!(parse("HTTP/1.1 204 No Content\r\nx: y").unwrap(), (204, 0));
        assert!(parse("HTTP/1.1").is_err());
    }
}
