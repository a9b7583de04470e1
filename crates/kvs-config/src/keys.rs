//! The table of keys: name, default, kind with range, one line of explanation, section.
//!
//! Everything that knows the keys is driven by it: reading, defaults, the generated file, `KVS_<KEY>` variables,
//! suggestions for typos. A key that is missing here does not exist.
//!
//! Invariants, held by tests: names are unique, every default is valid for its kind, every key changes the
//! [`Config`](crate::config::Config) that is read. Source: the HTTP contract, section on the configuration.

use crate::choice::{Durability, LogFormat, LogLevel};
use crate::limits::{NODE_ID_BYTES_MAX, PATH_BYTES_MAX, SCHEDULE_BYTES_MAX, SECRET_BYTES};

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key as written in the file.
    pub name: &'static str,
    /// The default as written in the file; `node_id` has none of its own and takes the host name.
    pub default: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// One line that says what it is for.
    pub doc: &'static str,
    /// The part of the generated file that it stands in. Keys of a section are neighbours in the table.
    pub section: &'static str,
}

/// What a key takes. Lengths are in bytes, and no text may hold control characters.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number of a unit (empty for a bare count) within a range, ends included.
    Whole {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
        /// The unit, in the plural.
        unit: &'static str,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A name of 1 to 255 bytes.
    Name,
    /// An IP address.
    Ip,
    /// The path of a file or folder, relative to the folder of the configuration file.
    Path,
    /// The same, or empty for none.
    OptionalPath,
    /// The address of a node, `host:port`, or empty for none.
    OptionalPeer,
    /// A list of addresses of nodes.
    Peers,
    /// A list of IP addresses and networks.
    Networks,
    /// A secret of 8 to 1,024 bytes, or empty for none.
    OptionalSecret,
    /// A duration, where `"0"` means never.
    Ttl,
    /// A duration within a range of seconds, ends included.
    Window {
        /// Shortest, in seconds.
        min_s: u64,
        /// Longest, in seconds.
        max_s: u64,
    },
    /// A cron expression; only its size is checked here.
    Schedule,
}

const NODE: &str = "Node";
const CLUSTER: &str = "Cluster";
const STORAGE: &str = "Storage";
const LIFE: &str = "Expiry and history";
const ACCESS: &str = "Access";
const TLS: &str = "TLS";
const RATE: &str = "Rate limit";
const LOGGING: &str = "Logging";
const BACKUP: &str = "Backup";

/// A day and a year in seconds, an hour a year and a century.
const DAY_S: u64 = 86_400;
const CENTURY_HOURS: u64 = 876_600;

