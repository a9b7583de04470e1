//! Nodes that form a cluster on this machine: one home, so one key; an address of their own each.
//!
//! Every node listens on its own address within 127.0.0.0/8 and keeps the port that it was given first. So a node comes
//! back where it was, and no outgoing connection, which begins at 127.0.0.1, can have taken its port meanwhile.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;

use crate::support::access::root_token;
use crate::support::client::{Client, encode_path};
use crate::support::directory;
use crate::support::node::{Node, Spawned};
use crate::support::sandbox::Sandbox;
use crate::support::wait::{until, until_true};

/// Counts the addresses given out by this process.
static ADDRESSES: AtomicU8 = AtomicU8::new(0);

/// An address of this machine that no other test listens on: from the process and a count.
pub(crate) fn own_address() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, low, 1 + ADDRESSES.fetch_add(1, Ordering::Relaxed) % 250)
}

/// What a key holds as clients see it: version, time, value.
pub(crate) type Seen = BTreeMap<String, (String, u64, Value)>;

/// One node, running or not.
#[derive(Debug)]
struct Place {
    config: PathBuf,
    name: String,
    lines: Vec<(String, String)>,
    namespace: Option<String>,
    /// By how many seconds its clock is ahead.
    ahead_s: Option<i64>,
    address: Option<SocketAddr>,
    node: Option<Node>,
}

/// A cluster. Its nodes are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    places: Vec<Place>,
    // Dropped after the nodes, which run in it.
    sandbox: Sandbox,
}

impl Cluster {
    /// No node yet.
    pub(crate) fn empty() -> Self {
        Self { places: Vec::new(), sandbox: Sandbox::new() }
    }

    /// This many nodes with these lines in their configurations, each of which knows all others.
    pub(crate) fn formed(count: usize, lines: &[(&str, &str)]) -> Self {
        let mut cluster = Self::empty();
        for _ in 0..count {
            cluster.add(lines);
        }
        cluster.until_known();
        cluster
    }

