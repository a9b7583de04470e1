//! Requests to a node as somebody in particular sends them: with a token, or from an address that a proxy tells.

use std::fmt::Arguments;
use std::io::Write as _;

/// Who is asking, as whole header lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    headers: String,
}

impl Caller {
    /// Nobody in particular.
    pub(crate) fn nobody() -> Self {
        Self::default()
    }

    /// The bearer of this token.
    pub(crate) fn bearing(token: &str) -> Self {
        Self { headers: format!("Authorization: Bearer {token}\r\n") }
    }

    /// Appends a request without a body; `line` is method and path.
    pub(crate) fn ask(&self, line: Arguments<'_>, out: &mut Vec<u8>) {
        self.head(line, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a request with a JSON body.
    pub(crate) fn send(&self, line: Arguments<'_>, body: &[u8], out: &mut Vec<u8>) {
        self.head(line, out);
        append(out, format_args!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()));
        out.extend_from_slice(body);
    }

    /// Appends the request that reads key `number`.
    pub(crate) fn get(&self, number: u64, out: &mut Vec<u8>) {
        self.ask(format_args!("GET /kv/bench/users/{number:08}"), out);
    }

    /// Appends the request that writes key `number`.
    pub(crate) fn put(&self, number: u64, value: &[u8], out: &mut Vec<u8>) {
        self.send(format_args!("PUT /kv/bench/users/{number:08}"), value, out);
    }

    fn head(&self, line: Arguments<'_>, out: &mut Vec<u8>) {
        append(out, format_args!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
        out.extend_from_slice(self.headers.as_bytes());
    }
}

/// Appends the request that reads key 0, as a proxy hands it on for a client at `address`.
pub(crate) fn get_for(address: std::net::Ipv4Addr, out: &mut Vec<u8>) {
    append(
        out,
        format_args!(
            "GET /kv/bench/users/00000000 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {address}\r\n\r\n"
        ),
    );
}

fn append(out: &mut Vec<u8>, text: Arguments<'_>) {
    // Writing into a vector cannot fail.
    out.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::dialect::Dialect;

    #[test]
    fn nobody_asks_like_any_client_of_a_node() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        Caller::nobody().get(42, &mut ours);
        Dialect::Node.write_get(42, &mut theirs);
        assert_eq!(ours, theirs);
        ours.clear();
        theirs.clear();
        Caller::nobody().put(42, b"{}", &mut ours);
        Dialect::Node.write_put(42, b"{}", &mut theirs);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_bearer_sends_its_token_and_a_proxy_the_address() {
        let mut out = Vec::new();
        Caller::bearing("a.b.c").get(42, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\nAuthorization: Bearer a.b.c\r\n\r\n"), "{text}");
        let mut out = Vec::new();
        get_for(std::net::Ipv4Addr::new(192, 0, 2, 7), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"), "{text}");
    }
}
