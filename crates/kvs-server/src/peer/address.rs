//! The address of a peer as people write it, and the one form that it is dialled in.

/// How peers are spoken to; the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// In the clear.
    Clear,
    /// Under TLS.
    Tls,
}

/// The `host:port` of `host:port`, also with `http://` or `https://` before it. Under TLS both are dialled under TLS; in the
/// clear an address that asks for TLS is not.
///
/// # Errors
///
/// A sentence, when it is nothing to dial.
pub(super) fn authority(to: &str, transport: Transport) -> Result<&str, &'static str> {
    let rest = match to.strip_prefix("https://") {
        Some(_) if transport == Transport::Clear => {
            return Err("the address asks for TLS, and this node has no tls_cert");
        }
        Some(rest) => rest,
        None => to.strip_prefix("http://").unwrap_or(to),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]%".contains(&byte);
    match rest.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && port.parse::<u16>().is_ok() && rest.bytes().all(allowed) =>
        {
            Ok(rest)
        }
        _ => Err("the address is not host:port"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Transport, authority};

    #[test]
    fn addresses_are_taken_as_configurations_write_them() {
        for (to, dialled) in [
            ("localhost:1", "localhost:1"),
            ("http://node-1.example:8080/", "node-1.example:8080"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(authority(to, Transport::Clear), Ok(dialled));
            assert_eq!(authority(to, Transport::Tls), Ok(dialled));
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for to in ["", "localhost", ":1", "a:b", "a:65536", "https://a:1", "a b:1", "a\r\nX: y:1", "a/b:1"] {
            assert!(authority(to, Transport::Clear).is_err(), "{to:?}");
        }
    }

    #[test]
    fn an_address_that_asks_for_tls_is_dialled_under_tls_or_not_at_all() {
        assert_eq!(authority("https://a:1/", Transport::Tls), Ok("a:1"));
        assert!(authority("https://a:1", Transport::Clear).is_err());
    }
}
