//! Revocation: refused at once where it was said, soon on all others, and never good again, whatever happens to the nodes,
//! their connections, their clocks and their backups.
//!
//! Left out: a holder of the cluster's key that removes the record of a revocation. It can make any token by itself.

use std::path::Path;

use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::namespace::Namespace;
use kvs_core::stamp::Stamp;
use serde_json::json;
use uuid::Uuid;

use crate::support::access::{Person, SCOPES, SECRET, World, minted, person, root_token};
use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::forger::Forger;
use crate::support::network::{Network, in_network};
use crate::support::node::Node;
use crate::support::peer::Peer;
use crate::support::wait::{unix_ms, until_true};
use crate::support::wire::Wire;

/// What makes the nodes of a cluster ask for tokens.
const ASKING: [(&str, &str); 2] = [("auth_enabled", "true"), ("cluster_secret", SECRET)];

/// The number of a token.
fn number(token: &str) -> String {
    Forger::new(SECRET, token).claims()["jti"].as_str().unwrap().to_owned()
}

fn status(node: &Node, token: &str) -> u16 {
    node.client().with_token(token).get("/auth/whoami").status
}

#[track_caller]
fn assert_refused(node: &Node, tokens: &[&str]) {
    for token in tokens {
        node.client().with_token(token).get("/auth/whoami").refused(401, "unauthorized");
        node.client().with_token(token).get("/kv/a").refused(401, "unauthorized");
    }
}

#[track_caller]
fn until_refused(cluster: &Cluster, index: usize, tokens: &[&str]) {
    for token in tokens {
        until_true(&format!("node {index} to refuse the token"), || {
            status(cluster.node(index), token) == 401
        });
    }
    assert_refused(cluster.node(index), tokens);
}

/// Waits until a node takes a token.
#[track_caller]
fn until_taken(cluster: &Cluster, index: usize, token: &str) {
    until_true(&format!("node {index} to take the token"), || status(cluster.node(index), token) == 200);
}

/// A user whose tokens are revoked one by one, one who loses all at once, one who is deleted, and one who stays.
struct Four {
    single: Person,
    all: Person,
    deleted: Person,
    stays: Person,
}

impl Four {
    fn new(admin: &mut Client) -> Self {
        let mut make = |name| person(admin, name);
        Self { single: make("single"), all: make("all"), deleted: make("deleted"), stays: make("stays") }
    }

    fn revoke_single(&self, admin: &mut Client) {
        admin.delete(&format!("/auth/tokens/{}", number(&self.single.token))).expect(204);
    }

    fn revoke_all(&self, admin: &mut Client) {
        admin.delete(&format!("/auth/users/{}/tokens", self.all.uuid)).expect(204);
    }

    fn delete(&self, admin: &mut Client) {
        admin.delete(&format!("/auth/users/{}", self.deleted.uuid)).expect(204);
    }

    fn revoked(&self) -> [&str; 3] {
        [&self.single.token, &self.all.token, &self.deleted.token]
    }
}

#[test]
fn a_revoked_token_is_refused_at_once_on_every_connection_and_after_any_restart() {
    let world = World::new(&[]);
    let four = Four::new(&mut world.root());
    let mut used: Vec<Client> = four.revoked().iter().map(|token| world.bearer(token)).collect();
    used[0].put("/kv/a", "1").expect(201);
    for client in &mut used {
        client.get("/kv/a").expect(200);
    }
    let other = minted(&mut world.of(&four.single), &json!({ "scopes": ["read"] }));
    let mut root = world.root();
    four.revoke_single(&mut root);
    used[0].get("/kv/a").refused(401, "unauthorized");
    used[0].put("/kv/a", "2").refused(401, "unauthorized");
    used[1].get("/kv/a").expect(200);
    four.revoke_all(&mut root);
    used[1].get("/kv/a").refused(401, "unauthorized");
    four.delete(&mut root);
    used[2].get("/kv/a").refused(401, "unauthorized");
    // Said again, it stays; a token made afterwards is another one.
    four.revoke_single(&mut root);
    four.revoke_all(&mut root);
    let new = minted(&mut root, &json!({ "user_uuid": four.all.uuid, "scopes": SCOPES }));
    let mut world = world;
    for _ in 0..2 {
        assert_refused(world.node(), &four.revoked());
        for token in [&new, &other, &four.stays.token] {
            assert_eq!(status(world.node(), token), 200);
        }
        world = world.restarted();
    }
    world = world.crashed();
    assert_refused(world.node(), &four.revoked());
    assert_eq!(status(world.node(), &new), 200);
}

