//! The request bytes of each target for the two operations that are compared: read a key, write a key.
//!
//! Keys are the same text everywhere, values the same bytes. Requests carry only the headers that the target needs.

use std::borrow::Cow;
use std::io::Write as _;

use crate::bench::reader::Protocol;

/// How a target wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A node of ours: `/kv/{path}`.
    Node,
    /// `GET` and `SET` in the protocol of Redis.
    Redis,
    /// Redis commands in the path of an HTTP request.
    Webdis,
    /// The JSON gateway: `/v3/kv/put` with key and value in base64.
    Etcd,
    /// A server that gives one answer to everything: nginx and the bare hyper server.
    Fixed,
}

/// The key of value `number`.
pub(crate) fn key(number: u64) -> String {
    format!("bench/users/{number:08}")
}

impl Dialect {
    /// The protocol of the answers.
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Redis => Protocol::Resp,
            Self::Node | Self::Webdis | Self::Etcd | Self::Fixed => Protocol::Http,
        }
    }

    /// Appends the request that reads key `number`.
    pub(crate) fn write_get(self, number: u64, out: &mut Vec<u8>) {
        match self {
            Self::Node => request(out, format_args!("GET /kv/bench/users/{number:08}"), ""),
            Self::Redis => append(out, format_args!("*2\r\n$3\r\nGET\r\n$20\r\nbench/users/{number:08}\r\n")),
            // `.txt` asks for the value itself, without a wrapper around it.
            Self::Webdis => request(out, format_args!("GET /GET/bench%2Fusers%2F{number:08}.txt"), ""),
            Self::Etcd => {
                let body = format!("{{\"key\":\"{}\"}}", base64(key(number).as_bytes()));
                post(out, format_args!("POST /v3/kv/range"), body.as_bytes());
            }
            Self::Fixed => request(out, format_args!("GET /{number:08}"), ""),
        }
    }

    /// The bytes that stand in the answer to a read of a key that holds `value`.
    pub(crate) fn value_as_answered(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Etcd => Cow::Owned(base64(value).into_bytes()),
            Self::Node | Self::Redis | Self::Webdis | Self::Fixed => Cow::Borrowed(value),
        }
    }

    /// Appends the request that writes `value` under key `number`.
    pub(crate) fn write_put(self, number: u64, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Node => post(out, format_args!("PUT /kv/bench/users/{number:08}"), value),
            Self::Redis => {
                let length = value.len();
                append(
                    out,
                    format_args!("*3\r\n$3\r\nSET\r\n$20\r\nbench/users/{number:08}\r\n${length}\r\n"),
                );
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            Self::Webdis => post(out, format_args!("PUT /SET/bench%2Fusers%2F{number:08}"), value),
            Self::Etcd => {
                let (key, value) = (base64(key(number).as_bytes()), base64(value));
                let body = format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}");
                post(out, format_args!("POST /v3/kv/put"), body.as_bytes());
            }
            Self::Fixed => post(out, format_args!("PUT /{number:08}"), value),
        }
    }
}

/// Appends a request without a body; `headers` are whole lines.
fn request(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>, headers: &str) {
    append(out, format_args!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n"));
}

/// Appends a request with a JSON body.
pub(crate) fn post(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>, body: &[u8]) {
    let length = body.len();
    append(out, format_args!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"));
    append(out, format_args!("Content-Length: {length}\r\n\r\n"));
    out.extend_from_slice(body);
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into a vector cannot fail.
    out.write_fmt(text).ok();
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = ALPHABET.get((bits >> (18 - 6 * at) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(dialect: Dialect) -> String {
        let mut out = Vec::new();
        dialect.write_get(42, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn put(dialect: Dialect) -> String {
        let mut out = Vec::new();
        dialect.write_put(42, b"{\"a\":1}", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_node_is_asked_by_path() {
        assert_eq!(get(Dialect::Node), "GET /kv/bench/users/00000042 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        assert_eq!(
            put(Dialect::Node),
            "PUT /kv/bench/users/00000042 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: 7\r\n\r\n{\"a\":1}"
        );
    }

    #[test]
    fn the_length_of_a_key_is_the_one_that_redis_is_told() {
        assert_eq!(key(42).len(), 20);
        assert_eq!(get(Dialect::Redis), format!("*2\r\n$3\r\nGET\r\n$20\r\n{}\r\n", key(42)));
        assert_eq!(
            put(Dialect::Redis),
            format!("*3\r\n$3\r\nSET\r\n$20\r\n{}\r\n$7\r\n{{\"a\":1}}\r\n", key(42))
        );
    }

    #[test]
    fn webdis_gets_the_whole_key_as_one_argument() {
        assert!(get(Dialect::Webdis).starts_with("GET /GET/bench%2Fusers%2F00000042.txt HTTP/1.1\r\n"));
        assert!(put(Dialect::Webdis).starts_with("PUT /SET/bench%2Fusers%2F00000042 HTTP/1.1\r\n"));
    }

    #[test]
    fn etcd_gets_key_and_value_in_base64() {
        let text = put(Dialect::Etcd);
        assert!(
            text.ends_with("{\"key\":\"YmVuY2gvdXNlcnMvMDAwMDAwNDI=\",\"value\":\"eyJhIjoxfQ==\"}"),
            "{text}"
        );
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
