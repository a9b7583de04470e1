//! Backups as their users make, look at, trust and need them: one file of one moment, and a new node made from it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::{until, until_true, within};

/// Fills a node with a bit of everything; returns what is visible of it.
fn fill(client: &mut Client) -> Value {
    for number in 0..50 {
        client.put(
            &format!("/kv/k/{number:02}"),
            format!("{{ \"n\" : {number}.0, \"f\": \"{}\" }}", "x".repeat(number * 40)),
        );
    }
    client.put("/kv/caf%C3%A9", "\"\u{e9}\"").expect(201);
    client.put("/kv/k/00", "\"second\"").expect(200);
    client.put("/kv/gone", "1").expect(201);
    client.delete("/kv/gone").expect(204);
    client.put("/kv/expiring?ttl=1d", "null").expect(201);
    visible(client)
}

/// What a client sees: all values with versions and expiry, and some histories.
fn visible(client: &mut Client) -> Value {
    let listed = client.get("/kv/_range?limit=1000").expect(200).json();
    // The node that wrote a version is told there too and stays the same.
    let histories: Vec<Value> = ["k/00", "gone", "expiring"]
        .iter()
        .map(|key| client.get(&format!("/history/{key}")).expect(200).json())
        .collect();
    json!([listed, histories])
}

/// Has a node make a backup; its path.
#[track_caller]
fn back_up(sandbox: &Sandbox) -> PathBuf {
    let made = sandbox.run(&["backup", "--json"]).expect(0).json();
    let path =
        sandbox.folder().join("backups").join(Path::new(made["file"].as_str().unwrap()).file_name().unwrap());
    assert!(path.is_file(), "{made}");
    path
}

/// The files in the folder of the backups.
fn files(sandbox: &Sandbox) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(sandbox.folder().join("backups")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The identity of a node, as the histories of its writes tell it.
fn origin(client: &mut Client) -> Value {
    client.put("/kv/who", "1");
    client.get("/history/who").expect(200).json()[0]["origin"].clone()
}

#[test]
fn a_backup_is_made_listed_verified_and_restored_into_a_new_node_with_the_same_data() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let old = origin(&mut client);
    let before = fill(&mut client);
    let keys = client.keys().len();
    let file = back_up(&sandbox);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let listed = sandbox.run(&["backup", "list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["keys"], &listed[0]["node_id"]), (&json!(keys), &json!("tested")));
    let verified = sandbox.run(&["backup", "verify", text(&file), "--json"]).expect(0).json();
    assert_eq!(verified["keys"], keys);
    assert_eq!(files(&sandbox), std::slice::from_ref(&file), "something else lies beside the backup");

    // What is written afterwards is not in it.
    client.put("/kv/later", "1").expect(201);
    client.delete("/kv/k/01").expect(204);
    node.stop();
    let config = sandbox.configure("restored.yaml", &[("data_dir", "restored")]);
    let restored = sandbox.run(&["restore", text(&file), "--config", "restored", "--json"]).expect(0).json();
    assert_eq!(restored["keys"], keys);
    sandbox.run(&["check", "restored"]).expect(0);
    let node = Node::start(&sandbox, &config);
    let mut client = node.client();
    assert_eq!(visible(&mut client), before);
    let read = client.get("/kv/k/07").expect(200);
    assert!(read.text().contains("\"data\":{ \"n\" : 7.0, \"f\""), "bytes changed: {}", read.shown());
    let new = origin(&mut client);
    assert_ne!(new, old, "the restored node has the identity of the old one");
    // It goes on as a node like any other.
    client.put("/kv/k/01", "2").expect(200);
    node.stop();
    sandbox.run(&["check", "restored"]).expect(0);
}

#[test]
fn a_backup_is_of_one_moment_while_writes_go_on() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let batch = |number: u64| {
        let ops: Vec<Value> =
            (0..200).map(|key| json!({"op": "put", "path": format!("m/{key}"), "data": number})).collect();
        json!({ "ops": ops })
    };
    node.client().post("/kv/_batch", &batch(0)).expect(200);
    let over = AtomicBool::new(false);
    let mut made = Vec::new();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = node.client();
            for number in 1.. {
                client.post("/kv/_batch", &batch(number)).expect(200);
                if over.load(Ordering::Acquire) {
                    break;
                }
            }
        });
        for _ in 0..3 {
            made.push(back_up(&sandbox));
        }
        over.store(true, Ordering::Release);
        writer.join().unwrap();
    });
    node.stop();
    let mut moments = Vec::new();
    for (number, file) in made.iter().enumerate() {
        let folder = format!("restored-{number}");
        sandbox.run(&["restore", text(file), "--data-dir", &folder]).expect(0);
        let config = sandbox.configure(&format!("{folder}.yaml"), &[("data_dir", &folder)]);
        let node = Node::start(&sandbox, &config);
        let page = node.client().get("/kv/_range?limit=1000").expect(200).json();
        let values: Vec<u64> =
            page["items"].as_array().unwrap().iter().map(|item| item["data"].as_u64().unwrap()).collect();
        assert_eq!(values.len(), 200);
        assert!(values.iter().all(|value| *value == values[0]), "half a batch is in the backup");
        moments.push(values[0]);
    }
    assert!(moments.is_sorted() && moments[0] < moments[2], "{moments:?}");
}