    /// Where it runs.
    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The place of one more node, which is not started: `n0`, `n1`, ..., with the first one as its seed.
    pub(crate) fn prepare(&mut self, lines: &[(&str, &str)]) -> usize {
        let index = self.places.len();
        let name = format!("n{index}");
        let mut all = vec![
            ("node_id".to_owned(), name.clone()),
            ("bind_address".to_owned(), own_address().to_string()),
            ("clustering_enabled".to_owned(), "true".to_owned()),
            ("data_dir".to_owned(), format!("./data-{name}")),
        ];
        if let Some(seed) = self.places.first().and_then(|first| first.address) {
            all.push(("seed_nodes".to_owned(), format!("[\"{seed}\"]")));
        }
        all.retain(|(key, _)| lines.iter().all(|(other, _)| key != other));
        all.extend(lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let place = Place {
            config: PathBuf::new(),
            name,
            lines: all,
            namespace: None,
            ahead_s: None,
            address: None,
            node: None,
        };
        self.places.push(place);
        self.configure(index);
        index
    }

    /// Starts one more node.
    pub(crate) fn add(&mut self, lines: &[(&str, &str)]) -> usize {
        let index = self.prepare(lines);
        self.start(index);
        index
    }

    /// Starts one more node in a network namespace, where it listens on this address.
    pub(crate) fn add_in(&mut self, namespace: &str, address: Ipv4Addr, lines: &[(&str, &str)]) -> usize {
        let address = address.to_string();
        // Beyond loopback nodes need a secret that was chosen.
        let own = [("bind_address", address.as_str()), ("cluster_secret", "chosen for these tests")];
        let index = self.prepare(&[&own, lines].concat());
        self.places[index].namespace = Some(namespace.to_owned());
        self.start(index);
        index
    }

    fn configure(&mut self, index: usize) {
        let place = &mut self.places[index];
        let lines: Vec<(&str, &str)> =
            place.lines.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        place.config = self.sandbox.configure(&format!("{}.yaml", place.name), &lines);
    }

    /// Changes a line of the configuration of a node, for its next start.
    pub(crate) fn set(&mut self, index: usize, key: &str, value: &str) {
        let lines = &mut self.places[index].lines;
        lines.retain(|(other, _)| other != key);
        lines.push((key.to_owned(), value.to_owned()));
        self.configure(index);
    }

    /// Starts a node, where it was if it ran before.
    pub(crate) fn start(&mut self, index: usize) {
        let place = &self.places[index];
        let node = match (&place.namespace, place.ahead_s) {
            (Some(namespace), _) => Node::start_in(&self.sandbox, &place.config, namespace),
            (None, Some(seconds)) => Node::start_ahead(&self.sandbox, &place.config, seconds),
            (None, None) => Node::start(&self.sandbox, &place.config),
        };
        self.keep_address(index, node);
    }

    /// Starts a node that may refuse to start: what it printed then.
    pub(crate) fn try_start(&mut self, index: usize) -> Result<(), String> {
        let node = Node::try_start(&self.sandbox, &self.places[index].config)?;
        self.keep_address(index, node);
        Ok(())
    }

    /// Starts a node that must not run, and waits until it has ended: what it said.
    #[track_caller]
    pub(crate) fn until_refused(&self, index: usize) -> String {
        Spawned::until_refused(&self.sandbox, &self.places[index].config)
    }

    fn keep_address(&mut self, index: usize, node: Node) {
        let address = node.address();
        self.places[index].node = Some(node);
        if self.places[index].address.replace(address) != Some(address) {
            self.set(index, "port", &address.port().to_string());
        }
    }

    /// By how many seconds the clock of a node is ahead from its next start on; `None` is the right time.
    pub(crate) fn set_clock(&mut self, index: usize, ahead_s: Option<i64>) {
        self.places[index].ahead_s = ahead_s;
    }

    /// Copies the data directory of a node, which may run, and answers where the copy lies.
    pub(crate) fn copied(&self, index: usize, name: &str) -> PathBuf {
        let copy = self.sandbox.folder().join(name);
        directory::copy(&self.data_dir(index), &copy);
        copy
    }

    /// Puts a copy in the place of the data directory of a node that does not run.
    pub(crate) fn put_back(&self, index: usize, copy: &std::path::Path) {
        assert!(self.places[index].node.is_none(), "node {index} runs");
        directory::replace(&self.data_dir(index), copy);
    }

    /// Ends all nodes that run, and checks their directories.
    pub(crate) fn stop_and_check(&mut self) {
        for index in self.running() {
            self.stop(index);
            let data = self.data_dir(index);
            self.sandbox.run(&["check", data.to_str().unwrap()]).expect(0);
        }
    }

    /// A node that runs.
    #[track_caller]
    pub(crate) fn node(&self, index: usize) -> &Node {
        self.places[index].node.as_ref().unwrap()
    }

    /// Where a node listens, or listened.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        self.places[index].address.unwrap()
    }

    /// The data directory of a node.
    pub(crate) fn data_dir(&self, index: usize) -> PathBuf {
        self.sandbox.folder().join(format!("data-{}", self.places[index].name))
    }

    /// A client of a node that runs; root's, where there are accounts.
    #[track_caller]
    pub(crate) fn client(&self, index: usize) -> Client {
        let client = self.node(index).client();
        if self.data_dir(index).join("root.token").exists() {
            return client.with_token(&root_token(&self.data_dir(index)));
        }
        client
    }

    /// Kills a node as a crash would.
    pub(crate) fn kill(&mut self, index: usize) {
        self.places[index].node.take().unwrap().kill();
    }

    /// Asks a node to end and waits until it has.
    pub(crate) fn stop(&mut self, index: usize) {
        self.places[index].node.take().unwrap().stop();
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|index| self.places[*index].node.is_some()).collect()
    }

    /// Waits until each running node is admitted, shows exactly the running ones as alive and admitted, and has
    /// nothing to fetch.
    #[track_caller]
    pub(crate) fn until_known(&self) {
        let mut expected: Vec<String> =
            self.running().into_iter().map(|index| self.places[index].name.clone()).collect();
        expected.sort();
        for index in self.running() {
            let mut client = self.client(index);
            let (mut seen, mut report) = (Vec::new(), Value::Null);
            let known = crate::support::wait::within(crate::support::wait::SOON, || {
                seen = alive(&mut client);
                report = client.get("/cluster/convergence").expect(200).json();
                (seen == expected && has_everything(&report, expected.len() - 1)).then_some(())
            });
            assert!(known.is_some(), "node {index} knows {seen:?} and not {expected:?}: {report}");
        }
    }

    /// Waits until the running nodes are equal, and checks that they are what they say: the same keys with the same
    /// versions and values. Answers these.
    #[track_caller]
    pub(crate) fn until_equal(&self) -> Seen {
        self.until_equal_within(crate::support::wait::SOON)
    }

    /// The same within a bound.
    #[track_caller]
    pub(crate) fn until_equal_within(&self, limit: std::time::Duration) -> Seen {
        let addresses: Vec<SocketAddr> = self.running().iter().map(|index| self.address(*index)).collect();
        equal_within(&addresses, limit)
    }

    /// Waits until a node holds this at a path.
    #[track_caller]
    pub(crate) fn until_holds(&self, index: usize, path: &str, expected: Option<&Value>) {
        let mut client = self.client(index);
        let target = encode_path(path);
        until_true(&format!("node {index} to hold {expected:?} at {path}"), || {
            client.value(&target).as_ref() == expected
        });
    }
}

