//! Nodes and their peers from outside: the key file that they share, the starts that are refused without a secret, the
//! connections that are kept for them.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Stdio;

use crate::support::node::{Node, Spawned};
use crate::support::sandbox::{KVS, Sandbox};
use crate::support::wait::{SOON, until};
use crate::support::wire::Wire;

fn key_path(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join(".kvs/cluster.key")
}

/// Starts a node that must not start; what it says.
fn refusal(sandbox: &Sandbox, lines: &[(&str, &str)]) -> String {
    let lines = [&[("clustering_enabled", "true")], lines].concat();
    let config = sandbox.configure("config.yaml", &lines);
    let mut spawned = Spawned::new(sandbox, &config);
    let status = until("the node to refuse", || spawned.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    spawned.said()
}

#[test]
fn nodes_of_one_user_started_at_once_share_one_private_key() {
    let sandbox = Sandbox::new();
    let config = |name: &str| {
        let data = format!("./data-{name}");
        sandbox.configure(name, &[("clustering_enabled", "true"), ("data_dir", data.as_str())])
    };
    let configs = ["a.yaml", "b.yaml"].map(config);
    let mut nodes: Vec<Spawned> = configs.iter().map(|config| Spawned::new(&sandbox, config)).collect();
    for (config, node) in configs.iter().zip(&mut nodes) {
        until("both to listen", || {
            assert!(node.child.try_wait().unwrap().is_none(), "{}", node.said());
            sandbox.pid_file(config)?.address
        });
    }
    for node in &mut nodes {
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }
    let key = std::fs::read(key_path(&sandbox)).unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(key_path(&sandbox).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let leftovers = std::fs::read_dir(sandbox.home().join(".kvs")).unwrap().flatten();
    assert!(!leftovers.into_iter().any(|file| file.file_name().to_string_lossy().ends_with(".new")));
}

#[test]
fn a_key_that_others_can_read_or_that_is_a_link_stops_the_start() {
    let sandbox = Sandbox::new();
    let path = key_path(&sandbox);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, [7; 32]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = refusal(&sandbox, &[]);
    assert!(said.contains("cluster.key: group or others can read it; run chmod 600"), "{said}");
    std::fs::rename(&path, sandbox.home().join("elsewhere")).unwrap();
    symlink(sandbox.home().join("elsewhere"), &path).unwrap();
    let said = refusal(&sandbox, &[]);
    assert!(said.contains("cluster.key: expected a regular file; it is a symbolic link"), "{said}");
    assert!(std::fs::read(sandbox.home().join("elsewhere")).unwrap() == [7; 32]);
    // With a secret of its own the file does not matter.
    drop(Node::new(&sandbox, &[("clustering_enabled", "true"), ("cluster_secret", "correct horse")]));
}

#[test]
fn a_node_beyond_this_machine_needs_a_secret_that_was_chosen() {
    let sandbox = Sandbox::new();
    let said = refusal(&sandbox, &[("bind_address", "0.0.0.0"), ("auth_enabled", "true")]);
    assert!(said.contains("cluster_secret: is needed to cluster on 0.0.0.0"), "{said}");
    assert!(!key_path(&sandbox).exists());
}

#[test]
fn the_secret_is_in_no_log() {
    let sandbox = Sandbox::new();
    let secrets = ["a-secret-nobody-prints", "the-one-before-neither"];
    let node = Node::new(
        &sandbox,
        &[
            ("clustering_enabled", "true"),
            ("log_level", "debug"),
            ("cluster_secret", secrets[0]),
            ("cluster_secret_previous", secrets[1]),
        ],
    );
    assert_eq!(node.client().get("/health").status, 200);
    let credential = "Authorization: KVS1 nonsense\r\n";
    let mut wire = node.wire();
    wire.send(format!(
        "POST /peer/v1/swim HTTP/1.1\r\nHost: localhost\r\n{credential}Content-Length: 0\r\n\r\n"
    ));
    until("the refusal in the log", || node.said().contains("a call of a node was refused").then_some(()));
    let said = node.said();
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
}

/// Fewest open files with which the reserve for peers is there, and the connections of clients that they leave.
const FILES: usize = 900;
const CLIENTS: usize = FILES - 512 - 256;

#[test]
fn a_crowd_of_clients_does_not_keep_peers_out() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[("clustering_enabled", "true")]);
    let mut command = sandbox.command("sh");
    command.args(["-c", &format!("ulimit -n {FILES}; exec \"$0\" \"$1\""), KVS]).arg(&config);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let address = until("the node to listen", || {
        assert!(child.try_wait().unwrap().is_none());
        sandbox.pid_file(&config)?.address
    });
    let ask = |request: &str| {
        let mut wire = Wire::open(address);
        wire.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        let answer = wire.answer();
        (wire, answer)
    };
    let crowd: Vec<_> = (0..CLIENTS).map(|_| ask("GET /health")).collect();
    assert!(crowd.iter().all(|(_, answer)| answer.status == 200));
    for _ in 0..3 {
        let (mut wire, answer) = ask("GET /health");
        assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"));
        assert!(wire.is_closed_within(SOON));
    }
    let (_peer, answer) = ask("POST /peer/v1/swim");
    assert!(answer.status == 401 && answer.header("x-kvs-challenge").is_some());
    drop(crowd);
    until("room for clients", || (ask("GET /health").1.status == 200).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
}
