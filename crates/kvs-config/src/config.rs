//! The configuration of a node as typed values, and the way there: file, environment, rules between keys.
//!
//! A [`Config`] that exists is valid: every value is in the range of the table in [`crate::keys`], every path is
//! absolute, and the rules that bind two keys hold. Source: the HTTP contract, section on the configuration.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::choice::{Durability, LogFormat, LogLevel};
use crate::error::ConfigError;
use crate::network::Network;
use crate::secret::Secret;
use crate::setting::Settings;
use crate::value::Value;
use crate::{file, name, template};

/// Everything that an operator can set. The name of the key is given where it differs from the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Absolute path of the file that this was read from.
    pub source: PathBuf,
    /// Home folder of the user, from `HOME`; `None` when that is missing or no absolute path.
    pub home: Option<PathBuf>,

    /// Name of this node, 1 to 255 bytes without control characters.
    pub node_id: String,
    /// Address to listen on.
    pub bind_address: IpAddr,
    /// TCP port; 0 takes any free one.
    pub port: u16,
    /// Absolute path of the folder of the store; where nobody sets it, it follows the name of the file (see
    /// [`crate::name`]), so that configurations side by side do not share one.
    pub data_dir: PathBuf,
    /// Whether writes of clients are refused.
    pub read_only: bool,

    /// Whether this node talks to others.
    pub clustering_enabled: bool,
    /// Nodes to join, `[http[s]://]host:port`, at most 256.
    pub seed_nodes: Vec<String>,
    /// Address of this node for others, `[http[s]://]host:port`; `None`: what it is bound to.
    pub advertise_address: Option<String>,
    /// Secret of the cluster; `None`: the key file of the user.
    pub cluster_secret: Option<Secret>,
    /// The secret before, while it is being changed.
    pub cluster_secret_previous: Option<Secret>,
    /// Shortest time between two exchanges of the member list, 1 s to 1 day, at most `gossip_interval_max`.
    pub gossip_interval_min: Duration,
    /// Longest time between two exchanges of the member list, 1 s to 1 day.
    pub gossip_interval_max: Duration,
    /// Longest time between two full comparisons with a peer, 1 s to 1 day.
    pub sync_interval: Duration,
    /// Longest time until catching up, 1 s to 1 day.
    pub catchup_interval: Duration,
    /// `bootstrap_max_age_hours`, 1 hour to 100 years.
    pub bootstrap_max_age: Duration,
    /// `throttle_delay_ms`, 0 to 1 minute.
    pub throttle_delay: Duration,
    /// `fetch_delay_ms`, 0 to 1 minute.
    pub fetch_delay: Duration,
    /// `tombstone_grace_hours`, 1 hour to 100 years, at least twice `max_clock_skew`.
    pub tombstone_grace: Duration,
    /// `max_clock_skew_ms`, 1 ms to 1 day.
    pub max_clock_skew: Duration,

    /// When a write is on disk.
    pub durability: Durability,
    /// zstd level 1 to 19 (`compression_level`); `None`: no compression (`compression_enabled: false`).
    pub compression: Option<i32>,
    /// Largest value of a `PUT`, in bytes, 1 to 64 MiB.
    pub max_json_size: usize,
    /// Memory of the store's cache, in MiB, 8 to 65,536.
    pub cache_size_mb: u32,

    /// Life of a value whose writer names none; `None`: for ever.
    pub default_ttl: Option<Duration>,
    /// Whether overwritten versions are kept.
    pub revision_history_enabled: bool,
    /// How many of them per key, 0 to 10,000.
    pub revision_limit: u32,

    /// Whether callers need tokens and rights.
    pub auth_enabled: bool,
    /// Whether callers without a token may read.
    pub allow_anonymous_read: bool,
    /// Whether callers without a token may write.
    pub allow_anonymous_write: bool,
    /// Whether the audit log is kept.
    pub tamper_logging_enabled: bool,
    /// Proxies that may name the address of their client, at most 256.
    pub trusted_proxies: Vec<Network>,

    /// Absolute path of the certificate chain; set together with `tls_key`.
    pub tls_cert: Option<PathBuf>,
    /// Absolute path of the private key.
    pub tls_key: Option<PathBuf>,
    /// Absolute path of the authorities for client certificates; set only with `tls_cert`.
    pub tls_client_ca: Option<PathBuf>,

    /// Whether callers are limited.
    pub rate_limiting_enabled: bool,
    /// Requests per window, 1 to 1,000,000,000.
    pub rate_limit_requests: u32,
    /// The window, 1 s to 1 day.
    pub rate_limit_window: Duration,

    /// The least severe event to log.
    pub log_level: LogLevel,
    /// How log lines are written.
    pub log_format: LogFormat,

    /// Whether backups are made by schedule.
    pub backup_enabled: bool,
    /// A cron expression of 1 to 256 bytes. Whoever runs the schedule parses it.
    pub backup_schedule: String,
    /// Absolute path of the folder of the backups.
    pub backup_path: PathBuf,
    /// `backup_retention` (days), 1 day to 100 years.
    pub backup_retention: Duration,
}

