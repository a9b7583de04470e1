//! Joining at a word, beginning with nothing, names that are held, and what is left of machines that were replaced.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::wait::{until, until_true, within};

/// An identity is retired within a minute of being replaced.
const RETIRED: Duration = Duration::from_secs(60);

/// Two nodes, each the first of a cluster of its own.
fn two_first() -> Cluster {
    let mut cluster = Cluster::empty();
    cluster.add(&[]);
    cluster.add(&[("seed_nodes", "[]")]);
    cluster
}

fn health(client: &mut Client) -> Value {
    client.get("/health").expect(200).json()
}

fn reasons(client: &mut Client) -> Vec<String> {
    let health = health(client);
    let reasons = health["reasons"].as_array().cloned().unwrap_or_default();
    reasons.iter().map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

fn join(cluster: &Cluster, from: usize, address: &str, wait: &str) -> Answer {
    cluster.client(from).post(&format!("/members/join?wait={wait}"), &json!({"address": address}))
}

#[test]
fn two_first_nodes_become_one_cluster_at_a_word() {
    let cluster = two_first();
    cluster.client(0).put("/kv/left", "1").expect(201);
    cluster.client(1).put("/kv/right", "2").expect(201);
    let members = join(&cluster, 0, &cluster.address(1).to_string(), "5s").expect(200).json();
    assert_eq!(members.as_array().unwrap().len(), 2, "{members}");
    cluster.until_known();
    assert_eq!(cluster.until_equal().len(), 2);
    cluster.client(1).put("/kv/both?w=all", "3").expect(201);
}

#[test]
fn a_node_with_a_dead_seed_and_two_pairs_of_nodes_join_at_a_word() {
    let mut cluster = Cluster::empty();
    let other_seed = |cluster: &Cluster, index: usize| format!("[\"{}\"]", cluster.address(index));
    cluster.add(&[]);
    cluster.add(&[]);
    cluster.add(&[("seed_nodes", "[]")]);
    let seed = other_seed(&cluster, 2);
    cluster.add(&[("seed_nodes", &seed)]);
    cluster.add(&[("seed_nodes", "[\"127.0.0.1:9\"]")]);
    let four = |cluster: &Cluster| health(&mut cluster.client(0))["member_count"] == 4;
    join(&cluster, 1, &cluster.address(3).to_string(), "5s").expect(200);
    until_true("four to know each other", || four(&cluster));
    join(&cluster, 4, &cluster.address(0).to_string(), "5s").expect(200);
    cluster.until_known();
    cluster.client(4).put("/kv/all?w=all", "1").expect(201);
}

#[test]
fn why_a_node_has_not_joined_is_said_in_the_answer_and_in_health() {
    let mut cluster = Cluster::empty();
    cluster.add(&[]);
    // Somebody who takes connections and never says a word.
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    for (address, reason) in [
        ("127.0.0.1:9".to_owned(), "refused"),
        (mute.local_addr().unwrap().to_string(), "no answer"),
        ("no-such-host.invalid:8080".to_owned(), "no-such-host.invalid"),
    ] {
        let answer = join(&cluster, 0, &address, "2s").refused(504, "not_joined").json();
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(&address) && detail.contains(reason), "{detail}");
        let health = health(&mut cluster.client(0));
        let seeds = health["unreachable_seeds"].as_array().unwrap();
        let seed = seeds.iter().find(|seed| seed["address"] == *address).unwrap();
        assert!(seed["reason"].as_str().unwrap().contains(reason), "{seed}");
        assert!(reasons(&mut cluster.client(0)).contains(&"seeds_unreachable".to_owned()));
    }
    cluster
        .client(0)
        .post("/members/join?wait=soon", &json!({"address": "127.0.0.1:9"}))
        .refused(400, "bad_query");
    // It goes on serving, and joins as soon as somebody is there.
    cluster.client(0).put("/kv/a", "1").expect(201);
}

#[test]
fn a_node_with_seeds_and_nothing_else_is_not_ready_until_it_has_what_its_source_has() {
    let mut cluster = Cluster::empty();
    cluster.add(&[("fetch_delay_ms", "20")]);
    for number in 0..300 {
        cluster.client(0).put(&format!("/kv/k{number}"), "\"before\"").expect(201);
    }
    let address = cluster.address(0);
    // Its seed is away at first.
    cluster.stop(0);
    let newcomer = cluster.add(&[("seed_nodes", &format!("[\"{address}\"]"))]);
    let mut client = cluster.client(newcomer);
    client.get("/ready").refused(503, "syncing");
    assert_eq!(health(&mut client)["mode"], "syncing");
    client.put("/kv/k1", "\"too early\"").refused(503, "syncing");
    until_true("it to say so", || reasons(&mut client).contains(&"seeds_unreachable".to_owned()));
    cluster.start(0);
    until("it to be ready", || {
        // Whenever it says so, it has everything.
        let is_ready = client.get("/ready").status == 200;
        is_ready.then(|| assert_eq!(client.keys().len(), 300))
    });
    client.put("/kv/k1", "\"after\"").expect(200);
    assert!(!reasons(&mut client).contains(&"seeds_unreachable".to_owned()));
}

