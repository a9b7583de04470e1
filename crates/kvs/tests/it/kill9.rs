//! `kill -9` under concurrent writes, reopen, compare: no acknowledged write is lost, no refused one appears.
//!
//! Every writer owns its keys and remembers, for each, the last acknowledged state and the one write that was on its way
//! when the node died. After reopening, a key holds the one or the other; of a batch on its way, all or nothing holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::node::{Node, Spawned};
use crate::support::sandbox::Sandbox;
use crate::support::wait::until_true;

/// How often the node is killed.
const ROUNDS: u64 = 20;

/// Threads that write at once.
const WRITERS: u64 = 10;

/// Keys of each writer.
const KEYS: u64 = 12;

/// What a key holds: a number that names the write, or nothing.
type State = Option<u64>;

/// What is known of one key.
#[derive(Debug, Default, Clone)]
struct Known {
    /// The last state that was acknowledged, with its version unless it is known from the value alone.
    acknowledged: State,
    version: Option<String>,
    /// The state that an unanswered write would have made.
    on_its_way: Option<State>,
}

/// One thread that writes, over all rounds.
#[derive(Debug)]
struct Writer {
    number: u64,
    random: u64,
    writes: u64,
    keys: Vec<Known>,
    /// The keys of a batch that was not answered.
    batch_on_its_way: Vec<usize>,
}

impl Writer {
    fn new(number: u64) -> Self {
        let keys = vec![Known::default(); usize::try_from(KEYS).unwrap()];
        Self { number, random: number + 1, writes: 0, keys, batch_on_its_way: Vec::new() }
    }

    fn path(&self, key: usize) -> String {
        format!("w{}/k{key}", self.number)
    }

