//! Who is let into a cluster and what a node does with what it should not have been sent: copies, namesakes and
//! strangers stay out; whoever holds the key and says nonsense changes nothing.

use std::path::Path;

use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::record_codec::decode;
use kvs_core::stamp::Stamp;
use kvs_protocol::call::CallKind;
use kvs_protocol::wire::page::{PageOf, PageRequest};
use kvs_protocol::wire::status::StatusRequest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::cluster::{Cluster, alive, own_address, root};
use crate::support::node::{Node, Spawned};
use crate::support::peer::Peer;
use crate::support::wait::{unix_ms, until_true};

/// The keys of a cluster whose nodes share the key file of this home.
fn keys(cluster: &Cluster) -> ClusterKeys {
    ClusterKeys::derive(&std::fs::read(cluster.sandbox().home().join(".kvs/cluster.key")).unwrap())
}

/// A peer of our own making that speaks to a node.
fn peer(cluster: &Cluster, index: usize) -> Peer {
    Peer::new(cluster.address(index), &keys(cluster), Uuid::from_u128(0xfeed))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for found in std::fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        if found.file_type().unwrap().is_dir() {
            copy_folder(&found.path(), &to.join(found.file_name()));
        } else {
            std::fs::copy(found.path(), to.join(found.file_name())).unwrap();
        }
    }
}

fn until_refused(cluster: &Cluster, config: &Path) -> String {
    Spawned::until_refused(cluster.sandbox(), config)
}

/// A configuration for a node beside those of the cluster.
fn stranger(cluster: &Cluster, name: &str, lines: &[(&str, &str)]) -> std::path::PathBuf {
    let (address, seeds) = (own_address().to_string(), format!("[\"{}\"]", cluster.address(0)));
    let data = format!("./data-{name}");
    let usual = [
        ("node_id", name),
        ("bind_address", &address),
        ("clustering_enabled", "true"),
        ("data_dir", &data),
        ("seed_nodes", &seeds),
    ];
    let usual = usual.into_iter().filter(|(key, _)| lines.iter().all(|(other, _)| key != other));
    let lines: Vec<(&str, &str)> = usual.chain(lines.iter().copied()).collect();
    cluster.sandbox().configure(&format!("{name}.yaml"), &lines)
}

/// The cluster works: its nodes know each other alone, and take and pass on writes.
fn assert_works(cluster: &Cluster, path: &str) {
    cluster.until_known();
    for index in cluster.running() {
        cluster.client(index).put(&format!("/kv/{path}/{index}?w=all"), "1").expect(201);
    }
    cluster.until_equal();
}

#[test]
fn a_second_process_on_a_data_directory_is_refused_and_the_first_goes_on() {
    let cluster = Cluster::formed(2, &[]);
    let data = cluster.data_dir(1);
    let config = stranger(&cluster, "second", &[("data_dir", data.to_str().unwrap())]);
    let said = until_refused(&cluster, &config);
    assert!(said.contains("data-n1") && said.contains("in use"), "{said}");
    assert_works(&cluster, "after");
}

#[test]
fn a_copied_data_directory_is_refused_and_the_first_goes_on() {
    let mut cluster = Cluster::formed(2, &[]);
    cluster.client(1).put("/kv/a?w=1", "1").expect(201);
    cluster.stop(1);
    copy_folder(&cluster.data_dir(1), &cluster.sandbox().folder().join("data-copy"));
    cluster.start(1);
    cluster.until_known();
    for (name, node_id) in [("copy", "n1"), ("copy", "another-name")] {
        let config = stranger(&cluster, name, &[("node_id", node_id)]);
        let said = until_refused(&cluster, &config);
        assert!(said.contains("copied") || said.contains("copy"), "{said}");
        assert_works(&cluster, node_id);
    }
}

#[test]
fn a_node_with_a_name_that_is_taken_is_refused_and_the_first_goes_on() {
    let cluster = Cluster::formed(2, &[]);
    let config = stranger(&cluster, "namesake", &[("node_id", "n1")]);
    let said = until_refused(&cluster, &config);
    assert!(said.contains("\"n1\" is taken"), "{said}");
    assert_works(&cluster, "after");
    assert_eq!(cluster.client(0).get("/health").expect(200).json()["member_count"], 2);
}

