//! A disk that runs full and gets room again, on a small file system of its own.
//!
//! The file system is mounted in a mount namespace of the node alone, so that nothing is left behind. Where the machine
//! does not allow that, the test says so and checks nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::client::Client;
use crate::support::pid_file::{PidFile, runs};
use crate::support::sandbox::{KVS, Sandbox};
use crate::support::wait::{until, until_true};

/// Size of the file system, and of the file on it that is removed to make room.
const DISK_BYTES: u64 = 160 << 20;
const BALLAST_BYTES: u64 = 80 << 20;

/// A shell that runs the node again whenever it ends, inside a namespace in which the small file system is mounted.
struct Cage {
    shell: Child,
    disk: PathBuf,
}

impl Cage {
    /// Builds it; `None` when the machine does not allow mounts.
    fn new(sandbox: &Sandbox, config: &Path, disk: &Path) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={DISK_BYTES} tmpfs '{}'", disk.display());
        let unshare = |script: &str| {
            let mut command = sandbox.command("unshare");
            command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).stdin(Stdio::null());
            command
        };
        let tried: std::io::Result<bool> = unshare(&mount).output().map(|output| output.status.success());
        if !tried.unwrap_or(false) {
            return None;
        }
        let ballast = disk.join("ballast");
        let script = format!(
            "{mount} && head -c {BALLAST_BYTES} /dev/zero > '{}' && while :; do '{KVS}' '{}'; done",
            ballast.display(),
            config.display()
        );
        let log = std::fs::File::create(sandbox.folder().join("cage.log")).unwrap();
        let shell = unshare(&script).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Some(Self { disk: disk.to_owned(), shell })
    }

    /// Waits until a node with another process than `before` listens.
    fn node(&self, sandbox: &Sandbox, config: &Path, before: Option<u32>) -> PidFile {
        let found = until("the node to listen", || {
            let found = sandbox.pid_file(config)?;
            (Some(found.pid) != before && found.address.is_some() && runs(found.pid)).then_some(found)
        });
        assert!(runs(self.shell.id()), "the shell has ended");
        found
    }

    /// A path on the small file system, as it is seen from outside.
    fn outside(&self, node: &PidFile, name: &str) -> PathBuf {
        let disk = self.disk.strip_prefix("/").unwrap();
        Path::new("/proc").join(node.pid.to_string()).join("root").join(disk).join(name)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // First the shell, so that it starts no other node; the sandbox then kills the node.
        self.shell.kill().unwrap();
        self.shell.wait().unwrap();
    }
}

#[test]
fn a_full_disk_refuses_writes_alone_and_recovers_without_a_restart() {
    let sandbox = Sandbox::new();
    let disk = sandbox.folder().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let config = sandbox.configure(
        "config.yaml",
        &[("data_dir", "disk/data"), ("compression_enabled", "false"), ("revision_limit", "1")],
    );
    let Some(cage) = Cage::new(&sandbox, &config, &disk) else {
        eprintln!(
            "skipped: this machine does not let a test mount a file system of its own (unshare, mount)"
        );
        return;
    };
    let node = cage.node(&sandbox, &config, None);
    let mut client = Client::new(node.address.unwrap());
    let value = |number: usize| format!("{{\"number\":{number},\"filling\":\"{}\"}}", "f".repeat(200_000));

    // Until the disk is full.
    let mut acknowledged = 0;
    let refused = loop {
        let answer = client.put(&format!("/kv/k/{acknowledged}"), value(acknowledged));
        if answer.status != 201 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 2000, "more was stored than the disk holds");
    };
    refused.refused(507, "disk_full");
    assert!(acknowledged > 10, "only {acknowledged} values fit");

    // Reads go on, and the node says what is wrong; so does everything else that writes.
    assert_eq!(client.value("k/0"), Some(serde_json::from_str(&value(0)).unwrap()));
    assert_eq!(client.keys().len(), acknowledged);
    until_true("the node to say that it is degraded", || {
        let health = client.get("/health").expect(200).json();
        health["status"] == "degraded"
            && health["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty())
    });
    let batch = json!({"ops": [{"op": "put", "path": "b", "data": value(1)}]});
    let answer = client.post("/kv/_batch", &batch);
    assert!(answer.status == 507 || answer.status == 200, "{}", answer.shown());

    // Room again: writes go on by themselves.
    std::fs::remove_file(cage.outside(&node, "ballast")).unwrap();
    until_true("writes to go on", || {
        let answer = client.put("/kv/after", "1");
        if answer.status != 507 {
            assert!(answer.status < 300, "{}", answer.shown());
        }
        answer.status < 300
    });
    until_true("the node to be well", || client.get("/health").expect(200).json()["status"] == "ok");
    for number in 0..50 {
        client.put(&format!("/kv/more/{number}"), value(number)).expect(201);
    }
    assert_eq!(sandbox.pid_file(&config).unwrap().pid, node.pid, "the node was restarted");

    // And nothing that was acknowledged is lost, here and after a crash.
    let check = |client: &mut Client| {
        for number in 0..acknowledged {
            assert_eq!(
                client.value(&format!("k/{number}")),
                Some(serde_json::from_str(&value(number)).unwrap()),
                "k/{number}"
            );
        }
        assert_eq!(client.value("after"), Some(json!(1)));
        let missing: Vec<usize> =
            (0..50).filter(|number| client.value(&format!("more/{number}")).is_none()).collect();
        assert_eq!(missing, Vec::<usize>::new());
    };
    check(&mut client);
    node.kill();
    let again = cage.node(&sandbox, &config, Some(node.pid));
    check(&mut Client::new(again.address.unwrap()));
}

