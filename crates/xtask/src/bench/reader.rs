//! The reader of the answers of either protocol.

use crate::bench::answer::Progress;
use crate::bench::http_reader::HttpReader;
use crate::bench::resp_reader::RespReader;

/// The protocols that targets speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 with `Content-Length`.
    Http,
    /// The protocol of Redis.
    Resp,
}

/// Reads one answer at a time from the pieces in which it arrives.
pub(crate) enum Reader {
    /// For [`Protocol::Http`].
    Http(HttpReader),
    /// For [`Protocol::Resp`].
    Resp(RespReader),
}

impl Reader {
    /// A reader at the beginning of an answer.
    pub(crate) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http => Self::Http(HttpReader::default()),
            Protocol::Resp => Self::Resp(RespReader::default()),
        }
    }

    /// Takes the bytes that arrived next. One request is in flight, so they belong to one answer.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Progress {
        match self {
            Self::Http(reader) => reader.feed(bytes),
            Self::Resp(reader) => reader.feed(bytes),
        }
    }
}
