//! The configuration as a whole: defaults, the generated file, the environment, and the one line that a wrong file gets.
#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use kvs_config::choice::{Durability, LogFormat, LogLevel};
use kvs_config::config::{Config, load, load_or_create, parse};
use kvs_config::error::ConfigError;
use kvs_config::keys::{KEYS, Kind};
use kvs_config::template::default_text;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy;

fn read(text: &str) -> Result<Config, String> {
    read_with(text, &|_| None)
}

fn read_with(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, String> {
    parse(text, PathBuf::from("/etc/kvs/n.yaml"), env, "alpha").map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    read(text).unwrap_err()
}

/// A valid value that is not the default, as YAML and as a variable.
fn other_value(kind: &Kind, default: &str) -> (String, String) {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    match kind {
        Kind::Switch => same(if default == "true" { "false" } else { "true" }),
        Kind::Whole { min, max, .. } => {
            let default: u64 = default.parse().unwrap();
            // A neighbour, so that the rules between two keys still hold.
            let other = if default < *max { default + 1 } else { default - 1 };
            assert!((*min..=*max).contains(&other));
            same(&other.to_string())
        }
        Kind::Word(words) => same(words.iter().find(|word| **word != default).unwrap()),
        Kind::Name => same("beta"),
        Kind::Ip => same("0.0.0.0"),
        Kind::Path | Kind::OptionalPath => same("/elsewhere/x"),
        Kind::OptionalPeer => same("host.example:80"),
        Kind::Peers => ("[\"a:1\", b:2]".to_owned(), "a:1,b:2".to_owned()),
        Kind::Networks => ("[10.0.0.0/8]".to_owned(), "10.0.0.0/8".to_owned()),
        Kind::OptionalSecret => same("correct horse"),
        Kind::Ttl | Kind::Window { .. } => same("2m"),
        Kind::Schedule => ("\"*/5 * * * *\"".to_owned(), "*/5 * * * *".to_owned()),
    }
}

/// What has to stand beside a key for the rules between keys.
fn beside(name: &str) -> &'static str {
    match name {
        "tls_cert" => "\ntls_key: k",
        "tls_key" => "\ntls_cert: c",
        "tls_client_ca" => "\ntls_cert: c\ntls_key: k",
        _ => "",
    }
}

#[test]
fn an_empty_file_has_every_default_of_the_contract() {
    let config = read("").unwrap();
    assert_eq!(config.source, Path::new("/etc/kvs/n.yaml"));
    assert_eq!(config.node_id, "alpha");
    assert_eq!((config.bind_address.to_string().as_str(), config.port), ("127.0.0.1", 8080));
    assert_eq!(config.data_dir, Path::new("/etc/kvs/data-n"));
    assert_eq!(config.backup_path, Path::new("/etc/kvs/backups"));
    assert!(config.seed_nodes.is_empty() && config.trusted_proxies.is_empty());
    assert_eq!((config.log_level, config.log_format), (LogLevel::Info, LogFormat::Text));
    let seconds = [
        (config.gossip_interval_min, 60),
        (config.gossip_interval_max, 120),
        (config.sync_interval, 300),
        (config.catchup_interval, 120),
        (config.bootstrap_max_age, 720 * 3600),
        (config.tombstone_grace, 24 * 3600),
        (config.max_clock_skew, 60),
        (config.rate_limit_window, 60),
        (config.backup_retention, 7 * 86400),
    ];
    for (value, expected) in seconds {
        assert_eq!(value, Duration::from_secs(expected));
    }
    assert_eq!(config.throttle_delay, Duration::from_millis(100));
    assert_eq!(config.fetch_delay, Duration::from_millis(50));
    assert_eq!(config.compression, Some(3));
    assert_eq!(config.default_ttl, None);
    assert_eq!((config.max_json_size, config.rate_limit_requests), (1_048_576, 100));
    assert_eq!((config.revision_limit, config.cache_size_mb), (10, 256));
    assert_eq!(config.durability, Durability::Always);
    assert_eq!(config.backup_schedule, "0 0 * * *");
    assert!(config.auth_enabled && config.tamper_logging_enabled && config.clustering_enabled);
    assert!(config.rate_limiting_enabled && config.revision_history_enabled && config.backup_enabled);
    assert!(!config.read_only && !config.allow_anonymous_read && !config.allow_anonymous_write);
    assert!(config.advertise_address.is_none() && config.cluster_secret.is_none());
    assert!(config.cluster_secret_previous.is_none() && config.tls_cert.is_none());
    assert!(config.tls_key.is_none() && config.tls_client_ca.is_none());
}