#[test]
fn a_file_that_is_no_whole_backup_is_refused_before_anything_is_written() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    fill(&mut node.client());
    let file = back_up(&sandbox);
    node.stop();
    let whole = std::fs::read(&file).unwrap();
    let damaged = sandbox.folder().join("damaged.kvsb");
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for part in [0, 1, 2, 5, 9, 10] {
        let length = (whole.len() * part / 10).saturating_sub(usize::from(part == 10));
        cases.push((format!("cut to {length} bytes"), whole[..length].to_vec()));
    }
    for part in 0..20 {
        let at = (whole.len() - 1) * part / 19;
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (part % 8);
        cases.push((format!("flipped at {at}"), flipped));
    }
    cases.push(("with more behind it".to_owned(), [whole.clone(), b"x".to_vec()].concat()));
    cases.push(("twice".to_owned(), [whole.clone(), whole.clone()].concat()));
    cases.push(("foreign".to_owned(), b"PK\x03\x04 this is something else entirely".repeat(100)));
    cases.push(("empty".to_owned(), Vec::new()));
    for (name, bytes) in cases {
        std::fs::write(&damaged, &bytes).unwrap();
        let refused = sandbox.run(&["backup", "verify", "damaged.kvsb"]).expect(1);
        assert!(refused.stderr.contains("damaged.kvsb"), "{name}: {refused:?}");
        let refused = sandbox.run(&["restore", "damaged.kvsb", "--data-dir", "restored"]).expect(1);
        assert!(refused.stderr.contains("damaged.kvsb"), "{name}: {refused:?}");
        assert!(!sandbox.folder().join("restored").exists(), "{name}: something was written");
    }
    sandbox.run(&["backup", "verify", "none.kvsb"]).expect(1);
    sandbox.run(&["restore", "none.kvsb", "--data-dir", "restored"]).expect(1);
    // The whole one still is.
    sandbox.run(&["restore", text(&file), "--data-dir", "restored"]).expect(0);
}

#[test]
fn a_restore_takes_an_empty_folder_only() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let before = fill(&mut node.client());
    let file = back_up(&sandbox);
    // Over the running node, over its stopped data, and over anything else.
    for folder in ["data", "full"] {
        sandbox.write("full/mine", "precious");
        sandbox.run(&["restore", text(&file), "--data-dir", folder]).expect(1);
    }
    assert_eq!(visible(&mut node.client()), before);
    node.stop();
    sandbox.run(&["restore", text(&file), "--data-dir", "data"]).expect(1);
    assert_eq!(std::fs::read_to_string(sandbox.folder().join("full/mine")).unwrap(), "precious");
    assert_eq!(sandbox.folder().join("full").read_dir().unwrap().count(), 1);
    sandbox.run(&["restore", text(&file)]).expect(2);
    std::fs::create_dir(sandbox.folder().join("empty")).unwrap();
    sandbox.run(&["restore", text(&file), "--data-dir", "empty"]).expect(0);
    let node = Node::start(&sandbox, &sandbox.folder().join("config.yaml"));
    assert_eq!(visible(&mut node.client()), before, "the stopped node's data changed");
}

