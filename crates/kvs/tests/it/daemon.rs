//! Nodes in the background: start, stop, restart, status, and everything that can be in the way.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::finished::Finished;
use crate::support::node::Node;
use crate::support::pid_file::{PidFile, runs, signal};
use crate::support::sandbox::Sandbox;
use crate::support::wait::{until, until_true};

/// Starts the daemon of a configuration that must come up; its PID file.
#[track_caller]
fn start(sandbox: &Sandbox, name: &str) -> PidFile {
    sandbox.run(&["start", name]).expect(0);
    sandbox.pid_file(&sandbox.folder().join(format!("{name}.yaml"))).expect("a PID file")
}

fn client(pid_file: &PidFile) -> Client {
    Client::new(pid_file.address.expect("an address"))
}

/// A process that is none of ours. It is killed when this is dropped.
struct Stranger(Child);

impl Stranger {
    fn new(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command("sleep");
        Self(command.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// When it started, in clock ticks since boot.
    fn start(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').nth(19).unwrap().parse().unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Writes a PID file as a node would have left it.
fn leave_pid_file(sandbox: &Sandbox, config: &Path, pid: u32, start: u64) {
    std::fs::create_dir_all(sandbox.pids()).unwrap();
    for folder in [sandbox.home().join(".kvs"), sandbox.pids()] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let name = config.file_name().unwrap().to_str().unwrap();
    let text = format!(
        "kvs-pid 1\npid {pid}\nstart {start}\nsince 1767225600000\nconfig {}\naddress 127.0.0.1:1\nnode tested\n",
        config.display()
    );
    std::fs::write(sandbox.pids().join(format!("{name}.pid")), text).unwrap();
}

#[test]
fn a_daemon_is_started_looked_at_and_stopped() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    // The extension is optional everywhere.
    sandbox.run(&["status", "node1"]).expect(3);
    let started = sandbox.run(&["start", "node1"]).expect(0);
    let pid_file = sandbox.pid_file(&config).unwrap();
    assert_eq!(pid_file.config, config);
    let address = pid_file.address.unwrap().to_string();
    for part in [address.as_str(), &pid_file.pid.to_string()] {
        assert!(started.stdout.contains(part), "no {part}: {started:?}");
    }
    // It answers before the command returns.
    client(&pid_file).put("/kv/a", "1").expect(201);

    let shown = sandbox.run(&["status", "node1.yaml"]).expect(0);
    assert!(shown.stdout.contains(&address) && shown.stdout.contains("running"), "{shown:?}");
    let status = sandbox.run(&["status", "node1", "--json"]).expect(0).json();
    assert_eq!(status["name"], "node1.yaml");
    assert_eq!(status["state"], "running");
    assert_eq!(status["pid"], pid_file.pid);
    assert_eq!(status["address"], address);
    assert_eq!(status["config"], config.to_str().unwrap());
    assert_eq!(status["node_id"], "tested");
    assert_eq!(sandbox.run(&["status", "--json"]).expect(0).json(), json!([status]));

    let stopped = sandbox.run(&["stop", "node1"]).expect(0);
    assert!(stopped.stdout.contains("node1"), "{stopped:?}");
    assert!(!pid_file.runs());
    assert_eq!(sandbox.pid_file(&config), None, "the PID file is left");
    sandbox.run(&["stop", "node1"]).expect(3);
    sandbox.run(&["status", "node1"]).expect(3);
    let none = sandbox.run(&["status", "--json"]).expect(3);
    assert_eq!(none.json(), json!([]));

    let again = start(&sandbox, "node1");
    assert_eq!(client(&again).value("a"), Some(json!(1)));
}

#[test]
fn what_it_keeps_in_the_home_is_private_and_named_after_the_configuration() {
    let sandbox = Sandbox::new();
    sandbox.configure("node1.yaml", &[]);
    start(&sandbox, "node1");
    let kvs = sandbox.home().join(".kvs");
    for folder in ["pids", "logs"] {
        let mode = kvs.join(folder).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{folder}");
    }
    let log = kvs.join("logs/kvs_node1.yaml.log");
    assert!(std::fs::metadata(&log).unwrap().len() > 0, "the log is empty");
    let status = sandbox.run(&["status", "node1", "--json"]).expect(0).json();
    assert_eq!(status["log"], log.to_str().unwrap());
}

#[test]
fn programs_get_json_of_every_step() {
    let sandbox = Sandbox::new();
    sandbox.configure("n.yaml", &[]);
    let started = sandbox.run(&["start", "n", "--json"]).expect(0).json();
    assert_eq!((&started["name"], &started["state"]), (&json!("n.yaml"), &json!("running")));
    let address: SocketAddr = started["address"].as_str().unwrap().parse().unwrap();
    Client::new(address).get("/health").expect(200);
    let restarted = sandbox.run(&["restart", "n", "--json"]).expect(0).json();
    assert_ne!(restarted["pid"], started["pid"]);
    let stopped = sandbox.run(&["stop", "n", "--json"]).expect(0).json();
    assert_eq!((&stopped["name"], &stopped["state"]), (&json!("n.yaml"), &json!("stopped")));
    let status = sandbox.run(&["status", "n", "--json"]).expect(3).json();
    assert_eq!(status["state"], "stopped");
}

#[test]
fn many_instances_run_side_by_side() {
    let sandbox = Sandbox::new();
    let names = ["one", "two", "three"];
    for name in names {
        sandbox
            .configure(&format!("{name}.yaml"), &[("data_dir", &format!("data-{name}")), ("node_id", name)]);
        let pid_file = start(&sandbox, name);
        client(&pid_file).put("/kv/who", format!("\"{name}\"")).expect(201);
    }
    let listed = sandbox.run(&["status", "--json"]).expect(0).json();
    let found: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(found, ["one.yaml", "three.yaml", "two.yaml"]);
    sandbox.run(&["stop", "two"]).expect(0);
    for name in ["one", "three"] {
        let pid_file = sandbox.pid_file(&sandbox.folder().join(format!("{name}.yaml"))).unwrap();
        assert_eq!(client(&pid_file).value("who"), Some(json!(name)));
    }
    let listed = sandbox.run(&["status", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn without_a_name_the_configuration_of_the_folder_is_meant() {
    let sandbox = Sandbox::new();
    sandbox.configure("config.yaml", &[]);
    start(&sandbox, "config");
    sandbox.run(&["start"]).expect(1);
    sandbox.run(&["restart"]).expect(0);
    sandbox.run(&["stop"]).expect(0);
    sandbox.run(&["stop"]).expect(3);
}

#[test]
fn a_restart_keeps_the_data_and_starts_what_does_not_run() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    sandbox.run(&["restart", "node1"]).expect(0);
    let before = sandbox.pid_file(&config).unwrap();
    client(&before).put("/kv/a", "1").expect(201);
    sandbox.run(&["restart", "node1"]).expect(0);
    let after = sandbox.pid_file(&config).unwrap();
    assert_ne!(before.pid, after.pid);
    assert!(!before.runs());
    assert_eq!(client(&after).value("a"), Some(json!(1)));
    // A configuration that became wrong must not take down what runs.
    sandbox.write("node1.yaml", "prot: 1\n");
    sandbox.run(&["restart", "node1"]).expect(1);
    assert_eq!(client(&after).value("a"), Some(json!(1)));
}

#[test]
fn of_several_starts_at_once_one_succeeds_and_the_others_say_why_not() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let finished: Vec<Finished> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| sandbox.run(&["start", "node1"]))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let pid_file = sandbox.pid_file(&config).unwrap();
    client(&pid_file).put("/kv/a", "1").expect(201);
    let (winners, losers): (Vec<_>, Vec<_>) = finished.iter().partition(|finished| finished.code == Some(0));
    assert_eq!(winners.len(), 1, "{finished:?}");
    assert!(winners[0].stdout.contains(&pid_file.pid.to_string()), "{winners:?}");
    for loser in losers {
        assert_eq!(loser.code, Some(1), "{loser:?}");
        assert!(loser.stderr.contains("already running"), "{loser:?}");
    }
    let again = sandbox.run(&["start", "node1"]).expect(1);
    assert!(again.stderr.contains(&pid_file.pid.to_string()), "{again:?}");
    assert_eq!(client(&pid_file).value("a"), Some(json!(1)));
}

#[test]
fn what_a_killed_daemon_left_is_recognised_and_taken_over() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let killed = start(&sandbox, "node1");
    client(&killed).put("/kv/a", "1").expect(201);
    killed.kill();
    until_true("the daemon to be gone", || !killed.runs());
    let status = sandbox.run(&["status", "node1", "--json"]).expect(3).json();
    assert_eq!((&status["state"], &status["pid"]), (&json!("stale"), &Value::Null));
    let again = start(&sandbox, "node1");
    assert_eq!(client(&again).value("a"), Some(json!(1)));

    again.kill();
    until_true("the daemon to be gone", || !again.runs());
    sandbox.run(&["stop", "node1"]).expect(3);
    assert_eq!(sandbox.pid_file(&config), None, "the stale PID file is left");
}

#[test]
fn a_process_that_got_the_number_of_a_dead_daemon_is_never_signalled() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let stranger = Stranger::new(&sandbox);
    // With the start of another process, and even with its own: the lock is free, so nobody runs.
    for start in [stranger.start() - 1, stranger.start()] {
        leave_pid_file(&sandbox, &config, stranger.0.id(), start);
        let status = sandbox.run(&["status", "node1", "--json"]).expect(3).json();
        assert_eq!(status["state"], "stale");
        sandbox.run(&["stop", "node1"]).expect(3);
        assert!(runs(stranger.0.id()), "a foreign process was killed");
        leave_pid_file(&sandbox, &config, stranger.0.id(), start);
        sandbox.run(&["restart", "node1"]).expect(0);
        let pid_file = sandbox.pid_file(&config).unwrap();
        assert_ne!(pid_file.pid, stranger.0.id());
        client(&pid_file).get("/health").expect(200);
        sandbox.run(&["stop", "node1"]).expect(0);
        assert!(runs(stranger.0.id()), "a foreign process was killed");
    }
}

#[test]
fn a_pid_file_that_is_none_does_no_harm() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let stranger = Stranger::new(&sandbox);
    for text in [
        "",
        "garbage",
        &stranger.0.id().to_string(),
        "kvs-pid 1\npid 1\n",
        "kvs-pid 1\npid -1\nstart 0\nsince 0\nconfig /\n",
    ] {
        leave_pid_file(&sandbox, &config, 1, 1);
        std::fs::write(sandbox.pids().join("node1.yaml.pid"), text).unwrap();
        sandbox.run(&["status", "node1"]).expect(3);
        sandbox.run(&["stop", "node1"]).expect(3);
        std::fs::write(sandbox.pids().join("node1.yaml.pid"), text).unwrap();
        start(&sandbox, "node1");
        sandbox.run(&["stop", "node1"]).expect(0);
    }
    assert!(runs(stranger.0.id()));
}

