//! The shape of a node's address: `host:port`, with `http://` or `https://` before it when wanted.
//!
//! Only the shape is checked; nothing is resolved or connected here.

use std::net::Ipv6Addr;

/// Longest host name, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Whether `text` is the address of a node: a host name, an IPv4 address or an IPv6 address in brackets, and a port
/// from 1 to 65535. One closing `/` is allowed, since people copy addresses from browsers.
pub(crate) fn is_peer(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let Some((host, port)) = rest.rsplit_once(':') else { return false };
    is_host(host) && is_port(port)
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    (1..=HOST_BYTES_MAX).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::is_peer;

    #[test]
    fn hosts_and_addresses_with_a_port_are_peers() {
        for text in [
            "localhost:8080",
            "10.0.0.7:1",
            "[::1]:65535",
            "http://node-1.example.com:8080",
            "https://node_2:443/",
        ] {
            assert!(is_peer(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for text in [
            "",
            ":",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+80",
            "::1:80",
            "[::1]",
            "[x]:80",
            "a b:80",
            "ftp://host:80",
            "http://host:80/path",
            "http://user@host:80",
            "host:80//",
        ] {
            assert!(!is_peer(text), "{text:?}");
        }
    }
}
