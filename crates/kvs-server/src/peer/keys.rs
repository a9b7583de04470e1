//! The keys of the cluster, from the configuration or the key file; and when a node must not start with them.

use kvs_config::cluster_key::load_or_create;
use kvs_config::config::Config;
use kvs_config::secret::Secret;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_protocol::peer_auth::keyring::Keyring;

use crate::error::ServerError;
use crate::random::random_bytes;

/// Everything that follows from the secret, and from the one before while it is being changed.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// What follows from the secret.
    pub current: ClusterKeys,
    /// What follows from the one before.
    pub previous: Option<ClusterKeys>,
}

impl Secrets {
    /// The keys that peers prove themselves with.
    #[must_use]
    pub fn keyring(self) -> Keyring {
        Keyring::new(self.current, self.previous)
    }
}

/// The secret of a node that clusters or asks for tokens; `None` for a node that does neither. Makes the key file when it
/// is needed and missing, so it waits for the disk.
///
/// # Errors
///
/// [`ServerError::ClusterSecret`] when the secret that is there would leave the cluster open, or there is no place for
/// the key file; [`ServerError::ClusterKey`] when the key file cannot be used.
pub fn secrets(config: &Config) -> Result<Option<Secrets>, ServerError> {
    if !config.clustering_enabled && !config.auth_enabled {
        return Ok(None);
    }
    let derive = |secret: &Secret| ClusterKeys::derive(secret.expose().as_bytes());
    let current = match &config.cluster_secret {
        Some(secret) => derive(secret),
        None => {
            refuse_open(config)?;
            let home = config.home.as_ref().ok_or(ServerError::ClusterSecret {
                reason: "there is no home folder for ~/.kvs/cluster.key (HOME is not set); set cluster_secret, or \
                         clustering_enabled: false and auth_enabled: false for an open node alone"
                    .to_owned(),
            })?;
            ClusterKeys::derive(
                load_or_create(home, random_bytes()?).map_err(ServerError::ClusterKey)?.expose(),
            )
        }
    };
    Ok(Some(Secrets { current, previous: config.cluster_secret_previous.as_ref().map(derive) }))
}

/// Refuses to listen beyond this machine with a secret that nobody chose. Who switched off all rights is only warned.
fn refuse_open(config: &Config) -> Result<(), ServerError> {
    if config.bind_address.is_loopback() || !config.auth_enabled || !config.clustering_enabled {
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
    use super::secrets;
    use crate::error::ServerError;
    use kvs_config::config::{Config, parse};
    use kvs_core::cluster_keys::ClusterKeys;

    fn config(text: &str) -> Config {
        parse(text, "/tmp/config.yaml".into(), &|_| None, "node").unwrap()
    }

    #[test]
    fn a_secret_of_the_configuration_is_taken_with_the_one_before() {
        let config = config("cluster_secret: the new one\ncluster_secret_previous: the old one\n");
        let keyring = secrets(&config).unwrap().unwrap().keyring();
        let old = ClusterKeys::derive(b"the old one");
        assert_eq!(keyring.current(), &ClusterKeys::derive(b"the new one"));
        let tag = kvs_protocol::peer_auth::keyring::ClusterTag::of(&old);
        assert_eq!(keyring.known(tag), Some(&old));
    }

    #[test]
    fn a_node_alone_needs_no_secret_and_no_home() {
        let open = "clustering_enabled: false\nauth_enabled: false\nbind_address: 0.0.0.0\n";
        assert!(secrets(&config(open)).unwrap().is_none());
        // Tokens are signed with it.
        assert!(secrets(&config("clustering_enabled: false\nbind_address: 0.0.0.0\n")).is_err());
    }

    #[test]
    fn beyond_this_machine_a_secret_must_have_been_chosen() {
        let refused = secrets(&config("bind_address: 0.0.0.0\n")).unwrap_err().to_string();
        assert!(refused.starts_with("cluster_secret: is needed to cluster on 0.0.0.0"), "{refused}");
        assert!(secrets(&config("bind_address: 0.0.0.0\ncluster_secret: chosen by us\n")).is_ok());
    }

    #[test]
    fn without_a_home_the_missing_secret_is_named() {
        for text in ["", "bind_address: 0.0.0.0\nauth_enabled: false\n"] {
            let refused = secrets(&config(text)).unwrap_err();
            assert!(matches!(&refused, ServerError::ClusterSecret { reason } if reason.contains("HOME")));
        }
    }
}
