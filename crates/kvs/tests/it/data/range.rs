//! `GET /kv/_range`: every parameter, and cursors through all pages, against the model in `oracle.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::oracle::{Asked, Line};
use crate::support::client::{Client, encode_path};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

/// Keys chosen for their neighbours: prefixes of each other, characters just before and after `/`, and beyond ASCII.
const KEYS: [&str; 30] = [
    "a",
    "a!",
    "a!x",
    "a/",
    "a/b",
    "a/b/c",
    "a/b/c/d",
    "a/b!",
    "a/b0",
    "a/c",
    "a0",
    "a0/x",
    "aa",
    "ab",
    "ab/c",
    "b",
    "b/a/a",
    "b/a/b",
    "b/b/a",
    "c/x",
    "c//",
    "users/jo",
    "users/jo/mail",
    "users/john",
    "users/zo\u{eb}",
    "z",
    "\u{e9}",
    "\u{e9}/x",
    "\u{ffff}",
    "\u{1f600}/y",
];

/// Stores the keys that are paths; returns them.
pub(super) fn fill(client: &mut Client) -> BTreeSet<String> {
    let keys: BTreeSet<String> =
        KEYS.iter().filter(|key| !key.ends_with('/')).map(|key| (*key).to_owned()).collect();
    for key in &keys {
        client.put(&format!("/kv/{}", encode_path(key)), json!({"of": key}).to_string()).expect(201);
    }
    // What is deleted is in no listing.
    for key in ["a/bb", "b/a", "zz"] {
        client.put(&format!("/kv/{key}"), "0").expect(201);
        client.delete(&format!("/kv/{key}")).expect(204);
    }
    keys
}

#[test]
fn every_combination_of_parameters_lists_what_the_model_lists_through_all_pages() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let keys = fill(&mut client);
    let bounds = [
        (None, None),
        (Some("a/b"), None),
        (None, Some("b/a/b")),
        (Some("a!x"), Some("users/john")),
        (Some("b"), Some("b")),
    ];
    let prefixes =
        [None, Some("a"), Some("a/"), Some("a/b/c"), Some("users/jo"), Some("\u{e9}"), Some("nothing")];
    let mut listings = 0;
    for (start_key, end_key) in bounds {
        for prefix in prefixes {
            for delimiter in [None, Some("/")] {
                for reverse in [false, true] {
                    for limit in [None, Some(1), Some(3), Some(1000)] {
                        let asked = Asked { start_key, end_key, prefix, delimiter, reverse, limit };
                        assert_eq!(asked.read(&mut client), asked.expected(&keys), "{asked:?}");
                        listings += 1;
                    }
                }
            }
        }
    }
    assert_eq!(listings, 5 * 7 * 2 * 2 * 4);
}

#[test]
fn a_listing_holds_paths_versions_and_values() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let version = client.put("/kv/a", "[1.0]").expect(201).json();
    client.put("/kv/b?ttl=1h", "2").expect(201);
    let answer = client.get("/kv/_range").expect(200);
    assert!(answer.text().contains("\"data\":[1.0]"), "{}", answer.shown());
    let page = answer.json();
    assert_eq!(page["prefixes"], json!([]));
    assert_eq!(page["next"], Value::Null);
    assert_eq!(
        page["items"][0],
        json!({"path": "a", "uuid": version["uuid"], "timestamp": version["timestamp"], "data": [1.0]})
    );
    assert_eq!(page["items"][1]["path"], "b");
    let expires_at = client.get("/kv/b").expect(200).json()["expires_at"].clone();
    assert_eq!(page["items"][1].get("expires_at"), Some(&expires_at));
    let page = client.get("/kv/_range?keys_only=true").expect(200).json();
    assert_eq!(
        page["items"][0],
        json!({"path": "a", "uuid": version["uuid"], "timestamp": version["timestamp"]})
    );
}

