//! The command line: every command, option and line of help, as one tree.
//!
//! Only shapes are checked here; what a value means is decided where it is used.
//!
//! A first word that is a command is the command; any other first word names a configuration to run.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::audit_args::AuditCommand;
use crate::import_rules::IMPORT_RULES;
use crate::tls_args::TlsCommand;
use crate::token_args::TokenArgs;

/// A durable key-value store: paths to JSON over HTTP.
#[derive(Debug, Parser)]
#[command(
    name = "kvs",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Commands",
    override_usage = "kvs [CONFIG]\n       kvs <COMMAND> [ARGUMENTS]",
    after_help = "Without a command a node runs in the foreground, by CONFIG or by ./config.yaml, which is written with \
                  its defaults when there is none. A first word that is a command is the command: a configuration of \
                  such a name is run as `kvs ./start.yaml`.\n\n\
                  Exit codes: 0 done, 1 failed, 2 bad usage, 3 not running."
)]
pub(crate) struct Cli {
    /// Configuration to run in the foreground; `node1` is `node1.yaml`.
    pub(crate) config: Option<PathBuf>,
    /// What to do instead.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Everything but running in the foreground.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node in the background, and wait until it answers.
    Start(ServiceArgs),
    /// Stop a node, and wait until it is gone.
    Stop(ServiceArgs),
    /// Stop a node if it runs, and start it in the background.
    Restart(ServiceArgs),
    /// Show which nodes of this user run.
    Status(ServiceArgs),
    /// Be the process that `start` starts.
    #[command(name = DAEMON, hide = true)]
    Daemon {
        /// The configuration, an absolute path.
        config: PathBuf,
    },
    /// Print the value of a key.
    Get(GetArgs),
    /// Write a value.
    Put(PutArgs),
    /// Delete a key, or everything below it.
    Rm(RemoveArgs),
    /// List keys, one level at a time as in a directory.
    Ls(ListArgs),
    /// Show the versions of a key, or bring one back.
    History(HistoryArgs),
    /// Show who is in the cluster, and how far each node is.
    Members(MembersArgs),
    /// Show what waits because it is stamped too far ahead, or discard what nobody takes back.
    Parked(ParkedArgs),
    /// Print a token: of root, or made for a user.
    Token(TokenArgs),
    /// Load lines of JSON.
    Import(ImportArgs),
    /// Write keys and values as lines of JSON.
    Export(ExportArgs),
    /// Have a node back itself up, list its backups, or verify one.
    Backup(BackupArgs),
    /// Make a new node's data directory from a backup.
    Restore(RestoreArgs),
    /// Check every record and index of a stopped node.
    Check(CheckArgs),
    /// Verify or print a node's audit trail; the node may run.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Make certificates for TLS.
    Tls {
        /// What to do.
        #[command(subcommand)]
        command: TlsCommand,
    },
    /// Prepare what is hard to meet by chance.
    Debug {
        /// What to prepare.
        #[command(subcommand)]
        command: DebugCommand,
    },
    /// Print the version.
    Version,
}

/// The command that `start` runs in a new process.
pub(crate) const DAEMON: &str = "daemon";

/// Arguments of `start`, `stop`, `restart` and `status`.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Configuration of the node; `node1` is `node1.yaml` [default: config.yaml in this folder; of `status`, all].
    pub(crate) config: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which node to talk to.
