//! Nodes whose clocks run ahead: what is written later, as clients saw it, wins everywhere once the clocks are right again.
//!
//! The clocks are set by libfaketime; where it is not installed these tests say that they are skipped.

use serde_json::{Value, json};

use crate::support::access::{SECRET, person};
use crate::support::cluster::Cluster;
use crate::support::faketime;
use crate::support::wait::{SOON, until, until_true, within};

const TEN_YEARS_S: i64 = 10 * 365 * 86_400;
const HOUR_S: i64 = 3_600;

/// The nodes whose clocks stay right.
const RIGHT: [usize; 2] = [0, 2];

/// Starts a node again under another clock.
fn restart_under(cluster: &mut Cluster, index: usize, ahead_s: Option<i64>) {
    cluster.stop(index);
    cluster.set_clock(index, ahead_s);
    cluster.start(index);
}

/// Writes with `?w=all`; where that was answered as done, these nodes must show the value.
#[track_caller]
fn write_to_all(cluster: &Cluster, shown_by: &[usize], index: usize, path: &str, value: &Value) -> u16 {
    let target = format!("/kv/{path}?w=all&timeout=1s");
    let answer = cluster.client(index).put(&target, value.to_string());
    if matches!(answer.status, 200 | 201) {
        for other in shown_by.iter().copied() {
            let shown = cluster.client(other).value(path);
            assert_eq!(shown.as_ref(), Some(value), "{} and on {other}", answer.shown());
        }
    }
    answer.status
}

/// Waits until all nodes that run show this.
#[track_caller]
fn until_all_show(cluster: &Cluster, path: &str, expected: Option<&Value>) {
    for index in cluster.running() {
        cluster.until_holds(index, path, expected);
    }
}

/// Waits until a node refuses writes because of its clock, and says so; how many it took before.
fn until_refused(cluster: &Cluster, index: usize, path: &str) -> usize {
    let (mut client, mut taken) = (cluster.client(index), 0);
    until_true("the node to find its clock ahead", || {
        let answer = client.put(&format!("/kv/{path}"), "\"ahead\"");
        taken += usize::from(matches!(answer.status, 200 | 201));
        (answer.status, answer.code().as_str()) == (503, "clock_ahead")
    });
    let health = client.get("/health").expect(200).json();
    assert!(health["reasons"].as_array().unwrap().contains(&json!("clock_ahead")), "{health}");
    taken
}

#[test]
fn a_node_ten_years_ahead_of_two_peers_takes_no_writes_and_later_ones_win() {
    if !faketime::is_there("a node ten years ahead of two peers") {
        return;
    }
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(0).put("/kv/k?w=all&timeout=20s", "\"first\"").expect(201);
    restart_under(&mut cluster, 1, Some(TEN_YEARS_S));
    until_refused(&cluster, 1, "k");
    for number in 0..5 {
        let status = write_to_all(&cluster, &RIGHT, 0, "k", &json!(number));
        assert!(matches!(status, 200..=202), "{status}");
    }
    restart_under(&mut cluster, 1, None);
    cluster.until_known();
    later_writes_win(&cluster);
    cluster.stop_and_check();
}

#[test]
fn what_a_node_ten_years_ahead_wrote_alone_gives_way_to_later_writes() {
    if !faketime::is_there("a node ten years ahead, alone") {
        return;
    }
    let mut cluster = Cluster::formed(3, &[]);
    cluster.client(0).put("/kv/k?w=all&timeout=20s", "\"first\"").expect(201);
    cluster.client(0).put("/kv/gone?w=all&timeout=20s", "\"first\"").expect(201);
    cluster.stop(0);
    cluster.stop(2);
    restart_under(&mut cluster, 1, Some(TEN_YEARS_S));
    for path in ["k", "gone", "own"] {
        let answer = cluster.client(1).put(&format!("/kv/{path}"), "\"ahead\"");
        assert!(matches!(answer.status, 200 | 201), "{}", answer.shown());
    }
    cluster.start(0);
    cluster.start(2);
    until_refused(&cluster, 1, "other");
    for number in 0..5 {
        write_to_all(&cluster, &RIGHT, 0, "k", &json!(number));
        write_to_all(&cluster, &RIGHT, 2, "other", &json!(number));
    }
    cluster.client(0).delete("/kv/gone").expect(204);
    restart_under(&mut cluster, 1, None);
    cluster.until_known();
    // What only the node wrote stays, under a good stamp.
    until_all_show(&cluster, "own", Some(&json!("ahead")));
    until_all_show(&cluster, "gone", None);
    later_writes_win(&cluster);
    cluster.stop_and_check();
}