/// Whether a node that shows this about its convergence knows where this many peers stand and has nothing to fetch: a
/// node that has begins as soon as it knows where one stands.
pub(crate) fn has_everything(report: &Value, peers: usize) -> bool {
    let told = report["peers"].as_array().unwrap().iter().filter(|peer| peer["lag_records"].is_u64());
    told.count() >= peers && report["bootstrap"].is_null()
}

/// The names of the members that a node shows as alive and admitted, in order.
pub(crate) fn alive(client: &mut Client) -> Vec<String> {
    let members = client.get("/members/").expect(200).json();
    let of = |member: &Value| member["id"].as_str().unwrap().to_owned();
    let all = members.as_array().unwrap().iter();
    let is_in = |member: &&Value| member["status"] == "alive" && !member["joined_timestamp"].is_null();
    let mut names: Vec<String> = all.filter(is_in).map(of).collect();
    names.sort();
    names
}

/// The root that a node shows, and how many values are in it.
#[track_caller]
pub(crate) fn root(client: &mut Client, query: &str) -> (String, u64) {
    let answer = until("the node to have read its records", || {
        let answer = client.get(&format!("/sync/merkle/root{query}"));
        (answer.status != 503).then_some(answer)
    });
    let json = answer.expect(200).json();
    (json["root"].as_str().unwrap().to_owned(), json["count"].as_u64().unwrap())
}

/// All that a node shows to clients.
#[track_caller]
pub(crate) fn everything(client: &mut Client) -> Seen {
    let mut seen = Seen::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/kv/_range?limit=1000{cursor}")).expect(200).json();
        for found in page["items"].as_array().unwrap() {
            let text = |name: &str| found[name].as_str().unwrap().to_owned();
            let timestamp = found["timestamp"].as_u64().unwrap();
            seen.insert(text("path"), (text("uuid"), timestamp, found["data"].clone()));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", crate::support::client::encode(next)),
            None => return seen,
        }
    }
}

/// Waits until these nodes show one root, and checks that they hold the same; see [`Cluster::until_equal`].
#[track_caller]
pub(crate) fn equal_within(addresses: &[SocketAddr], limit: std::time::Duration) -> Seen {
    let mut clients: Vec<Client> = addresses.iter().map(|address| Client::new(*address)).collect();
    let mut roots = Vec::new();
    let equal = crate::support::wait::within(limit, || {
        roots = clients.iter_mut().map(|client| root(client, "")).collect();
        roots.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    });
    let all: Vec<Seen> = clients.iter_mut().map(everything).collect();
    if equal.is_none() {
        panic!("not equal after {limit:?}: roots {roots:?}, {}", difference(&all));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "equal roots and {}", difference(&all));
    all.into_iter().next().unwrap()
}

/// Where nodes differ, in a few words.
fn difference(all: &[Seen]) -> String {
    let mut keys: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    let differs = |key: &&&String| all.iter().any(|seen| seen.get(**key) != all[0].get(**key));
    let different: Vec<&String> = keys.iter().filter(differs).copied().collect();
    let shown: Vec<String> = different
        .iter()
        .take(5)
        .map(|key| {
            let versions: Vec<_> = all
                .iter()
                .map(|seen| {
                    seen.get(*key).map(|(uuid, at, value)| {
                        let value: String = value.to_string().chars().take(40).collect();
                        format!("{uuid} {at} {value}")
                    })
                })
                .collect();
            format!("{key}: {versions:?}")
        })
        .collect();
    format!("{} keys differ: {shown:#?}", different.len())
}