#[derive(Debug, Args)]
#[command(next_help_heading = "The node")]
pub(crate) struct NodeArgs {
    /// Address of the node [default: KVS_URL, else the configuration's, else http://127.0.0.1:8080].
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Token to send [default: KVS_TOKEN, else the configuration's root token]. Others can see the arguments of a
    /// process: the variable or --token-file is the better place.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// File with the token to send; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates in PEM that vouch for a node with TLS [default: KVS_CA, else the configuration's, else the system's].
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Configuration of the node [default: config.yaml in this folder].
    #[arg(long, short, value_name = "CONFIG", conflicts_with = "url")]
    pub(crate) config: Option<PathBuf>,
    /// Longest time for one request, in seconds [default: 60; of a backup, 3600].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The key.
    pub(crate) path: String,
    /// Print version, time and expiry too, as the node sent them.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `put`.
#[derive(Debug, Args)]
#[command(
    after_help = "The value is stored byte for byte. An object with exactly the members `data` and `ttl` is an \
                        envelope: its data is stored with that lifetime.\n\n\
                        Examples:\n  \
                        kvs put users/jo '{\"age\": 7}'\n  \
                        kvs put motd '\"hello\"' --ttl 1h30m\n  \
                        kvs put picture @picture.json --if-none-match"
)]
pub(crate) struct PutArgs {
    /// The key.
    pub(crate) path: String,
    /// One JSON value; `@FILE` reads it from a file, `-` or nothing from standard input.
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Option<String>,
    /// Lifetime: 90s, 15m, 1h30m, 7d, or a number of seconds; 0 is for ever.
    #[arg(long, value_name = "TTL")]
    pub(crate) ttl: Option<String>,
    /// Write only if this is the current version.
    #[arg(long, value_name = "UUID")]
    pub(crate) if_match: Option<String>,
    /// Write only if the key has no value.
    #[arg(long, conflicts_with = "if_match")]
    pub(crate) if_none_match: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The key.
    pub(crate) path: String,
    /// Delete everything below it too.
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Delete only if this is the current version.
    #[arg(long, value_name = "UUID", conflicts_with = "recursive")]
    pub(crate) if_match: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `ls`.
#[derive(Debug, Args)]
#[command(
    after_help = "Deeper keys fold into one line that ends in the delimiter. A prefix is a text, not a folder: \
                        `kvs ls a` lists a, a/ and ab, `kvs ls a/` lists what is inside a/.\n\n\
                        Where the output is no terminal, a line is the path, or the path, a tab and the value."
)]
pub(crate) struct ListArgs {
    /// What the keys begin with.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// List every key, however deep.
    #[arg(long, short, conflicts_with = "delimiter")]
    pub(crate) recursive: bool,
    /// Fold keys at this text.
    #[arg(long, value_name = "TEXT", default_value = "/")]
    pub(crate) delimiter: String,
    /// Stop after this many lines.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// List paths without values.
    #[arg(long, short)]
    pub(crate) keys_only: bool,
    /// Print one JSON object a line: a key as the node sent it, or {"prefix":"..."}.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The key.
    pub(crate) path: String,
    /// Print the value of this version; with --json all that is known of it.
    #[arg(long, value_name = "UUID", conflicts_with = "restore")]
    pub(crate) show: Option<String>,
    /// Write this version back as a new one.
    #[arg(long, value_name = "UUID")]
    pub(crate) restore: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `members`.
#[derive(Debug, Args)]
#[command(
    after_help = "Lag and equality are what the asked node knows of the others: for how long it has had a change that \
                        the other has not acknowledged, in milliseconds and in records, and whether their roots were \
                        equal at the last look. A dash is what is not known yet."
)]
pub(crate) struct MembersArgs {
    /// Print the members as one JSON list, with clock offsets and parked records too.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `parked`.
#[derive(Debug, Args)]
#[command(
    after_help = "A record is parked when its stamp is more than max_clock_skew_ms ahead of this node's clock. The node that \
                        stamped it takes it back by itself as soon as its clock is right. Only for one that does not come \
                        back use --discard: what it stamped ahead is void on every node then, and in the histories of its \
                        keys."
)]
pub(crate) struct ParkedArgs {
    /// Make void everywhere what the node with this uuid stamped ahead.
    #[arg(long, value_name = "UUID")]
    pub(crate) discard: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// What to do with a line whose key an earlier line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DuplicateRule {
    /// The last line wins; the earlier ones are in the key's history.
    Overwrite,
    /// Each further line gets a key of its own, with ~2, ~3 and so on at its end.
    Number,
    /// The first line wins.
    Skip,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_long_help = IMPORT_RULES)]
