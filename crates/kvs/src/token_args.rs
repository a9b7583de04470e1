//! The arguments of `kvs token`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `token`.
#[derive(Debug, Args)]
#[command(
    after_help = "A token is printed alone, for $(kvs token). It is made on this machine with the secret of the \
                        configuration, so no node has to run, and `GET /auth/tokens` does not list it; only a nickname is \
                        looked up in the running node.\n\n\
                        Examples:\n  \
                        KVS_TOKEN=$(kvs token) kvs ls\n  \
                        kvs token --user ann --scopes read,write --ttl 8h\n  \
                        kvs token --user root --scopes read --paths reports,home/ann"
)]
pub(crate) struct TokenArgs {
    /// Configuration of the node [default: config.yaml in this folder].
    #[arg(long, short, value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Make a token for this user (uuid, nickname, or root) instead of printing the one in root.token.
    #[arg(long, short, value_name = "USER", requires = "scopes")]
    pub(crate) user: Option<String>,
    /// What it allows: read, write, delete, admin.
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', requires = "user")]
    pub(crate) scopes: Vec<String>,
    /// How long it lives: 90s, 15m, 8h, 7d; at most 366 days [default: 24h].
    #[arg(long, value_name = "TTL", requires = "user")]
    pub(crate) ttl: Option<String>,
    /// The subtrees that it is limited to [default: none, it reaches everywhere].
    #[arg(long, value_name = "PATHS", value_delimiter = ',', requires = "user")]
    pub(crate) paths: Vec<String>,
}
