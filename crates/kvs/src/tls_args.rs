//! The command line of `kvs tls`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kvs_certs::limits::NODE_DAYS_DEFAULT;

/// What `tls` does.
#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make an authority, or use the one that is there, and with it a certificate for a node.
    #[command(
        after_help = "The folder holds the authority (ca.pem, ca.key), which is never replaced, and for each node NODE.pem \
                            and NODE.key. Run it once for each node, where ca.key is, and bring NODE.pem, NODE.key and \
                            ca.pem to the node; ca.key stays. Every certificate is for localhost, 127.0.0.1, ::1 and this \
                            machine's name too. With --force a certificate is renewed; a running node takes it up by \
                            itself."
    )]
    Init(TlsInitArgs),
}

/// Arguments of `tls init`.
#[derive(Debug, Args)]
pub(crate) struct TlsInitArgs {
    /// Folder of the authority and of the certificates; made when it is not there.
    #[arg(long, value_name = "DIR", default_value = "tls")]
    pub(crate) dir: PathBuf,
    /// A name or address under which clients and other nodes reach this node; may be given several times.
    #[arg(long = "host", value_name = "NAME|IP")]
    pub(crate) hosts: Vec<String>,
    /// Name of the node's files [default: this machine's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// How long the certificate is valid, in days.
    #[arg(long, value_name = "DAYS", default_value_t = NODE_DAYS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) days: u64,
    /// Make a new key and certificate where this node has some.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
