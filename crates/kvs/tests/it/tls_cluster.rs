//! Nodes that speak TLS with each other: who is taken for a peer, and who is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::json;

use crate::support::client::Client;
use crate::support::cluster::{alive, own_address};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::tls::{Identity, authority, borrowed, by_hand, client, config, init};
use crate::support::wait::{until, until_true};

const HTTP1: &[&str] = &["http/1.1"];

/// Nodes of one home, with one authority.
struct Nodes {
    nodes: Vec<Node>,
    trust: Arc<ClientConfig>,
    ca: PathBuf,
    sandbox: Sandbox,
}

impl Nodes {
    fn none() -> Self {
        let sandbox = Sandbox::new();
        init(&sandbox, "tls", "first", "localhost");
        let ca = authority(&sandbox, "tls");
        Self { nodes: Vec::new(), trust: config(&ca, None, HTTP1), ca, sandbox }
    }

    /// Starts one more node on this address, whose seed is the first one.
    fn add(&mut self, address: &str, identity: &Identity, client_ca: Option<&Path>) -> usize {
        let index = self.nodes.len();
        let mut lines = identity.lines(client_ca);
        lines.extend([
            ("node_id", format!("n{index}")),
            ("data_dir", format!("./data-n{index}")),
            ("bind_address", address.to_owned()),
            ("clustering_enabled", "true".to_owned()),
        ]);
        if let Some(first) = self.nodes.first() {
            lines.push(("seed_nodes", format!("[\"https://{}\"]", first.address())));
        }
        let configured = self.sandbox.configure(&format!("n{index}.yaml"), &borrowed(&lines));
        self.nodes.push(Node::start(&self.sandbox, &configured));
        index
    }

    /// The same with a certificate for its address.
    fn add_good(&mut self, client_ca: Option<&Path>) -> usize {
        let address = own_address().to_string();
        let identity = init(&self.sandbox, "tls", &format!("n{}", self.nodes.len()), &address);
        self.add(&address, &identity, client_ca)
    }

    fn client(&self, index: usize) -> Client {
        client(self.nodes[index].address(), &self.trust)
    }

    /// Waits until the first of them all know each other and take writes.
    fn until_known(&self, count: usize) {
        let expected: Vec<String> = (0..count).map(|index| format!("n{index}")).collect();
        for index in 0..count {
            let mut client = self.client(index);
            until_true(&format!("node {index} to know {expected:?}"), || {
                alive(&mut client) == expected && client.get("/health").expect(200).word("mode") == "normal"
            });
        }
    }

    fn until_holds(&self, index: usize, path: &str, value: &serde_json::Value) {
        let mut client = self.client(index);
        until_true(&format!("node {index} to hold {path}"), || client.value(path).as_ref() == Some(value));
    }
}

#[test]
fn three_nodes_replicate_over_tls_with_client_certificates() {
    let mut cluster = Nodes::none();
    let ca = cluster.ca.clone();
    for _ in 0..3 {
        cluster.add_good(Some(&ca));
    }
    cluster.until_known(3);
    for index in 0..3 {
        let answer =
            cluster.client(index).put(&format!("/kv/from/{index}?w=all&timeout=30s"), index.to_string());
        assert!(answer.status == 201, "{}", answer.shown());
    }
    for index in 0..3 {
        for from in 0..3 {
            cluster.until_holds(index, &format!("from/{from}"), &json!(from));
        }
    }
    // Certificates are exchanged under a running cluster, one node after the other.
    for index in 0..3 {
        let address = cluster.nodes[index].address();
        let before = crate::support::tls::open(address, &cluster.trust).certificate();
        init(&cluster.sandbox, "tls", &format!("n{index}"), &address.ip().to_string());
        until_true("the new certificate to hold", || {
            crate::support::tls::open(address, &cluster.trust).certificate() != before
        });
    }
    cluster.client(0).put("/kv/after?w=all&timeout=30s", "1").expect(201);
    for node in cluster.nodes {
        node.stop();
    }
}

