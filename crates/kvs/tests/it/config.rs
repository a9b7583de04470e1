//! The configuration as a user meets it: the first run, a wrong file, the environment, and the switches of this version.

use serde_json::json;

use crate::support::finished::Finished;
use crate::support::node::Node;
use crate::support::sandbox::{KVS, Sandbox};
use crate::support::wait::until;

/// Every key of the documented table with its default as it is written in the file; `None` for the host's name.
const KEYS: [(&str, Option<&str>); 42] = [
    ("node_id", None),
    ("bind_address", Some("127.0.0.1")),
    ("port", Some("8080")),
    ("data_dir", Some("./data")),
    ("seed_nodes", Some("[]")),
    ("read_only", Some("false")),
    ("log_level", Some("info")),
    ("gossip_interval_min", Some("60")),
    ("gossip_interval_max", Some("120")),
    ("sync_interval", Some("300")),
    ("catchup_interval", Some("120")),
    ("bootstrap_max_age_hours", Some("720")),
    ("throttle_delay_ms", Some("100")),
    ("fetch_delay_ms", Some("50")),
    ("compression_enabled", Some("true")),
    ("compression_level", Some("3")),
    ("default_ttl", Some("\"0\"")),
    ("max_json_size", Some("1048576")),
    ("rate_limit_requests", Some("100")),
    ("rate_limit_window", Some("\"1m\"")),
    ("auth_enabled", Some("true")),
    ("tamper_logging_enabled", Some("true")),
    ("clustering_enabled", Some("true")),
    ("rate_limiting_enabled", Some("true")),
    ("revision_history_enabled", Some("true")),
    ("allow_anonymous_read", Some("false")),
    ("allow_anonymous_write", Some("false")),
    ("backup_enabled", Some("true")),
    ("backup_schedule", Some("\"0 0 * * *\"")),
    ("backup_path", Some("./backups")),
    ("backup_retention", Some("7")),
    ("advertise_address", Some("\"\"")),
    ("cluster_secret", Some("\"\"")),
    ("cluster_secret_previous", Some("\"\"")),
    ("durability", Some("always")),
    ("revision_limit", Some("10")),
    ("tombstone_grace_hours", Some("24")),
    ("max_clock_skew_ms", Some("60000")),
    ("trusted_proxies", Some("[]")),
    ("tls_cert", Some("\"\"")),
    ("tls_key", Some("\"\"")),
    ("log_format", Some("text")),
];

/// Checks that a run was refused with one line that holds all of `parts`, and that nothing was made.
#[track_caller]
fn assert_refused(sandbox: &Sandbox, finished: &Finished, parts: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    assert_eq!(finished.stderr.trim_end().lines().count(), 1, "not one line: {finished:?}");
    for part in parts {
        assert!(finished.stderr.contains(part), "no {part:?}: {finished:?}");
    }
    let mut made = std::fs::read_dir(sandbox.folder()).unwrap().map(|found| found.unwrap().file_name());
    let is_data = |name: &std::ffi::OsString| name.as_encoded_bytes().starts_with(b"data");
    assert_eq!(made.find(is_data), None, "a data directory was made");
}

#[test]
fn a_wrong_file_gets_one_line_with_file_line_key_and_what_to_write() {
    let sandbox = Sandbox::new();
    let cases: [(&str, &[&str]); 17] = [
        ("prot: 8080", &[":1:", "prot", "port"]),
        ("# a\n\ndata_dri: x", &[":3:", "data_dri", "data_dir"]),
        ("compression_levle: 3", &[":1:", "compression_levle", "compression_level"]),
        ("colour: red", &[":1:", "colour", "unknown"]),
        ("port: eighty", &[":1:", "port", "eighty"]),
        ("port: \"8080\"", &[":1:", "port", "quotes"]),
        ("read_only: false\nport: 65536", &[":2:", "port", "65535"]),
        ("port: -1", &[":1:", "port"]),
        ("compression_level: 20", &[":1:", "compression_level", "19"]),
        ("compression_level: 0", &[":1:", "compression_level", "1"]),
        ("read_only: maybe", &[":1:", "read_only", "true"]),
        ("durability: sometimes", &[":1:", "durability", "interval"]),
        ("default_ttl: \"1x\"", &[":1:", "default_ttl"]),
        ("bind_address: somewhere", &[":1:", "bind_address"]),
        ("seed_nodes: {a: b}", &[":1:", "seed_nodes"]),
        ("port: 1\nport: 2", &[":2:", "port"]),
        ("port: [", &[":"]),
    ];
    for (text, parts) in cases {
        let path = sandbox.write("wrong.yaml", text);
        let mut parts = parts.to_vec();
        parts.push(path.to_str().unwrap());
        for arguments in [&["wrong.yaml"][..], &["start", "wrong.yaml"], &["restart", "wrong"]] {
            assert_refused(&sandbox, &sandbox.run(arguments), &parts);
        }
    }
}

#[test]
fn what_is_no_configuration_at_all_gets_one_line() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.folder().join("folder.yaml")).unwrap();
    std::fs::write(sandbox.folder().join("bytes.yaml"), b"port: \xff\xfe").unwrap();
    sandbox.write("list.yaml", "- a\n- b\n");
    sandbox.write("long.yaml", &format!("# {}\n", "x".repeat(2 << 20)));
    for file in ["folder.yaml", "bytes.yaml", "list.yaml", "long.yaml", "none.yaml"] {
        assert_refused(&sandbox, &sandbox.run(&[file]), &[file]);
    }
}