#[test]
fn every_key_changes_what_is_read_in_the_file_and_in_the_environment() {
    for key in KEYS {
        let (yaml, variable) = other_value(&key.kind, key.default);
        let base = read(beside(key.name).trim_start_matches('\n'));
        let by_file = read(&format!("{}: {yaml}{}", key.name, beside(key.name))).unwrap();
        // The rules between keys may refuse the base; then the change is plain anyway.
        assert_ne!(base.as_ref(), Ok(&by_file), "{}", key.name);
        let env = |name: &str| (name == key.variable()).then(|| variable.clone());
        let by_env = read_with(beside(key.name).trim_start_matches('\n'), &env).unwrap();
        assert_eq!(by_env, by_file, "{}", key.name);
    }
}

#[test]
fn both_ends_of_every_range_are_accepted_and_what_is_beyond_is_not() {
    for key in KEYS {
        let Kind::Whole { min, max, .. } = key.kind else { continue };
        for value in [min, max] {
            // The rules between keys may refuse an end, the range may not.
            if let Err(error) = read(&format!("{}: {value}", key.name)) {
                assert!(error.contains(" to be at "), "{error}");
            }
        }
        let beyond = refusal(&format!("{}: {}", key.name, max + 1));
        assert!(beyond.contains(&format!("from {min} to {max}")), "{beyond}");
        if min > 0 {
            assert!(refusal(&format!("{}: {}", key.name, min - 1)).contains("got the number"));
        }
    }
}

#[test]
fn a_wrong_file_gets_one_line_that_says_what_to_change() {
    let cases = [
        (
            "port: 99999",
            "/etc/kvs/n.yaml:1: port: expected a whole number from 0 to 65535 (got the number 99999)",
        ),
        (
            "\nport: \"8080\"",
            "/etc/kvs/n.yaml:2: port: expected a whole number from 0 to 65535 (got the text \"8080\"; remove the quotes)",
        ),
        (
            "node_id: 5",
            "/etc/kvs/n.yaml:1: node_id: expected a name of 1 to 255 bytes without control characters (got the number 5; write it in quotes)",
        ),
        ("prot: 1", "/etc/kvs/n.yaml:1: prot: unknown key, did you mean \"port\"?"),
        (
            "colour: 1",
            "/etc/kvs/n.yaml:1: colour: unknown key; the file that kvs writes by itself names all keys",
        ),
        ("port: 1\nport: 2", "/etc/kvs/n.yaml:2: port: expected each key once (it is already on line 1)"),
        ("read_only: yes", "/etc/kvs/n.yaml:1: read_only: expected true or false (got \"yes\")"),
        (
            "durability: sometimes",
            "/etc/kvs/n.yaml:1: durability: expected one of always, interval, never (got \"sometimes\")",
        ),
        (
            "bind_address: localhost",
            "/etc/kvs/n.yaml:1: bind_address: expected an IP address such as 127.0.0.1 or \"::1\" (got \"localhost\")",
        ),
        (
            "seed_nodes:\n  - a:1\n  - b",
            "/etc/kvs/n.yaml:3: seed_nodes: expected a list of host:port (got \"b\")",
        ),
        (
            "data_dir: {a: b}",
            "/etc/kvs/n.yaml:1: data_dir: expected a path of 1 to 4096 bytes (got a nested list or mapping)",
        ),
        (
            "rate_limit_window: \"0\"",
            "/etc/kvs/n.yaml:1: rate_limit_window: expected a duration such as \"90s\" or \"1m\", from 1 to 86400 seconds (got the text \"0\")",
        ),
        (
            "cluster_secret: hunter2",
            "/etc/kvs/n.yaml:1: cluster_secret: expected a text of 8 to 1024 bytes, or \"\" for none (got 7 bytes)",
        ),
        (
            "gossip_interval_max: 5",
            "/etc/kvs/n.yaml:1: gossip_interval_max: expected gossip_interval_min (60) to be at most gossip_interval_max (5)",
        ),
        (
            "max_clock_skew_ms: 43200001",
            "/etc/kvs/n.yaml:1: max_clock_skew_ms: expected tombstone_grace_hours (24) to be at least twice max_clock_skew_ms (43200001)",
        ),
        (
            "\n\ntls_key: k.pem",
            "/etc/kvs/n.yaml:3: tls_key: expected tls_cert and tls_key to be set together",
        ),
        (
            "tls_client_ca: c.pem",
            "/etc/kvs/n.yaml:1: tls_client_ca: expected tls_client_ca to be set together with tls_cert and tls_key",
        ),
        (
            "backup_schedule: \" \"",
            "/etc/kvs/n.yaml:1: backup_schedule: expected a cron expression in quotes, of 1 to 256 bytes (got the text \" \")",
        ),
        (
            "\"a\\nb\": 1",
            "/etc/kvs/n.yaml:1: a\\nb: unknown key; the file that kvs writes by itself names all keys",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected);
    }
}