#[test]
fn nodes_without_a_named_authority_trust_what_stands_behind_their_own_certificate() {
    let mut cluster = Nodes::none();
    for _ in 0..2 {
        cluster.add_good(None);
    }
    cluster.until_known(2);
    cluster.client(1).put("/kv/a?w=all&timeout=30s", "1").expect(201);
}

#[test]
fn calls_of_peers_need_a_client_certificate_besides_the_secret() {
    let mut cluster = Nodes::none();
    let ca = cluster.ca.clone();
    cluster.add_good(Some(&ca));
    let address = cluster.nodes[0].address();
    let call = |trust: &Arc<ClientConfig>| client(address, trust).send("POST", "/peer/v1/status", &[], b"");
    let bare = call(&cluster.trust).refused(401, "unauthorized");
    assert!(bare.word("detail").contains("client certificate"), "{}", bare.shown());
    assert!(bare.header("x-kvs-challenge").is_none() && bare.header("www-authenticate").is_some());
    // With one, the secret is asked for as ever.
    let identity = init(&cluster.sandbox, "tls", "client", "localhost");
    let known = call(&config(&ca, Some(&identity), HTTP1)).refused(401, "unauthorized");
    assert!(known.header("x-kvs-challenge").is_some(), "{}", known.shown());
    // Anything else is served without.
    cluster.client(0).get("/health").expect(200);
}

#[test]
fn a_node_of_another_authority_stays_outside_though_it_has_the_secret() {
    let mut cluster = Nodes::none();
    let ca = cluster.ca.clone();
    for _ in 0..2 {
        cluster.add_good(Some(&ca));
    }
    cluster.until_known(2);
    let address = own_address().to_string();
    let stranger = init(&cluster.sandbox, "other", "n2", &address);
    let other = authority(&cluster.sandbox, "other");
    let index = cluster.add(&address, &stranger, Some(&other));
    until("it to say why", || {
        cluster.nodes[index].said().contains("a node is not trusted over TLS").then_some(())
    });
    cluster.client(0).put("/kv/a", "1").expect(201);
    cluster.until_holds(1, "a", &json!(1));
    assert_eq!(alive(&mut cluster.client(0)), ["n0", "n1"]);
    let mut outside = client(cluster.nodes[index].address(), &config(&other, None, HTTP1));
    assert!(outside.value("a").is_none());
}

#[test]
fn a_peer_whose_certificate_is_for_another_address_or_has_expired_is_not_trusted() {
    for (hosts, end_year) in [(&["elsewhere.example"][..], 2090), (&["first.example"], 2021)] {
        let mut cluster = Nodes::none();
        let ca = cluster.ca.clone();
        let address = own_address().to_string();
        let hosts: Vec<&str> = if end_year < 2090 { vec![&address] } else { hosts.to_vec() };
        let wrong = by_hand(&cluster.sandbox, "tls", "wrong", &hosts, end_year);
        cluster.add(&address, &wrong, Some(&ca));
        let second = cluster.add_good(Some(&ca));
        until_true("the second to say why", || {
            cluster.nodes[second].said().contains("a node is not trusted over TLS")
        });
        assert_eq!(alive(&mut cluster.client(second)), Vec::<String>::new());
    }
}

#[test]
fn a_node_in_the_clear_and_one_under_tls_do_not_meet() {
    let mut cluster = Nodes::none();
    let ca = cluster.ca.clone();
    cluster.add_good(Some(&ca));
    let seed = format!("[\"{}\"]", cluster.nodes[0].address());
    let address = own_address().to_string();
    let lines = [
        ("node_id", "clear"),
        ("bind_address", address.as_str()),
        ("data_dir", "./data-clear"),
        ("clustering_enabled", "true"),
        ("seed_nodes", seed.as_str()),
    ];
    let configured = cluster.sandbox.configure("clear.yaml", &lines);
    let clear = Node::start(&cluster.sandbox, &configured);
    cluster.client(0).put("/kv/a", "1").expect(201);
    // It goes on asking, and the other one to serve.
    until_true("it to have asked", || clear.client().get("/cluster/convergence").status == 200);
    assert!(clear.client().value("a").is_none());
    assert_eq!(alive(&mut cluster.client(0)), ["n0"]);
}