#[test]
fn a_page_has_100_keys_unless_told_otherwise_and_at_most_1000() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for part in 0..2 {
        let ops: Vec<Value> =
            (0..600).map(|number| json!({"op": "put", "path": format!("k/{:04}", part * 600 + number), "data": number})).collect();
        client.post("/kv/_batch", &json!({"ops": ops})).expect(200);
    }
    let count = |answer: Value| (answer["items"].as_array().unwrap().len(), answer["next"].is_string());
    assert_eq!(count(client.get("/kv/_range").expect(200).json()), (100, true));
    assert_eq!(count(client.get("/kv/_range?limit=1000").expect(200).json()), (1000, true));
    assert_eq!(count(client.get("/kv/_range?limit=1").expect(200).json()), (1, true));
    assert_eq!(client.keys().len(), 1200);
    for limit in ["0", "1001", "-1", "x", "1.5", "", "99999999999999999999"] {
        let answer = client.get(&format!("/kv/_range?limit={limit}"));
        assert_eq!(answer.status, 400, "{limit}: {}", answer.shown());
    }
    for query in
        ["cursor=x", "cursor=", "cursor=%00", "reverse=perhaps", "keys_only=2", "prefix=%ff", "start_key=%zz"]
    {
        let answer = client.get(&format!("/kv/_range?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.shown());
    }
}

#[test]
fn a_cursor_goes_on_where_it_was_however_the_keys_change() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for key in ["b", "d", "f", "h"] {
        client.put(&format!("/kv/{key}"), "0").expect(201);
    }
    for (reverse, expected) in [(false, ["e", "f"]), (true, ["e", "d"])] {
        let way = if reverse { "&reverse=true" } else { "" };
        let page = client.get(&format!("/kv/_range?limit=2{way}")).expect(200).json();
        let cursor = page["next"].as_str().unwrap().to_owned();
        let last = page["items"][1]["path"].as_str().unwrap().to_owned();
        // The key that the page ended with goes; neighbours on both sides come.
        client.delete(&format!("/kv/{last}")).expect(204);
        for key in ["c", "e", "g"] {
            client.put(&format!("/kv/{key}"), "0");
        }
        let page = client.get(&format!("/kv/_range?limit=2{way}&cursor={cursor}")).expect(200).json();
        let paths: Vec<&str> =
            page["items"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap()).collect();
        assert_eq!(paths, expected, "after {last}, reverse {reverse}");
        client.put(&format!("/kv/{last}"), "0").expect(201);
        for key in ["c", "e", "g"] {
            client.delete(&format!("/kv/{key}")).expect(204);
        }
    }
}

#[test]
fn an_empty_store_lists_nothing() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let page = node.client().get("/kv/_range?delimiter=/").expect(200).json();
    assert_eq!(page, json!({"items": [], "prefixes": [], "next": null}));
}

#[test]
fn a_listing_of_large_values_comes_in_pages_that_can_be_read() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let value = format!("\"{}\"", "v".repeat(900_000));
    let keys: BTreeSet<String> = (0..25).map(|number| format!("large/{number:02}")).collect();
    for key in &keys {
        client.put(&format!("/kv/{key}"), &value).expect(201);
    }
    let asked = Asked { limit: Some(1000), ..Asked::default() };
    let expected: Vec<Line> = keys.iter().cloned().map(Line::Key).collect();
    assert_eq!(asked.read(&mut client), expected);
}

#[test]
fn a_page_is_of_one_moment() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let pairs = |number: u64| {
        let ops: Vec<Value> =
            (0..10).map(|key| json!({"op": "put", "path": format!("m/{key}"), "data": number})).collect();
        json!({"ops": ops})
    };
    node.client().post("/kv/_batch", &pairs(0)).expect(200);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = node.client();
            for number in 1..=100 {
                client.post("/kv/_batch", &pairs(number)).expect(200);
            }
        });
        let mut client = node.client();
        while !writer.is_finished() {
            let page = client.get("/kv/_range?prefix=m/").expect(200).json();
            let items = page["items"].as_array().unwrap();
            assert_eq!(items.len(), 10);
            let first = &items[0]["data"];
            assert!(items.iter().all(|item| &item["data"] == first), "half a batch is visible: {page}");
        }
    });
}