#[test]
fn a_tombstone_may_live_exactly_twice_the_skew() {
    assert!(read("max_clock_skew_ms: 43200000").is_ok());
}

#[test]
fn a_wrong_variable_is_named_instead_of_a_line() {
    let env = |name: &str| (name == "KVS_PORT").then(|| "tcp://10.0.0.1:80".to_owned());
    assert_eq!(
        read_with("port: 1", &env).unwrap_err(),
        "environment variable KVS_PORT: port: expected a whole number from 0 to 65535 (got \"tcp://10.0.0.1:80\"; Kubernetes sets this variable for a service of the name kvs: say 'enableServiceLinks: false' in the pod, or give the service another name)"
    );
    let env = |name: &str| (name == "KVS_GOSSIP_INTERVAL_MAX").then(|| "5".to_owned());
    assert_eq!(
        read_with("", &env).unwrap_err(),
        "environment variable KVS_GOSSIP_INTERVAL_MAX: gossip_interval_max: expected gossip_interval_min (60) to be at most gossip_interval_max (5)"
    );
}

#[test]
fn a_variable_beats_the_file() {
    let env = |name: &str| (name == "KVS_PORT").then(|| "9000".to_owned());
    assert_eq!(read_with("port: 1", &env).unwrap().port, 9000);
}

#[test]
fn compression_off_has_no_level() {
    assert_eq!(read("compression_enabled: false\ncompression_level: 9").unwrap().compression, None);
}

#[test]
fn paths_start_at_the_folder_of_the_file_wherever_the_process_runs() {
    let config = read("data_dir: ../x/./y\ntls_cert: c.pem\ntls_key: /k.pem").unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/kvs/../x/y"));
    assert_eq!(config.tls_cert.as_deref(), Some(Path::new("/etc/kvs/c.pem")));
    assert_eq!(config.tls_key.as_deref(), Some(Path::new("/k.pem")));
}

#[test]
fn configurations_side_by_side_that_name_no_data_directory_do_not_share_one() {
    let data_dir = |file: &str, text: &str, variable: Option<&str>| {
        let env = |name: &str| variable.filter(|_| name == "KVS_DATA_DIR").map(str::to_owned);
        parse(text, Path::new("/etc/kvs").join(file), &env, "alpha").unwrap().data_dir
    };
    for (file, folder) in
        [("config.yaml", "data"), ("node1.yaml", "data-node1"), ("node2.yaml", "data-node2")]
    {
        assert_eq!(data_dir(file, "port: 8081\n", None), Path::new("/etc/kvs").join(folder));
        // Whoever names one gets it, also when it is the one of the table.
        assert_eq!(data_dir(file, "data_dir: ./data\n", None), Path::new("/etc/kvs/data"));
        assert_eq!(data_dir(file, "", Some("./data")), Path::new("/etc/kvs/data"));
        assert_eq!(data_dir(file, "data_dir: ./x\n", Some("/y")), Path::new("/y"));
        assert_eq!(data_dir(file, &default_text("alpha"), None), Path::new("/etc/kvs/data"));
    }
}