#[test]
fn a_node_with_data_serves_alone_and_says_that_its_seeds_are_away() {
    let mut cluster = Cluster::formed(2, &[]);
    cluster.client(1).put("/kv/a?w=all", "1").expect(201);
    cluster.stop(0);
    cluster.stop(1);
    cluster.start(1);
    let mut client = cluster.client(1);
    client.get("/ready").expect(200);
    client.put("/kv/a", "2").expect(200);
    until_true("it to say so", || reasons(&mut client).contains(&"seeds_unreachable".to_owned()));
    assert_eq!(health(&mut client)["member_count"], 1, "only who lives is counted");
    cluster.start(0);
    cluster.until_known();
    until_true("it to have nothing to say", || reasons(&mut client).is_empty());
}

/// The third node has a new identity under its old name and address: it is one member, and what is left of the other goes.
fn third_counts_once(cluster: &Cluster) {
    cluster.until_known();
    // Writers do not wait for who cannot come back.
    cluster.client(0).put("/kv/b?w=all&timeout=10s", "1").expect(201);
    cluster.client(2).put("/kv/c?w=majority&timeout=10s", "1").expect(201);
    assert_eq!(cluster.until_equal().len(), 3);
    for index in 0..3 {
        let mut client = cluster.client(index);
        assert_eq!(health(&mut client)["member_count"], 3);
        // One that was restored alone says for a week that the others were not.
        let is_about_ghosts = |reason: &String| reason != "unrestored_member";
        let retired = within(RETIRED, || {
            let health = health(&mut client);
            let is_silent = !reasons(&mut client).iter().any(is_about_ghosts);
            (is_silent && health.get("ghosts").is_none()).then_some(())
        });
        assert!(retired.is_some(), "{}", health(&mut client));
        let members = client.get("/members/").expect(200).json();
        assert_eq!(members.as_array().unwrap().len(), 3, "{members}");
    }
}

#[test]
fn a_replaced_machine_counts_once_and_what_is_left_of_it_goes() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(2).put("/kv/a?w=all", "1").expect(201);
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.data_dir(2)).unwrap();
    cluster.start(2);
    third_counts_once(&cluster);
}

#[test]
fn a_machine_restored_from_its_backup_counts_once_and_what_is_left_of_it_goes() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(2).put("/kv/a?w=all", "1").expect(201);
    let made = cluster.client(2).send("POST", "/backup", &[], b"").expect(201).json();
    let file = cluster.sandbox().folder().join("backups").join(made["file"].as_str().unwrap());
    cluster.kill(2);
    let data_dir = cluster.data_dir(2);
    std::fs::remove_dir_all(&data_dir).unwrap();
    let (file, into) = (file.to_str().unwrap(), data_dir.to_str().unwrap());
    cluster.sandbox().run(&["restore", file, "--data-dir", into]).expect(0);
    cluster.start(2);
    third_counts_once(&cluster);
}

#[test]
fn what_is_left_of_a_machine_that_moved_is_named_and_forgotten_by_its_name() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.kill(2);
    // Its name on another machine.
    let moved = cluster.add(&[("node_id", "n2")]);
    until_true("the ghost to be named", || {
        let health = health(&mut cluster.client(0));
        health["ghosts"][0]["id"] == "n2" && health["ghosts"][0]["address"] == cluster.address(2).to_string()
    });
    assert!(reasons(&mut cluster.client(0)).contains(&"ghost_members".to_owned()));
    cluster.client(0).put("/kv/a?w=all&timeout=10s", "1").expect(201);
    cluster.client(0).post("/members/forget", &json!({"id": "n2"})).expect(204);
    until_true("it to be gone everywhere", || {
        [0, 1, moved].iter().all(|index| reasons(&mut cluster.client(*index)).is_empty())
    });
    // The one that lives was not meant.
    cluster.client(0).post("/members/forget", &json!({"id": "n2"})).expect(409);
    cluster.client(moved).put("/kv/b?w=all&timeout=10s", "1").expect(201);
}

#[test]
fn a_typing_error_in_a_name_ends_nobody_but_its_own_node() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(2).put("/kv/a?w=all", "1").expect(201);
    cluster.stop(1);
    cluster.set(1, "node_id", "n2");
    let said = cluster.until_refused(1);
    assert!(said.contains("\"n2\" is taken"), "{said}");
    cluster.client(2).put("/kv/a?w=1&timeout=10s", "2").expect(200);
    cluster.set(1, "node_id", "n1");
    cluster.start(1);
    cluster.until_known();
    assert_eq!(cluster.until_equal().len(), 1);
}

