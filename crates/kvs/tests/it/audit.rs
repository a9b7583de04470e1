//! The audit trail of real nodes: what is in it, and what `kvs audit` says when it was bent.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::until;

/// The segments of a trail, the oldest first.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data_dir.join("audit")).unwrap().map(|file| file.unwrap().path());
    let is_segment = |path: &PathBuf| {
        path.file_stem().is_some_and(|name| name.to_str().is_some_and(|name| name.parse::<u64>().is_ok()))
    };
    let mut segments: Vec<PathBuf> = files.filter(is_segment).collect();
    segments.sort();
    segments
}

/// All bytes below a folder, of every file.
fn all_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        bytes.extend(if file.is_dir() { all_bytes(&file) } else { fs::read(file).unwrap() });
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A node that has done something, stopped; its configuration and data directory.
fn written(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(sandbox, &config);
    let mut client = node.client();
    for number in 0..20 {
        client.put(&format!("/kv/people/{number}"), format!("\"secret value {number}\"")).expect(201);
    }
    client.delete("/kv/people/3").expect(204);
    node.stop();
    (config, sandbox.folder().join("data"))
}

fn verify(sandbox: &Sandbox, data_dir: &Path, more: &[&str], code: i32) -> Value {
    let dir = data_dir.to_str().unwrap();
    sandbox.run(&[&["audit", "verify", "--json", "--data-dir", dir], more].concat()).expect(code).json()
}

#[test]
fn what_was_done_is_in_the_trail_and_values_are_not() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let mut client = node.client();
    let made = client.put("/kv/people/jo", r#"{"pin":"0451-7788"}"#).expect(201).json();
    client.put("/kv/other", "1").expect(201);
    client.delete("/kv/people/jo").expect(204);
    // The node runs on meanwhile.
    let shown = sandbox.run(&["audit", "show", "--json", "--path", "people"]).expect(0).json_lines();
    let told: Vec<(&str, &str, &str)> = shown
        .iter()
        .map(|entry| {
            (
                entry["event"].as_str().unwrap(),
                entry["path"].as_str().unwrap(),
                entry["result"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("put", "people/jo", "ok"), ("delete", "people/jo", "ok")]);
    assert_eq!(shown[0]["version"], made["uuid"]);
    assert!(
        shown.iter().all(|entry| entry["request_id"].is_string() && entry["time_ms"].is_u64()),
        "{shown:?}"
    );
    let answer = sandbox.run(&["audit", "verify"]).expect(0);
    assert!(answer.stdout.contains("unanchored since 1"), "{}", answer.stdout);
    node.stop();
    let data_dir = sandbox.folder().join("data");
    assert!(!holds(&all_bytes(&data_dir.join("audit")), "0451-7788"));
    let answer = verify(&sandbox, &data_dir, &[], 0);
    assert_eq!((&answer["verdict"], &answer["unanchored_since"]), (&json!("unanchored"), &json!(1)));
    assert_eq!(answer["own_checkpoints_up_to"], answer["last_seq"], "{answer}");
    let all = sandbox.run(&["audit", "show", "--json"]).expect(0).json_lines();
    let events: Vec<&str> = all.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events.first(), Some(&"opened"));
    assert!(events.contains(&"start") && events.last() == Some(&"stop"), "{events:?}");
    // Nothing happened in the future.
    assert_eq!(sandbox.run(&["audit", "show", "--since", "2999-01-01T00:00:00Z"]).expect(0).stdout, "");
    assert_eq!(
        sandbox.run(&["audit", "show", "--json", "--since", "24h"]).expect(0).json_lines().len(),
        all.len()
    );
    assert_eq!(sandbox.run(&["audit", "show", "--who", "root"]).expect(0).stdout, "");
}

#[test]
fn a_trail_that_was_bent_in_one_place_is_named_there() {
    let sandbox = Sandbox::new();
    let (config, data_dir) = written(&sandbox);
    let segment = segments(&data_dir).pop().unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(&segment).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let bent: [(&str, Vec<String>, &str); 4] = [
        ("edited", whole(&lines).map(|line| line.replace("people/7\"", "people/8\"")).collect(), "people/7"),
        ("removed", whole(&lines).filter(|line| !line.contains("people/7\"")).collect(), "people/7"),
        (
            "inserted",
            whole(&lines)
                .flat_map(
                    |line| if line.contains("people/7\"") { vec![line.clone(), line] } else { vec![line] },
                )
                .collect(),
            "people/8",
        ),
        ("reordered", swapped(&lines, "people/7\""), "people/7"),
    ];
    for (kind, lines_now, first_bad) in bent {
        assert_ne!(lines_now.concat(), text, "{kind}");
        fs::write(&segment, lines_now.concat()).unwrap();
        let answer = verify(&sandbox, &data_dir, &[], 1);
        let line = lines.iter().position(|line| line.contains(&format!("{first_bad}\""))).unwrap() + 1;
        let expected = json!({"kind": kind, "file": name, "line": line, "seq": line});
        for member in ["kind", "file", "line", "seq"] {
            assert_eq!(answer["fault"][member], expected[member], "{answer}");
        }
        let told = sandbox.run(&["audit", "verify", config.to_str().unwrap()]).expect(1);
        assert!(
            told.stdout.contains("BAD") && told.stderr.contains(&format!("{name} line {line}")),
            "{told:?}"
        );
    }
    fs::write(&segment, text).unwrap();
    verify(&sandbox, &data_dir, &[], 0);
}

fn whole<'a>(lines: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    lines.iter().map(|line| (*line).to_owned())
}