#[test]
fn the_token_of_root_can_be_revoked_and_is_replaced() {
    let world = World::new(&[]);
    let old = world.root_token().to_owned();
    world.root().delete(&format!("/auth/tokens/{}", number(&old))).expect(204);
    assert_refused(world.node(), &[&old]);
    let world = world.restarted();
    assert_refused(world.node(), &[&old]);
    assert_ne!(world.root_token(), old);
    world.root().get("/auth/users").expect(200);
    let old = world.root_token().to_owned();
    world.root().delete("/auth/users/root/tokens").expect(204);
    assert_refused(world.node(), &[&old]);
    let world = world.restarted();
    assert_refused(world.node(), &[&old]);
    world.root().get("/auth/users").expect(200);
}

#[test]
fn no_older_backup_makes_a_token_good_again() {
    let world = World::new(&[("backup_enabled", "true")]);
    let four = Four::new(&mut world.root());
    world.of(&four.stays).put("/kv/a", "1").expect(201);
    let sandbox = world.sandbox();
    let made = sandbox.run(&["backup", "--json"]).expect(0).json();
    let name = Path::new(made["file"].as_str().unwrap()).file_name().unwrap().to_owned();
    let file = sandbox.folder().join("backups").join(name);
    let mut root = world.root();
    four.revoke_single(&mut root);
    four.revoke_all(&mut root);
    four.delete(&mut root);
    world.node().ask_to_end();
    until_true("the node to end", || std::net::TcpStream::connect(world.node().address()).is_err());

    let lines = [ASKING[0], ASKING[1], ("data_dir", "restored")];
    let config = sandbox.configure("restored.yaml", &lines);
    sandbox.run(&["restore", file.to_str().unwrap(), "--config", "restored"]).expect(0);
    for _ in 0..2 {
        let node = Node::start(sandbox, &config);
        assert_refused(&node, &four.revoked());
        // Whatever was issued before is refused: what was revoked since is not in the backup.
        assert_refused(&node, &[&four.stays.token, world.root_token()]);
        let mut root = node.client().with_token(&root_token(&sandbox.folder().join("restored")));
        let user = root.get(&format!("/auth/users/{}", four.stays.uuid)).expect(200).json();
        assert_eq!(user["nickname"], "stays");
        let new = minted(&mut root, &json!({ "user_uuid": four.stays.uuid, "scopes": SCOPES }));
        node.client().with_token(&new).get("/kv/a").expect(200);
        node.stop();
    }
}