#[test]
fn a_node_killed_during_a_backup_leaves_nothing_that_looks_like_one() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[("compression_enabled", "false")]);
    let node = Node::start(&sandbox, &config);
    let mut client = node.client();
    // Enough that writing takes a while, and hard to compress.
    let mut state = 1_u64;
    for number in 0..60 {
        let mut noise = String::with_capacity(500_000);
        while noise.len() < 500_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise += &format!("{state:016x}");
        }
        client.put(&format!("/kv/noise/{number}"), format!("\"{noise}\"")).expect(201);
    }
    let keys = client.keys().len();
    let first = back_up(&sandbox);
    let mut node = Some(node);
    for round in 0..4 {
        let running = node.take().unwrap();
        let known = files(&sandbox);
        let address = running.address();
        thread::scope(|scope| {
            let asking = scope.spawn(move || {
                Client::new(address).try_send("POST", "/backup", &[], b"").map(|answer| answer.status)
            });
            // Killed at once when the file appears, or once it has grown a bit.
            until_true("a backup to be on its way", || {
                let new: Vec<PathBuf> =
                    files(&sandbox).into_iter().filter(|file| !known.contains(file)).collect();
                let bytes: u64 =
                    new.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
                asking.is_finished() || (!new.is_empty() && bytes >= round * 2_000_000)
            });
            running.kill();
            drop(asking.join().unwrap());
        });
        // Whatever the listing shows is whole.
        let listed = sandbox.run(&["backup", "list", "--json"]).expect(0).json();
        for backup in listed.as_array().unwrap() {
            let verified = sandbox
                .run(&["backup", "verify", backup["file"].as_str().unwrap(), "--json"])
                .expect(0)
                .json();
            assert_eq!(verified["keys"], keys, "{backup}");
        }
        assert!(listed.as_array().unwrap().iter().any(|backup| {
            backup["file"].as_str().unwrap().ends_with(text(Path::new(first.file_name().unwrap())))
        }));
        let again = Node::start(&sandbox, &config);
        let made = back_up(&sandbox);
        sandbox.run(&["backup", "verify", text(&made)]).expect(0);
        node = Some(again);
    }
    // What the killed ones had begun is cleaned up.
    let left: Vec<PathBuf> = files(&sandbox)
        .into_iter()
        .filter(|file| file.extension().is_none_or(|extension| extension != "kvsb"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn health_and_metrics_tell_how_the_last_backups_went() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv/a", "1").expect(201);
    let health = |client: &mut Client| client.get("/health").expect(200).json();
    assert_eq!(health(&mut client)["backup"]["last_success"], Value::Null);
    back_up(&sandbox);
    let succeeded = health(&mut client)["backup"]["last_success"].as_u64().expect("a time");
    assert!(succeeded > 1_577_836_800_000, "{succeeded} are no milliseconds");
    assert_eq!(health(&mut client)["status"], "ok");
    let metrics = client.get("/metrics").expect(200);
    let seconds = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("kvs_backup_last_success_timestamp_seconds "));
    assert!(seconds.is_some_and(|seconds| seconds.parse::<f64>().unwrap() > 1_577_836_800.0), "{seconds:?}");

    // A folder that cannot be one.
    std::fs::remove_dir_all(sandbox.folder().join("backups")).unwrap();
    std::fs::write(sandbox.folder().join("backups"), "in the way").unwrap();
    sandbox.run(&["backup"]).expect(1);
    let told = health(&mut client);
    assert!(told["backup"]["last_failure"].is_u64(), "{told}");
    assert_eq!((&told["status"], &told["reasons"]), (&json!("degraded"), &json!(["backup_failed"])));
    client.put("/kv/b", "1").expect(201);
    std::fs::remove_file(sandbox.folder().join("backups")).unwrap();
    back_up(&sandbox);
    assert_eq!(health(&mut client)["status"], "ok");
}

