//! The address of the client behind a request: that of the socket, or what a trusted proxy says.
//!
//! The address serves the limit of requests and the audit trail. It grants nothing: no right and no exemption follows from
//! it.
//!
//! Any client can write `X-Forwarded-For` and `Forwarded`. They are read only when the socket belongs to one of
//! `trusted_proxies`, and then from the right, where the nearest proxy wrote: addresses of trusted proxies are passed over,
//! and the first other one is the client. What stands further left was written by the client, or by somebody who is not
//! trusted, and changes nothing. What cannot be understood at the place that counts leads back to the socket's address.
//!
//! A proxy writes one of the two fields and may hand on the other as the client sent it, and which one it writes cannot be
//! seen. So where both are there, they count only if they agree.
//!
//! Source: RFC 7239; `X-Forwarded-For` has no standard, but one common form.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use kvs_config::network::Network;

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client whose request with these `headers` came over a socket from `socket`. An IPv4 address in the
/// form of IPv6 comes out as IPv4.
#[must_use]
pub fn client_address(socket: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let socket = socket.to_canonical();
    if !is_trusted(socket, trusted) {
        return socket;
    }
    let mut common = Trail::default();
    for line in headers.get_all(X_FORWARDED_FOR) {
        for hop in line.as_bytes().split(|byte| *byte == b',') {
            common.follow(hop, address, trusted);
        }
    }
    let mut standard = Trail::default();
    for line in headers.get_all(FORWARDED) {
        for element in parts(line.as_bytes(), b',') {
            standard.follow(element, forwarded_for, trusted);
        }
    }
    let told = match (common, standard) {
        (Trail::Empty, told) | (told, Trail::Empty) => told.client(),
        (one, other) => one.client().filter(|client| other.client() == Some(*client)),
    };
    told.unwrap_or(socket)
}

fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// Where the hops of a field lead, read from the left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trail {
    /// No hop yet.
    #[default]
    Empty,
    /// Trusted proxies alone; this is the one that is furthest away.
    Trusted(IpAddr),
    /// The last hop that is no trusted proxy.
    Client(IpAddr),
    /// The last hop that is no trusted proxy names no address.
    Lost,
}

impl Trail {
    /// Goes on to the next hop, whose address `read` finds.
    fn follow(&mut self, hop: &[u8], read: impl Fn(&str) -> Option<IpAddr>, trusted: &[Network]) {
        let hop = hop.trim_ascii();
        // Lists may have empty places.
        if hop.is_empty() {
            return;
        }
        let address = std::str::from_utf8(hop).ok().and_then(read);
        *self = match (address, *self) {
            (None, _) => Self::Lost,
            (Some(proxy), Self::Empty) if is_trusted(proxy, trusted) => Self::Trusted(proxy),
            (Some(proxy), before) if is_trusted(proxy, trusted) => before,
            (Some(client), _) => Self::Client(client),
        };
    }

    fn client(self) -> Option<IpAddr> {
        match self {
            Self::Trusted(address) | Self::Client(address) => Some(address),
            Self::Empty | Self::Lost => None,
        }
    }
}

/// The parts of a text between separators that are not in quotes.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => return *byte == separator && !is_quoted,
        }
        false
    })
}

/// The address in an element of `Forwarded`: pairs with semicolons, one of which is `for`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in parts(element.as_bytes(), b';') {
        let (name, value) = std::str::from_utf8(pair).ok()?.trim_ascii().split_once('=')?;
        let value = unquoted(value)?;
        if name.eq_ignore_ascii_case("for") {
            // Said twice, it says nothing.
            if found.is_some() {
                return None;
            }
            found = Some(address(value)?);
        }
    }
    found
}

