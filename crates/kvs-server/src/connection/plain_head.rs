//! Recognises the plainest of requests: `GET /kv/...` over HTTP/1.1, nothing asked beyond it.
//!
//! Such a request is most of what a node is asked, and it can be answered from its bytes. The rule is to recognise too
//! little: any byte, field or form that could mean something else makes the request *foreign*, and a foreign request is
//! read by the full parser, whose reading alone counts. So nothing is decided here that is not decided there the same way;
//! a body, a condition, a query, an upgrade, a closing connection are all foreign.

use std::mem::MaybeUninit;

/// Most header fields of a plain request; more is foreign.
const FIELDS_MAX: usize = 32;

const START: &[u8] = b"GET /kv/";

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    /// A plain request.
    Plain(PlainRead<'a>),
    /// Perhaps one; its end is missing.
    Partial,
    /// Something for the full parser.
    Foreign,
}

/// A plain request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainRead<'a> {
    /// How many bytes it takes.
    pub(crate) length: usize,
    /// What follows `/kv/`, as sent.
    pub(crate) raw_path: &'a str,
    /// Its one `Host`.
    pub(crate) host: &'a [u8],
}

/// Looks at the beginning of `bytes`, which is the beginning of a request.
pub(crate) fn recognise(bytes: &[u8]) -> Seen<'_> {
    let known = bytes.len().min(START.len());
    if bytes.get(..known) != START.get(..known) {
        return Seen::Foreign;
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Seen::Partial,
        Err(_) => return Seen::Foreign,
    };
    let raw_path = request.path.and_then(|path| path.strip_prefix("/kv/"));
    let Some(raw_path) = raw_path.filter(|path| request.version == Some(1) && path.bytes().all(is_path_byte))
    else {
        return Seen::Foreign;
    };
    let mut host = None;
    for field in request.headers.iter() {
        match meaning(field) {
            Meaning::Host if host.is_none() && !field.value.is_empty() => host = Some(field.value),
            Meaning::None => {}
            Meaning::Host | Meaning::Foreign => return Seen::Foreign,
        }
    }
    match host {
        Some(host) => Seen::Plain(PlainRead { length, raw_path, host }),
        None => Seen::Foreign,
    }
}

/// The bytes of a path by RFC 3986, and those of its escapes.
const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
                | b'%'
        )
}

/// What a field means to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    None,
    Host,
    Foreign,
}

fn meaning(field: &httparse::Header<'_>) -> Meaning {
    let is = |name: &str| field.name.eq_ignore_ascii_case(name);
    // One look at the first letter spares most fields the comparisons.
    match field.name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'h') if is("host") => Meaning::Host,
        Some(b'h') if is("http2-settings") => Meaning::Foreign,
        Some(b'c') if is("connection") && !field.value.eq_ignore_ascii_case(b"keep-alive") => {
            Meaning::Foreign
        }
        Some(b'c') if is("content-length") => Meaning::Foreign,
        Some(b't') if is("transfer-encoding") || is("te") || is("trailer") => Meaning::Foreign,
        Some(b'e') if is("expect") => Meaning::Foreign,
        Some(b'u') if is("upgrade") => Meaning::Foreign,
        // All conditions.
        Some(b'i') if field.name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-")) => {
            Meaning::Foreign
        }
        _ => Meaning::None,
    }
}

#[cfg(test)]
mod tests {
    use super::{PlainRead, Seen, recognise};

    fn is_foreign(request: &str) -> bool {
        recognise(request.as_bytes()) == Seen::Foreign
    }

    #[test]
    fn a_plain_read_is_recognised_with_what_follows_it() {
        let request = "GET /kv/a/b%20c HTTP/1.1\r\nUser-Agent: x\r\nHost: localhost:1\r\nConnection: Keep-Alive\r\n\r\n";
        let expected =
            Seen::Plain(PlainRead { length: request.len(), raw_path: "a/b%20c", host: b"localhost:1" });
        assert_eq!(recognise(format!("{request}GET /kv/").as_bytes()), expected);
    }

    #[test]
    fn every_beginning_of_one_is_partial() {
        let request = b"GET /kv/a HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(recognise(&request[..end]), Seen::Partial, "{end}");
        }
    }

    #[test]
    fn other_requests_are_foreign() {
        for line in [
            "PUT /kv/a HTTP/1.1",
            "HEAD /kv/a HTTP/1.1",
            "get /kv/a HTTP/1.1",
            "GET /health HTTP/1.1",
            "GET /kv HTTP/1.1",
            "GET /kv/a HTTP/1.0",
            "GET /kv/a HTTP/2.0",
            "GET  /kv/a HTTP/1.1",
            "GET http://localhost/kv/a HTTP/1.1",
            "GET /kv/a?x=1 HTTP/1.1",
            "GET /kv/a? HTTP/1.1",
            "GET /kv/a#b HTTP/1.1",
            "GET /kv/é HTTP/1.1",
            "GET /kv/a\"b HTTP/1.1",
            "GET /kv/a\\b HTTP/1.1",
            "\r\nGET /kv/a HTTP/1.1",
        ] {
            assert!(is_foreign(&format!("{line}\r\nHost: localhost\r\n\r\n")), "{line}");
        }
    }

    #[test]
    fn fields_that_mean_something_are_foreign() {
        for field in [
            "Content-Length: 0",
            "content-length: 5",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Connection: keep-alive, x",
            "CONNECTION: Upgrade",
            "Upgrade: h2c",
            "HTTP2-Settings: x",
            "Expect: 100-continue",
            "If-None-Match: *",
            "if-match: \"a\"",
            "If-Modified-Since: x",
            "IF-UNMODIFIED-SINCE: x",
            "If-Range: x",
            "TE: trailers",
            "Trailer: x",
            "Host: localhost",
            "Host : b",
            " folded: x",
            "bad name: x",
        ] {
            assert!(
                is_foreign(&format!("GET /kv/a HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n")),
                "{field}"
            );
        }
        assert!(is_foreign("GET /kv/a HTTP/1.1\r\nAccept: */*\r\n\r\n"));
        assert!(is_foreign("GET /kv/a HTTP/1.1\r\nHost:\r\n\r\n"));
        let many = "X: y\r\n".repeat(33);
        assert!(is_foreign(&format!("GET /kv/a HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")));
    }
}
