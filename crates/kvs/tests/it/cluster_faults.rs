//! Nodes of a cluster that die and come back under load: what was acknowledged is on all of them afterwards.
//!
//! Every writer owns its keys on one node and remembers, for each, the states that it may be in: the last acknowledged
//! one, and those of writes that were not answered since. Keys that all writers share hold the newest acknowledged write
//! or one that is newer still.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::cluster::{Cluster, Seen};
use crate::support::wait::{SOON, until_true, within};

/// Nodes of the cluster.
const NODES: usize = 3;

/// How often nodes are killed.
const ROUNDS: usize = 20;

/// Threads that write to each node.
const WRITERS_EACH: usize = 2;

/// Keys of each writer, and keys of all.
const KEYS: u64 = 10;

/// The newest acknowledged write of each shared key: its time.
type Newest = Mutex<BTreeMap<String, u64>>;

/// A writer, over all rounds.
struct Writer {
    name: String,
    address: SocketAddr,
    random: u64,
    writes: u64,
    /// For each key the states that it may be in.
    possible: BTreeMap<String, Vec<Option<u64>>>,
}

impl Writer {
    fn new(number: usize, address: SocketAddr) -> Self {
        let random = number as u64 + 1;
        Self { name: format!("w{number}"), address, random, writes: 0, possible: BTreeMap::new() }
    }

    /// The next number below `bound` of a sequence that is the same in every run.
    fn draw(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Writes until told to stop, waiting for its node whenever that is away.
    fn write(&mut self, over: &AtomicBool, acknowledged: &AtomicU64, newest: &Newest) {
        let mut client = Client::new(self.address);
        while !over.load(Ordering::Acquire) {
            let went_on = match self.draw(10) {
                0..5 => self.put(&mut client),
                5..7 => self.delete(&mut client),
                _ => self.put_shared(&mut client, newest),
            };
            if went_on.is_some() {
                acknowledged.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            until_true("the node to come back", || {
                client = Client::new(self.address);
                over.load(Ordering::Acquire) || client.try_send("GET", "/health", &[], b"").is_ok()
            });
        }
    }

    fn key(&mut self) -> String {
        let number = self.draw(KEYS);
        format!("{}/k{number}", self.name)
    }

    fn put(&mut self, client: &mut Client) -> Option<()> {
        self.writes += 1;
        let (key, value) = (self.key(), self.writes);
        let possible = self.possible.entry(key.clone()).or_insert_with(|| vec![None]);
        possible.push(Some(value));
        let answer = client.try_send("PUT", &format!("/kv/{key}"), &[], value.to_string().as_bytes()).ok()?;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.shown());
        *possible = vec![Some(value)];
        Some(())
    }

    fn delete(&mut self, client: &mut Client) -> Option<()> {
        let key = self.key();
        let possible = self.possible.entry(key.clone()).or_insert_with(|| vec![None]);
        possible.push(None);
        let answer = client.try_send("DELETE", &format!("/kv/{key}"), &[], b"").ok()?;
        assert!(matches!(answer.status, 204 | 404), "{}", answer.shown());
        *possible = vec![None];
        Some(())
    }

    fn put_shared(&mut self, client: &mut Client, newest: &Newest) -> Option<()> {
        let key = format!("shared/k{}", self.draw(KEYS));
        let body = json!({"by": self.name, "filling": "kv".repeat(100)}).to_string();
        let answer = client.try_send("PUT", &format!("/kv/{key}"), &[], body.as_bytes()).ok()?;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.shown());
        let at = answer.json()["timestamp"].as_u64().unwrap();
        let mut newest = newest.lock().unwrap();
        let held = newest.entry(key).or_default();
        *held = at.max(*held);
        Some(())
    }

    /// Compares what all nodes hold with what is known.
    fn compare(&mut self, seen: &Seen) {
        for (key, possible) in &mut self.possible {
            let found = seen.get(key).map(|(_, _, value)| value.as_u64().unwrap());
            assert!(possible.contains(&found), "{key} holds {found:?} and not one of {possible:?}");
            *possible = vec![found];
        }
    }
}

fn compare(seen: &Seen, writers: &mut [Writer], newest: &Newest) {
    for writer in writers {
        writer.compare(seen);
    }
    for (key, at) in newest.lock().unwrap().iter() {
        let found = seen.get(key).map(|(_, found, _)| *found);
        assert!(
            found >= Some(*at),
            "{key}: a write of {at} was acknowledged, and all hold that of {found:?}"
        );
    }
}

fn kill_in_turn(rounds: usize) {
    let mut cluster = Cluster::formed(NODES, &[("revision_limit", "3")]);
    let mut writers: Vec<Writer> = (0..NODES * WRITERS_EACH)
        .map(|number| Writer::new(number, cluster.address(number % NODES)))
        .collect();
    let newest = Newest::default();
    for round in 0..rounds {
        // Each node in turn, at another moment each time; in every fifth round two of them.
        let mut victims = vec![round % NODES];
        if round % 5 == 3 {
            victims.push((round + 1) % NODES);
        }
        let moment = 20 + round as u64 * 53 % 400;
        let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let threads: Vec<_> = writers
                .iter_mut()
                .map(|writer| scope.spawn(|| writer.write(&over, &acknowledged, &newest)))
                .collect();
            let stop = Stop(&over);
            let more = |count: u64| {
                let enough = acknowledged.load(Ordering::Relaxed) + count;
                until_true("more writes to be acknowledged", || {
                    acknowledged.load(Ordering::Relaxed) >= enough
                        || threads.iter().any(thread::ScopedJoinHandle::is_finished)
                });
            };
            more(moment);
            for victim in &victims {
                cluster.kill(*victim);
            }
            more(50);
            for victim in &victims {
                cluster.start(*victim);
            }
            more(50);
            drop(stop);
        });
        compare(&cluster.until_equal(), &mut writers, &newest);
    }
    cluster.until_known();
    for index in 0..NODES {
        cluster.stop(index);
        let data = cluster.data_dir(index);
        cluster.sandbox().run(&["check", data.to_str().unwrap()]).expect(0);
    }
}

