//! Why a node did not start, or did not end in order.

use std::io;
use std::net::SocketAddr;

use kvs_config::error::ConfigError;
use kvs_store::error::StoreError;

/// Why a node did not start, or did not end in order. Nothing is running afterwards.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Listen {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store: {0}")]
    OpenStore(#[source] StoreError),
    /// The schedule of the backups is no cron expression.
    #[error("backup_schedule: '{schedule}' is no cron expression: {reason}")]
    Schedule {
        /// As configured.
        schedule: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate or key of TLS cannot be used.
    #[error("{key}: {reason}")]
    Tls {
        /// The key of the configuration.
        key: &'static str,
        /// The file and what is wrong with it.
        reason: String,
    },
    /// The secret of the cluster is missing where one must be chosen.
    #[error("cluster_secret: {reason}")]
    ClusterSecret {
        /// What to do.
        reason: String,
    },
    /// The key file of the cluster cannot be used.
    #[error("{0}; to work without it set cluster_secret, or clustering_enabled: false for a node alone")]
    ClusterKey(#[source] ConfigError),
    /// The audit trail cannot be opened.
    #[error("cannot open the audit trail: {0}; tamper_logging_enabled: false works without one")]
    Audit(#[source] kvs_audit::error::AuditError),
    /// The token of root cannot be kept.
    #[error("cannot keep {}: {source}", .path.display())]
    RootToken {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A token cannot be made here.
    #[error("cannot make a token: {reason}")]
    Token {
        /// Why.
        reason: String,
    },
    /// The cluster does not take this node.
    #[error("the cluster does not take this node: {reason}")]
    Cluster {
        /// Why, and what to do.
        reason: String,
    },
    /// The cluster has forgotten this node, and deletes with it.
    #[error(
        "the cluster has forgotten this node, which was away for too long: it may only come back empty and under a new \
         identity"
    )]
    Forgotten,
    /// The log cannot be written.
    #[error("cannot start the log: {0}")]
    Log(String),
    /// The runtime, its signals or its threads cannot be started.
    #[error("cannot {operation}: {source}")]
    Runtime {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => " (is another node running there? choose another port)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need privileges)",
        io::ErrorKind::AddrNotAvailable => " (bind_address is no address of this machine)",
        _ => "",
    }
}