#[test]
fn a_request_that_was_begun_before_the_revocation_does_nothing_after_it() {
    let world = World::new(&[]);
    let (ann, eve) = (world.person("ann"), world.person("eve"));
    let mut root = world.root();
    let admins = json!({ "user_uuid": eve.uuid, "scopes": ["admin"] });
    let admin = minted(&mut root, &admins);
    root.put("/kv/a", "1").expect(201);
    let begun: Vec<(Wire, &str)> = [
        ("PUT /kv/b", "1", &ann.token),
        ("POST /kv/_batch", r#"{"ops":[{"op":"put","path":"b","data":1}]}"#, &ann.token),
        ("POST /kv/_get", r#"{"paths":["a"]}"#, &ann.token),
        ("POST /auth/tokens", r#"{"scopes":["read"]}"#, &ann.token),
        ("POST /auth/tokens", r#"{"scopes":["admin"],"user_uuid":"root"}"#, &admin),
        ("POST /auth/users", r#"{"nickname":"mallory"}"#, &admin),
        ("PUT /meta/a", r#"{"mode":4095}"#, &admin),
    ]
    .into_iter()
    .map(|(target, body, token)| {
        let mut wire = Wire::open(world.node().address());
        let (host, length) = (world.node().address(), body.len());
        wire.send(format!(
            "{target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ));
        // The node has looked at the token and waits for the body.
        assert_eq!(wire.answer().status, 100, "{target}");
        (wire, body)
    })
    .collect();
    root.delete(&format!("/auth/users/{}/tokens", ann.uuid)).expect(204);
    root.delete(&format!("/auth/users/{}", eve.uuid)).expect(204);
    for (mut wire, body) in begun {
        wire.send(body);
        wire.answer().refused(401, "unauthorized");
    }
    assert_eq!(root.value("b"), None);
    assert_eq!(root.get("/auth/users?nickname=mallory").expect(200).json()["users"], json!([]));
    assert_eq!(root.get("/meta/a").expect(200).json()["mode"], json!("cdwr|---r|---r"));
}

#[test]
fn a_revocation_on_one_node_holds_on_all_and_after_restarts() {
    let mut cluster = Cluster::formed(3, &ASKING);
    let four = Four::new(&mut cluster.client(0));
    for index in 0..3 {
        for token in [&four.single, &four.all, &four.deleted, &four.stays].map(|person| &person.token) {
            // No node asks another one whether a token is good.
            assert_eq!(status(cluster.node(index), token), 200);
        }
    }
    let all = |cluster: &Cluster| {
        for index in 0..3 {
            until_refused(cluster, index, &four.revoked());
            assert_eq!(status(cluster.node(index), &four.stays.token), 200);
        }
    };
    // One node is away while another one revokes.
    cluster.stop(2);
    four.revoke_single(&mut cluster.client(0));
    assert_refused(cluster.node(0), &[&four.single.token]);
    until_true("the user to be known", || {
        let user = format!("/auth/users/{}", four.deleted.uuid);
        cluster.client(1).get(&user).status == 200
    });
    four.revoke_all(&mut cluster.client(1));
    assert_refused(cluster.node(1), &[&four.all.token]);
    four.delete(&mut cluster.client(1));
    assert_refused(cluster.node(1), &[&four.deleted.token]);
    cluster.start(2);
    all(&cluster);
    for index in 0..3 {
        cluster.stop(index);
    }
    for index in 0..3 {
        cluster.start(index);
        // Alone, too: what was revoked is its own knowledge by now.
        assert_refused(cluster.node(index), &four.revoked());
    }
    cluster.kill(1);
    cluster.start(1);
    all(&cluster);
}

#[test]
fn during_a_partition_a_token_is_refused_on_this_side_and_after_healing_on_the_other() {
    in_network(
        "revocation::during_a_partition_a_token_is_refused_on_this_side_and_after_healing_on_the_other",
        3,
        |network| {
            let mut cluster = Cluster::empty();
            for index in 0..3 {
                cluster.add_in(
                    &network.namespace(index),
                    Network::address(index),
                    &[("auth_enabled", "true")],
                );
            }
            cluster.until_known();
            let four = Four::new(&mut cluster.client(0));
            for index in 0..3 {
                until_taken(&cluster, index, &four.stays.token);
                until_true("the users to be known", || {
                    let listed = cluster.client(index).get("/auth/users").expect(200).json();
                    listed["users"].as_array().unwrap().len() == 4
                });
            }
            for other in 1..3 {
                network.cut(0, other);
                network.cut(other, 0);
            }
            // Each side revokes what the other one goes on taking: nobody is asked, and nobody can be told.
            four.revoke_single(&mut cluster.client(0));
            four.delete(&mut cluster.client(0));
            four.revoke_all(&mut cluster.client(2));
            assert_refused(cluster.node(0), &[&four.single.token, &four.deleted.token]);
            assert_refused(cluster.node(2), &[&four.all.token]);
            until_refused(&cluster, 1, &[&four.all.token]);
            assert_eq!(status(cluster.node(0), &four.all.token), 200);
            assert_eq!(status(cluster.node(1), &four.single.token), 200);
            // The user is renamed and given a token where it is not known to be deleted: in vain.
            let mut other_side = cluster.client(1);
            let renamed = format!("/auth/users/{}", four.deleted.uuid);
            other_side.put(&renamed, r#"{"nickname":"renamed"}"#).expect(200);
            let late = minted(&mut other_side, &json!({ "user_uuid": four.deleted.uuid, "scopes": SCOPES }));
            assert_eq!(status(cluster.node(1), &late), 200);
            // A restart on the side that knows changes nothing.
            cluster.stop(0);
            cluster.start(0);
            assert_refused(cluster.node(0), &[&four.single.token, &four.deleted.token]);

            for other in 1..3 {
                network.heal(0, other);
                network.heal(other, 0);
            }
            for index in 0..3 {
                until_refused(&cluster, index, &four.revoked());
                until_refused(&cluster, index, &[&late]);
                assert_eq!(status(cluster.node(index), &four.stays.token), 200);
            }
        },
    );
}

/// The path of a revoked token's record.
fn place(token: &str) -> String {
    format!("revoked/{}", number(token))
}

#[test]
fn no_clock_and_no_later_record_undoes_a_revocation() {
    let address = crate::support::cluster::own_address().to_string();
    let world =
        World::new(&[("bind_address", &address), ("clustering_enabled", "true"), ("node_id", "asked")]);
    let four = Four::new(&mut world.root());
    let keys = ClusterKeys::derive(SECRET.as_bytes());
    let peer = |world: &World, node| Peer::new(world.node().address(), &keys, Uuid::from_u128(node));
    let now_ms = unix_ms();
    let day = 24 * 60 * 60 * 1000;
    let at = |ms| Stamp { ms, counter: 0 };

    // Revoked by a node whose clock is a day ahead: nothing waits for that day.
    let mut ahead = peer(&world, 0xfeed);
    let record = |peer: &mut Peer, path: &str, ms, json: &str| {
        peer.record_in(Namespace::Auth, path, at(ms), (json, json))
    };
    let json = format!(r#"{{"revoked_at":{}}}"#, now_ms + day);
    let revoked = record(&mut ahead, &place(&four.single.token), now_ms + day, &json);
    // And one whose clock is a day behind, with a record that says nothing of use.
    let behind = record(&mut ahead, &place(&four.deleted.token), now_ms - day, "null");
    ahead.ship(vec![revoked, behind]).expect(200);
    assert_refused(world.node(), &[&four.single.token, &four.deleted.token]);
    assert_eq!(world.root().get("/cluster/convergence").expect(200).json()["parked"], 0);
    four.revoke_all(&mut world.root());

    // Later versions of the same records say otherwise: in vain.
    let floors = (0..10).map(|ahead| format!("floors/{}/{:020}", four.all.uuid, now_ms / 1000 - 5 + ahead));
    let single = [&four.single, &four.deleted].map(|person| place(&person.token));
    let places: Vec<String> = single.into_iter().chain(floors).collect();
    for (later_ms, json) in [(now_ms + 2 * day, r#"{"revoked_at":0}"#), (now_ms + 3 * day, "false")] {
        let later = |path: &String| record(&mut ahead, path, later_ms, json);
        let records = places.iter().map(later).collect();
        ahead.ship(records).expect(200);
        assert_refused(world.node(), &four.revoked());
    }
    let world = world.restarted();
    assert_refused(world.node(), &four.revoked());
    assert_eq!(status(world.node(), &four.stays.token), 200);
    world.root().get("/auth/users").expect(200);
}