/// The lines, the one with `mark` and the one after it exchanged.
fn swapped(lines: &[&str], mark: &str) -> Vec<String> {
    let at = lines.iter().position(|line| line.contains(mark)).unwrap();
    let mut swapped: Vec<String> = whole(lines).collect();
    swapped.swap(at, at + 1);
    swapped
}

#[test]
fn a_line_that_a_crash_tore_is_no_tampering_and_is_noted_at_the_next_start() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    node.client().put("/kv/a", "1").expect(201);
    node.kill();
    let data_dir = sandbox.folder().join("data");
    let segment = segments(&data_dir).pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(b"{\"seq\":99,\"time_ms\":17");
    fs::write(&segment, bytes).unwrap();
    let answer = verify(&sandbox, &data_dir, &[], 0);
    assert_eq!((&answer["torn_bytes"], &answer["fault"]), (&json!(22), &Value::Null));
    Node::start(&sandbox, &config).stop();
    let answer = verify(&sandbox, &data_dir, &[], 0);
    assert_eq!((&answer["torn_bytes"], &answer["recoveries"]), (&json!(0), &json!(1)));
    // What was answered before the crash is in it.
    assert_eq!(sandbox.run(&["audit", "show", "--json", "--path", "a"]).expect(0).json_lines().len(), 1);
}

#[test]
fn strangers_leave_a_trace_and_tokens_do_not() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("auth_enabled", "true")]);
    let data_dir = sandbox.folder().join("data");
    let token = fs::read_to_string(data_dir.join("root.token")).unwrap().trim().to_owned();
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.";
    Client::new(node.address()).with_token(forged).get("/auth/users").expect(401);
    Client::new(node.address()).with_token(&token).put("/kv/a", "1").expect(201);
    node.stop();
    let all = sandbox.run(&["audit", "show", "--json"]).expect(0).json_lines();
    let of = |event: &str| all.iter().filter(|entry| entry["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("login_failed").len(), 1, "{all:?}");
    assert!(of("login_failed")[0]["result"].as_str().unwrap().starts_with("refused: "), "{all:?}");
    assert_eq!(of("put")[0]["who"], "root", "{all:?}");
    // The token that the node made for root is told by its number.
    assert_eq!(of("token_issued").len(), 1, "{all:?}");
    assert!(of("token_issued")[0]["detail"].as_str().unwrap().starts_with("root.token "), "{all:?}");
    let bytes = all_bytes(&data_dir.join("audit"));
    let (_, signature) = token.rsplit_once('.').unwrap();
    assert!(!holds(&bytes, signature) && !holds(&bytes, forged));
}

#[test]
fn without_the_trail_nothing_is_written_and_there_is_nothing_to_verify() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("tamper_logging_enabled", "false")]);
    node.client().put("/kv/a", "1").expect(201);
    node.stop();
    let data_dir = sandbox.folder().join("data");
    assert!(!data_dir.join("audit").exists());
    assert!(sandbox.run(&["audit", "verify"]).expect(1).stderr.contains("audit"));
    assert!(sandbox.run(&["audit", "show"]).expect(1).stderr.contains("audit"));
    sandbox.run(&["audit", "verify", "config", "--data-dir", "data"]).expect(2);
    sandbox.run(&["audit", "show", "--since", "yesterday"]).expect(2);
    sandbox.run(&["audit"]).expect(2);
}

