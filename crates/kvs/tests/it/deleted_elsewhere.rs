//! A value that a node drops at its peers' word stays in the history, from which it can be brought back.

use serde_json::json;

use crate::support::cluster::Cluster;
use crate::support::faketime;
use crate::support::wait::until_true;

/// Past the shortest grace, and past what clocks may differ.
const LATER_S: i64 = 2 * 3_600;

#[test]
fn what_is_dropped_at_a_peers_word_is_in_the_history_and_can_be_restored() {
    if !faketime::is_there("what is dropped at a peer's word") {
        return;
    }
    let lines = [("tombstone_grace_hours", "1"), ("sync_interval", "1"), ("catchup_interval", "1")];
    let mut cluster = Cluster::formed(3, &lines);
    for path in ["gone", "stays"] {
        cluster.client(0).put(&format!("/kv/{path}?w=all&timeout=20s"), "\"kept\"").expect(201);
    }
    let uuid = cluster.client(0).get("/kv/gone").expect(200).uuid();
    cluster.stop(2);
    let copy = cluster.copied(2, "copy");
    cluster.start(2);
    cluster.until_known();
    cluster.client(1).delete("/kv/gone?w=all&timeout=20s").expect(204);
    cluster.until_equal();
    for index in 0..3 {
        cluster.stop(index);
        cluster.set_clock(index, Some(LATER_S));
    }
    for index in 0..3 {
        cluster.start(index);
    }
    cluster.until_known();
    for index in 0..3 {
        let mut client = cluster.client(index);
        until_true("the delete to be forgotten", || {
            client.get("/cluster/tombstones").expect(200).json()["count"] == 0
        });
    }
    cluster.stop(2);
    cluster.put_back(2, &copy);
    cluster.start(2);
    cluster.until_holds(2, "gone", None);
    let history = cluster.client(2).get("/history/gone").expect(200);
    let versions = history.json();
    let dropped = versions.as_array().unwrap().iter().find(|version| version["uuid"] == uuid);
    let dropped = dropped.unwrap_or_else(|| panic!("it is not in the history: {}", history.shown()));
    assert_eq!(dropped["rule"], json!("deleted_elsewhere"), "{}", history.shown());
    cluster.client(2).send("POST", &format!("/history/gone/{uuid}/restore"), &[], b"").expect(201);
    for index in 0..3 {
        cluster.until_holds(index, "gone", Some(&json!("kept")));
        cluster.until_holds(index, "stays", Some(&json!("kept")));
    }
    cluster.until_known();
    cluster.until_equal();
    cluster.stop_and_check();
}
