//! What the configuration asks for and this version does not have, and what it leaves open, said at start in plain lines.
//!
//! Accounts are the one with consequences: until they are there every request is allowed, so a node that was told to ask
//! for tokens listens on loopback only, whatever `bind_address` says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kvs_config::config::Config;

use crate::error::ServerError;

/// Where the node listens: `bind_address` and `port`, or loopback while rights cannot be checked.
#[must_use]
pub fn listen_address(config: &Config) -> SocketAddr {
    let ip = match config.bind_address {
        ip if ip.is_loopback() || !config.auth_enabled => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, config.port)
}

/// Refuses what would be unsafe to ignore.
///
/// # Errors
///
/// [`ServerError::NotSupported`]: TLS is asked for, and clients would be served in the clear.
pub(crate) fn refuse_unsafe(config: &Config) -> Result<(), ServerError> {
    if config.tls_cert.is_some() {
        return Err(ServerError::NotSupported {
            key: "tls_cert",
            reason: "this version does not serve TLS; remove tls_cert and tls_key, and put a proxy that speaks TLS in \
                     front of the node",
        });
    }
    Ok(())
}

/// One line for each thing that is not as configured.
pub(crate) fn notices(config: &Config) -> Vec<String> {
    let mut notices = Vec::new();
    let address = listen_address(config).ip();
    if config.auth_enabled {
        let instead = if address == config.bind_address {
            String::new()
        } else {
            format!(" instead of {}", config.bind_address)
        };
        notices.push(format!(
            "auth_enabled: accounts are not in this version, so every request is allowed, and the node listens on \
             loopback only ({address}{instead})"
        ));
    } else if !address.is_loopback() {
        notices.push(format!("auth_enabled is false: everyone who reaches {address} can read and write"));
    }
    if config.clustering_enabled && config.cluster_secret.is_none() && !address.is_loopback() {
        notices.push(format!(
            "cluster_secret is not set although the node listens on {address}: only nodes that have the same \
             ~/.kvs/cluster.key can join, which are those of this user on this machine"
        ));
    }
    let missing: Vec<&str> = [
        (config.rate_limiting_enabled, "rate_limiting_enabled"),
        (config.tamper_logging_enabled, "tamper_logging_enabled"),
    ]
    .into_iter()
    .filter_map(|(is_asked_for, name)| is_asked_for.then_some(name))
    .collect();
    if !missing.is_empty() {
        notices.push(format!("not in this version and therefore off: {}", missing.join(", ")));
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::{listen_address, notices, refuse_unsafe};
    use kvs_config::config::{Config, parse};

    fn config(text: &str) -> Config {
        parse(text, "/tmp/config.yaml".into(), &|_| None, "node").unwrap()
    }

    #[test]
    fn a_node_that_cannot_check_rights_listens_on_loopback_only() {
        for (bind, listen) in
            [("0.0.0.0", "127.0.0.1:8080"), ("10.0.0.7", "127.0.0.1:8080"), ("\"::\"", "[::1]:8080")]
        {
            let config = config(&format!("bind_address: {bind}\nauth_enabled: true\n"));
            assert_eq!(listen_address(&config).to_string(), listen);
            let notices = notices(&config);
            assert!(
                notices[0].contains("every request is allowed") && notices[0].contains("instead of"),
                "{notices:?}"
            );
        }
        assert_eq!(listen_address(&config("bind_address: 127.0.0.2\n")).to_string(), "127.0.0.2:8080");
    }

    #[test]
    fn without_rights_to_check_it_listens_where_it_was_told_to() {
        let config = config("bind_address: 0.0.0.0\nauth_enabled: false\n");
        assert_eq!(listen_address(&config).to_string(), "0.0.0.0:8080");
        assert!(notices(&config)[0].contains("everyone"));
        assert!(notices(&config)[1].contains("cluster.key"));
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_off_is_not() {
        let notices = |text| notices(&config(text));
        assert!(notices("").iter().any(|notice| notice.contains("tamper_logging_enabled")));
        assert!(!notices("").iter().any(|notice| notice.contains("cluster")));
        let off = "auth_enabled: false\nclustering_enabled: false\nrate_limiting_enabled: false\ntamper_logging_enabled: false\n";
        assert!(notices(off).is_empty());
    }

    #[test]
    fn tls_is_refused_not_ignored() {
        assert!(refuse_unsafe(&config("tls_cert: a.pem\ntls_key: b.pem\n")).is_err());
        assert!(refuse_unsafe(&config("")).is_ok());
    }
}
