//! `kvs check`, and what a node does with a disk that gives back other bytes than were written.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::client::Client;
use crate::support::directory::copy;
use crate::support::node::{Node, Spawned};
use crate::support::sandbox::Sandbox;
use crate::support::wait::until;

/// Text that stands in every value, so that values can be found in the files.
const MARK: &str = "findme";

/// Sizes of the values: small ones lie beside their keys, large ones in files of their own.
const SIZES: [usize; 3] = [100, 5_000, 200_000];

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in folder.read_dir().unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn value(number: usize) -> String {
    format!("\"{MARK} {number} {}\"", "v".repeat(SIZES[number % SIZES.len()]))
}

/// A stopped node's data directory whose values lie in tables, uncompressed.
fn filled(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let config = sandbox.configure("config.yaml", &[("compression_enabled", "false")]);
    let node = Node::start(sandbox, &config);
    let mut client = node.client();
    for number in 0..30 {
        client.put(&format!("/kv/k/{number}"), value(number)).expect(201);
    }
    for number in 0..10 {
        client.put(&format!("/kv/k/{number}"), value(number)).expect(200);
    }
    client.delete("/kv/k/29").expect(204);
    client.put("/kv/expiring?ttl=1d", "1").expect(201);
    // What a crash leaves in the journal is brought into tables by the next start.
    node.kill();
    Node::start(sandbox, &config).stop();
    (config, sandbox.folder().join("data"))
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_sound_directory_passes_and_is_not_changed() {
    let sandbox = Sandbox::new();
    let (config, data) = filled(&sandbox);
    let report = sandbox.run(&["check", "data", "--json"]).expect(0).json();
    assert_eq!(report["healthy"], true);
    assert_eq!((&report["keys"], &report["tombstones"]), (&json!(30), &json!(1)));
    assert_eq!(report["problems"], json!([]));
    sandbox.run(&["check", data.to_str().unwrap()]).expect(0);
    let node = Node::start(&sandbox, &config);
    assert_eq!(node.client().keys().len(), 30);
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("foreign/file", "text");
    for folder in ["none", "foreign", "foreign/file"] {
        let refused = sandbox.run(&["check", folder]).expect(1);
        assert!(refused.all().contains(folder), "{refused:?}");
    }
    assert!(!sandbox.folder().join("none").exists());
    assert_eq!(sandbox.folder().join("foreign").read_dir().unwrap().count(), 1, "something was written");
}

#[test]
fn a_changed_byte_in_a_value_is_found_and_never_served() {
    let sandbox = Sandbox::new();
    let (config, data) = filled(&sandbox);
    let mut found = 0;
    for number in [10, 11, 12] {
        let mark = format!("{MARK} {number} v");
        let holding = files(&data).into_iter().find_map(|file| {
            let bytes = std::fs::read(&file).unwrap();
            bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).map(|at| (file, at))
        });
        let Some((file, at)) = holding else { continue };
        found += 1;
        let before = std::fs::read(&file).unwrap();
        flip(&file, at + mark.len() + 10);
        let checked = sandbox.run(&["check", "data", "--json"]);
        assert_eq!(checked.code, Some(1), "{}: {checked:?}", file.display());
        // A node may refuse to start, or answer with an error, but not with other bytes than were sent.
        if let Some(mut client) = start(&sandbox, &config) {
            let answer = client.get(&format!("/kv/k/{number}"));
            assert!(answer.status >= 500, "a damaged value was served: {}", answer.shown());
            client.get("/health").expect(200);
            let sound = client.get(&format!("/kv/k/{}", number + 3));
            assert!(sound.status >= 500 || sound.text().contains(&value(number + 3)), "{}", sound.shown());
        }
        kill(&sandbox, &config);
        std::fs::write(&file, before).unwrap();
    }
    assert_eq!(found, 3, "values were not found in the files");
    sandbox.run(&["check", "data"]).expect(0);
}

/// Starts the node as a daemon; `None` when it refuses to start.
fn start(sandbox: &Sandbox, config: &Path) -> Option<Client> {
    let mut spawned = Spawned::new(sandbox, config);
    let address = until("the node to listen or to refuse", || match spawned.child.try_wait().unwrap() {
        Some(_) => Some(None),
        None => sandbox.pid_file(config)?.address.map(Some),
    });
    if address.is_none() {
        assert!(!spawned.said().contains("panicked"), "{}", spawned.said());
    }
    address.map(Client::new)
}

fn kill(sandbox: &Sandbox, config: &Path) {
    if let Some(pid_file) = sandbox.pid_file(config) {
        pid_file.kill();
        until("the node to be gone", || (!pid_file.runs()).then_some(()));
    }
}

#[test]
fn any_changed_byte_ends_in_a_report_and_never_in_a_crash() {
    let sandbox = Sandbox::new();
    let (_, data) = filled(&sandbox);
    let damaged = sandbox.folder().join("damaged");
    let mut told = 0;
    for (number, file) in files(&data).into_iter().enumerate() {
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        // Near the start, in the middle and near the end, in turn.
        let at = length * [1, 5, 9][number % 3] / 10;
        if at >= length {
            continue;
        }
        copy(&data, &damaged);
        flip(&damaged.join(file.strip_prefix(&data).unwrap()), at);
        let checked = sandbox.run(&["check", "damaged"]);
        assert!(matches!(checked.code, Some(0 | 1)), "{} at {at}: {checked:?}", file.display());
        assert!(!checked.all().contains("panicked"), "{} at {at}: {checked:?}", file.display());
        told += usize::from(checked.code == Some(1));
        std::fs::remove_dir_all(&damaged).unwrap();
    }
    assert!(told > 5, "only {told} changes were noticed");
}