/// Raises a flag when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_kill_9_of_any_node_under_load() {
    kill_in_turn(ROUNDS);
}

/// Asks the nodes in turn, beginning with `first`, until one answers as wanted; `None` when none did.
fn ask_any(
    clients: &mut [Client],
    first: usize,
    method: &str,
    target: &str,
    body: &[u8],
    wanted: &[u16],
) -> Option<Value> {
    (0..clients.len()).find_map(|step| {
        let client = &mut clients[(first + step) % NODES];
        let answer = client.try_send(method, target, &[], body).ok()?;
        wanted.contains(&answer.status).then(|| answer.json())
    })
}

#[test]
fn a_rolling_restart_fails_no_read_of_a_client_that_asks_another_node_and_loses_no_write() {
    let mut cluster = Cluster::formed(NODES, &[]);
    for number in 0..20 {
        cluster.client(0).put(&format!("/kv/read/{number}?w=all"), number.to_string()).expect(201);
    }
    let addresses: Vec<SocketAddr> = (0..NODES).map(|index| cluster.address(index)).collect();
    let (over, reads, written) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for reader in 0..NODES {
            let (addresses, over, reads) = (&addresses, &over, &reads);
            threads.push(scope.spawn(move || {
                let mut clients: Vec<Client> = addresses.iter().map(|to| Client::new(*to)).collect();
                for number in 0_u64.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    let (number, target) = (number % 20, format!("/kv/read/{}", number % 20));
                    let read = ask_any(&mut clients, reader, "GET", &target, b"", &[200]);
                    assert_eq!(read.expect("a read failed on every node")["data"], number);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }));
            let written = &written;
            threads.push(scope.spawn(move || {
                let mut clients: Vec<Client> = addresses.iter().map(|to| Client::new(*to)).collect();
                for number in 0.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    let path = format!("written/{reader}/{number:06}");
                    let target = format!("/kv/{path}");
                    let put = ask_any(&mut clients, reader, "PUT", &target, b"true", &[200, 201]);
                    let put = put.expect("a write failed on every node");
                    written.lock().unwrap().push((path, put["timestamp"].as_u64().unwrap()));
                }
            }));
        }
        let stop = Stop(&over);
        let more = || {
            let (enough, count) = (reads.load(Ordering::Relaxed) + 200, written.lock().unwrap().len() + 50);
            until_true("more reads and writes to be served", || {
                reads.load(Ordering::Relaxed) >= enough && written.lock().unwrap().len() >= count
                    || threads.iter().any(thread::ScopedJoinHandle::is_finished)
            });
        };
        for index in 0..NODES {
            more();
            cluster.stop(index);
            more();
            cluster.start(index);
            cluster.until_known();
        }
        more();
        drop(stop);
    });
    let seen = cluster.until_equal();
    let written = written.into_inner().unwrap();
    let lost: Vec<_> =
        written.iter().filter(|(path, at)| seen.get(path).is_none_or(|(_, found, _)| found < at)).collect();
    assert!(lost.is_empty(), "{} of {} writes are lost: {:?}", lost.len(), written.len(), lost.first());
}

#[test]
fn a_node_that_was_away_has_neither_lost_nor_brought_back_anything() {
    let mut cluster = Cluster::formed(NODES, &[]);
    let numbers: Vec<usize> = (0..1000).collect();
    let batch = |client: &mut Client, numbers: &[usize], make: &dyn Fn(usize) -> Value| {
        for part in numbers.chunks(500) {
            let ops: Vec<Value> = part.iter().map(|number| make(*number)).collect();
            client.post("/kv/_batch?w=all", &json!({ "ops": ops })).expect(200);
        }
    };
    let path = |number: usize| format!("many/{number:05}");
    batch(
        &mut cluster.client(0),
        &numbers,
        &|number| json!({"op": "put", "path": path(number), "data": number}),
    );
    cluster.until_equal();
    // What it writes alone just before it goes is its own affair; it is not deleted.
    cluster.client(2).put("/kv/own?w=0", "1").expect(201);
    cluster.kill(2);
    let ops: Vec<Value> =
        numbers.iter().map(|number| json!({"op": "delete", "path": path(*number)})).collect();
    cluster.client(0).post("/kv/_batch?w=1", &json!({ "ops": ops })).expect(200);
    cluster.client(1).put("/kv/many/00007", "\"again\"").expect(201);
    // The others restart too, so that nothing of the deletes is in memory alone.
    for index in 0..2 {
        cluster.stop(index);
    }
    for index in 0..2 {
        cluster.start(index);
    }
    let mut shown = Value::Null;
    let kept = within(SOON, || {
        shown = cluster.client(0).get("/cluster/tombstones").expect(200).json();
        let kept = shown["blocked_by"].as_array().unwrap().iter().any(|blocker| blocker["id"] == "n2");
        (kept && shown["count"] == 999).then_some(())
    });
    let members = cluster.client(0).get("/members/").expect(200).json();
    assert!(kept.is_some(), "the tombstones are not kept for the node that is away: {shown}, {members}");
    cluster.start(2);
    cluster.until_known();
    let seen = cluster.until_equal();
    let held: Vec<&String> = seen.keys().collect();
    assert_eq!(held, ["many/00007", "own"]);
    assert_eq!(seen["many/00007"].2, "again");
}