/// A value without its quotes; `None` when they do not fit, or hide something by a backslash, which no address does.
fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(behind) => behind.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let parsed = match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6)?,
        None => text.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?,
    };
    Some(parsed.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use proptest::{collection, sample};

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn trusted() -> Vec<Network> {
        ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect()
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn client(socket: &str, lines: &[(&str, &str)]) -> String {
        client_address(socket.parse().unwrap(), &headers(lines), &trusted()).to_string()
    }

    #[test]
    fn what_a_stranger_says_of_itself_is_not_heard() {
        for socket in ["203.0.113.9", "2001:db8::9"] {
            for lines in [
                &[("x-forwarded-for", "198.51.100.1")][..],
                &[("forwarded", "for=198.51.100.1")],
                &[("x-forwarded-for", "10.0.0.1, 127.0.0.1")],
                &[("x-real-ip", "127.0.0.1"), ("true-client-ip", "127.0.0.1"), ("client-ip", "10.0.0.1")],
            ] {
                assert_eq!(client(socket, lines), socket);
            }
        }
        let spoofed = headers(&[("x-forwarded-for", "198.51.100.1")]);
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(client_address(loopback, &spoofed, &[]), loopback, "nobody is trusted unless named");
    }

    #[test]
    fn behind_trusted_proxies_the_nearest_stranger_is_the_client() {
        for (said, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9, 10.1.1.1,10.2.2.2", "203.0.113.9"),
            ("garbage, 203.0.113.9 ,\t10.1.1.1", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::9", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("[2001:db8::9]:443, fd00::1", "2001:db8::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, ::ffff:10.0.0.7", "203.0.113.9"),
            (", 203.0.113.9,, ", "203.0.113.9"),
            // Clients of the proxies' own network: the one furthest away.
            ("10.9.9.9, 10.1.1.1", "10.9.9.9"),
        ] {
            assert_eq!(client(PROXY, &[("x-forwarded-for", said)]), expected, "{said}");
        }
        assert_eq!(
            client(
                PROXY,
                &[("x-forwarded-for", "203.0.113.1"), ("X-Forwarded-For", "203.0.113.2, 10.0.0.2")]
            ),
            "203.0.113.2",
            "lines are one list"
        );
        assert_eq!(client("::ffff:10.0.0.1", &[("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn the_standard_field_is_read_with_its_quotes_and_pairs() {
        for (said, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("FOR=203.0.113.9;proto=http;by=10.0.0.1", "203.0.113.9"),
            ("proto=http; For=\"203.0.113.9:80\"", "203.0.113.9"),
            ("for=\"[2001:db8::9]:4711\"", "2001:db8::9"),
            ("for=unknown, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
            ("for=198.51.100.1;host=\"a,b;c\", for=203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(client(PROXY, &[("forwarded", said)]), expected, "{said}");
        }
    }

    #[test]
    fn what_is_malformed_leads_back_to_the_socket() {
        for said in [
            "",
            ",",
            "unknown",
            "203.0.113.9, \"",
            "203.0.113",
            "203.0.113.9 10.0.0.1",
            "203.0.113.9, localhost",
            "\"203.0.113.9\"",
            "[203.0.113.9]",
            "2001:db8::9]:80",
            "fe80::1%eth0",
            "203.0.113.9:99999",
            "203.0.113.9, \u{e9}",
        ] {
            assert_eq!(client(PROXY, &[("x-forwarded-for", said)]), PROXY, "{said}");
        }
        for said in [
            "",
            "203.0.113.9",
            "for=_hidden",
            "for=unknown",
            "by=203.0.113.9",
            "for=203.0.113.9;for=203.0.113.8",
            "for=\"203.0.113.9",
            "for=203.0.113.9\"",
            "for=\"203.0.113.9\"x",
            "for=\"203.0.113\\.9\"",
            "for=203.0.113.9;x",
            // A quote that a client leaves open cannot swallow what its proxy adds and put something else there.
            "for=198.51.100.1;x=\", for=203.0.113.9",
            "for=198.51.100.1;x=\", for=\"[2001:db8::9]\"",
            "for=198.51.100.1;x=\"\\, for=203.0.113.9",
        ] {
            assert_eq!(client(PROXY, &[("forwarded", said)]), PROXY, "{said}");
        }
    }

    #[test]
    fn two_fields_count_only_if_they_agree() {
        let both = |common, standard| client(PROXY, &[("x-forwarded-for", common), ("forwarded", standard)]);
        assert_eq!(both("203.0.113.9", "for=203.0.113.9, for=10.0.0.2"), "203.0.113.9");
        assert_eq!(both("203.0.113.9", "for=198.51.100.1"), PROXY);
        assert_eq!(both("198.51.100.1", "for=203.0.113.9"), PROXY);
        assert_eq!(both("203.0.113.9", "for=unknown"), PROXY);
        assert_eq!(both("unknown", "for=unknown"), PROXY);
    }

    /// What fields are made of, and what breaks them.
    const LETTERS: &[u8] = b"for=by;,,\"\"\\ \t19.:[]\xff";

    proptest! {
        #[test]
        fn whatever_a_client_writes_the_line_of_its_proxy_decides(
            written in collection::vec(collection::vec(sample::select(LETTERS), 0..60), 0..4),
            client in any::<u32>(),
        ) {
            let client = std::net::Ipv4Addr::from_bits(client | 0x8000_0000);
            for (field, said) in [
                ("x-forwarded-for", client.to_string()),
                ("forwarded", format!("for={client};proto=http")),
            ] {
                let name = HeaderName::from_static(field);
                let mut headers = HeaderMap::new();
                for line in &written {
                    headers.append(&name, HeaderValue::from_bytes(line).unwrap());
                }
                headers.append(&name, HeaderValue::from_str(&said).unwrap());
                prop_assert_eq!(client_address(PROXY.parse().unwrap(), &headers, &trusted()), IpAddr::V4(client));
                // On the client's own line an open quote may hide it; then it is the proxy that counts.
                let line = written.last().map_or(&[][..], |line| &line[..]);
                let joined = [line, b", ", said.as_bytes()].concat();
                headers.clear();
                headers.insert(&name, HeaderValue::from_bytes(&joined).unwrap());
                let found = client_address(PROXY.parse().unwrap(), &headers, &trusted());
                let is_hidden = field == "forwarded" && found.to_string() == PROXY;
                prop_assert!(found == IpAddr::V4(client) || is_hidden, "{}", found);
            }
        }
    }
}
