//! A cluster of real nodes: how it forms, what a write on one node is on the others, how nodes join, leave and come back.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::cluster::{Cluster, everything, has_everything, own_address, root};
use crate::support::wait::{unix_ms, until, until_true};

/// Length of a uuid's text.
const UUID_CHARS: usize = 36;

#[test]
fn three_nodes_find_each_other_and_say_who_they_are() {
    let cluster = Cluster::formed(3, &[]);
    let mut lists = Vec::new();
    for index in 0..3 {
        let mut client = cluster.client(index);
        // That a node has nothing to fetch any more is told on like any other change.
        let mut rows: Vec<Value> = until("all to be shown as working normally", || {
            let members = client.get("/members/").expect(200).json();
            let rows = members.as_array().unwrap();
            rows.iter().all(|row| row["mode"] == "normal").then(|| rows.clone())
        });
        rows.sort_by_key(|row| row["id"].to_string());
        assert_eq!(rows.len(), 3, "{rows:?}");
        for (place, row) in rows.iter().enumerate() {
            assert_eq!(row["id"], format!("n{place}"));
            assert_eq!(row["address"], cluster.address(place).to_string());
            assert_eq!(row["status"], "alive");
            assert!(row["last_seen"].as_u64().unwrap().abs_diff(unix_ms()) < 120_000, "{row}");
            assert!(row["joined_timestamp"].as_u64().is_some_and(|joined| joined <= unix_ms()), "{row}");
        }
        lists.push(rows.iter().map(|row| row["joined_timestamp"].as_u64().unwrap()).collect::<Vec<_>>());
        let health = client.get("/health").expect(200).json();
        assert_eq!(health["member_count"], 3);
        assert_eq!((&health["status"], &health["mode"]), (&json!("ok"), &json!("normal")));
        assert_eq!(health["node_id"], format!("n{index}"));
        assert_eq!(health["joined_timestamp"], lists[index][index]);
        assert_eq!(health.get("reasons"), None, "{health}");
    }
    assert!(lists.iter().all(|list| *list == lists[0]), "join times differ: {lists:?}");
    assert!(
        lists[0][0] < lists[0][1] && lists[0][0] < lists[0][2] && lists[0][1] != lists[0][2],
        "{lists:?}"
    );
}