    /// The next number below `bound` of a sequence that is the same in every run.
    fn draw(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn draw_key(&mut self) -> usize {
        usize::try_from(self.draw(KEYS)).unwrap()
    }

    /// Writes until the connection fails. Counts acknowledged writes in `acknowledged`.
    fn write_until_it_dies(&mut self, address: SocketAddr, acknowledged: &AtomicU64) {
        let mut client = Client::new(address);
        loop {
            let went_on = match self.draw(10) {
                0..6 => self.put(&mut client),
                6..8 => self.delete(&mut client),
                _ => self.batch(&mut client),
            };
            if went_on.is_none() {
                return;
            }
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn next_value(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    fn put(&mut self, client: &mut Client) -> Option<()> {
        let (key, value) = (self.draw_key(), self.next_value());
        self.keys[key].on_its_way = Some(Some(value));
        let answer = client.try_send("PUT", &format!("/kv/{}", self.path(key)), &[], &body(value)).ok()?;
        let expected = if self.keys[key].acknowledged.is_some() { 200 } else { 201 };
        assert_eq!(answer.status, expected, "{}", answer.shown());
        self.keys[key] = Known { acknowledged: Some(value), version: Some(answer.uuid()), on_its_way: None };
        Some(())
    }

    fn delete(&mut self, client: &mut Client) -> Option<()> {
        let key = self.draw_key();
        self.keys[key].on_its_way = Some(None);
        let answer = client.try_send("DELETE", &format!("/kv/{}", self.path(key)), &[], b"").ok()?;
        let expected = if self.keys[key].acknowledged.is_some() { 204 } else { 404 };
        assert_eq!(answer.status, expected, "{}", answer.shown());
        self.keys[key] = Known::default();
        Some(())
    }

    /// Puts three neighbours at once.
    fn batch(&mut self, client: &mut Client) -> Option<()> {
        let first = self.draw_key();
        let keys: Vec<usize> = (0..3).map(|step| (first + step) % self.keys.len()).collect();
        let mut ops = Vec::new();
        let mut values = Vec::new();
        for key in &keys {
            let value = self.next_value();
            self.keys[*key].on_its_way = Some(Some(value));
            let data: Value = serde_json::from_slice(&body(value)).unwrap();
            ops.push(json!({"op": "put", "path": self.path(*key), "data": data}));
            values.push(value);
        }
        self.batch_on_its_way.clone_from(&keys);
        let text = json!({"ops": ops}).to_string();
        let answer = client.try_send("POST", "/kv/_batch", &[], text.as_bytes()).ok()?.expect(200);
        assert_eq!(answer.json()["results"].as_array().map(Vec::len), Some(3), "{}", answer.shown());
        for (key, value) in keys.into_iter().zip(values) {
            self.keys[key] = Known { acknowledged: Some(value), version: None, on_its_way: None };
        }
        self.batch_on_its_way.clear();
        Some(())
    }

    /// Compares what is stored with what is known, and takes it over as known.
    fn compare(&mut self, client: &mut Client, listed: &BTreeMap<String, Value>) {
        let mut applied = Vec::new();
        for key in 0..self.keys.len() {
            let path = self.path(key);
            let answer = client.get(&format!("/kv/{path}"));
            let read = (answer.status == 200).then(|| answer.json());
            assert_eq!(
                read.as_ref().map(|read| &read["data"]),
                listed.get(&path),
                "{path}: read and listed differ"
            );
            let found = read.as_ref().map(|read| read["data"]["write"].as_u64().unwrap());
            if let Some(found) = found {
                assert_eq!(
                    read.as_ref().unwrap()["data"],
                    serde_json::from_slice::<Value>(&body(found)).unwrap()
                );
            }
            let known = &mut self.keys[key];
            if known.on_its_way == Some(found) && known.acknowledged != found {
                applied.push(key);
            } else {
                assert_eq!(found, known.acknowledged, "{path}: an acknowledged write was lost ({known:?})");
                if let Some(version) = &known.version {
                    assert_eq!(&answer.uuid(), version, "{path}");
                }
            }
            *known = Known {
                acknowledged: found,
                version: read.map(|read| read["uuid"].as_str().unwrap().to_owned()),
                on_its_way: None,
            };
        }
        let of_batch = self.batch_on_its_way.iter().filter(|key| applied.contains(key)).count();
        assert!(
            of_batch == 0 || of_batch == self.batch_on_its_way.len(),
            "half a batch was stored: {applied:?} of {:?}",
            self.batch_on_its_way
        );
        self.batch_on_its_way.clear();
    }
}

/// The value of a write: its number, and bytes that make a torn record likely to show.
fn body(write: u64) -> Vec<u8> {
    let length = usize::try_from(write % 7 * 300).unwrap();
    json!({"write": write, "filling": "kv".repeat(length)}).to_string().into_bytes()
}

/// All keys with their values, through the listing.
fn list(client: &mut Client) -> BTreeMap<String, Value> {
    let page = client.get("/kv/_range?limit=1000").expect(200).json();
    assert_eq!(page["next"], Value::Null, "more keys than were ever written");
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| (item["path"].as_str().unwrap().to_owned(), item["data"].clone())).collect()
}

fn compare(node: &Node, writers: &mut [Writer]) {
    let mut client = node.client();
    let listed = list(&mut client);
    for writer in writers {
        writer.compare(&mut client, &listed);
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_kill_9_under_concurrent_writes() {
    let sandbox = Sandbox::new();
    let config = sandbox.configure("config.yaml", &[("revision_limit", "3")]);
    let mut writers: Vec<Writer> = (0..WRITERS).map(Writer::new).collect();
    for round in 0..ROUNDS {
        let node = Node::start(&sandbox, &config);
        compare(&node, &mut writers);
        // Another moment each time, the first ones while the store is still small.
        let enough = 20 + round * 37 % 300;
        let acknowledged = AtomicU64::new(0);
        let address = node.address();
        thread::scope(|scope| {
            let threads: Vec<_> = writers
                .iter_mut()
                .map(|writer| scope.spawn(|| writer.write_until_it_dies(address, &acknowledged)))
                .collect();
            until_true("enough writes to be acknowledged", || {
                acknowledged.load(Ordering::Relaxed) >= enough
                    || threads.iter().any(thread::ScopedJoinHandle::is_finished)
            });
            node.kill();
        });
        assert!(acknowledged.into_inner() >= enough, "a writer stopped before the node was killed");
        if round % 5 == 4 {
            kill_while_it_starts(&sandbox, &config);
        }
    }
    let node = Node::start(&sandbox, &config);
    compare(&node, &mut writers);
    node.stop();
    let data = sandbox.folder().join("data");
    sandbox.run(&["check", data.to_str().unwrap()]).expect(0);
}

/// Starts the node and kills it as soon as it has the data directory in hand.
fn kill_while_it_starts(sandbox: &Sandbox, config: &std::path::Path) {
    let mut spawned = Spawned::new(sandbox, config);
    until_true("the node to come up", || {
        assert_eq!(spawned.child.try_wait().unwrap(), None, "{}", spawned.said());
        sandbox.pid_file(config).is_some_and(|pid_file| pid_file.pid == spawned.child.id())
    });
    spawned.child.kill().unwrap();
    spawned.child.wait().unwrap();
}
