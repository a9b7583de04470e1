//! `kvs debug conflict` and what two nodes make of what it prepares: the conflict test of the README, step by step.

use serde_json::{Value, json};

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::until;

const KEY: &str = "test/conflict/data";

/// Prepares two directories in the sandbox; what was said of each.
fn prepared(sandbox: &Sandbox) -> [Value; 2] {
    let said = sandbox.run(&["debug", "conflict", "one", "two", "--json"]).expect(0).json();
    [said[0].clone(), said[1].clone()]
}

fn node(sandbox: &Sandbox, name: &str, data_dir: &str, seed: Option<&Node>) -> Node {
    let seeds = seed.map_or_else(|| "[]".to_owned(), |seed| format!("[\"{}\"]", seed.address()));
    let lines = [
        ("node_id", name),
        ("data_dir", data_dir),
        ("seed_nodes", &*seeds),
        ("clustering_enabled", "true"),
        ("log_level", "debug"),
    ];
    Node::start(sandbox, &sandbox.configure(&format!("{name}.yaml"), &lines))
}

/// The versions of the key on a node, as (uuid, rule) pairs; the current one has none.
fn versions(node: &Node) -> Vec<(String, Option<String>)> {
    let history = node.client().get(&format!("/history/{KEY}")).expect(200).json();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let version = |it: &Value| (text(&it["uuid"]).unwrap(), text(&it["rule"]));
    history.as_array().unwrap().iter().map(version).collect()
}

#[test]
fn two_nodes_that_disagree_end_with_the_older_nodes_value_and_keep_the_other() {
    let sandbox = Sandbox::new();
    let [winner, loser] = prepared(&sandbox);
    assert_eq!(
        (&winner["path"], &winner["fate"], &loser["fate"]),
        (&json!(KEY), &json!("wins"), &json!("loses"))
    );
    assert_eq!(winner["timestamp"], loser["timestamp"]);
    assert_ne!(winner["data"], loser["data"]);

    let one = node(&sandbox, "conflict1", "one", None);
    let value: Value = serde_json::from_str(winner["data"].as_str().unwrap()).unwrap();
    let before = one.client().get(&format!("/kv/{KEY}")).expect(200).json();
    assert_eq!((&before["uuid"], &before["timestamp"]), (&winner["uuid"], &winner["timestamp"]));
    assert_eq!(before["data"], value);

    let two = node(&sandbox, "conflict2", "two", Some(&one));
    let expected = |loser: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        vec![(text(&winner["uuid"]), None), (text(&loser["uuid"]), Some("older_node".to_owned()))]
    };
    for node in [&one, &two] {
        until("both versions to have met", || (versions(node) == expected(&loser)).then_some(()));
        let read = node.client().get(&format!("/kv/{KEY}")).expect(200).json();
        assert_eq!(
            (&read["data"], &read["uuid"], &read["timestamp"]),
            (&value, &winner["uuid"], &winner["timestamp"])
        );
        let kept =
            node.client().get(&format!("/history/{KEY}/{}", loser["uuid"].as_str().unwrap())).expect(200);
        assert_eq!(
            kept.json()["data"],
            serde_json::from_str::<Value>(loser["data"].as_str().unwrap()).unwrap()
        );
        until("the metric to count it", || {
            let metrics = node.client().get("/metrics").expect(200);
            metrics.text().contains("kvs_conflicts_resolved_total{rule=\"older_node\"} 1").then_some(())
        });
        until("the log to tell it", || {
            let said = node.said();
            let line = said.lines().find(|line| line.contains("conflicts were resolved"))?;
            assert!(line.contains(KEY) && line.contains("older_node"), "{line}");
            Some(())
        });
    }
    // What nodes note about themselves is in the root, too, and may still be on its way.
    until("the roots to be equal", || {
        let roots = [&one, &two].map(|node| node.client().get("/sync/merkle/root").expect(200).json());
        (roots[0] == roots[1]).then_some(())
    });
}

#[test]
fn an_ordinary_write_goes_over_a_resolved_conflict_on_both_nodes() {
    let sandbox = Sandbox::new();
    let [winner, _] = prepared(&sandbox);
    let one = node(&sandbox, "conflict1", "one", None);
    let two = node(&sandbox, "conflict2", "two", Some(&one));
    until("the conflict to be resolved", || (versions(&two).len() == 2).then_some(()));
    assert_eq!(
        two.client().get(&format!("/kv/{KEY}")).expect(200).word("uuid"),
        winner["uuid"].as_str().unwrap()
    );
    let put = until("the second node to take writes", || {
        let answer = two.client().put(&format!("/kv/{KEY}?w=1"), "\"agreed\"");
        (answer.status != 503).then_some(answer)
    });
    put.expect(200);
    for node in [&one, &two] {
        assert_eq!(node.client().value(KEY), Some(json!("agreed")));
    }
}

#[test]
fn directories_that_hold_something_are_refused_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("used/thesis.txt", "years of work");
    for dirs in [["new", "used"], ["used", "new"], ["new", "new"]] {
        let refused = sandbox.run(&["debug", "conflict", dirs[0], dirs[1]]).expect(1);
        let reason = if dirs[0] == dirs[1] { "must be different ones" } else { "used" };
        assert!(refused.stderr.contains(reason) && refused.stdout.is_empty(), "{refused:?}");
        assert!(!sandbox.folder().join("new").exists());
    }
    let found: Vec<_> = std::fs::read_dir(sandbox.folder().join("used")).unwrap().flatten().collect();
    assert_eq!(found.len(), 1);
    sandbox.run(&["debug", "conflict", "one"]).expect(2);
}