/// Reads the configuration at `path`; `env` looks up a variable of the environment, `host_name` is the default of
/// `node_id`.
///
/// # Errors
/// [`ConfigError`], one line that says what to change; [`ConfigError::Missing`] when there is no file.
pub fn load(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    host_name: &str,
) -> Result<Config, ConfigError> {
    let source = name::absolute(path)?;
    let text = file::read(&source)?;
    parse(&text, source, env, host_name)
}

/// The same, but writes the default file (mode 0600) first when there is none. A file that exists is never changed.
///
/// # Errors
/// As [`load`], and [`ConfigError::Create`] when the file cannot be written.
pub fn load_or_create(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    host_name: &str,
) -> Result<Config, ConfigError> {
    let source = name::absolute(path)?;
    file::create(&source, &template::default_text(host_name))?;
    load(&source, env, host_name)
}

/// Reads `text` as the configuration file at the absolute path `source`, without touching the disk.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: &str,
    source: PathBuf,
    env: &dyn Fn(&str) -> Option<String>,
    host_name: &str,
) -> Result<Config, ConfigError> {
    let settings = Settings::read(text, &source, env, host_name)?;
    let mut config = Assembly { settings: &settings, folder: source.parent().unwrap_or(Path::new("/")) }
        .config(&source)?;
    config.home = env("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    check_rules(&config, &settings)?;
    Ok(config)
}

/// The rules that bind two keys.
fn check_rules(config: &Config, settings: &Settings) -> Result<(), ConfigError> {
    let (min, max) = (config.gossip_interval_min, config.gossip_interval_max);
    if min > max {
        let rule = format!(
            "gossip_interval_min ({}) to be at most gossip_interval_max ({})",
            min.as_secs(),
            max.as_secs()
        );
        return Err(settings.conflict(["gossip_interval_min", "gossip_interval_max"], rule));
    }
    // A delete stamped by a clock ahead, collected here and still held elsewhere, would beat a later write.
    let (grace, skew) = (config.tombstone_grace, config.max_clock_skew);
    if grace < skew.saturating_mul(2) {
        let rule = format!(
            "tombstone_grace_hours ({}) to be at least twice max_clock_skew_ms ({})",
            grace.as_secs() / HOUR_S,
            skew.as_millis()
        );
        return Err(settings.conflict(["tombstone_grace_hours", "max_clock_skew_ms"], rule));
    }
    if config.tls_cert.is_some() != config.tls_key.is_some() {
        let rule = "tls_cert and tls_key to be set together".to_owned();
        return Err(settings.conflict(["tls_cert", "tls_key"], rule));
    }
    if config.tls_client_ca.is_some() && config.tls_cert.is_none() {
        let rule = "tls_client_ca to be set together with tls_cert and tls_key".to_owned();
        return Err(settings.conflict(["tls_client_ca", "tls_cert"], rule));
    }
    Ok(())
}

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;

/// Takes typed values out of the settings. A mismatch is a defect of the table, which a test excludes.
struct Assembly<'a> {
    settings: &'a Settings,
    folder: &'a Path,
}

