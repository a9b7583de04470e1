//! A name or address that a certificate is for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls_pki_types::DnsName;

use crate::error::CertsError;

/// A DNS name (also `*.example.com`) or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case.
    Name(String),
}

impl FromStr for Host {
    type Err = CertsError;

    fn from_str(text: &str) -> Result<Self, CertsError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.to_ascii_lowercase();
        match DnsName::try_from(name.strip_prefix("*.").unwrap_or(&name)) {
            Ok(_) => Ok(Self::Name(name)),
            Err(_) => Err(CertsError::BadName {
                text: text.to_owned(),
                expected: "host name or IP address without a port",
            }),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(out),
            Self::Name(name) => name.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for (text, shown) in [
            ("10.0.0.7", "10.0.0.7"),
            ("[::1]", "::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("Node-1.Example", "node-1.example"),
            ("*.example.com", "*.example.com"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), shown);
        }
        assert!(matches!("127.0.0.1".parse(), Ok(Host::Ip(_))));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "a b", "host:8080", "http://host", "*", "a.*.b", "-a", "a..b", "é"] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }
}