#[test]
fn a_write_on_any_node_is_on_all_nodes_as_the_same_version() {
    let cluster = Cluster::formed(3, &[]);
    for writer in 0..3 {
        let mut client = cluster.client(writer);
        let path = format!("written/on-{writer}");
        let target = format!("/kv/{path}");
        let put = client.put(&target, r#"{"first":1}"#).expect(201);
        for index in 0..3 {
            cluster.until_holds(index, &path, Some(&json!({"first": 1})));
            let read = cluster.client(index).get(&target).expect(200).json();
            assert_eq!(
                (read["uuid"].as_str(), &read["timestamp"]),
                (Some(&*put.uuid()), &put.json()["timestamp"])
            );
        }
        // Overwritten by the next node, deleted by the one after it, and created again by the first.
        let (next, last) = ((writer + 1) % 3, (writer + 2) % 3);
        cluster.client(next).put(&target, "2").expect(200);
        cluster.until_holds(last, &path, Some(&json!(2)));
        cluster.until_holds(writer, &path, Some(&json!(2)));
        cluster.client(last).delete(&target).expect(204);
        cluster.until_holds(writer, &path, None);
        cluster.until_holds(next, &path, None);
        client.put(&target, "3").expect(201);
        cluster.until_holds(next, &path, Some(&json!(3)));
        cluster.until_holds(last, &path, Some(&json!(3)));
    }
    assert_eq!(cluster.until_equal().len(), 3);
}

#[test]
fn a_batch_and_a_deleted_subtree_arrive_everywhere() {
    let cluster = Cluster::formed(2, &[]);
    let ops: Vec<Value> =
        (0..300).map(|number| json!({"op": "put", "path": format!("b/{number}"), "data": number})).collect();
    cluster.client(0).post("/kv/_batch?w=all", &json!({ "ops": ops })).expect(200);
    assert_eq!(cluster.until_equal().len(), 300);
    let ops: Vec<Value> =
        (0..100).map(|number| json!({"op": "delete", "path": format!("b/{number}")})).collect();
    cluster.client(1).post("/kv/_batch?w=1", &json!({ "ops": ops })).expect(200);
    assert_eq!(cluster.until_equal().len(), 200);
    assert!(
        everything(&mut cluster.client(0)).keys().all(|path| path.len() == 5),
        "the deleted ones are back"
    );
}

#[test]
fn a_value_expires_on_every_node_and_makes_no_root_differ() {
    // A checkpoint of the audit trail would be one more record in the roots.
    let cluster = Cluster::formed(2, &[("tamper_logging_enabled", "false")]);
    let mut client = cluster.client(0);
    client.put("/kv/stays", "1").expect(201);
    let before = cluster.until_equal();
    let root_before = root(&mut client, "");
    let written = client.put("/kv/goes?ttl=3s&w=1", "2").expect(201).json()["timestamp"].as_u64().unwrap();
    let read = cluster.client(1).get("/kv/goes").expect(200).json();
    assert_eq!(read["expires_at"].as_u64(), Some(written + 3000));
    assert_eq!(root(&mut client, ""), root_before, "a value that expires is in the root");
    for index in 0..2 {
        cluster.until_holds(index, "goes", None);
    }
    assert_eq!(cluster.until_equal(), before);
    assert_eq!(root(&mut client, ""), root_before);
    // Written again where it expired, it is a new value everywhere.
    cluster.client(1).put("/kv/goes?ttl=0&w=1", "3").expect(201);
    assert_eq!(cluster.client(0).value("goes"), Some(json!(3)));
}

#[test]
fn a_writer_waits_for_as_many_copies_as_it_asks_for() {
    let mut cluster = Cluster::formed(3, &[]);
    let mut client = cluster.client(0);
    for (query, copies) in
        [("w=local", 0), ("w=0", 0), ("w=1", 1), ("w=majority", 1), ("w=2", 2), ("w=all", 2)]
    {
        let path = query.replace('=', "-");
        client.put(&format!("/kv/{path}?{query}"), "1").expect(201);
        let holders = (1..3).filter(|index| cluster.client(*index).value(&path).is_some()).count();
        assert!(holders >= copies, "{query}: {holders} other nodes have it");
        let deleted = client.delete(&format!("/kv/{path}?{query}"));
        deleted.expect(204);
        let holders = (1..3).filter(|index| cluster.client(*index).value(&path).is_none()).count();
        assert!(holders >= copies, "{query}: {holders} other nodes have forgotten it");
    }
    cluster.kill(2);
    client.put("/kv/majority?w=majority", "1").expect(201);
    assert_eq!(cluster.client(1).value("majority"), Some(json!(1)));
    let answer = client.put("/kv/two?w=2&timeout=300ms", "1").expect(202).json();
    assert_eq!(answer["replicated"], 1, "{answer}");
    assert_eq!(client.value("two"), Some(json!(1)));
    assert!(answer["uuid"].as_str().is_some_and(|uuid| uuid.len() == UUID_CHARS), "{answer}");
    cluster.kill(1);
    let answer = client.put("/kv/alone?w=majority&timeout=300ms", "1").expect(202).json();
    assert_eq!(answer["replicated"], 0, "{answer}");
    // The writes stay, and arrive when the others are back.
    cluster.start(1);
    cluster.start(2);
    for index in 1..3 {
        cluster.until_holds(index, "alone", Some(&json!(1)));
        cluster.until_holds(index, "two", Some(&json!(1)));
    }
}

#[test]
fn equality_is_shown_for_everything_and_for_any_subtree() {
    let cluster = Cluster::formed(2, &[]);
    let mut clients = [cluster.client(0), cluster.client(1)];
    let empty = root(&mut clients[0], "");
    assert_eq!((root(&mut clients[1], ""), empty.1), (empty.clone(), 0));
    for number in 0..20 {
        clients[number % 2].put(&format!("/kv/users/{number}"), number.to_string()).expect(201);
        clients[number % 2].put(&format!("/kv/places/{number}?w=1"), "1").expect(201);
    }
    cluster.until_equal();
    for (query, count) in [("", 40), ("?prefix=users/", 20), ("?prefix=/users/1", 11), ("?prefix=nobody", 0)]
    {
        let roots = clients.each_mut().map(|client| root(client, query));
        assert_eq!(roots[0], roots[1], "{query}");
        assert_eq!(roots[0].1, count, "{query}");
        assert_eq!(roots[0].0.len(), 64);
    }
    let before =
        clients.each_mut().map(|client| [root(client, "?prefix=users/"), root(client, "?prefix=places/")]);
    clients[0].put("/kv/users/7?w=1", "\"another\"").expect(200);
    let after =
        clients.each_mut().map(|client| [root(client, "?prefix=users/"), root(client, "?prefix=places/")]);
    assert_ne!(before[0][0], after[0][0]);
    assert_eq!(before[0][1], after[0][1]);
    assert_eq!(after[0], after[1]);
    for index in 0..2 {
        let mut client = cluster.client(index);
        let report = until("the peer to be known as equal", || {
            let report = client.get("/cluster/convergence").expect(200).json();
            let peer = &report["peers"][0];
            (peer["equal"] == true && peer["lag_records"] == 0).then_some(report)
        });
        assert_eq!(report["peers"].as_array().unwrap().len(), 1);
        assert_eq!(report["peers"][0]["id"], format!("n{}", 1 - index));
        assert_eq!(report["peers"][0]["reachable"], true);
        assert!(report["peers"][0]["clock_offset_ms"].as_i64().unwrap().abs() < 10_000, "{report}");
        assert_eq!(report["sessions"]["failed"], 0, "{report}");
    }
}

#[test]
fn tombstones_are_counted_and_whoever_keeps_them_is_named() {
    let mut cluster = Cluster::formed(2, &[]);
    let mut client = cluster.client(0);
    client.put("/kv/a?w=1", "1").expect(201);
    client.put("/kv/b?w=1", "1").expect(201);
    assert_eq!(client.get("/cluster/tombstones").expect(200).json()["count"], 0);
    cluster.kill(1);
    client.delete("/kv/a").expect(204);
    client.delete("/kv/b").expect(204);
    let shown = client.get("/cluster/tombstones").expect(200).json();
    assert_eq!(shown["count"], 2, "{shown}");
    assert!(shown["oldest"].as_u64().unwrap().abs_diff(unix_ms()) < 120_000, "{shown}");
    let blocker = &shown["blocked_by"][0];
    assert_eq!((&blocker["id"], &blocker["tombstones"]), (&json!("n1"), &json!(2)), "{shown}");
    cluster.start(1);
    until_true("the node that was away to have the tombstones", || {
        let shown = client.get("/cluster/tombstones").expect(200).json();
        shown["blocked_by"].as_array().is_some_and(Vec::is_empty)
    });
    let there = cluster.client(1).get("/cluster/tombstones").expect(200).json();
    assert_eq!(there["count"], 2, "{there}");
    assert_eq!(cluster.until_equal().len(), 0);
}

#[test]
fn a_read_only_node_takes_what_peers_wrote_and_nothing_from_clients() {
    let mut cluster = Cluster::formed(1, &[]);
    let reader = cluster.add(&[("read_only", "true")]);
    cluster.until_known();
    let mut client = cluster.client(reader);
    assert_eq!(client.get("/health").expect(200).word("mode"), "read-only");
    client.put("/kv/a", "1").refused(403, "read_only");
    client.delete("/kv/a").refused(403, "read_only");
    client
        .post("/kv/_batch", &json!({"ops": [{"op": "put", "path": "a", "data": 1}]}))
        .refused(403, "read_only");
    cluster.client(0).put("/kv/a?w=1", "1").expect(201);
    assert_eq!(client.value("a"), Some(json!(1)));
    cluster.client(0).delete("/kv/a?w=1").expect(204);
    assert_eq!(client.value("a"), None);
    let members = cluster.client(0).get("/members/").expect(200).json();
    let row = members.as_array().unwrap().iter().find(|row| row["id"] == "n1").unwrap().clone();
    assert_eq!(row["mode"], "read-only", "{members}");
}

/// Whether a node of two has nothing to fetch any more.
fn is_complete(client: &mut Client) -> bool {
    has_everything(&client.get("/cluster/convergence").expect(200).json(), 1)
}

/// Puts this many values into a node, a thousand at a time.
fn fill(cluster: &Cluster, index: usize, count: usize) {
    let mut client = cluster.client(index);
    let numbers: Vec<usize> = (0..count).collect();
    for part in numbers.chunks(1000) {
        let ops: Vec<Value> = part
            .iter()
            .map(|number| json!({"op": "put", "path": format!("filled/{number:06}"), "data": {"number": number}}))
            .collect();
        client.post("/kv/_batch", &json!({ "ops": ops })).expect(200);
    }
}

#[test]
fn a_node_that_joins_fetches_everything_and_says_so() {
    let mut cluster = Cluster::formed(1, &[]);
    fill(&cluster, 0, 5000);
    cluster.client(0).delete("/kv/filled/000007").expect(204);
    let newcomer = cluster.prepare(&[("fetch_delay_ms", "200")]);
    cluster.start(newcomer);
    let mut client = cluster.client(newcomer);
    let mut was_syncing = false;
    until_true("the newcomer to work normally", || {
        let health = client.get("/health").expect(200).json();
        if health["mode"] == "syncing" {
            was_syncing = true;
            let refused = client.put("/kv/mine", "1");
            // It may have finished in between.
            if refused.status == 503 {
                assert_eq!(refused.code(), "syncing");
                assert!(refused.header("retry-after").is_some(), "{}", refused.shown());
                assert_eq!(client.get("/kv/absent").status, 404, "a node that fetches serves reads");
            }
        }
        is_complete(&mut client)
    });
    assert!(was_syncing, "the mode was never seen");
    let seen = cluster.until_equal();
    assert_eq!(seen.keys().filter(|path| path.starts_with("filled/")).count(), 4999);
    client.put("/kv/newcomer?w=1", "1");
    assert_eq!(cluster.client(0).value("newcomer"), Some(json!(1)));
}

#[test]
fn a_node_killed_while_it_fetches_goes_on_where_it_was() {
    let mut cluster = Cluster::formed(1, &[]);
    fill(&cluster, 0, 20_000);
    let newcomer = cluster.prepare(&[("fetch_delay_ms", "500")]);
    cluster.start(newcomer);
    let mut client = cluster.client(newcomer);
    let fetched = until("the newcomer to fetch", || {
        let health = client.get("/health").expect(200).json();
        assert!(!is_complete(&mut client), "it had everything before it could be killed");
        health["bootstrap"]["fetched"].as_u64().filter(|fetched| *fetched > 0)
    });
    cluster.kill(newcomer);
    cluster.set(newcomer, "fetch_delay_ms", "50");
    cluster.start(newcomer);
    let mut client = cluster.client(newcomer);
    let mut before = None;
    until_true("the newcomer to work normally", || {
        let health = client.get("/health").expect(200).json();
        if let Some(now) = health["bootstrap"]["fetched"].as_u64() {
            before.get_or_insert(now);
        }
        is_complete(&mut client)
    });
    assert!(before.is_none_or(|before| before >= fetched), "it began again: {before:?} after {fetched}");
    assert_eq!(cluster.until_equal().len(), 20_000);
}

#[test]
fn a_node_that_leaves_is_gone_at_once_and_can_come_back() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(2).put("/kv/before?w=all", "1").expect(201);
    cluster.client(2).send("POST", "/members/leave", &[], b"").expect(202);
    for index in 0..2 {
        let mut client = cluster.client(index);
        until_true("the others to see it go", || crate::support::cluster::alive(&mut client) == ["n0", "n1"]);
    }
    cluster.stop(2);
    // Two of two are all.
    cluster.client(0).put("/kv/without?w=all&timeout=20s", "2").expect(201);
    cluster.start(2);
    cluster.until_known();
    assert_eq!(cluster.until_equal().len(), 2);
}