impl Assembly<'_> {
    fn config(&self, source: &Path) -> Result<Config, ConfigError> {
        Ok(Config {
            source: source.to_owned(),
            home: None,
            node_id: self.text("node_id")?,
            bind_address: self.ip("bind_address")?,
            port: self.whole("port")?,
            data_dir: self.data_dir(source)?,
            read_only: self.switch("read_only")?,
            clustering_enabled: self.switch("clustering_enabled")?,
            seed_nodes: self.peers("seed_nodes")?,
            advertise_address: self.optional_text("advertise_address")?,
            cluster_secret: self.optional_text("cluster_secret")?.map(Secret::new),
            cluster_secret_previous: self.optional_text("cluster_secret_previous")?.map(Secret::new),
            gossip_interval_min: self.seconds("gossip_interval_min", 1)?,
            gossip_interval_max: self.seconds("gossip_interval_max", 1)?,
            sync_interval: self.seconds("sync_interval", 1)?,
            catchup_interval: self.seconds("catchup_interval", 1)?,
            bootstrap_max_age: self.seconds("bootstrap_max_age_hours", HOUR_S)?,
            throttle_delay: Duration::from_millis(self.whole("throttle_delay_ms")?),
            fetch_delay: Duration::from_millis(self.whole("fetch_delay_ms")?),
            tombstone_grace: self.seconds("tombstone_grace_hours", HOUR_S)?,
            max_clock_skew: Duration::from_millis(self.whole("max_clock_skew_ms")?),
            durability: self.word("durability", Durability::from_word)?,
            compression: self.compression()?,
            max_json_size: self.whole("max_json_size")?,
            cache_size_mb: self.whole("cache_size_mb")?,
            default_ttl: self.span("default_ttl")?,
            revision_history_enabled: self.switch("revision_history_enabled")?,
            revision_limit: self.whole("revision_limit")?,
            auth_enabled: self.switch("auth_enabled")?,
            allow_anonymous_read: self.switch("allow_anonymous_read")?,
            allow_anonymous_write: self.switch("allow_anonymous_write")?,
            tamper_logging_enabled: self.switch("tamper_logging_enabled")?,
            trusted_proxies: self.networks("trusted_proxies")?,
            tls_cert: self.optional_path("tls_cert")?,
            tls_key: self.optional_path("tls_key")?,
            tls_client_ca: self.optional_path("tls_client_ca")?,
            rate_limiting_enabled: self.switch("rate_limiting_enabled")?,
            rate_limit_requests: self.whole("rate_limit_requests")?,
            rate_limit_window: self.span("rate_limit_window")?.ok_or(defect("rate_limit_window"))?,
            log_level: self.word("log_level", LogLevel::from_word)?,
            log_format: self.word("log_format", LogFormat::from_word)?,
            backup_enabled: self.switch("backup_enabled")?,
            backup_schedule: self.text("backup_schedule")?,
            backup_path: self.path("backup_path")?,
            backup_retention: self.seconds("backup_retention", DAY_S)?,
        })
    }

    fn switch(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.settings.value(name)? {
            Value::Switch(on) => Ok(*on),
            _ => Err(defect(name)),
        }
    }

    fn whole<T: TryFrom<u64>>(&self, name: &'static str) -> Result<T, ConfigError> {
        match self.settings.value(name)? {
            Value::Whole(number) => T::try_from(*number).map_err(|_| defect(name)),
            _ => Err(defect(name)),
        }
    }

    /// A whole number of units of `unit_s` seconds.
    fn seconds(&self, name: &'static str, unit_s: u64) -> Result<Duration, ConfigError> {
        let count: u64 = self.whole(name)?;
        count.checked_mul(unit_s).map(Duration::from_secs).ok_or(defect(name))
    }

    fn word<T>(&self, name: &'static str, from_word: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        match self.settings.value(name)? {
            Value::Word(word) => from_word(word).ok_or(defect(name)),
            _ => Err(defect(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<String, ConfigError> {
        match self.settings.value(name)? {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(defect(name)),
        }
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(Some(self.text(name)?).filter(|text| !text.is_empty()))
    }

    /// A path from the root: a relative one starts at the folder of the file, wherever the process runs.
    fn path(&self, name: &'static str) -> Result<PathBuf, ConfigError> {
        // Through its components, so that `./data` does not show as `/folder/./data`.
        Ok(self.folder.join(self.text(name)?).components().collect())
    }

    /// The folder that is named, else the one that belongs to the name of the file.
    fn data_dir(&self, source: &Path) -> Result<PathBuf, ConfigError> {
        if self.settings.is_set("data_dir")? {
            self.path("data_dir")
        } else {
            Ok(self.folder.join(name::data_folder(&name::instance(source)?)))
        }
    }

    fn optional_path(&self, name: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        match self.optional_text(name)? {
            Some(_) => self.path(name).map(Some),
            None => Ok(None),
        }
    }

    fn ip(&self, name: &'static str) -> Result<IpAddr, ConfigError> {
        match self.settings.value(name)? {
            Value::Ip(address) => Ok(*address),
            _ => Err(defect(name)),
        }
    }

    fn peers(&self, name: &'static str) -> Result<Vec<String>, ConfigError> {
        match self.settings.value(name)? {
            Value::Peers(peers) => Ok(peers.clone()),
            _ => Err(defect(name)),
        }
    }

    fn networks(&self, name: &'static str) -> Result<Vec<Network>, ConfigError> {
        match self.settings.value(name)? {
            Value::Networks(networks) => Ok(networks.clone()),
            _ => Err(defect(name)),
        }
    }

    fn span(&self, name: &'static str) -> Result<Option<Duration>, ConfigError> {
        match self.settings.value(name)? {
            Value::Span(span) => Ok(*span),
            _ => Err(defect(name)),
        }
    }

    /// The level where the toggle is on.
    fn compression(&self) -> Result<Option<i32>, ConfigError> {
        let level: i32 = self.whole("compression_level")?;
        Ok(self.switch("compression_enabled")?.then_some(level))
    }
}

const fn defect(key: &'static str) -> ConfigError {
    ConfigError::Table { key }
}
