//! A network of its own for a test: a namespace for each node, and a hub between them that can be told to lose packets.
//!
//! The test runs itself again inside the hub, so that it reaches all nodes while they may not reach each other. Nothing
//! of this is visible outside: the namespaces are connected to each other alone. They are named after the process that
//! made them, and are removed with whatever is in them; those of processes that are gone are removed by the next test.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::pid_file::runs;

/// Tells the second process where it is.
const VARIABLE: &str = "KVS_TEST_NETWORK";

/// What the names of all namespaces begin with.
const PREFIX: &str = "kvst";

/// Networks made by this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A network, for whoever runs in its hub.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
}

/// Runs `body` in a network with this many nodes, or says why it does not. `test` is the path of the calling test.
pub(crate) fn in_network(test: &str, nodes: usize, body: impl FnOnce(&Network)) {
    if let Ok(name) = std::env::var(VARIABLE) {
        return body(&Network { name });
    }
    let network = match Made::new(nodes) {
        Ok(network) => network,
        Err(error) => {
            eprintln!("{test} was skipped: this machine makes no network namespaces here ({error})");
            return;
        }
    };
    let output = Command::new("ip")
        .args(["netns", "exec", &network.0.hub()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(VARIABLE, &network.0.name)
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "in its network: {said}");
}

impl Network {
    /// The namespace of a node.
    pub(crate) fn namespace(&self, index: usize) -> String {
        format!("{}n{index}", self.name)
    }

    /// The address of a node.
    pub(crate) fn address(index: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, u8::try_from(index).unwrap(), 2)
    }

    fn hub(&self) -> String {
        format!("{}hub", self.name)
    }

    /// Loses all packets from one node to another from now on. The other way stays open.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        self.rule("add", from, to);
    }

    /// Takes a [`Self::cut`] back.
    pub(crate) fn heal(&self, from: usize, to: usize) {
        self.rule("del", from, to);
    }

    fn rule(&self, change: &str, from: usize, to: usize) {
        let (from, to) = (Self::address(from).to_string(), Self::address(to).to_string());
        ip(&["rule", change, "from", &from, "to", &to, "blackhole"])
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}

/// A network that is removed when this is dropped.
struct Made(Network);

impl Made {
    fn new(nodes: usize) -> io::Result<Self> {
        remove_left_over();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let made = Self(Network { name: format!("{PREFIX}{}-{count}", std::process::id()) });
        let hub = made.0.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "set", "lo", "up"])?;
        for index in 0..nodes {
            let (node, inside) = (made.0.namespace(index), format!("to-n{index}"));
            let address = |host: u8| format!("10.77.{index}.{host}");
            let with_length = |host: u8| format!("{}/24", address(host));
            ip(&["netns", "add", &node])?;
            ip(&["-n", &node, "link", "set", "lo", "up"])?;
            ip(&["-n", &node, "link", "add", "hub", "type", "veth", "peer", "name", &inside, "netns", &hub])?;
            ip(&["-n", &node, "addr", "add", &with_length(2), "dev", "hub"])?;
            ip(&["-n", &hub, "addr", "add", &with_length(1), "dev", &inside])?;
            ip(&["-n", &hub, "link", "set", &inside, "up"])?;
            ip(&["-n", &node, "link", "set", "hub", "up"])?;
            ip(&["-n", &node, "route", "add", "default", "via", &address(1)])?;
        }
        ip(&["netns", "exec", &hub, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        remove(&self.0.name);
    }
}

/// Removes the namespaces whose names begin so.
fn remove(name: &str) {
    for namespace in namespaces().into_iter().filter(|namespace| namespace.starts_with(name)) {
        if let Err(error) = ip(&["netns", "del", &namespace]) {
            eprintln!("{namespace} could not be removed: {error}");
        }
    }
}

fn remove_left_over() {
    for namespace in namespaces() {
        let pid = namespace.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if pid.is_some_and(|pid: u32| !runs(pid)) {
            remove(&namespace);
        }
    }
}

fn namespaces() -> Vec<String> {
    let listed = ip(&["netns", "list"]).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let names = listed.unwrap_or_default();
    names.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Runs `ip` of iproute2.
fn ip(arguments: &[&str]) -> io::Result<Output> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("ip {}: {said}", arguments.join(" "))))
}