#[test]
fn backups_are_made_by_the_schedule_and_not_when_they_are_off() {
    let sandbox = Sandbox::new();
    let on = [("backup_enabled", "true"), ("backup_schedule", "\"* * * * *\"")];
    let off = [
        ("backup_enabled", "false"),
        ("backup_schedule", "\"* * * * *\""),
        ("data_dir", "off"),
        ("backup_path", "./off-backups"),
    ];
    let node = Node::new(&sandbox, &on);
    let silent = Node::start(&sandbox, &sandbox.configure("silent.yaml", &off));
    node.client().put("/kv/a", "1").expect(201);
    let made = within(Duration::from_secs(100), || {
        let listed = sandbox.run(&["backup", "list", "--json"]).expect(0).json();
        listed.as_array().unwrap().first().cloned()
    });
    let made = made.expect("a backup within the minute");
    sandbox.run(&["backup", "verify", made["file"].as_str().unwrap()]).expect(0);
    until_true("health to tell of it", || {
        node.client().get("/health").expect(200).json()["backup"]["last_success"].is_u64()
    });
    assert!(!sandbox.folder().join("off-backups").exists(), "a backup was made though they are off");
    silent.client().get("/health").expect(200);
}

#[test]
fn a_schedule_that_is_none_is_refused_at_the_start() {
    let sandbox = Sandbox::new();
    for schedule in ["every day", "* * * *", "61 * * * *", "* 25 * * *", "* * * * * * * *", "0 0 31 2 *"] {
        let lines = [("backup_enabled", "true"), ("backup_schedule", &format!("\"{schedule}\"") as &str)];
        let config = sandbox.configure("wrong.yaml", &lines);
        let mut spawned = crate::support::node::Spawned::new(&sandbox, &config);
        let status = until("the node to refuse or to listen", || match spawned.child.try_wait().unwrap() {
            Some(status) => Some(Some(status)),
            None => sandbox.pid_file(&config)?.address.map(|_| None),
        });
        spawned.child.kill().unwrap();
        spawned.child.wait().unwrap();
        // A day that never comes may also count as a schedule.
        let never_comes = schedule == "0 0 31 2 *";
        let refused = status.is_some_and(|status| status.code() == Some(1));
        assert!(refused || never_comes, "{schedule:?} was taken: {}", spawned.said());
        if refused {
            assert!(spawned.said().contains("backup_schedule"), "{}", spawned.said());
        }
    }
}

#[test]
fn the_age_of_a_backup_is_what_it_says_and_not_what_its_file_says() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[("backup_retention", "7")]);
    let node = Node::start(&sandbox, &config);
    node.client().put("/kv/a", "1").expect(201);
    let old = back_up(&sandbox);
    let recent = back_up(&sandbox);
    // Files of others are none of its business, however old.
    let foreign = sandbox.write("backups/notes.txt", "mine");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    for file in [&old, &foreign] {
        std::fs::File::options().append(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let newest = back_up(&sandbox);
    for file in [&old, &recent, &newest, &foreign] {
        assert!(file.exists(), "{}", file.display());
    }
}

/// A cluster whose nodes are put back to a backup, all but one that was away and comes up later with what it held.
#[test]
fn a_member_that_was_not_restored_with_the_others_is_named() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(0).put("/kv/kept?w=all", "1").expect(201);
    let made = cluster.client(0).send("POST", "/backup", &[], b"").expect(201).json();
    let file = cluster.sandbox().folder().join("backups").join(made["file"].as_str().unwrap());
    cluster.client(0).put("/kv/rolled-back?w=all", "1").expect(201);
    for index in 0..3 {
        cluster.stop(index);
    }
    for index in [0, 1] {
        let restored = format!("restored-{index}");
        cluster.sandbox().run(&["restore", text(&file), "--data-dir", &restored]).expect(0);
        cluster.set(index, "data_dir", &restored);
        cluster.start(index);
    }
    cluster.until_known();
    for index in [0, 1] {
        let mut client = cluster.client(index);
        assert_eq!(client.value("kept"), Some(json!(1)));
        assert_eq!(client.value("rolled-back"), None);
        // Those that were restored together do not name each other.
        let health = client.get("/health").expect(200).json();
        assert_eq!(health["status"], "ok", "{health}");
    }
    cluster.start(2);
    for index in [0, 1] {
        let mut client = cluster.client(index);
        until_true("the member to be named", || {
            let health = client.get("/health").expect(200).json();
            health["unrestored_members"] == json!(["n2"])
                && health["reasons"].as_array().is_some_and(|all| all.contains(&json!("unrestored_member")))
        });
    }
}