pub(crate) struct ImportArgs {
    /// Lines of JSON, plain or gzipped; `-` is standard input.
    pub(crate) file: PathBuf,
    /// Template of the keys, as in 'cities/{country}/{name}'. Without it the lines are those of an export.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) key: Option<String>,
    /// What is written for an empty field.
    #[arg(long, value_name = "TEXT", default_value = "-", requires = "key", allow_hyphen_values = true)]
    pub(crate) empty: String,
    /// What to do with a line whose key an earlier line has.
    #[arg(long, value_name = "RULE", default_value = "overwrite")]
    pub(crate) on_duplicate: DuplicateRule,
    /// Lifetime of every value: 90s, 15m, 1h30m, 7d, or a number of seconds; 0 is for ever.
    #[arg(long, value_name = "TTL")]
    pub(crate) ttl: Option<String>,
    /// Write every refused line's number, key and reason to this file, as lines of JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) errors: Option<PathBuf>,
    /// Judge every line and count, but send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the final count as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(
    after_help = "One line per key in byte order of the paths: {\"path\",\"data\",\"uuid\",\"timestamp\"} and \
                        \"expires_at\" where there is one. Values keep their bytes; a line break between the parts of \
                        a value becomes a space. Writes go on meanwhile: every line is a value that its key had during \
                        the export, not all of one moment; for that there is `kvs backup`."
)]
pub(crate) struct ExportArgs {
    /// What the keys begin with.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// File to write, complete or not at all; standard output without it.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print the final count, on standard error, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    override_usage = "kvs backup [create] [OPTIONS]\n       kvs backup list [OPTIONS]\n       kvs backup verify <FILE>",
    after_help = "A backup is one file of one moment, made by the running node while writes go on, into its backup_path. \
                  Without a further word one is made."
)]
pub(crate) struct BackupArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
    #[command(flatten)]
    pub(crate) create: BackupCreateArgs,
}

/// What to do about backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Have the running node make a backup now.
    Create(BackupCreateArgs),
    /// List the backups in the folder of a configuration; the node need not run.
    List(BackupListArgs),
    /// Read a backup from its first to its last byte and compare every checksum.
    Verify(BackupVerifyArgs),
}

/// Arguments of `backup create`.
#[derive(Debug, Args)]
pub(crate) struct BackupCreateArgs {
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Arguments of `backup list`.
#[derive(Debug, Args)]
pub(crate) struct BackupListArgs {
    /// Configuration whose backup_path is listed [default: config.yaml in this folder].
    #[arg(long, short, value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Folder to list instead.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    pub(crate) dir: Option<PathBuf>,
    /// Print the list as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `backup verify`.
#[derive(Debug, Args)]
pub(crate) struct BackupVerifyArgs {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("target").required(true).args(["data_dir", "config"]),
    after_help = "The whole file is verified before anything is written. The data directory must be empty or absent. The \
                  restored node is a new node: it takes a new uuid."
)]
pub(crate) struct RestoreArgs {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Data directory to make.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Configuration whose data_dir is made.
    #[arg(long, short, value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Nothing is repaired or changed. The exit code is 1 when something is wrong.")]
pub(crate) struct CheckArgs {
    /// The data directory. Its node must not be running.
    pub(crate) data_dir: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `debug` prepares.
#[derive(Debug, Subcommand)]
pub(crate) enum DebugCommand {
    /// Make two data directories with different values for test/conflict/data, written at one moment.
    #[command(
        after_help = "Start a node on each of them, the second with the first as its seed: both end with the first \
                            one's value, because its node joined earlier, and the other value is in the history."
    )]
    Conflict(ConflictArgs),
}

/// Arguments of `debug conflict`.
#[derive(Debug, Args)]
pub(crate) struct ConflictArgs {
    /// New data directory of the node that joined first, whose value wins.
    pub(crate) dir_a: PathBuf,
    /// New data directory of the node that joins later.
    pub(crate) dir_b: PathBuf,
    /// Print the two versions as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads a positive number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a whole number of seconds from 1 to 86400".to_owned()),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
