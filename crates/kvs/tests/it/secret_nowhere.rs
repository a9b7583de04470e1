//! The secret of the cluster, what is derived from it, and tokens are nowhere but where they belong: in no log, answer,
//! backup, record or audit file, and in no argument or environment of a process, after a run full of errors at the most
//! talkative level.
//!
//! A marker that was stored as a value shows that the search would find them: it must be found in the data directory and
//! in what a backup holds, and not in the audit trail. Values are not compressed for this, and a backup, which is, is
//! restored before it is searched. Left out: memory.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use kvs_core::cluster_keys::ClusterKeys;
use serde_json::json;
use uuid::Uuid;

use crate::support::access::{SCOPES, group, minted, person, root_token};
use crate::support::client::{Client, encode};
use crate::support::cluster::Cluster;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::until_true;

/// As random as a token, so that no compression would shorten it.
const MARKER: &str = "kD3vQ8mZ1xT6bN0cJ5hW9rYfL2gS7pUaE4oIiVtKqXzBwCuMn";

/// The same for the secret; nothing in it has to be escaped anywhere.
const SECRET: &str = "Zq7Rk2VfT9mXb4LwH1cYp8NsD6gJ3aUe0oKiBtMxCvQz5rWy";

/// Names and bytes that must not be found.
struct Needles(Vec<(String, Vec<u8>)>);

impl Needles {
    /// Everything that follows from a secret, raw and as texts.
    fn of_secret(secret: &[u8]) -> Self {
        let mut needles = Self(Vec::new());
        let keys = ClusterKeys::derive(secret);
        for (name, bytes) in [
            ("the secret", secret),
            ("the token key", keys.token.as_slice()),
            ("the peer key", keys.peer.as_slice()),
            ("the cursor key", keys.cursor.as_slice()),
            ("the digest key", keys.digest.as_slice()),
            ("the root key", keys.root.as_slice()),
        ] {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            needles.add(name, bytes);
            needles.add(&format!("{name} in hexadecimal"), hex.as_bytes());
            needles.add(&format!("{name} in upper hexadecimal"), hex.to_uppercase().as_bytes());
            needles.add(&format!("{name} in base64"), STANDARD_NO_PAD.encode(bytes).as_bytes());
            needles.add(&format!("{name} in base64url"), URL_SAFE_NO_PAD.encode(bytes).as_bytes());
            needles
                .add(&format!("{name} as a list"), format!("{bytes:?}").trim_matches(['[', ']']).as_bytes());
        }
        needles
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.push((name.to_owned(), bytes.to_vec()));
    }

    /// A token; its last segment alone would be as good as the whole.
    fn add_token(&mut self, name: &str, token: &str) {
        self.add(name, token.rsplit('.').next().unwrap().as_bytes());
        self.add(&format!("the claims of {name}"), token.split('.').nth(1).unwrap().as_bytes());
    }

    /// The names of those that are in some bytes.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, needle)| holds(bytes, needle));
        found.map(|(name, _)| name.as_str()).collect()
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, bytes: &[u8]) {
        let found = self.found_in(bytes);
        assert!(found.is_empty(), "{place} holds {found:?}");
    }
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if bytes[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// What is in a file, without the long runs of zeros that stores keep in reserve.
fn content(path: &Path) -> Vec<u8> {
    const ZEROS: [u8; 4096] = [0; 4096];
    // A store may remove a file while it is looked for.
    let bytes = fs::read(path).unwrap_or_default();
    bytes.chunks(ZEROS.len()).filter(|chunk| **chunk != ZEROS[..chunk.len()]).flatten().copied().collect()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        // A store may remove its files while they are listed.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Searches every file of a sandbox but those where the secrets belong.
#[track_caller]
fn assert_in_no_file(sandbox: &Sandbox, needles: &Needles) {
    let mut searched = 0;
    for folder in [sandbox.folder(), sandbox.home()] {
        for path in files(&folder) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let belongs = name.ends_with(".yaml") || name == "root.token" || name == "cluster.key";
            if !belongs {
                needles.assert_absent(&path.display().to_string(), &content(&path));
                searched += 1;
            }
        }
    }
    assert!(searched > 10, "{searched} files were searched");
}

/// What the system shows of a process to others.
#[track_caller]
fn assert_not_in_process(pid: u32, needles: &Needles) {
    for file in ["cmdline", "environ", "comm"] {
        needles.assert_absent(&format!("{file} of {pid}"), &fs::read(format!("/proc/{pid}/{file}")).unwrap());
    }
}

/// All that a client was told.
struct Listener<'a> {
    client: Client,
    needles: &'a Needles,
}

