//! A well-behaved client: one connection, kept alive, one request at a time.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::support::answer::Answer;
use crate::support::wire::Wire;

/// A client of one node. Every answer is checked for what the contract promises of all answers.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
    wire: Option<Wire>,
}

impl Client {
    /// A client of the node at `address`; it connects when it is used.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, token: None, wire: None }
    }

    /// The same, bearing a token with every request.
    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// A client on a connection that is there; it must not be closed before the last request.
    pub(crate) fn over(address: SocketAddr, wire: Wire) -> Self {
        Self { address, wire: Some(wire), token: None }
    }

    /// Sends a request and returns the answer.
    #[track_caller]
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        match self.try_send(method, target, headers, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {target}: {error}"),
        }
    }

    /// Sends a request and returns the answer, unless the connection failed. `Host`, `Content-Length` and, with a body,
    /// `Content-Type: application/json` are added; a header with an empty value is left out instead.
    #[track_caller]
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        let has_body = !body.is_empty() || matches!(method, "PUT" | "POST");
        if has_body {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                head.push_str("Content-Type: application/json\r\n");
            }
        }
        if let Some(token) = &self.token {
            write!(head, "Authorization: Bearer {token}\r\n").unwrap();
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::try_open(self.address)?,
        };
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        // A node that refuses a body may close before it has read all of it; the answer is there all the same.
        let sent = wire.try_send(&bytes);
        let answer = wire.try_answer(method).map_err(|error| sent.err().unwrap_or(error))?;
        answer.check();
        if !answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.wire = Some(wire);
        }
        Ok(answer)
    }

    /// `GET`.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    /// `PUT` of a body.
    #[track_caller]
    pub(crate) fn put(&mut self, target: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("PUT", target, &[], body.as_ref())
    }

    /// `POST` of a JSON value.
    #[track_caller]
    pub(crate) fn post(&mut self, target: &str, body: &Value) -> Answer {
        self.send("POST", target, &[], body.to_string().as_bytes())
    }

    /// `DELETE`.
    #[track_caller]
    pub(crate) fn delete(&mut self, target: &str) -> Answer {
        self.send("DELETE", target, &[], b"")
    }

    /// The value at a path (percent-encoded), or `None` where there is none.
    #[track_caller]
    pub(crate) fn value(&mut self, path: &str) -> Option<Value> {
        let answer = self.get(&format!("/kv/{path}"));
        match answer.status {
            404 => None,
            _ => Some(answer.expect(200).json()["data"].clone()),
        }
    }

    /// All keys in byte order, through all pages.
    #[track_caller]
    pub(crate) fn keys(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut target = "/kv/_range?limit=1000&keys_only=true".to_owned();
        loop {
            let page = self.get(&target).expect(200).json();
            let items = page["items"].as_array().unwrap();
            keys.extend(items.iter().map(|item| item["path"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(cursor) => {
                    target = format!("/kv/_range?limit=1000&keys_only=true&cursor={}", encode(cursor));
                }
                None => return keys,
            }
        }
    }
}

/// A text as a part of a query or as one segment of a path: everything but unreserved characters percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
    }
    encoded
}

/// A path of several segments, each encoded, so that `.` and `..` are the only ones that a reader could mistake.
pub(crate) fn encode_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}