/// All keys, in the order of the generated file.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key(NODE, "node_id", "", Kind::Name, "Name of this node; the default is the name of the machine."),
    key(NODE, "bind_address", "127.0.0.1", Kind::Ip, "Address to listen on; 0.0.0.0 or \"::\" takes all of them."),
    key(NODE, "port", "8080", whole(0, 65_535, ""), "TCP port for clients and peers; 0 takes any free one."),
    key(NODE, "data_dir", "./data", Kind::Path,
        "Folder that holds everything that is stored; a file NAME.yaml without this key has ./data-NAME."),
    key(NODE, "read_only", "false", Kind::Switch, "Refuse writes of clients; replication goes on."),

    key(CLUSTER, "clustering_enabled", "true", Kind::Switch, "Talk to other nodes."),
    key(CLUSTER, "seed_nodes", "[]", Kind::Peers, "Nodes to join, as [\"host:port\", ...]."),
    key(CLUSTER, "advertise_address", "\"\"", Kind::OptionalPeer,
        "Address under which the other nodes reach this one; empty: bind_address and port."),
    key(CLUSTER, "cluster_secret", "\"\"", Kind::OptionalSecret,
        "Secret shared by all nodes; empty: ~/.kvs/cluster.key. Keep this file private when it is set."),
    key(CLUSTER, "cluster_secret_previous", "\"\"", Kind::OptionalSecret,
        "The secret before, still accepted while it is being changed."),
    key(CLUSTER, "gossip_interval_min", "60", whole(1, DAY_S, "seconds"), "Shortest time between two exchanges of the member list."),
    key(CLUSTER, "gossip_interval_max", "120", whole(1, DAY_S, "seconds"), "Longest time between two exchanges of the member list."),
    key(CLUSTER, "sync_interval", "300", whole(1, DAY_S, "seconds"), "Longest time between two full comparisons with a peer."),
    key(CLUSTER, "catchup_interval", "120", whole(1, DAY_S, "seconds"), "Longest time until a node that fell behind catches up."),
    key(CLUSTER, "bootstrap_max_age_hours", "720", whole(1, CENTURY_HOURS, "hours"),
        "A new node fetches what is younger than this first; a node away for longer starts again."),
    key(CLUSTER, "throttle_delay_ms", "100", whole(0, 60_000, "milliseconds"), "Pause that bounds the rate of repair."),
    key(CLUSTER, "fetch_delay_ms", "50", whole(0, 60_000, "milliseconds"), "Pause that bounds the rate of a bootstrap."),
    key(CLUSTER, "tombstone_grace_hours", "24", whole(1, CENTURY_HOURS, "hours"),
        "Shortest life of the mark that a delete leaves; at least twice max_clock_skew_ms."),
    key(CLUSTER, "max_clock_skew_ms", "60000", whole(1, 86_400_000, "milliseconds"),
        "A record stamped further ahead than this waits until its time has come."),

    key(STORAGE, "durability", "always", Kind::Word(Durability::WORDS),
        "When a write is on disk: before the answer, within moments, or when the system likes."),
    key(STORAGE, "compression_enabled", "true", Kind::Switch, "Compress what gets smaller by it."),
    key(STORAGE, "compression_level", "3", whole(1, 19, ""), "zstd level: 1 is fastest, 19 is smallest."),
    key(STORAGE, "max_json_size", "1048576", whole(1, 64 * 1024 * 1024, "bytes"), "Largest value that a PUT may carry."),
    key(STORAGE, "cache_size_mb", "256", whole(8, 65_536, "MiB"), "Memory for the cache of the store."),

    key(LIFE, "default_ttl", "\"0\"", Kind::Ttl, "Life of a value whose writer names none; \"0\" is for ever."),
    key(LIFE, "revision_history_enabled", "true", Kind::Switch, "Keep the versions that were overwritten."),
    key(LIFE, "revision_limit", "10", whole(0, 10_000, "versions"), "How many of them each key keeps; up to 16 while clocks differ."),

    key(ACCESS, "auth_enabled", "true", Kind::Switch, "Ask for a token and check rights."),
    key(ACCESS, "allow_anonymous_read", "false", Kind::Switch, "Let callers without a token read."),
    key(ACCESS, "allow_anonymous_write", "false", Kind::Switch, "Let callers without a token write."),
    key(ACCESS, "tamper_logging_enabled", "true", Kind::Switch, "Keep an audit log that shows tampering."),
    key(ACCESS, "trusted_proxies", "[]", Kind::Networks,
        "Proxies that may name the address of their client, as [\"10.0.0.0/8\", ...]."),

    key(TLS, "tls_cert", "\"\"", Kind::OptionalPath, "Certificate chain in PEM; with tls_key it turns TLS on."),
    key(TLS, "tls_key", "\"\"", Kind::OptionalPath, "Private key in PEM of that certificate."),
    key(TLS, "tls_client_ca", "\"\"", Kind::OptionalPath, "Authorities in PEM whose client certificates are accepted."),

    key(RATE, "rate_limiting_enabled", "true", Kind::Switch, "Limit the requests of one caller."),
    key(RATE, "rate_limit_requests", "100", whole(1, 1_000_000_000, "requests"), "How many of them within one window."),
    key(RATE, "rate_limit_window", "\"1m\"", Kind::Window { min_s: 1, max_s: DAY_S }, "The window."),

    key(LOGGING, "log_level", "info", Kind::Word(LogLevel::WORDS), "The least severe event to log."),
    key(LOGGING, "log_format", "text", Kind::Word(LogFormat::WORDS), "Log lines for people, or JSON for programs."),

    key(BACKUP, "backup_enabled", "true", Kind::Switch, "Make backups by the schedule below."),
    key(BACKUP, "backup_schedule", "\"0 0 * * *\"", Kind::Schedule, "When: minute, hour, day, month, weekday, as in cron."),
    key(BACKUP, "backup_path", "./backups", Kind::Path, "Folder that holds the backups."),
    key(BACKUP, "backup_retention", "7", whole(1, 36_500, "days"), "How long a backup is kept."),
];

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    kind: Kind,
    doc: &'static str,
) -> Key {
    Key { name, default, kind, doc, section }
}