#[test]
fn what_peers_have_kept_tells_a_cut_an_old_copy_and_a_trail_written_anew() {
    let mut cluster = Cluster::formed(2, &[]);
    let old = cluster.sandbox().folder().join("old");
    write_some(&cluster, 30);
    cluster.stop(0);
    copy_folder(&cluster.data_dir(0).join("audit"), &old);
    cluster.start(0);
    write_some(&cluster, 20);
    let (data_dir, peer) = (cluster.data_dir(0), cluster.data_dir(1));
    let peer = peer.to_str().unwrap();
    let lines = |dir: &Path| {
        let texts = segments(dir).into_iter().map(|path| fs::read_to_string(path).unwrap());
        texts.map(|text| text.lines().count()).sum::<usize>()
    };
    let written = lines(&data_dir);
    let answer = until("the peer to confirm what was written", || {
        let dir = data_dir.to_str().unwrap();
        let asked = ["audit", "verify", "--json", "--data-dir", dir, "--peer-checkpoints", peer];
        let answer = cluster.sandbox().run(&asked);
        // Before the first one has come there is no file yet.
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let up_to = answer["anchored_up_to"].as_u64()?;
        (usize::try_from(up_to).unwrap() >= written).then_some(answer)
    });
    assert_eq!(answer["verdict"], "anchored", "{answer}");
    cluster.stop(0);
    let sandbox = cluster.sandbox();
    let against = ["--peer-checkpoints", peer];
    verify(sandbox, &data_dir, &against, 0);
    let audit = data_dir.join("audit");
    let good = sandbox.folder().join("good");
    copy_folder(&audit, &good);
    let node = answer["node"].as_str().unwrap();

    // The end is cut off, and the node's own checkpoints with it.
    let segment = segments(&data_dir).pop().unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    let kept: String = text.split_inclusive('\n').take(6).collect();
    fs::write(&segment, kept).unwrap();
    fs::remove_file(audit.join("checkpoints.jsonl")).unwrap();
    assert_eq!(verify(sandbox, &data_dir, &[], 0)["verdict"], "unanchored");
    assert_eq!(verify(sandbox, &data_dir, &against, 1)["fault"]["kind"], "truncated");

    // An older copy.
    fs::remove_dir_all(&audit).unwrap();
    copy_folder(&old, &audit);
    assert_eq!(verify(sandbox, &data_dir, &[], 0)["verdict"], "unanchored");
    assert_eq!(verify(sandbox, &data_dir, &against, 1)["fault"]["kind"], "truncated");

    // A trail written anew by who has the key.
    for file in segments(&data_dir) {
        fs::remove_file(file).unwrap();
    }
    fs::remove_file(audit.join("checkpoints.jsonl")).unwrap();
    cluster.start(0);
    // Longer than the one before, so that nothing is missing at its end.
    write_some(&cluster, 120);
    cluster.stop(0);
    let sandbox = cluster.sandbox();
    assert_eq!(verify(sandbox, &data_dir, &[], 0)["verdict"], "unanchored");
    let answer = verify(sandbox, &data_dir, &against, 1);
    assert_eq!(answer["fault"]["kind"], "forked", "{answer}");

    // Another node's checkpoints confirm nothing.
    fs::remove_dir_all(&audit).unwrap();
    copy_folder(&good, &audit);
    verify(sandbox, &data_dir, &["--peer-checkpoints", peer, "--node", node], 0);
    let other = "00000000-0000-4000-8000-000000000000";
    verify(sandbox, &data_dir, &["--peer-checkpoints", peer, "--node", other], 1);
}

/// Writes so many keys.
fn write_some(cluster: &Cluster, count: usize) {
    let mut client = cluster.client(0);
    for number in 0..count {
        client.put(&format!("/kv/k/{number}"), "1");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
        let target = to.join(file.file_name().unwrap());
        if file.is_dir() {
            copy_folder(&file, &target);
        } else {
            fs::copy(&file, &target).unwrap();
        }
    }
}