#[test]
fn a_restarted_cluster_of_any_order_finds_itself_again() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(1).put("/kv/kept?w=2", "1").expect(201);
    let before: Vec<Value> =
        (0..3).map(|index| cluster.client(index).get("/health").json()["joined_timestamp"].clone()).collect();
    for index in 0..3 {
        cluster.stop(index);
    }
    // The seed comes last: what was known of each other must do.
    cluster.start(2);
    cluster.start(1);
    cluster.until_known();
    cluster.client(2).put("/kv/more?w=1", "2").expect(201);
    cluster.start(0);
    cluster.until_known();
    assert_eq!(cluster.until_equal().len(), 2);
    let after: Vec<Value> =
        (0..3).map(|index| cluster.client(index).get("/health").json()["joined_timestamp"].clone()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_node_that_moves_to_another_address_is_found_there() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.stop(1);
    cluster.client(0).put("/kv/missed", "1").expect(201);
    cluster.set(1, "bind_address", &own_address().to_string());
    cluster.set(1, "port", "0");
    cluster.start(1);
    cluster.until_known();
    cluster.client(2).put("/kv/more?w=all", "2").expect(201);
    assert_eq!(cluster.until_equal().len(), 2);
    let members = cluster.client(2).get("/members/").expect(200).json();
    assert!(
        members.as_array().unwrap().iter().any(|row| row["address"] == cluster.address(1).to_string()),
        "{members}"
    );
}