#[test]
fn a_node_with_another_secret_stays_alone_and_both_sides_say_why() {
    let cluster = Cluster::formed(2, &[("cluster_secret", "the secret of the two")]);
    cluster.client(0).put("/kv/ours?w=all", "1").expect(201);
    let config = stranger(&cluster, "stranger", &[("cluster_secret", "not the secret of the two")]);
    let stranger = Node::start(cluster.sandbox(), &config);
    // It waits for somebody to fetch from, and says why nobody comes.
    stranger.client().put("/kv/theirs", "2").refused(503, "syncing");
    until_true("its health to say why", || {
        let health = stranger.client().get("/health").expect(200).json();
        health["unreachable_seeds"][0]["reason"].as_str().is_some_and(|reason| reason.contains("secret"))
    });
    until_true("both sides to say why", || {
        let (ours, theirs) = (cluster.node(0).said(), stranger.said());
        ours.contains("a call of a node was refused") && theirs.contains("secret")
    });
    assert_works(&cluster, "after");
    assert_eq!(alive(&mut cluster.client(0)), ["n0", "n1"]);
    assert_eq!(stranger.client().get("/health").expect(200).json()["member_count"], 1);
    assert_eq!(stranger.client().value("ours"), None);
    let said = [cluster.node(0).said(), stranger.said()].concat();
    assert!(!said.contains("the secret of the two"), "a secret was printed: {said}");
}

/// What must not change, whatever a node is sent: members and root. When somebody was seen last and in which mode may: that a
/// node has nothing to fetch any more is told on at its own pace.
fn state(cluster: &Cluster) -> Value {
    let mut client = cluster.client(0);
    let mut members: Vec<Value> = client.get("/members/").expect(200).json().as_array().unwrap().clone();
    for member in &mut members {
        member["last_seen"] = Value::Null;
        member["mode"] = Value::Null;
    }
    members.sort_by_key(|member| member["id"].to_string());
    let parked = client.get("/cluster/convergence").expect(200).json()["parked"].clone();
    json!({"members": members, "root": root(&mut client, ""), "parked": parked})
}

/// Bytes that are no message of any kind.
fn garbage() -> Vec<Vec<u8>> {
    let mut random = 1_u64;
    let mut noise = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random.to_be_bytes()[0]
    };
    let mut all = vec![Vec::new(), vec![0], vec![1], vec![2], vec![255; 300], b"{}".to_vec()];
    // Beginnings that look right, and then counts and lengths of all sizes.
    for filling in [0, 1, 127, 128, 255] {
        all.push([[1].as_slice(), &[filling; 17], &[255; 40]].concat());
        all.push([[1].as_slice(), &[filling; 2000]].concat());
    }
    for length in [10, 100, 1000, 60_000] {
        all.push((0..length).map(|_| noise()).collect());
        all.push([1].into_iter().chain((0..length).map(|_| noise())).collect());
    }
    all
}