#[test]
fn w_all_does_not_count_a_node_that_is_ahead_and_shows_something_else() {
    if !faketime::is_there("copies on a node ahead") {
        return;
    }
    let mut cluster = Cluster::formed(3, &[]);
    cluster.stop(0);
    cluster.stop(2);
    restart_under(&mut cluster, 1, Some(TEN_YEARS_S));
    cluster.client(1).put("/kv/k", "\"ahead\"").expect(201);
    cluster.start(0);
    cluster.start(2);
    until_refused(&cluster, 1, "other");
    let status = write_to_all(&cluster, &[0, 1, 2], 0, "k", &json!("later"));
    assert_eq!(status, 202);
}

/// Later writes on both sides show on all nodes, and `?w=all` says no more than what is so.
#[track_caller]
fn later_writes_win(cluster: &Cluster) {
    for (index, value) in [(0, "later on a"), (1, "later on b"), (2, "later on c"), (1, "last on b")] {
        let value = json!(value);
        let answer = cluster.client(index).put("/kv/k", value.to_string());
        assert!(matches!(answer.status, 200 | 201), "{}", answer.shown());
        until_all_show(cluster, "k", Some(&value));
        for number in 0..3 {
            let status = write_to_all(cluster, &[0, 1, 2], index, "k", &json!([value, number]));
            assert!(matches!(status, 200..=202), "{status}");
        }
    }
    let seen = cluster.until_equal();
    assert_eq!(seen["k"].2, json!(["last on b", 2]));
}

#[test]
fn a_subtree_that_is_closed_after_the_clock_came_right_is_closed_everywhere() {
    if !faketime::is_there("a subtree closed after a clock came right") {
        return;
    }
    let mut cluster = Cluster::formed(3, &[("auth_enabled", "true"), ("cluster_secret", SECRET)]);
    let ann = person(&mut cluster.client(0), "ann");
    cluster.client(0).put("/kv/team/x?w=all&timeout=20s", "1").expect(201);
    let open = json!({ "mode": "cdwr|cdwr|cdwr" }).to_string();
    cluster.client(0).put("/meta/team", &open).expect(200);
    let reads = |cluster: &Cluster, index: usize| {
        cluster.node(index).client().with_token(&ann.token).get("/kv/team/x").status
    };
    for index in 0..3 {
        until_true("it to be open", || reads(&cluster, index) == 200);
    }
    cluster.stop(0);
    cluster.stop(2);
    restart_under(&mut cluster, 1, Some(TEN_YEARS_S));
    cluster.client(1).put("/meta/team", &open).expect(200);
    cluster.start(0);
    cluster.start(2);
    restart_under(&mut cluster, 1, None);
    let closed = json!({ "mode": "cdwr|----|----" }).to_string();
    until("it to be closed", || (cluster.client(1).put("/meta/team", &closed).status == 200).then_some(()));
    for index in [1, 0, 2] {
        until_true("it to be closed everywhere", || reads(&cluster, index) == 404);
    }
    cluster.until_known();
    for index in 0..3 {
        assert_eq!(reads(&cluster, index), 404, "open again on {index}");
    }
}