#[test]
fn links_in_the_folders_are_refused_and_not_followed() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let victim = sandbox.write("victim", "precious");
    leave_pid_file(&sandbox, &config, 1, 1);
    let pid_path = sandbox.pids().join("node1.yaml.pid");
    std::fs::remove_file(&pid_path).unwrap();
    symlink(&victim, &pid_path).unwrap();
    for command in ["start", "stop", "restart", "status"] {
        let refused = sandbox.run(&[command, "node1"]).expect(1);
        assert!(refused.all().contains("node1.yaml.pid"), "{refused:?}");
    }
    let refused = sandbox.run(&["node1"]).expect(1);
    assert!(refused.all().contains("node1.yaml.pid"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(pid_path.is_symlink());
    std::fs::remove_file(&pid_path).unwrap();

    let log = sandbox.home().join(".kvs/logs/kvs_node1.yaml.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::set_permissions(log.parent().unwrap(), std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&victim, &log).unwrap();
    sandbox.run(&["start", "node1"]).expect(1);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    std::fs::remove_file(&log).unwrap();

    let elsewhere = sandbox.folder().join("elsewhere");
    std::fs::rename(sandbox.pids(), &elsewhere).unwrap();
    symlink(&elsewhere, sandbox.pids()).unwrap();
    sandbox.run(&["start", "node1"]).expect(1);
    assert_eq!(elsewhere.read_dir().unwrap().count(), 0, "a PID file was made behind a link");
}

#[test]
fn an_instance_of_the_same_name_from_another_folder_is_an_error_that_says_so() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("a/node.yaml", &[]);
    sandbox.configure("b/node.yaml", &[]);
    sandbox.run(&["start", "a/node"]).expect(0);
    let pid_file = sandbox.pid_file(&config).unwrap();
    for arguments in [&["start", "b/node"][..], &["stop", "b/node"], &["restart", "b/node"], &["b/node"]] {
        let refused = sandbox.run(arguments).expect(1);
        assert!(refused.all().contains(config.to_str().unwrap()), "{refused:?}");
    }
    client(&pid_file).get("/health").expect(200);
    sandbox.run(&["stop", "a/node"]).expect(0);
    sandbox.run(&["start", "b/node"]).expect(0);
}

#[test]
fn a_port_that_is_taken_is_said_with_the_last_lines_of_the_log() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    sandbox.configure("node1.yaml", &[("port", &port)]);
    let failed = sandbox.run(&["start", "node1"]).expect(1);
    let log = sandbox.home().join(".kvs/logs/kvs_node1.yaml.log");
    assert!(failed.stderr.contains(log.to_str().unwrap()), "{failed:?}");
    let logged = std::fs::read_to_string(&log).unwrap();
    let last = logged.lines().rfind(|line| line.contains(&port)).expect("a line about the port");
    assert!(failed.stderr.contains(last.trim()), "{last:?} is not in {failed:?}");
    sandbox.run(&["status", "node1"]).expect(3);
    let foreground = sandbox.run(&["node1"]).expect(1);
    assert!(foreground.all().contains(&port), "{foreground:?}");
    drop(taken);
    sandbox.run(&["start", "node1"]).expect(0);
}