#[test]
fn a_node_that_has_left_says_so_and_takes_no_writes() {
    let cluster = Cluster::formed(2, &[]);
    let mut client = cluster.client(1);
    client.put("/kv/a?w=all", "1").expect(201);
    client.send("POST", "/members/leave", &[], b"").expect(202);
    assert_eq!(reasons(&mut client), ["left"]);
    client.put("/kv/a", "2").refused(503, "left");
    client.get("/ready").refused(503, "left");
    client.get("/kv/a").expect(200);
    until_true("the other one to count one", || health(&mut cluster.client(0))["member_count"] == 1);
}

/// How many lines of a node's log say all of this.
fn lines(cluster: &Cluster, index: usize, parts: &[&str]) -> usize {
    let said = cluster.node(index).said();
    said.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[test]
fn what_happens_to_members_is_one_line_each_by_name() {
    let mut cluster = Cluster::formed(3, &[]);
    let told = |cluster: &Cluster, parts: &[&str]| {
        until_true(&format!("the log to say {parts:?}"), || lines(cluster, 0, parts) == 1);
    };
    told(&cluster, &["INFO", "a node is in the cluster", "node_id=\"n2\""]);
    cluster.kill(2);
    told(&cluster, &["WARN", "a member does not answer", "n2"]);
    // While it is away, nothing more is said of it, however often it is called.
    let before = cluster.node(0).said().lines().count();
    std::thread::sleep(Duration::from_secs(3));
    assert!(cluster.node(0).said().lines().count() <= before + 1, "{}", cluster.node(0).said());
    cluster.start(2);
    cluster.until_known();
    told(&cluster, &["INFO", "a member answers again", "n2"]);
    cluster.client(1).send("POST", "/members/leave", &[], b"").expect(202);
    told(&cluster, &["INFO", "a member left the cluster", "n1"]);
    let address = crate::support::cluster::own_address().to_string();
    cluster.stop(2);
    cluster.set(2, "bind_address", &address);
    cluster.start(2);
    told(&cluster, &["INFO", "a member moved", "n2", &address]);
    cluster.kill(2);
    until_true("n2 to be forgotten", || {
        cluster.client(0).post("/members/forget", &json!({"id": "n2"})).status == 204
    });
    told(&cluster, &["WARN", "a member is forgotten", "n2"]);
}

#[test]
fn a_seed_that_is_not_reached_is_one_line_with_the_reason() {
    let mut cluster = Cluster::empty();
    cluster.add(&[("seed_nodes", "[\"127.0.0.1:9\", \"no-such-host.invalid:8080\"]")]);
    for address in ["127.0.0.1:9", "no-such-host.invalid:8080"] {
        until_true("the log to say so", || {
            lines(&cluster, 0, &["WARN", "a seed is not reached", address]) == 1
        });
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lines(&cluster, 0, &["a seed is not reached"]), 2, "{}", cluster.node(0).said());
}

#[test]
fn nodes_on_loopback_call_each_other_by_the_names_of_the_machine() {
    let Some(name) = loopback_name() else {
        eprintln!("skipped: this machine has no name of its own on loopback");
        return;
    };
    let mut cluster = Cluster::empty();
    // Names of this machine lead to these addresses.
    let first = cluster.add(&[("bind_address", "127.0.0.1")]);
    let port = cluster.address(first).port();
    cluster.add(&[("seed_nodes", &format!("[\"{name}:{port}\"]"))]);
    cluster.until_known();
    cluster.client(1).put("/kv/a?w=all", "1").expect(201);
}

/// A name that leads to 127.0.0.1 and is not `localhost`.
fn loopback_name() -> Option<String> {
    let names = ["ip6-localhost", "localhost.localdomain", "loopback", "localhost4"].map(str::to_owned);
    let own = std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    let leads_here = |name: &String| {
        use std::net::ToSocketAddrs;
        (name.as_str(), 1)
            .to_socket_addrs()
            .is_ok_and(|mut found| found.any(|found| found.ip() == std::net::Ipv4Addr::LOCALHOST))
    };
    names.into_iter().chain(own).find(leads_here)
}

#[test]
fn a_restart_at_a_new_address_is_no_copy_of_itself() {
    let mut cluster = Cluster::formed(3, &[]);
    // An older identity of its name is remembered.
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.data_dir(2)).unwrap();
    let address = crate::support::cluster::own_address().to_string();
    cluster.set(2, "bind_address", &address);
    cluster.start(2);
    cluster.until_known();
    for _ in 0..4 {
        cluster.stop(2);
        let address = crate::support::cluster::own_address().to_string();
        cluster.set(2, "bind_address", &address);
        cluster.start(2);
        cluster.until_known();
    }
    let said = cluster.node(2).said();
    assert!(!said.contains("data directory copied"), "{said}");
}