impl Listener<'_> {
    /// Sends a request whose answer must say nothing of the secrets, whatever it is; but what stands in the body may be
    /// quoted to whoever sent it.
    #[track_caller]
    fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        let answer = self.client.send(method, target, headers, body.as_bytes());
        let told = format!("{:?}\n{}", answer.headers, String::from_utf8_lossy(&answer.body));
        let sent = self.needles.found_in(body.as_bytes());
        let found: Vec<&str> =
            self.needles.found_in(told.as_bytes()).into_iter().filter(|name| !sent.contains(name)).collect();
        assert!(found.is_empty(), "the answer to {method} {target} holds {found:?}: {told}");
        answer.status
    }
}

/// Goes wrong in every way that has a secret or a token in it.
fn go_wrong(node: &Node, tokens: &[&str], needles: &Needles) {
    let mut listener = Listener { client: node.client(), needles };
    for secret in tokens.iter().copied().chain([SECRET]) {
        let encoded = encode(secret);
        for value in [
            format!("Bearer {secret}x"),
            format!("Bearer x{secret}"),
            format!("Bearer {secret}.{secret}"),
            format!("Basic {secret}"),
            format!("Token {secret}"),
            format!("KVS1 {secret}"),
            secret.to_owned(),
        ] {
            assert_eq!(listener.send("GET", "/kv/a", &[("Authorization", &value)], ""), 401);
        }
        let both = format!("Bearer {secret}");
        let doubled = [("Authorization", both.as_str()), ("Authorization", both.as_str())];
        assert_eq!(listener.send("GET", "/kv/a", &doubled, ""), 401);
        listener.send("GET", &format!("/kv/a?access_token={encoded}"), &[], "");
        listener.send("GET", "/kv/a", &[("Cookie", &format!("token={secret}"))], "");
        listener.send("GET", "/kv/a", &[("X-Forwarded-For", secret)], "");
        listener.send("GET", "/kv/a", &[("If-None-Match", secret)], "");
        listener.send("POST", "/peer/v1/status", &[("Authorization", &format!("KVS1 {secret}"))], secret);
        // As a client that is known, with bodies that are none.
        let good = format!("Bearer {}", tokens[0]);
        for (method, target) in [
            ("POST", "/auth/tokens"),
            ("POST", "/auth/users"),
            ("PUT", "/meta/a"),
            ("POST", "/kv/_batch"),
            ("PUT", "/kv/b"),
        ] {
            for body in [
                secret.to_owned(),
                format!("\"{secret}"),
                format!(r#"{{"{secret}":1}}"#),
                format!(r#"{{"scopes":"{secret}"}}"#),
            ] {
                if target == "/kv/b" && serde_json::from_str::<serde_json::Value>(&body).is_ok() {
                    continue;
                }
                listener.send(method, target, &[("Authorization", &good)], &body);
            }
        }
        listener.send("DELETE", &format!("/auth/tokens/{encoded}"), &[("Authorization", &good)], "");
        listener.send("GET", &format!("/kv/_range?cursor={encoded}"), &[("Authorization", &good)], "");
    }
    for target in [
        "/auth/users",
        "/auth/tokens",
        "/auth/whoami",
        "/metrics",
        "/health",
        "/members/",
        "/cluster/convergence",
    ] {
        listener.send("GET", target, &[("Authorization", &format!("Bearer {}", tokens[0]))], "");
    }
}

#[test]
fn a_chosen_secret_and_all_tokens_are_nowhere_after_a_run_full_of_errors() {
    let lines = [
        ("auth_enabled", "true"),
        ("cluster_secret", SECRET),
        ("log_level", "debug"),
        ("compression_enabled", "false"),
        ("backup_enabled", "true"),
    ];
    let mut cluster = Cluster::formed(2, &lines);
    let mut needles = Needles::of_secret(SECRET.as_bytes());
    let roots = [0, 1].map(|index| root_token(&cluster.data_dir(index)));
    let mut root = cluster.client(0);
    let ann = person(&mut root, "ann");
    group(&mut root, "family", &[&ann]);
    let revoked = minted(&mut root, &json!({ "user_uuid": ann.uuid, "scopes": SCOPES }));
    let own =
        cluster.sandbox().run(&["token", "--config", "n0", "--user", "root", "--scopes", "read"]).expect(0);
    let own = own.stdout.trim().to_owned();
    for (name, token) in [
        ("the root token", &roots[0]),
        ("the other root token", &roots[1]),
        ("a user's token", &ann.token),
        ("a revoked token", &revoked),
        ("a token of the command line", &own),
    ] {
        needles.add_token(name, token);
    }
    let number = crate::support::forger::Forger::new(SECRET, &revoked).claims()["jti"].clone();
    root.delete(&format!("/auth/tokens/{}", number.as_str().unwrap())).expect(204);

    let mut hers = cluster.node(0).client().with_token(&ann.token);
    hers.put("/kv/marker?w=1", format!("\"{MARKER}\"")).expect(201);
    hers.put("/kv/a?w=1", "1").expect(201);
    cluster.node(0).client().with_token(&revoked).get("/kv/a").expect(401);
    cluster.node(1).client().with_token(&own).get("/kv/a").expect(200);
    let tokens = [ann.token.as_str(), &roots[0], &revoked, &own];
    go_wrong(cluster.node(0), &tokens, &needles);
    go_wrong(cluster.node(1), &[&roots[1], &ann.token], &needles);

    // A node of another secret calls these, and they call it.
    let seeds = format!("[\"{}\"]", cluster.address(0));
    let address = crate::support::cluster::own_address().to_string();
    let mut other = vec![
        ("node_id", "other"),
        ("bind_address", address.as_str()),
        ("clustering_enabled", "true"),
        ("data_dir", "./data-other"),
        ("seed_nodes", seeds.as_str()),
    ];
    other.extend(lines.iter().filter(|(key, _)| *key != "cluster_secret"));
    other.push(("cluster_secret", "not-the-secret-of-the-others"));
    let config = cluster.sandbox().configure("other.yaml", &other);
    let other = Node::start(cluster.sandbox(), &config);
    until_true("the stranger to be refused", || cluster.node(0).said().contains("refused"));
    other.stop();

    // Commands, good ones and bad ones; what they print is searched, but for the token that one is asked for.
    let sandbox = cluster.sandbox();
    let mut printed = String::new();
    for arguments in [
        &["status", "--json"][..],
        &["get", "a", "--config", "n0"],
        &["get", "not-there", "--config", "n0"],
        &["ls", "--config", "n0"],
        &["export", "--config", "n0"],
        &["audit", "verify", "n0"],
        &["audit", "show", "n0"],
        &["check", "data-n0"],
        &["get", "a", "--config", "n0", "--token", "no.good.token"],
        &["token", "--config", "n0", "--user", "nobody-of-this-name", "--scopes", "read"],
        &["token", "--config", "n0", "--user", "root", "--scopes", "everything"],
    ] {
        printed.push_str(&sandbox.run(arguments).all());
    }
    assert!(printed.contains(MARKER), "{printed}");
    let made = sandbox.run(&["backup", "--config", "n0", "--json"]).expect(0);
    let name = made.json()["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let backup = sandbox.folder().join("backups").join(name);
    let restored: Vec<(&str, &str)> = lines.into_iter().chain([("data_dir", "./restored")]).collect();
    sandbox.configure("restored.yaml", &restored);
    printed.push_str(&made.all());
    let arguments = ["restore", backup.to_str().unwrap(), "--config", "restored"];
    printed.push_str(&sandbox.run(&arguments).expect(0).all());
    needles.assert_absent("what commands print", printed.as_bytes());

    for index in 0..2 {
        assert_not_in_process(cluster.node(index).pid(), &needles);
        needles.assert_absent("the log", cluster.node(index).said().as_bytes());
    }
    cluster.stop(1);
    cluster.kill(0);
    cluster.start(0);
    assert_not_in_process(cluster.node(0).pid(), &needles);
    cluster.stop(0);
    let sandbox = cluster.sandbox();
    assert_in_no_file(sandbox, &needles);

    let marker = |folder: &Path| files(folder).iter().any(|path| holds(&content(path), MARKER.as_bytes()));
    assert!(marker(&cluster.data_dir(0)) && marker(&cluster.data_dir(1)), "the search finds nothing");
    assert!(marker(&sandbox.folder().join("restored")), "the search finds nothing in a backup");
    assert!(!marker(&cluster.data_dir(0).join("audit")), "a value is in the audit trail");
    // Each root token is where it belongs and nowhere else.
    assert_eq!([0, 1].map(|index| root_token(&cluster.data_dir(index))), roots);
}

#[test]
fn a_secret_that_nobody_chose_stays_in_its_file() {
    let sandbox = Sandbox::new();
    let lines = [("auth_enabled", "true"), ("log_level", "debug"), ("compression_enabled", "false")];
    let config = sandbox.configure("config.yaml", &lines);
    // In the background, where the log is a file.
    sandbox.run(&["start"]).expect(0);
    let daemon = sandbox.pid_file(&config).unwrap();
    let mut needles = Needles::of_secret(&fs::read(sandbox.home().join(".kvs/cluster.key")).unwrap());
    let token = root_token(&sandbox.folder().join("data"));
    needles.add_token("the root token", &token);
    let mut root = Client::new(daemon.address.unwrap()).with_token(&token);
    let ann = person(&mut root, "ann");
    needles.add_token("a user's token", &ann.token);
    root.put("/kv/a", "1").expect(201);
    Client::new(daemon.address.unwrap()).with_token(&format!("{token}x")).get("/kv/a").expect(401);
    // A token in the environment of whoever starts a node is not handed on to it, nor is the one of a client.
    let mut command = sandbox.kvs(&["restart"]);
    command.env("KVS_TOKEN", &ann.token);
    let restarted = crate::support::finished::Finished::of(command, b"").expect(0);
    needles.assert_absent("what restart prints", restarted.all().as_bytes());
    let daemon = sandbox.pid_file(&config).unwrap();
    assert_not_in_process(daemon.pid, &needles);
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["stop"]).expect(0);
    assert_in_no_file(&sandbox, &needles);
}

#[test]
fn a_configuration_that_is_refused_does_not_tell_its_secret() {
    let sandbox = Sandbox::new();
    let long = format!("{SECRET}{}", "x".repeat(5000));
    let [list, map, broken] = [format!("[{SECRET}]"), format!("{{{SECRET}: 1}}"), format!("\"{SECRET}")];
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("unknown-key", &[("cluster_secret", SECRET), ("cluster_secert_previous", SECRET)]),
        ("list", &[("cluster_secret", &list)]),
        ("map", &[("cluster_secret", &map)]),
        ("broken", &[("cluster_secret", &broken)]),
        ("long", &[("cluster_secret", &long)]),
        ("previous", &[("cluster_secret_previous", &list)]),
        ("other-error", &[("cluster_secret", SECRET), ("port", "notaport")]),
    ];
    for (name, lines) in cases {
        let config = sandbox.configure(&format!("{name}.yaml"), lines);
        for arguments in [&[config.to_str().unwrap()][..], &["token", "--config", name], &["start", name]] {
            let finished = sandbox.run(arguments);
            assert_ne!(finished.code, Some(0), "{name}: {}", finished.all());
            assert!(!finished.all().contains(&SECRET[..12]), "{name} {arguments:?}: {}", finished.all());
        }
    }
    let id = Uuid::from_u128(7).to_string();
    let finished = sandbox.run(&["token", "--config", "other-error", "--user", &id, "--scopes", "read"]);
    assert!(!finished.all().contains(SECRET), "{}", finished.all());
}
