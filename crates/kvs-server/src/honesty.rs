//! What the configuration leaves open or refuses, said at start in plain lines.

use std::net::SocketAddr;

use kvs_config::config::Config;

/// Where the node listens: `bind_address` and `port`.
#[must_use]
pub const fn listen_address(config: &Config) -> SocketAddr {
    SocketAddr::new(config.bind_address, config.port)
}

/// One line for each thing that is not as configured.
pub(crate) fn notices(config: &Config) -> Vec<String> {
    let mut notices = Vec::new();
    let address = listen_address(config).ip();
    if !config.auth_enabled && !address.is_loopback() {
        notices.push(format!("auth_enabled is false: everyone who reaches {address} can read and write"));
    }
    if config.clustering_enabled && config.cluster_secret.is_none() && !address.is_loopback() {
        notices.push(format!(
            "cluster_secret is not set although the node listens on {address}: only nodes that have the same \
             ~/.kvs/cluster.key can join, which are those of this user on this machine"
        ));
    }
    notices
}

/// What the node is configured to guard and keep, in one line for the audit trail. No secret and no path of one.
pub(crate) fn summary(config: &Config) -> String {
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    format!(
        "auth {}, anonymous read {}, anonymous write {}, clustering {}, tls {}, client certificates {}, rate limit {}, \
         durability {:?}, read only {}, history {}, backups {}",
        on(config.auth_enabled),
        on(config.allow_anonymous_read),
        on(config.allow_anonymous_write),
        on(config.clustering_enabled),
        on(config.tls_cert.is_some()),
        on(config.tls_client_ca.is_some()),
        on(config.rate_limiting_enabled),
        config.durability,
        on(config.read_only),
        on(config.revision_history_enabled),
        on(config.backup_enabled),
    )
}

#[cfg(test)]
mod tests {
    use super::{listen_address, notices};
    use kvs_config::config::{Config, parse};

    fn config(text: &str) -> Config {
        parse(text, "/tmp/config.yaml".into(), &|_| None, "node").unwrap()
    }

    #[test]
    fn it_listens_where_it_was_told_to() {
        for (text, listen) in [
            ("bind_address: 0.0.0.0\n", "0.0.0.0:8080"),
            ("bind_address: \"::\"\nport: 1\n", "[::]:1"),
            ("bind_address: 127.0.0.2\n", "127.0.0.2:8080"),
        ] {
            assert_eq!(listen_address(&config(text)).to_string(), listen);
        }
    }

    #[test]
    fn an_open_node_says_so() {
        let config = config("bind_address: 0.0.0.0\nauth_enabled: false\n");
        assert_eq!(listen_address(&config).to_string(), "0.0.0.0:8080");
        assert!(notices(&config)[0].contains("everyone"));
        assert!(notices(&config)[1].contains("cluster.key"));
    }

    #[test]
    fn a_guarded_node_on_loopback_has_nothing_to_say() {
        assert!(notices(&config("")).is_empty());
    }
}
