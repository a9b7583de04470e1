//! Which node the client talks to, and with which token.
//!
//! In this order: `--url` and `--token`, `KVS_URL` and `KVS_TOKEN`, the configuration that was named or lies in this
//! folder, and last the address that a node has by default. A wildcard bind address is reached through loopback.
//!
//! **Invariant:** the root token of a configuration goes only to the address of that configuration, never to a URL that
//! was given; and no token shows in an error or in debug output.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use kvs_config::config::{Config, load};
use kvs_config::error::ConfigError;
use kvs_config::host::host_name;
use kvs_config::name::{DEFAULT_FILE, resolve};
use ureq::http::Uri;

use crate::error::ClientError;
use crate::limits::TOKEN_FILE_BYTES_MAX;

/// The address of a node with the default configuration.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// The file in the data directory that holds the built-in admin's token.
const ROOT_TOKEN_FILE: &str = "root.token";

/// What the user said about the node; everything is optional.
#[derive(Clone, Default)]
pub struct Wanted {
    /// `--url`.
    pub url: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--ca`: who vouches for the node.
    pub ca: Option<PathBuf>,
    /// `--config`; without it `config.yaml` in the current folder is looked at.
    pub config: Option<PathBuf>,
}

/// Where requests go.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: String,
    token: Option<String>,
    origin: String,
    trust: Trust,
}

/// Who vouches for a node that speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The authorities of this system.
    System,
    /// The certificates in these files, and nobody else.
    Files(Vec<PathBuf>),
}

/// What is asked of the machine to find a node.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The address on which the running node of a configuration is known to listen, if it is: it goes before what the
    /// configuration says (which may be any free port, or have changed since the node was started).
    pub listening: &'a dyn Fn(&Config) -> Option<SocketAddr>,
}

impl Target {
    /// The address as `http://host:port` or `https://host:port`, perhaps with a path, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token, when there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Where the address comes from, for messages.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Who vouches for the node when it speaks TLS.
    #[must_use]
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Finds the node that the user means.
    ///
    /// # Errors
    ///
    /// [`ClientError::BadUrl`] for an address that is none, [`ClientError::Config`] for a configuration that cannot be
    /// read; a missing `config.yaml` is no error unless it was named.
    pub fn resolve(wanted: &Wanted, surroundings: Surroundings<'_>) -> Result<Self, ClientError> {
        let env = |name: &str| (surroundings.env)(name).filter(|value| !value.is_empty());
        let token = wanted.token.clone().or_else(|| env("KVS_TOKEN"));
        let named = wanted.ca.clone().or_else(|| env("KVS_CA").map(PathBuf::from)).map(|ca| vec![ca]);
        let given = match (&wanted.url, &wanted.config) {
            (Some(url), _) => Some((url.clone(), "--url")),
            // A configuration that is named on the command line goes before the environment.
            (None, Some(_)) => None,
            (None, None) => env("KVS_URL").map(|url| (url, "KVS_URL")),
        };
        if let Some((url, origin)) = given {
            return Self::new(&url, token, origin.to_owned(), trust(named));
        }
        let Some(config) = read_config(wanted.config.as_deref(), surroundings)? else {
            let origin = format!("the default; there is no {DEFAULT_FILE} here");
            return Self::new(DEFAULT_URL, token, origin, trust(named));
        };
        let configured = (config.port != 0).then(|| SocketAddr::new(config.bind_address, config.port));
        let address = (surroundings.listening)(&config).or(configured);
        let origin = config.source.display().to_string();
        let scheme = if config.tls_cert.is_some() { "https" } else { "http" };
        let Some(address) = address else {
            return Err(ClientError::Unreachable {
                url: format!("{scheme}://{}:0", config.bind_address),
                origin,
                reason: "it takes any free port and is not known to run; name its --url".to_owned(),
            });
        };
        let token = token.or_else(|| read_root_token(&config.data_dir));
        // The nodes of a cluster have one authority; without a file of its own it stands behind the node's certificate.
        let own = || [&config.tls_client_ca, &config.tls_cert].into_iter().flatten().cloned().collect();
        let vouching = named.or_else(|| config.tls_cert.is_some().then(own));
        Self::new(&format!("{scheme}://{}", reachable(address)), token, origin, trust(vouching))
    }

