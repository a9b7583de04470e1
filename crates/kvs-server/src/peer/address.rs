//! The address of a peer as people write it, and the one form that it is dialled in.

/// The `host:port` of `[http://]host:port[/]`.
///
/// # Errors
///
/// A sentence, when it is nothing to dial.
pub(super) fn authority(to: &str) -> Result<&str, &'static str> {
    if to.starts_with("https://") {
        return Err("TLS between nodes is not in this version; write the address without https://");
    }
    let rest = to.strip_prefix("http://").unwrap_or(to);
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
    use super::authority;

    #[test]
    fn addresses_are_taken_as_configurations_write_them() {
        for (to, dialled) in [
            ("localhost:1", "localhost:1"),
            ("http://node-1.example:8080/", "node-1.example:8080"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(authority(to), Ok(dialled));
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for to in ["", "localhost", ":1", "a:b", "a:65536", "https://a:1", "a b:1", "a\r\nX: y:1", "a/b:1"] {
            assert!(authority(to).is_err(), "{to:?}");
        }
    }
}