#[test]
fn the_first_run_writes_a_commented_and_complete_file_and_runs_with_it() {
    let sandbox = Sandbox::new();
    let path = sandbox.folder().join("config.yaml");
    let mut command = sandbox.command(KVS);
    let mut child = command
        .env("KVS_PORT", "0")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let address = until("the node to listen", || {
        assert_eq!(child.try_wait().unwrap(), None, "the node ended");
        sandbox.pid_file(&path)?.address
    });
    crate::support::client::Client::new(address).get("/health").expect(200);
    child.kill().unwrap();
    child.wait().unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (key, default) in KEYS {
        let start = format!("{key}: ");
        let places: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with(&start)).collect();
        assert_eq!(places.len(), 1, "{key} stands {} times in the file", places.len());
        let at = places[0];
        assert!(at > 0 && lines[at - 1].starts_with("# "), "{key} has no comment");
        if let Some(default) = default {
            assert_eq!(lines[at], format!("{key}: {default}"));
        }
    }
    assert!(sandbox.folder().join("data").is_dir());

    // The second run leaves the file alone.
    std::fs::write(&path, format!("{text}# mine\n").replace("port: 8080", "port: 0")).unwrap();
    let edited = std::fs::read_to_string(&path).unwrap();
    Node::start(&sandbox, &path).stop();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), edited);
}

#[test]
fn variables_override_keys_and_a_wrong_one_is_named() {
    let sandbox = Sandbox::new();
    sandbox.configure("config.yaml", &[("port", "1")]);
    let config = sandbox.folder().join("config.yaml");
    let run = |variables: &[(&str, &str)]| {
        let mut command = sandbox.kvs(&["config.yaml"]);
        for (name, value) in variables {
            command.env(name, value);
        }
        command
    };
    let mut command = run(&[
        ("KVS_PORT", "0"),
        ("KVS_NODE_ID", "from-env"),
        ("KVS_READ_ONLY", "true"),
        ("KVS_DATA_DIR", "elsewhere"),
    ]);
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let address = until("the node to listen", || {
        assert_eq!(child.try_wait().unwrap(), None, "the node ended");
        sandbox.pid_file(&config)?.address
    });
    let mut client = crate::support::client::Client::new(address);
    let health = client.get("/health").expect(200).json();
    assert_eq!((&health["node_id"], &health["mode"]), (&json!("from-env"), &json!("read-only")));
    assert!(sandbox.folder().join("elsewhere").is_dir());
    child.kill().unwrap();
    child.wait().unwrap();

    for (name, value) in [("KVS_PORT", "http"), ("KVS_COMPRESSION_LEVEL", "99"), ("KVS_READ_ONLY", "yes")] {
        let finished = Finished::of(run(&[(name, value)]), b"");
        assert_refused(&sandbox, &finished, &[name, value]);
    }
    // Kubernetes sets this one for a service called kvs.
    let finished = Finished::of(run(&[("KVS_PORT", "tcp://10.96.0.17:8080")]), b"");
    assert_refused(&sandbox, &finished, &["KVS_PORT", "enableServiceLinks"]);
}

#[test]
fn a_misspelt_variable_is_named_and_the_node_runs() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let mut command = sandbox.kvs(&["config.yaml"]);
    command.env("KVS_REED_ONLY", "true");
    let output = sandbox.folder().join("said");
    let file = std::fs::File::create(&output).unwrap();
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    until("the node to listen", || sandbox.pid_file(&config)?.address);
    child.kill().unwrap();
    child.wait().unwrap();
    let said = std::fs::read_to_string(output).unwrap();
    assert!(said.contains("KVS_REED_ONLY") && said.contains("KVS_READ_ONLY was probably meant"), "{said}");
}

#[test]
fn a_node_with_accounts_asks_for_a_token_and_has_nothing_to_warn_of() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("auth_enabled", "true")]);
    let refused = node.client().get("/kv/a").expect(401);
    assert!(
        refused.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
        "{refused:?}"
    );
    let token = std::fs::read_to_string(sandbox.folder().join("data/root.token")).unwrap();
    let mut root = node.client().with_token(token.trim_end());
    root.put("/kv/a", "1").expect(201);
    assert_eq!(root.value("a"), Some(json!(1)));
    node.client().put("/kv/a", "2").expect(401);
    assert!(!node.said().contains("WARN"), "{}", node.said());
}

#[test]
fn a_node_without_accounts_says_nothing_about_them() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("auth_enabled", "false")]);
    node.client().put("/kv/a", "1").expect(201);
    assert!(!node.said().contains("auth_enabled"), "{}", node.said());
    assert!(!sandbox.folder().join("data/root.token").exists());
}

#[test]
fn a_log_for_programs_is_json_line_by_line() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("log_format", "json"), ("log_level", "debug")]);
    node.client().put("/kv/a", "1").expect(201);
    let output = node.said();
    assert!(!output.is_empty());
    for line in output.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(event.is_object(), "{line}");
    }
}

#[test]
fn every_durability_serves_and_keeps_what_a_stop_leaves() {
    for durability in ["always", "interval", "never"] {
        let sandbox = Sandbox::new();
        let config = sandbox.configure("config.yaml", &[("durability", durability)]);
        let node = Node::start(&sandbox, &config);
        node.client().put("/kv/a", "1").expect(201);
        node.stop();
        let node = Node::start(&sandbox, &config);
        assert_eq!(node.client().value("a"), Some(json!(1)), "{durability}");
    }
}