#[test]
fn a_second_node_on_one_data_directory_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.configure("one.yaml", &[("data_dir", "data")]);
    sandbox.configure("two.yaml", &[("data_dir", "data")]);
    let one = start(&sandbox, "one");
    client(&one).put("/kv/a", "1").expect(201);
    let data = sandbox.folder().join("data");
    for arguments in [&["start", "two"][..], &["two"], &["check", "data"]] {
        let refused = sandbox.run(arguments).expect(1);
        assert!(refused.all().contains("data"), "{data:?}: {refused:?}");
    }
    client(&one).put("/kv/a", "2").expect(200);
    sandbox.run(&["stop", "one"]).expect(0);
    let two = start(&sandbox, "two");
    assert_eq!(client(&two).value("a"), Some(json!(2)));
}

#[test]
fn a_node_in_the_foreground_counts_as_running() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let refused = sandbox.run(&["start", "node1"]).expect(1);
    assert!(refused.stderr.contains(&node.pid().to_string()), "{refused:?}");
    let status = sandbox.run(&["status", "node1", "--json"]).expect(0).json();
    assert_eq!(status["pid"], node.pid());
    sandbox.run(&["stop", "node1"]).expect(0);
    assert!(node.wait().success());
}

#[test]
fn interrupting_a_node_in_the_foreground_ends_it_well() {
    let sandbox = Sandbox::new();
    for number in [Signal::INT, Signal::TERM] {
        let node = Node::new(&sandbox, &[]);
        node.client().put("/kv/a", "1");
        signal(node.pid(), number);
        assert!(node.wait().success());
        assert_eq!(sandbox.pid_file(&sandbox.folder().join("config.yaml")), None);
    }
}