const fn whole(min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Whole { min, max, unit }
}

impl Key {
    /// The variable of the environment that overrides this key: `KVS_` and the key in capitals.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("KVS_{}", self.name.to_ascii_uppercase())
    }
}

impl Kind {
    /// What the key takes, in words that follow "expected".
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Whole { min, max, unit: "" } => format!("a whole number from {min} to {max}"),
            Self::Whole { min, max, unit } => format!("a whole number of {unit} from {min} to {max}"),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Name => format!("a name of 1 to {NODE_ID_BYTES_MAX} bytes without control characters"),
            Self::Ip => "an IP address such as 127.0.0.1 or \"::1\"".to_owned(),
            Self::Path => format!("a path of 1 to {PATH_BYTES_MAX} bytes"),
            Self::OptionalPath => format!("a path of at most {PATH_BYTES_MAX} bytes, or \"\" for none"),
            Self::OptionalPeer => "host:port, or \"\" for none".to_owned(),
            Self::Peers => "a list of host:port".to_owned(),
            Self::Networks => "a list of IP addresses and networks such as 10.0.0.0/8".to_owned(),
            Self::OptionalSecret => {
                format!(
                    "a text of {} to {} bytes, or \"\" for none",
                    SECRET_BYTES.start(),
                    SECRET_BYTES.end()
                )
            }
            Self::Ttl => {
                "a duration such as \"90s\", \"1h30m\" or \"7d\" of at most 100 years, or \"0\"".to_owned()
            }
            Self::Window { min_s, max_s } => {
                format!("a duration such as \"90s\" or \"1m\", from {min_s} to {max_s} seconds")
            }
            Self::Schedule => format!("a cron expression in quotes, of 1 to {SCHEDULE_BYTES_MAX} bytes"),
        }
    }
}

/// The key of that name, with its place in [`KEYS`].
pub(crate) fn find(name: &str) -> Option<(usize, &'static Key)> {
    KEYS.iter().enumerate().find(|(_, key)| key.name == name)
}

/// The key that a wrong one was probably meant to be; `None` when nothing is near.
#[must_use]
pub fn nearest(wrong: &str) -> Option<&'static str> {
    /// Below this similarity (0 to 1) a suggestion would only confuse.
    const SIMILAR_MIN: f64 = 0.5;
    /// No key is longer than half of this; a longer text is not worth comparing.
    const COMPARED_CHARS_MAX: usize = 64;
    if wrong.chars().nth(COMPARED_CHARS_MAX).is_some() {
        return None;
    }
    let wrong = wrong.to_lowercase().replace(['-', ' ', '.'], "_");
    KEYS.iter()
        .map(|key| (strsim::normalized_damerau_levenshtein(&wrong, key.name), key.name))
        .filter(|(similarity, _)| *similarity >= SIMILAR_MIN)
        // Of equally near ones the first in the table.
        .min_by(|(a, _), (b, _)| b.total_cmp(a))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_sections_are_not_torn() {
        let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
        sections.dedup();
        let torn = sections.len();
        sections.sort_unstable();
        sections.dedup();
        assert_eq!(torn, sections.len());
        for (place, key) in KEYS.iter().enumerate() {
            assert_eq!(find(key.name).map(|(found, _)| found), Some(place), "{}", key.name);
        }
    }

    #[test]
    fn a_typo_finds_the_key_that_was_meant() {
        assert_eq!(nearest("prot"), Some("port"));
        assert_eq!(nearest("Data-Dir"), Some("data_dir"));
        assert_eq!(nearest("compresion_level"), Some("compression_level"));
        assert_eq!(nearest("gossip_interval"), Some("gossip_interval_min"));
        assert_eq!(nearest("x"), None);
        assert_eq!(nearest(&"port".repeat(1000)), None);
    }
}
