//! The arguments of `kvs audit`.

use std::path::PathBuf;

use chrono::DateTime;
use clap::{Args, Subcommand};
use kvs_config::duration::parse_ttl;

/// What to do with an audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Look whether the trail was bent: edited, cut, re-ordered, put back or written anew.
    #[command(after_help = VERIFY_RULES)]
    Verify(AuditVerifyArgs),
    /// Print entries of the trail, the oldest first.
    #[command(
        after_help = "Where the output is no terminal, a line is: number, milliseconds since 1970, event, who, key or \
                      subject, result, request id and detail, with tabs between them. With --json it is the entry's own \
                      line. Nothing is proved by this; that is what `kvs audit verify` is for."
    )]
    Show(AuditShowArgs),
}

/// What the exit code of `audit verify` means.
const VERIFY_RULES: &str = "Every entry names the hash of the one before it, so a change inside the trail shows by \
    itself, and the first bad entry is named. What does not show by itself is an end that was cut off, an older copy put \
    back, or a trail written anew by somebody who holds the data directory: for that the trail is held against \
    checkpoints that other nodes have kept, from DATA_DIR/audit/peers of each. Copy those before the trail.\n\n\
    The exit code is 1 when something is wrong, also when checkpoints were given and none of them confirms the trail. \
    Without checkpoints it is 0 for a trail that is sound in itself, and the answer says since which entry nobody else \
    confirms it.";

/// Whose trail it is.
#[derive(Debug, Args)]
pub(crate) struct TrailArgs {
    /// Configuration of the node; `node1` is `node1.yaml` [default: config.yaml in this folder].
    #[arg(conflicts_with = "data_dir")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory of the node, or a copy of it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    #[command(flatten)]
    pub(crate) trail: TrailArgs,
    /// Checkpoints that another node has kept: its file for this node, its folder audit/peers, or its data directory.
    /// May be given several times.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) peer_checkpoints: Vec<PathBuf>,
    /// Uuid of the node whose trail this should be [default: what the trail says].
    #[arg(long, value_name = "UUID")]
    pub(crate) node: Option<uuid::Uuid>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `audit show`.
#[derive(Debug, Args)]
pub(crate) struct AuditShowArgs {
    #[command(flatten)]
    pub(crate) trail: TrailArgs,
    /// Only what this principal did: a user's uuid, or `root`.
    #[arg(long, value_name = "PRINCIPAL")]
    pub(crate) who: Option<String>,
    /// Only what is about this key or one below it.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Only what happened in the last 90s, 15m, 24h or 7d, or since a time such as 2026-01-31T12:00:00Z, or since so many
    /// milliseconds after 1970.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Print every entry as the line of JSON that it is.
    #[arg(long)]
    pub(crate) json: bool,
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So many milliseconds before now.
    Ago(u64),
    /// So many milliseconds after 1970-01-01 UTC.
    At(u64),
}

fn since(text: &str) -> Result<Since, String> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Since::At).map_err(|_| "the number is too great".to_owned());
    }
    if let Ok(duration) = parse_ttl(text) {
        return Ok(Since::Ago(duration.map_or(0, millis)));
    }
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.timestamp_millis());
    at.ok().and_then(|at| u64::try_from(at).ok()).map(Since::At).ok_or_else(|| {
        "expected a duration such as 24h, a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::{Since, since};

    #[test]
    fn a_beginning_is_a_duration_a_time_or_a_number() {
        assert_eq!(since("24h"), Ok(Since::Ago(86_400_000)));
        assert_eq!(since("1h30m"), Ok(Since::Ago(5_400_000)));
        assert_eq!(since("1700000000000"), Ok(Since::At(1_700_000_000_000)));
        assert_eq!(since("2023-11-14T22:13:20Z"), Ok(Since::At(1_700_000_000_000)));
        assert_eq!(since("2023-11-14T23:13:20.5+01:00"), Ok(Since::At(1_700_000_000_500)));
        for bad in ["", "yesterday", "-1h", "99999999999999999999", "1950-01-01T00:00:00Z"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