#[test]
fn a_stop_under_load_finishes_what_it_took_and_loses_nothing() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("node1.yaml", &[]);
    let mut lost = 0;
    for round in 0..3 {
        let pid_file = start(&sandbox, "node1");
        let address = pid_file.address.unwrap();
        let written = AtomicU64::new(0);
        let stopping = AtomicBool::new(false);
        let acknowledged: Vec<String> = thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (written, stopping) = (&written, &stopping);
                    scope.spawn(move || write_until_stopped(address, round, writer, written, stopping))
                })
                .collect();
            until_true("writes", || written.load(Ordering::Relaxed) > 200);
            stopping.store(true, Ordering::Release);
            sandbox.run(&["stop", "node1"]).expect(0);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        assert!(!pid_file.runs());
        let again = start(&sandbox, "node1");
        let keys = client(&again).keys();
        lost += acknowledged.iter().filter(|key| keys.binary_search(key).is_err()).count();
        sandbox.run(&["stop", "node1"]).expect(0);
    }
    assert_eq!(lost, 0, "acknowledged writes were lost");
    sandbox.run(&["check", sandbox.folder().join("data-node1").to_str().unwrap()]).expect(0);
    assert_eq!(sandbox.pid_file(&config), None);
}

/// Writes new keys until the node no longer answers; those that were acknowledged.
fn write_until_stopped(
    address: SocketAddr,
    round: u64,
    writer: u64,
    written: &AtomicU64,
    stopping: &AtomicBool,
) -> Vec<String> {
    let mut client = Client::new(address);
    let mut acknowledged = Vec::new();
    for number in 0_u64.. {
        let key = format!("r{round}/w{writer}/{number}");
        match client.try_send("PUT", &format!("/kv/{key}"), &[], b"{\"some\":\"value\"}") {
            Ok(answer) if answer.status == 201 => {
                acknowledged.push(key);
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                answer.refused(503, "stopping");
                break;
            }
            Err(_) => break,
        }
    }
    assert!(stopping.load(Ordering::Acquire), "the node stopped answering before it was asked to end");
    acknowledged
}