#[test]
fn the_secret_is_not_in_the_debug_output() {
    let config = read("cluster_secret: correct horse").unwrap();
    assert_eq!(config.cluster_secret.as_ref().unwrap().expose(), "correct horse");
    assert!(!format!("{config:?}").contains("correct horse"));
}

#[test]
fn a_missing_file_is_told_apart_and_created_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    assert!(matches!(load(&path, &|_| None, "alpha"), Err(ConfigError::Missing { .. })));
    assert!(!path.exists());
    let created = load_or_create(&path, &|_| None, "alpha").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), default_text("alpha"));
    // The file now names the node, so another host name changes nothing.
    assert_eq!(load(&path, &|_| None, "beta").unwrap(), created);
    assert_eq!(created.data_dir, folder.path().canonicalize().unwrap().join("data"));
    std::fs::write(&path, "port: 7\n").unwrap();
    assert_eq!(load_or_create(&path, &|_| None, "alpha").unwrap().port, 7);
}

#[test]
fn a_file_that_nests_without_end_is_refused() {
    for unit in ["- ", "? ", "[", "{", "a: [", "port: [", "&a ", "{a: "] {
        let text = unit.repeat(100_000);
        let error = refusal(&text);
        assert_eq!(error.lines().count(), 1, "{unit:?}");
    }
}

/// Lines that look like a configuration, right and wrong.
fn lines() -> impl Strategy<Value = String> {
    let names: Vec<&str> =
        KEYS.iter().map(|key| key.name).chain(["prot", "- x", "?", "---", "\"q\""]).collect();
    let values = vec![
        "1",
        "-1",
        "true",
        "\"\"",
        "[]",
        "[a:1]",
        "{}",
        "~",
        "",
        "&a x",
        "*a",
        "!!str 5",
        "|",
        "\"1m\"",
        "0 0 * * *",
        "'",
        "1e9",
        "0x",
        "[",
        "text # c",
        "\u{0}",
        "é",
        "99999999999999999999",
    ];
    let line = (proptest::sample::select(names), proptest::sample::select(values), 0usize..3)
        .prop_map(|(name, value, indent)| format!("{}{name}: {value}\n", " ".repeat(indent)));
    proptest::collection::vec(line, 0..6).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in any::<String>()) {
        if let Err(error) = read(&text) {
            prop_assert_eq!(error.lines().count(), 1, "{}", error);
        }
    }

    #[test]
    fn any_lines_are_read_or_refused_in_one_line(text in lines()) {
        if let Err(error) = read(&text) {
            prop_assert_eq!(error.lines().count(), 1, "{}", error);
            prop_assert!(error.starts_with("/etc/kvs/n.yaml:"), "{}", error);
        }
    }

    #[test]
    fn any_variable_is_read_or_refused_in_one_line(place in 0..KEYS.len(), value in any::<String>()) {
        let key = KEYS.get(place).unwrap();
        let env = |name: &str| (name == key.variable()).then(|| value.clone());
        if let Err(error) = read_with("", &env) {
            prop_assert_eq!(error.lines().count(), 1, "{}", error);
            prop_assert!(error.starts_with("environment variable KVS_"), "{}", error);
        }
    }

    #[test]
    fn every_generated_file_reads_as_the_defaults(host in any::<String>()) {
        let source = PathBuf::from("/config.yaml");
        let generated = parse(&default_text(&host), source.clone(), &|_| None, "other");
        let default = parse("", source, &|_| None, &host);
        prop_assert_eq!(generated.map_err(|e| e.to_string()), default.map_err(|e| e.to_string()));
    }
}