    fn new(url: &str, token: Option<String>, origin: String, trust: Trust) -> Result<Self, ClientError> {
        let bad = |reason| ClientError::BadUrl { url: url.to_owned(), origin: origin.clone(), reason };
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri = Uri::try_from(with_scheme.as_str()).map_err(|_| bad("it cannot be read as a URL"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(bad("it must begin with http:// or https://")),
        }
        if uri.query().is_some() || with_scheme.contains('#') {
            return Err(bad("it must end with the address, without '?' or '#'"));
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(bad("it must name a host, and no user; a token goes into --token"));
        }
        Ok(Self { url: with_scheme.trim_end_matches('/').to_owned(), token, origin, trust })
    }
}

/// Files that were named, or the system's own authorities.
fn trust(files: Option<Vec<PathBuf>>) -> Trust {
    files.map_or(Trust::System, Trust::Files)
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = if self.token.is_some() { "hidden" } else { "none" };
        write!(f, "Target {{ url: {:?}, origin: {:?}, token: {token} }}", self.url, self.origin)
    }
}

/// The configuration that was named, else the one in this folder, if there is one.
fn read_config(named: Option<&Path>, surroundings: Surroundings<'_>) -> Result<Option<Config>, ClientError> {
    let path = resolve(named.unwrap_or(Path::new(DEFAULT_FILE)))?;
    match load(&path, surroundings.env, &host_name()) {
        Ok(config) => Ok(Some(config)),
        Err(ConfigError::Missing { .. }) if named.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The token in `DATA_DIR/root.token`, when this user may read it.
fn read_root_token(data_dir: &Path) -> Option<String> {
    let file = File::open(data_dir.join(ROOT_TOKEN_FILE)).ok()?;
    let mut token = String::new();
    file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut token).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

/// The token in a file, or on standard input for `-`, without the space around it.
///
/// # Errors
///
/// [`ClientError::Read`] for a file that cannot be read, is no text, is empty, or is longer than any token.
pub fn read_token(file: &Path) -> Result<String, ClientError> {
    let failed = |source| ClientError::Read { path: file.to_owned(), source };
    let mut token = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut token)
    } else {
        File::open(file).and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut token))
    };
    let bytes = read.map_err(failed)?;
    let token = token.trim();
    if token.is_empty() || bytes as u64 == TOKEN_FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other("it holds no token")));
    }
    Ok(token.to_owned())
}

/// An address that connections can be made to: all addresses are reached through loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    SocketAddr::new(host, address.port())
}