/// Values that are written first, and bytes that are left of the disk when the node is started again: some, and none.
const VALUES: usize = 50;
const LEFT: [u64; 2] = [8 << 20, 0];

#[test]
fn a_node_that_is_started_on_a_full_disk_serves_reads_and_goes_on_by_itself() {
    for left in LEFT {
        let sandbox = Sandbox::new();
        let disk = sandbox.folder().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let config = sandbox.configure(
            "config.yaml",
            &[
                ("data_dir", "disk/data"),
                ("compression_enabled", "false"),
                ("revision_limit", "1"),
                ("clustering_enabled", "true"),
            ],
        );
        let Some(cage) = Cage::new(&sandbox, &config, &disk) else {
            eprintln!(
                "skipped: this machine does not let a test mount a file system of its own (unshare, mount)"
            );
            return;
        };
        let node = cage.node(&sandbox, &config, None);
        let mut client = Client::new(node.address.unwrap());
        let value =
            |number: usize| format!("{{\"number\":{number},\"filling\":\"{}\"}}", "f".repeat(200_000));
        for number in 0..VALUES {
            client.put(&format!("/kv/k/{number}"), value(number)).expect(201);
        }
        // Something else takes the room, and the node crashes.
        let filler = cage.outside(&node, "filler");
        let free = free_bytes(&filler);
        let taken = free - left;
        let chunk = vec![1; 1 << 16];
        let mut file = std::fs::File::create(&filler).unwrap();
        let mut written = 0;
        while written < taken {
            let part = usize::try_from((taken - written).min(chunk.len() as u64)).unwrap();
            match std::io::Write::write(&mut file, &chunk[..part]) {
                Ok(count) => written += count as u64,
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                    break;
                }
            }
        }
        drop(file);
        node.kill();

        let again = cage.node(&sandbox, &config, Some(node.pid));
        let mut client = Client::new(again.address.unwrap());
        let health = client.get("/health").expect(200).json();
        assert_eq!((&health["status"], &health["reasons"]), (&json!("degraded"), &json!(["disk_full"])));
        assert_eq!(health["disk"]["needed_bytes"], 48 << 20, "{health}");
        // Opening brings the files of the engine into order, which may free a little.
        assert!(health["disk"]["free_bytes"].as_u64().unwrap() <= left + (1 << 20), "{health}");
        client.get("/ready").expect(200);
        let shown = |client: &mut Client| {
            for number in 0..VALUES {
                assert_eq!(
                    client.value(&format!("k/{number}")),
                    Some(serde_json::from_str(&value(number)).unwrap()),
                    "k/{number}"
                );
            }
        };
        shown(&mut client);
        // It speaks to no peer before its start is on the disk.
        client.get("/cluster/convergence").refused(503, "not_ready");
        let refused = client.put("/kv/late", "1").refused(507, "disk_full");
        assert!(refused.text().contains("bytes are free") && refused.text().contains("50331648"));

        std::fs::remove_file(cage.outside(&again, "filler")).unwrap();
        std::fs::remove_file(cage.outside(&again, "ballast")).unwrap();
        until_true("writes to go on", || client.put("/kv/late", "1").status < 300);
        until_true("the node to be well", || client.get("/health").expect(200).json()["status"] == "ok");
        shown(&mut client);
        until_true("it to take part in its cluster", || client.get("/cluster/convergence").status == 200);
        assert_eq!(sandbox.pid_file(&config).unwrap().pid, again.pid, "the node was restarted");
        again.kill();
        let last = cage.node(&sandbox, &config, Some(again.pid));
        let mut client = Client::new(last.address.unwrap());
        shown(&mut client);
        assert_eq!(client.value("late"), Some(json!(1)));
    }
}

/// Free bytes of the disk that holds a folder's file.
fn free_bytes(file: &Path) -> u64 {
    let folder = file.parent().unwrap();
    let shown =
        std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(folder).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}