#[test]
fn a_request_that_is_on_its_way_is_answered_before_the_node_ends() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[]);
    let node = Node::start(&sandbox, &config);
    let mut wire = node.wire();
    wire.send(format!(
        "PUT /kv/late HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n\"on",
        node.address()
    ));
    // An answer to a later connection shows that the node has seen the first one.
    node.client().get("/health").expect(200);
    node.ask_to_end();
    until_true("the node to take no more connections", || {
        crate::support::wire::Wire::try_open(node.address()).is_err()
    });
    wire.send("e\" ");
    let answer = wire.answer();
    answer.check();
    answer.expect(201);
    assert!(node.wait().success());
    let node = Node::start(&sandbox, &config);
    assert_eq!(node.client().value("late"), Some(json!("one")));
}

#[test]
fn exit_codes_tell_usage_failure_and_absence_apart() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--help"]).expect(0);
    sandbox.run(&["--version"]).expect(0);
    for usage in [
        &["--nonsense"][..],
        &["stop", "a", "b"],
        &["get"],
        &["put"],
        &["strat"],
        &["status", "--jsn"],
        &["import"],
    ] {
        let finished = sandbox.run(usage).expect(2);
        assert!(!finished.stderr.is_empty(), "{usage:?}");
    }
    sandbox.run(&["status"]).expect(3);
    sandbox.run(&["stop", "nobody"]).expect(3);
    let mut command = sandbox.kvs(&["status"]);
    command.env_remove("HOME");
    Finished::of(command, b"").expect(1);
}

#[test]
fn a_daemon_survives_the_one_who_started_it_and_holds_no_folder() {
    let sandbox = Sandbox::new();
    sandbox.configure("node1.yaml", &[]);
    let pid_file = start(&sandbox, "node1");
    let of = |link: &str| std::fs::read_link(format!("/proc/{}/{link}", pid_file.pid)).unwrap();
    assert_eq!(of("cwd"), Path::new("/"));
    assert_eq!(of("fd/0"), Path::new("/dev/null"));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid_file.pid)).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // Fields 6 and 7 of proc(5): its own session, and no terminal.
    assert_eq!((fields[3], fields[4]), (pid_file.pid.to_string().as_str(), "0"));
    let status = until("the daemon to answer", || Some(client(&pid_file).get("/health").status));
    assert_eq!(status, 200);
}