#[cfg(test)]
mod tests {
    use super::{Surroundings, Target, Trust, Wanted, read_token};
    use crate::error::{ClientError, ErrorKind};
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};

    const NOTHING: Surroundings<'static> = Surroundings { env: &|_| None, listening: &|_| None };

    fn env(name: &str) -> Option<String> {
        match name {
            "KVS_URL" => Some("http://from-env:1".to_owned()),
            "KVS_TOKEN" => Some("env-token".to_owned()),
            _ => None,
        }
    }

    const ENV: Surroundings<'static> = Surroundings { env: &env, listening: &|_| None };

    fn node(folder: &Path, text: &str) -> Wanted {
        let config = folder.join("node1.yaml");
        std::fs::write(&config, text).expect("a configuration");
        std::fs::create_dir_all(folder.join("data-node1")).expect("a data directory");
        std::fs::write(folder.join("data-node1/root.token"), "root-token\n").expect("a token");
        Wanted { config: Some(config), ..Wanted::default() }
    }

    fn parts(target: &Target) -> (&str, Option<&str>) {
        (target.url(), target.token())
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let wanted = Wanted {
            url: Some("http://given:2/".to_owned()),
            token: Some("given-token".to_owned()),
            ..Wanted::default()
        };
        let target = Target::resolve(&wanted, ENV).expect("a target");
        assert_eq!(parts(&target), ("http://given:2", Some("given-token")));
        let target = Target::resolve(&Wanted::default(), ENV).expect("a target");
        assert_eq!(parts(&target), ("http://from-env:1", Some("env-token")));
    }

    #[test]
    fn a_named_configuration_gives_address_and_root_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted = node(folder.path(), "port: 9123\n");
        let target = Target::resolve(&wanted, NOTHING).expect("a target");
        assert_eq!(parts(&target), ("http://127.0.0.1:9123", Some("root-token")));
        assert!(target.origin().ends_with("node1.yaml"));
    }

    #[test]
    fn a_named_configuration_goes_before_the_address_of_the_environment() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = Target::resolve(&node(folder.path(), "port: 9123\n"), ENV).expect("a target");
        assert_eq!(parts(&target), ("http://127.0.0.1:9123", Some("env-token")));
    }

    #[test]
    fn the_root_token_of_a_configuration_never_goes_to_a_url_that_was_given() {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted =
            Wanted { url: Some("http://elsewhere:1".to_owned()), ..node(folder.path(), "port: 9123\n") };
        let target = Target::resolve(&wanted, NOTHING).expect("a target");
        assert_eq!(parts(&target), ("http://elsewhere:1", None));
    }

    #[test]
    fn a_configuration_with_tls_gives_https_and_who_vouches_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "port: 9123\ntls_cert: n.pem\ntls_key: n.key\n";
        let target = Target::resolve(&node(folder.path(), text), NOTHING).expect("a target");
        assert_eq!(target.url(), "https://127.0.0.1:9123");
        assert_eq!(target.trust(), &Trust::Files(vec![folder.path().join("n.pem")]));
        let with_ca = format!("{text}tls_client_ca: ca.pem\n");
        let target = Target::resolve(&node(folder.path(), &with_ca), NOTHING).expect("a target");
        let files = ["ca.pem", "n.pem"].map(|file| folder.path().join(file));
        assert_eq!(target.trust(), &Trust::Files(files.to_vec()));
        let wanted = Wanted { ca: Some("other.pem".into()), ..node(folder.path(), &with_ca) };
        let target = Target::resolve(&wanted, NOTHING).expect("a target");
        assert_eq!(target.trust(), &Trust::Files(vec!["other.pem".into()]));
    }

    #[test]
    fn a_url_is_vouched_for_by_the_system_unless_a_file_is_named() {
        let wanted = Wanted { url: Some("https://given:2".to_owned()), ..Wanted::default() };
        assert_eq!(Target::resolve(&wanted, NOTHING).expect("a target").trust(), &Trust::System);
        let env = |name: &str| (name == "KVS_CA").then(|| "/from/env.pem".to_owned());
        let target = Target::resolve(&wanted, Surroundings { env: &env, ..NOTHING }).expect("a target");
        assert_eq!(target.trust(), &Trust::Files(vec!["/from/env.pem".into()]));
    }

    #[test]
    fn wildcard_addresses_are_reached_through_loopback() {
        let folder = tempfile::tempdir().expect("a folder");
        for (bind, url) in [
            ("0.0.0.0", "http://127.0.0.1:9123"),
            ("'::'", "http://[::1]:9123"),
            ("'::1'", "http://[::1]:9123"),
            ("10.0.0.7", "http://10.0.0.7:9123"),
        ] {
            let text = format!("bind_address: {bind}\nport: 9123\n");
            let target = Target::resolve(&node(folder.path(), &text), NOTHING).expect("a target");
            assert_eq!(target.url(), url);
        }
    }

    #[test]
    fn the_address_of_the_running_node_goes_before_the_configured_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let listening = |_: &_| Some(SocketAddr::from(([0, 0, 0, 0], 4567)));
        for port in ["0", "9123"] {
            let wanted = node(folder.path(), &format!("bind_address: 0.0.0.0\nport: {port}\n"));
            let target = Target::resolve(&wanted, Surroundings { listening: &listening, ..NOTHING })
                .expect("a target");
            assert_eq!(target.url(), "http://127.0.0.1:4567");
        }
    }

    #[test]
    fn a_free_port_of_a_node_that_does_not_run_is_no_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted = node(folder.path(), "port: 0\n");
        let error = Target::resolve(&wanted, NOTHING).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::NotRunning);
    }

    #[test]
    fn a_configuration_that_was_named_must_exist() {
        let wanted = Wanted { config: Some(PathBuf::from("/nonexistent/node1")), ..Wanted::default() };
        assert!(matches!(Target::resolve(&wanted, NOTHING), Err(ClientError::Config(_))));
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_a_reason() {
        for (url, reason) in [
            ("ftp://a", "http://"),
            ("http://a b", "cannot be read"),
            ("http://user:secret@a", "no user"),
            ("http://a?x", "without '?'"),
        ] {
            let wanted = Wanted { url: Some(url.to_owned()), ..Wanted::default() };
            let error = Target::resolve(&wanted, NOTHING).expect_err(url).to_string();
            assert!(error.contains(reason), "{error}");
        }
        let wanted = Wanted { url: Some("localhost:8080".to_owned()), ..Wanted::default() };
        assert_eq!(Target::resolve(&wanted, NOTHING).expect("a target").url(), "http://localhost:8080");
    }

    #[test]
    fn a_token_is_read_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, " a-token\n").expect("a file");
        assert_eq!(read_token(&file).expect("a token"), "a-token");
        for bad in [String::new(), "\n".to_owned(), "x".repeat(20_000)] {
            std::fs::write(&file, &bad).expect("a file");
            let told = read_token(&file).expect_err("no token").to_string();
            assert!(told.contains("cannot read") && (bad.is_empty() || !told.contains(&bad)), "{told}");
        }
        assert!(read_token(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let target = Target::resolve(&Wanted::default(), ENV).expect("a target");
        assert!(!format!("{target:?}").contains("env-token"));
    }
}
