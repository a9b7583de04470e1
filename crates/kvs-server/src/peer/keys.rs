//! The keys of the cluster, from the configuration or the key file; and when a node must not start with them.

use kvs_config::cluster_key::load_or_create;
use kvs_config::config::Config;
use kvs_config::secret::Secret;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_protocol::peer_auth::keyring::Keyring;

use crate::error::ServerError;
use crate::random::random_bytes;

/// The keys of the node's cluster; `None` when it is to work alone. Makes the key file when it is needed and missing, so
/// it waits for the disk.
///
/// # Errors
///
/// [`ServerError::ClusterSecret`] when the secret that is there would leave the cluster open, or there is no place for
/// the key file; [`ServerError::ClusterKey`] when the key file cannot be used.
pub fn keyring(config: &Config) -> Result<Option<Keyring>, ServerError> {
    if !config.clustering_enabled {
        return Ok(None);
    }
    let derive = |secret: &Secret| ClusterKeys::derive(secret.expose().as_bytes());
    let current = match &config.cluster_secret {
        Some(secret) => derive(secret),
        None => {
            refuse_open(config)?;
            let home = config.home.as_ref().ok_or(ServerError::ClusterSecret {
                reason: "there is no home folder for ~/.kvs/cluster.key (HOME is not set); set cluster_secret, or \
                         clustering_enabled: false for a node alone"
                    .to_owned(),
            })?;
            ClusterKeys::derive(
                load_or_create(home, random_bytes()?).map_err(ServerError::ClusterKey)?.expose(),
            )
        }
    };
    Ok(Some(Keyring::new(current, config.cluster_secret_previous.as_ref().map(derive))))
}

/// Refuses to listen beyond this machine with a secret that nobody chose. Who switched off all rights is only warned.
fn refuse_open(config: &Config) -> Result<(), ServerError> {
    if config.bind_address.is_loopback() || !config.auth_enabled {
        return Ok(());
    }
    Err(ServerError::ClusterSecret {
        reason: format!(
            "is needed to cluster on {}: put one secret of at least 8 bytes into the configuration of every node, or set \
             clustering_enabled: false for a node alone, or bind_address: 127.0.0.1 for nodes on one machine",
            config.bind_address
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::keyring;
    use crate::error::ServerError;
    use kvs_config::config::{Config, parse};
    use kvs_core::cluster_keys::ClusterKeys;

    fn config(text: &str) -> Config {
        parse(text, "/tmp/config.yaml".into(), &|_| None, "node").unwrap()
    }

    #[test]
    fn a_secret_of_the_configuration_is_taken_with_the_one_before() {
        let config = config("cluster_secret: the new one\ncluster_secret_previous: the old one\n");
        let keyring = keyring(&config).unwrap().unwrap();
        let old = ClusterKeys::derive(b"the old one");
        assert_eq!(keyring.current(), &ClusterKeys::derive(b"the new one"));
        let tag = kvs_protocol::peer_auth::keyring::ClusterTag::of(&old);
        assert_eq!(keyring.known(tag), Some(&old));
    }

    #[test]
    fn a_node_alone_needs_no_secret_and_no_home() {
        assert!(keyring(&config("clustering_enabled: false\nbind_address: 0.0.0.0\n")).unwrap().is_none());
    }

    #[test]
    fn beyond_this_machine_a_secret_must_have_been_chosen() {
        let refused = keyring(&config("bind_address: 0.0.0.0\n")).unwrap_err().to_string();
        assert!(refused.starts_with("cluster_secret: is needed to cluster on 0.0.0.0"), "{refused}");
        assert!(keyring(&config("bind_address: 0.0.0.0\ncluster_secret: chosen by us\n")).is_ok());
    }

    #[test]
    fn without_a_home_the_missing_secret_is_named() {
        for text in ["", "bind_address: 0.0.0.0\nauth_enabled: false\n"] {
            let refused = keyring(&config(text)).unwrap_err();
            assert!(matches!(&refused, ServerError::ClusterSecret { reason } if reason.contains("HOME")));
        }
    }
}