#[test]
fn nonsense_from_a_holder_of_the_key_is_refused_and_changes_nothing() {
    let cluster = Cluster::formed(2, &[]);
    cluster.client(0).put("/kv/a?w=1", "1").expect(201);
    let peer = peer(&cluster, 0);
    let before = state(&cluster);
    let mut taken = Vec::new();
    for kind in CallKind::ALL {
        for body in garbage() {
            let answer = peer.call(kind, &body);
            if (answer.status, answer.code().as_str()) != (400, "bad_message") {
                let shown: Vec<u8> = body.iter().copied().take(20).collect();
                taken.push(format!("{} of {} bytes {shown:?}: {}", kind.name(), body.len(), answer.status));
            }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
    assert_eq!(state(&cluster), before);
    assert_works(&cluster, "after");
}

#[test]
fn bodies_that_are_too_large_or_packed_are_refused_before_they_are_read() {
    let cluster = Cluster::formed(2, &[]);
    let peer = peer(&cluster, 0);
    let before = state(&cluster);
    for kind in CallKind::ALL {
        let length = 1 << 40;
        let answer = peer.call_with(kind, length, "", b"the rest never comes");
        answer.refused(413, "too_large");
        let answer = peer.call_with(kind, 4, "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00");
        answer.refused(415, "unsupported_media_type");
    }
    assert_eq!(state(&cluster), before);
    assert_works(&cluster, "after");
}

#[test]
fn messages_cut_short_are_refused_and_whole_ones_are_answered() {
    let cluster = Cluster::formed(2, &[]);
    cluster.client(0).put("/kv/a?w=1", "1").expect(201);
    let mut peer = peer(&cluster, 0);
    let page = PageRequest { of: PageOf::Recent, moment_ms: 0, after: Vec::new() }.encode();
    let status = StatusRequest { nonce: [7; 16], floor_ms: 0 }.encode();
    let before = state(&cluster);
    for (kind, whole) in [(CallKind::Page, page), (CallKind::Status, status)] {
        for length in 0..whole.len() {
            peer.call(kind, &whole[..length]).refused(400, "bad_message");
        }
        peer.call(kind, &whole).expect(200);
    }
    assert_eq!(state(&cluster), before);
    let record = peer.record("from/a-peer", Stamp::at(unix_ms()), "1");
    peer.ship(vec![record]).expect(200);
    for index in 0..2 {
        cluster.until_holds(index, "from/a-peer", Some(&json!(1)));
    }
}

#[test]
fn a_stranger_without_the_key_is_refused_at_every_door() {
    let cluster = Cluster::formed(2, &[]);
    let before = state(&cluster);
    let stranger = Peer::new(cluster.address(0), &ClusterKeys::derive(b"a guess"), Uuid::from_u128(1));
    for kind in CallKind::ALL {
        stranger.call(kind, b"\x01").refused(401, "unauthorized");
        cluster
            .client(0)
            .send("POST", &format!("/peer/v1/{}", kind.name()), &[], b"\x01")
            .refused(401, "unauthorized");
    }
    assert_eq!(state(&cluster), before);
}

#[test]
fn records_from_the_far_future_are_parked_and_an_ordinary_write_wins() {
    let mut cluster = Cluster::formed(2, &[]);
    let mut peer = peer(&cluster, 0);
    let stamps = [
        ("year-9999", Stamp { ms: 253_402_300_799_000, counter: 0 }),
        ("maximum", Stamp { ms: u64::MAX, counter: u16::MAX }),
        // What a negative number is as the bytes of a time.
        ("minus-one", Stamp { ms: u64::MAX, counter: 0 }),
        ("most-negative", Stamp { ms: 1 << 63, counter: 0 }),
        ("an-hour-ahead", Stamp { ms: unix_ms() + 3_600_000, counter: 0 }),
    ];
    let mut client = cluster.client(0);
    client.put("/kv/future/year-9999?w=1", "\"before\"").expect(201);
    let records = stamps.map(|(name, stamp)| peer.record(&format!("future/{name}"), stamp, "\"evil\""));
    let parked = u64::try_from(records.len()).unwrap();
    peer.ship(records.to_vec()).expect(200);
    let health = client.get("/health").expect(200).json();
    assert_eq!((&health["status"], &health["reasons"]), (&json!("degraded"), &json!(["records_parked"])));
    assert_eq!(client.get("/cluster/convergence").expect(200).json()["parked"], parked);
    assert_eq!(client.value("future/year-9999"), Some(json!("before")));
    for round in 0..2 {
        let mut clients = [cluster.client(round), cluster.client(1 - round)];
        for (name, _) in stamps {
            let target = format!("/kv/future/{name}?w=1");
            let status = clients[0].put(&target, format!("{round}")).status;
            assert!(matches!(status, 200 | 201), "{name}: {status}");
            for client in &mut clients {
                assert_eq!(client.value(&format!("future/{name}")), Some(json!(round)), "{name}");
            }
        }
        // They stay where they are over a restart.
        cluster.kill(0);
        cluster.start(0);
        cluster.until_known();
    }
    let health = cluster.client(0).get("/health").expect(200).json();
    assert_eq!(health["reasons"], json!(["records_parked"]));
    let seen = cluster.until_equal();
    assert_eq!(seen.len(), stamps.len());
    assert!(seen.values().all(|(_, at, value)| *value == 1 && *at <= unix_ms() + 60_000), "{seen:?}");
}

#[test]
fn a_record_from_a_clock_that_is_a_little_ahead_is_taken_and_an_ordinary_write_wins() {
    let cluster = Cluster::formed(2, &[]);
    let mut peer = peer(&cluster, 0);
    let stamp = Stamp { ms: unix_ms() + 30_000, counter: u16::MAX };
    let record = peer.record("ahead", stamp, "\"ahead\"");
    peer.ship(vec![record]).expect(200);
    for index in 0..2 {
        cluster.until_holds(index, "ahead", Some(&json!("ahead")));
    }
    let at =
        cluster.client(1).put("/kv/ahead?w=1", "\"later\"").expect(200).json()["timestamp"].as_u64().unwrap();
    assert!(at > stamp.ms, "{at}");
    assert_eq!(cluster.client(0).value("ahead"), Some(json!("later")));
    // And a delete of what is ahead holds as well.
    cluster.client(0).delete("/kv/ahead?w=1").expect(204);
    assert_eq!(cluster.until_equal().len(), 0);
}

#[test]
fn a_record_whose_content_is_not_what_it_says_is_left_out() {
    let cluster = Cluster::formed(2, &[]);
    let mut peer = peer(&cluster, 0);
    let mut damaged = peer.record("damaged", Stamp::at(unix_ms()), "\"the truth\"");
    let mut bytes = damaged.record.to_vec();
    let place = bytes.windows(5).position(|window| window == b"truth").unwrap();
    bytes[place] ^= 1;
    damaged.record = bytes.into();
    assert!(decode(damaged.namespace, &damaged.path, &damaged.record).is_err(), "nothing is damaged");
    let lying = peer.record_of("lying", Stamp::at(unix_ms()), "1", "2");
    let whole = peer.record("whole", Stamp::at(unix_ms()), "1");
    peer.ship(vec![damaged, lying, whole]).expect(200);
    for index in 0..2 {
        cluster.until_holds(index, "whole", Some(&json!(1)));
        cluster.until_holds(index, "damaged", None);
        cluster.until_holds(index, "lying", None);
    }
}
