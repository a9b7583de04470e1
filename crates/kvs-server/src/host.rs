//! Whether a request was meant for a node that listens on loopback: the check against DNS rebinding.
//!
//! A web page can make a name of its own point to 127.0.0.1 and then talk to a node as its own origin; what it cannot
//! change is the `Host` that the browser sends, which is the page's name. So a node on loopback answers only when
//! `Host` is `localhost`, an address of 127.0.0.0/8 or `[::1]`, with any port. A page of another origin can further send
//! some requests without asking first; they carry `Origin`, which must name loopback too.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `authority` (`host` or `host:port`) names this machine's loopback.
pub(crate) fn is_loopback(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, after)) => {
                return host.parse::<Ipv6Addr>().is_ok_and(|host| host.is_loopback()) && is_port(after);
            }
            None => return false,
        },
        None => match authority.find(':').and_then(|colon| authority.split_at_checked(colon)) {
            Some((host, port)) => (host, port),
            None => (authority, ""),
        },
    };
    let named = host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost");
    (named || host.parse::<Ipv4Addr>().is_ok_and(|host| host.is_loopback())) && is_port(port)
}

/// Whether `origin` (`http://host:port`, or `null` for a page without one) is a page of this machine.
pub(crate) fn is_loopback_origin(origin: &[u8]) -> bool {
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.is_some_and(is_loopback)
}

/// `:` and digits, or nothing.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_loopback, is_loopback_origin};

    #[test]
    fn names_and_addresses_of_loopback_are_taken_with_any_port() {
        for host in [
            "localhost",
            "localhost:8080",
            "LocalHost:1",
            "localhost.",
            "127.0.0.1",
            "127.9.8.7:65535",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(is_loopback(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn every_other_host_is_refused() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:127",
            "10.0.0.1",
            "0.0.0.0",
            "127.1",
            "2130706433",
            "::1",
            "[::1",
            "[::2]",
            "[::1]x",
            "localhost:80:80",
            "localhost:x",
            "user@localhost",
            "localhost:123456",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(!is_loopback(host.as_bytes()), "{host}");
        }
        assert!(!is_loopback(b"localhost\xff"));
    }

    #[test]
    fn pages_of_other_origins_are_known_by_their_origin() {
        assert!(is_loopback_origin(b"http://localhost:3000"));
        assert!(is_loopback_origin(b"https://127.0.0.1"));
        for origin in [&b"null"[..], b"http://evil.example", b"file://", b"localhost", b""] {
            assert!(!is_loopback_origin(origin));
        }
    }
}