#[test]
fn a_later_delete_and_overwrite_stay_when_the_stamps_of_a_clock_ahead_come_into_range() {
    if !faketime::is_there("a clock ahead by 40 seconds") {
        return;
    }
    let mut cluster = Cluster::formed(3, &[("max_clock_skew_ms", "2000"), ("sync_interval", "5")]);
    let paths = ["early/deleted", "early/written", "late/deleted", "late/written"];
    for path in paths {
        cluster.client(0).put(&format!("/kv/{path}?w=all&timeout=20s"), "\"first\"").expect(201);
    }
    cluster.stop(0);
    cluster.stop(2);
    restart_under(&mut cluster, 1, Some(40));
    for path in paths {
        cluster.client(1).put(&format!("/kv/{path}"), "\"ahead\"").expect(200);
    }
    cluster.start(0);
    cluster.start(2);
    let later = |cluster: &Cluster, when: &str| {
        cluster.client(0).delete(&format!("/kv/{when}/deleted")).expect(204);
        cluster.client(0).put(&format!("/kv/{when}/written"), "\"later\"").expect(200);
    };
    until_refused(&cluster, 1, "other");
    later(&cluster, "early");
    restart_under(&mut cluster, 1, None);
    until_true("the node to agree", || {
        cluster.client(1).put("/kv/agrees?w=all&timeout=1s", "1").status < 202
    });
    later(&cluster, "late");
    // Past the stamps, and what anybody parked.
    let wrong = within(std::time::Duration::from_secs(50), || {
        cluster.running().into_iter().find_map(|index| {
            let mut client = cluster.client(index);
            let values: Vec<_> = ["early/deleted", "early/written"].map(|path| client.value(path)).into();
            // On the node that was ahead they may hold until it has heard of the later ones.
            (index != 1 && values != [None, Some(json!("later"))]).then(|| format!("{index}: {values:?}"))
        })
    });
    assert_eq!(wrong, None);
    for when in ["early", "late"] {
        until_all_show(&cluster, &format!("{when}/deleted"), None);
        until_all_show(&cluster, &format!("{when}/written"), Some(&json!("later")));
    }
    cluster.until_equal();
    cluster.stop_and_check();
}

#[test]
fn a_node_that_begins_from_one_an_hour_ahead_takes_nothing_from_the_others() {
    if !faketime::is_there("beginning from a node an hour ahead") {
        return;
    }
    let mut cluster = Cluster::formed(3, &[("sync_interval", "5")]);
    let put_all = |cluster: &Cluster, index: usize, value: &str| {
        for number in 0..100 {
            let answer = cluster.client(index).put(&format!("/kv/k/{number:03}"), json!(value).to_string());
            assert!(matches!(answer.status, 200 | 201), "{}", answer.shown());
        }
    };
    put_all(&cluster, 0, "first");
    put_all(&cluster, 0, "second");
    cluster.until_equal();
    cluster.stop(0);
    cluster.stop(1);
    restart_under(&mut cluster, 2, Some(HOUR_S));
    put_all(&cluster, 2, "ahead");
    cluster.start(0);
    cluster.start(1);
    for index in 0..2 {
        let mut client = cluster.client(index);
        until_true("what is ahead to be parked", || {
            client.get("/cluster/convergence").expect(200).json()["parked"].as_u64() >= Some(100)
        });
    }
    cluster.stop(0);
    cluster.stop(1);
    let seeds = format!("[\"{}\"]", cluster.address(2));
    let added = cluster.add(&[("seed_nodes", seeds.as_str()), ("sync_interval", "5")]);
    let mut client = cluster.client(added);
    let begun = within(SOON, || {
        let health = client.get("/health").expect(200).json();
        (health["mode"] == "normal" && !health["joined_timestamp"].is_null()).then_some(())
    });
    assert!(begun.is_some(), "it has not begun: {}", client.get("/health").shown());
    cluster.start(0);
    cluster.start(1);
    let check = |cluster: &Cluster, values: &[&str]| {
        for index in 0..2 {
            let mut client = cluster.client(index);
            for number in 0..100 {
                let path = format!("k/{number:03}");
                let found = client.value(&path);
                let is_kept = values.iter().any(|value| found == Some(json!(value)));
                assert!(is_kept, "{path} on {index} is {found:?}");
                let history = client.get(&format!("/history/{path}")).expect(200);
                assert!(!history.text().contains("deleted_elsewhere"), "{path}: {}", history.shown());
                let versions = history.json().as_array().map_or(0, Vec::len);
                assert!(versions >= 2, "{path} on {index}: {}", history.shown());
            }
        }
    };
    // Several comparisons with the new one and the one ahead.
    until_true("comparisons", || {
        (0..2).all(|index| {
            let report = cluster.client(index).get("/cluster/convergence").expect(200).json();
            report["sessions"]["held"].as_u64() >= Some(3)
        })
    });
    check(&cluster, &["second", "ahead"]);
    restart_under(&mut cluster, 2, None);
    cluster.until_known();
    cluster.until_equal();
    check(&cluster, &["second", "ahead"]);
    cluster.stop_and_check();
}
