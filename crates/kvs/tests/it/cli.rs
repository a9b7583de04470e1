//! The commands that talk to a running node: one key, listings, history, import and export, for people and programs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::client::{Client, encode_path};
use crate::support::finished::Finished;
use crate::support::node::Node;
use crate::support::sandbox::{KVS, Sandbox};
use crate::support::wait::until_true;

/// A sandbox whose folder holds the configuration of a running node.
fn running() -> (Sandbox, Node) {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    (sandbox, node)
}

/// The cities that the tests import.
fn cities() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cities.jsonl")
}

#[test]
fn one_key_is_written_read_listed_and_deleted() {
    let (sandbox, node) = running();
    let created = sandbox.run(&["put", "users/jo", "{\"age\": 7.0}"]).expect(0);
    assert!(created.stdout.contains("created") && created.stdout.contains("users/jo"), "{created:?}");
    let replaced = sandbox.run(&["put", "users/jo", "{\"age\": 8.0}", "--json"]).expect(0).json();
    let read = node.client().get("/kv/users/jo").expect(200).json();
    assert_eq!(
        (&replaced["effect"], &replaced["uuid"], &replaced["timestamp"]),
        (&json!("replaced"), &read["uuid"], &read["timestamp"])
    );
    assert_eq!(sandbox.run(&["get", "users/jo"]).expect(0).stdout, "{\"age\": 8.0}\n");
    assert_eq!(sandbox.run(&["get", "users/jo", "--json"]).expect(0).json(), read);
    let listed = sandbox.run(&["ls", "users/"]).expect(0);
    assert_eq!(listed.stdout, "users/jo\t{\"age\": 8.0}\n");
    assert_eq!(sandbox.run(&["rm", "users/jo", "--json"]).expect(0).json(), json!({"deleted": 1}));
    for missing in [&["get", "users/jo"][..], &["rm", "users/jo"], &["history", "never"]] {
        let finished = sandbox.run(missing).expect(1);
        assert!(finished.stdout.is_empty() && finished.stderr.lines().count() == 1, "{finished:?}");
    }
}

#[test]
fn a_value_comes_from_an_argument_a_file_or_standard_input() {
    let (sandbox, node) = running();
    let value = "{ \"text\" : \"\u{e9}\\n\" }";
    sandbox.write("value.json", value);
    sandbox.run(&["put", "argument", value]).expect(0);
    sandbox.run(&["put", "file", "@value.json"]).expect(0);
    sandbox.run_with(&["put", "input"], value.as_bytes()).expect(0);
    sandbox.run_with(&["put", "dash", "-"], value.as_bytes()).expect(0);
    for key in ["argument", "file", "input", "dash"] {
        let read = node.client().get(&format!("/kv/{key}")).expect(200);
        assert!(read.text().contains(&format!("\"data\":{value}")), "{key}: {}", read.shown());
        assert_eq!(sandbox.run(&["get", key]).expect(0).stdout, format!("{value}\n"));
    }
    sandbox.run(&["put", "bad", "{"]).expect(2);
    sandbox.run(&["put", "bad", "@none.json"]).expect(1);
    sandbox.run(&["put", "a//b", "1"]).expect(2);
    assert_eq!(node.client().value("bad"), None);
}

#[test]
fn conditions_and_lifetimes_are_passed_on() {
    let (sandbox, node) = running();
    sandbox.run(&["put", "a", "1", "--if-none-match", "--ttl", "1h"]).expect(0);
    assert!(node.client().get("/kv/a").expect(200).json()["expires_at"].is_u64());
    sandbox.run(&["put", "a", "2", "--if-none-match"]).expect(1);
    let uuid = node.client().get("/kv/a").expect(200).uuid();
    sandbox.run(&["put", "a", "3", "--if-match", &uuid]).expect(0);
    sandbox.run(&["put", "a", "4", "--if-match", &uuid]).expect(1);
    sandbox.run(&["rm", "a", "--if-match", &uuid]).expect(1);
    assert_eq!(node.client().value("a"), Some(json!(3)));
    sandbox.run(&["put", "a", "4", "--ttl", "soon"]).expect(2);
    let uuid = node.client().get("/kv/a").expect(200).uuid();
    sandbox.run(&["rm", "a", "--if-match", &uuid]).expect(0);
}

#[test]
fn keys_of_all_kinds_are_taken_as_they_are_typed() {
    let (sandbox, node) = running();
    let keys = ["a b", "caf\u{e9}", "100%", "a%2Fb", "?q=1#x", "\u{1f600}/x", "-dash", "a+b"];
    for key in keys {
        sandbox.run(&["put", "--", key, "1"]).expect(0);
        assert_eq!(node.client().value(&encode_path(key)), Some(json!(1)), "{key}");
        assert_eq!(sandbox.run(&["get", "--", key]).expect(0).stdout, "1\n");
    }
    let listed = sandbox.run(&["ls", "-r", "--keys-only"]).expect(0);
    let listed: BTreeSet<&str> = listed.stdout.lines().collect();
    assert_eq!(listed, BTreeSet::from(keys));
}

#[test]
fn a_listing_folds_like_a_directory_and_goes_through_all_pages() {
    let (sandbox, node) = running();
    let mut client = node.client();
    for part in 0..3 {
        let ops: Vec<Value> = (0..1000)
            .map(|number| json!({"op": "put", "path": format!("many/{part}/{number:03}"), "data": number}))
            .collect();
        client.post("/kv/_batch", &json!({ "ops": ops })).expect(200);
    }
    client.put("/kv/single", "1").expect(201);
    assert_eq!(sandbox.run(&["ls", "-k"]).expect(0).stdout, "many/\nsingle\n");
    assert_eq!(sandbox.run(&["ls", "many/", "-k"]).expect(0).stdout, "many/0/\nmany/1/\nmany/2/\n");
    assert_eq!(sandbox.run(&["ls", "-r", "-k"]).expect(0).stdout.lines().count(), 3001);
    assert_eq!(sandbox.run(&["ls", "-r", "-k", "--limit", "1500"]).expect(0).stdout.lines().count(), 1500);
    let lines = sandbox.run(&["ls", "--json"]).expect(0).json_lines();
    assert_eq!(lines[0], json!({"prefix": "many/"}));
    assert_eq!((&lines[1]["path"], &lines[1]["data"]), (&json!("single"), &json!(1)));
    assert_eq!(sandbox.run(&["rm", "-r", "many", "--json"]).expect(0).json(), json!({"deleted": 3000}));
    assert_eq!(client.keys(), ["single"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (sandbox, node) = running();
    let ops: Vec<Value> = (0..1000)
        .map(|number| json!({"op": "put", "path": format!("k/{number}"), "data": "x".repeat(500)}))
        .collect();
    node.client().post("/kv/_batch", &json!({ "ops": ops })).expect(200);
    for arguments in [&["ls", "-r"][..], &["export"]] {
        let mut child = sandbox
            .kvs(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    }
}

#[test]
fn versions_are_listed_shown_and_brought_back() {
    let (sandbox, node) = running();
    let first = node.client().put("/kv/a", "{\"v\": 1.0}").expect(201).uuid();
    let second = node.client().put("/kv/a", "2").expect(200).uuid();
    let listed = sandbox.run(&["history", "a"]).expect(0);
    let rows: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((rows[0][0], rows[1][0]), (second.as_str(), first.as_str()), "{listed:?}");
    assert_eq!(
        sandbox.run(&["history", "a", "--json"]).expect(0).json(),
        node.client().get("/history/a").expect(200).json()
    );
    let shown = sandbox.run(&["history", "a", "--show", &first]).expect(0);
    assert!(shown.stdout.contains("{\"v\": 1.0}"), "{shown:?}");
    let restored = sandbox.run(&["history", "a", "--restore", &first, "--json"]).expect(0).json();
    assert_eq!(node.client().get("/kv/a").expect(200).uuid(), restored["uuid"].as_str().unwrap());
    assert_eq!(sandbox.run(&["get", "a"]).expect(0).stdout, "{\"v\": 1.0}\n");
    sandbox.run(&["history", "a", "--restore", "00000000-0000-4000-8000-000000000000"]).expect(1);
}

/// What expired and what it was carry one uuid in the history; the command means what it was.
#[test]
fn an_expired_value_is_shown_and_brought_back() {
    let (sandbox, node) = running();
    let version = node.client().put("/kv/a?ttl=1s", "{\"v\": 1.0}").expect(201).uuid();
    until_true("it to expire", || node.client().get("/history/a").expect(200).json()[0]["op"] == "expire");
    let shown = sandbox.run(&["history", "a", "--show", &version]).expect(0);
    assert!(shown.stdout.contains("{\"v\": 1.0}"), "{shown:?}");
    sandbox.run(&["history", "a", "--restore", &version]).expect(0);
    assert_eq!(sandbox.run(&["get", "a"]).expect(0).stdout, "{\"v\": 1.0}\n");
    // A tombstone has no value, and the command says so.
    node.client().delete("/kv/a").expect(204);
    let deleted = node.client().get("/history/a").expect(200).json()[0]["uuid"].as_str().unwrap().to_owned();
    for option in ["--show", "--restore"] {
        let refused = sandbox.run(&["history", "a", option, &deleted]).expect(1);
        assert!(refused.all().contains("no value"), "{refused:?}");
    }
}

#[test]
fn the_node_is_found_by_argument_variable_and_configuration() {
    let (sandbox, node) = running();
    node.client().put("/kv/a", "1").expect(201);
    let elsewhere = sandbox.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let from = |arguments: &[&str], url: Option<&str>| {
        let mut command = sandbox.kvs(arguments);
        command.current_dir(&elsewhere);
        if let Some(url) = url {
            command.env("KVS_URL", url);
        }
        Finished::of(command, b"")
    };
    let url = node.url();
    from(&["get", "a", "--url", &url], None).expect(0);
    from(&["get", "a", "--url", url.trim_start_matches("http://")], Some("http://127.0.0.1:1")).expect(0);
    from(&["get", "a"], Some(&url)).expect(0);
    from(&["get", "a", "--config", "../config"], None).expect(0);
    let gone = from(&["get", "a", "--url", "http://127.0.0.1:1"], None).expect(3);
    assert!(gone.stderr.contains("127.0.0.1:1"), "{gone:?}");
    from(&["get", "a", "--url", "ftp://x"], None).expect(2);
    from(&["get", "a", "--config", "none"], None).expect(1);
}

#[test]
fn cities_are_imported_under_keys_from_their_fields_and_counted() {
    let (sandbox, node) = running();
    let cities = cities();
    let cities = cities.to_str().unwrap();
    let template = "cities/{country}/{admin1}/{name}";
    let report = sandbox.run(&["import", cities, "--key", template, "--json"]).expect(0).json();
    let lines = std::fs::read_to_string(cities).unwrap();
    let mut keys = BTreeSet::new();
    let (mut slashes, mut empty) = (0, 0);
    for line in lines.lines() {
        let city: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| city[name].as_str().unwrap().to_owned();
        slashes += ["country", "admin1", "name"].iter().filter(|name| field(name).contains('/')).count();
        empty += ["country", "admin1", "name"].iter().filter(|name| field(name).is_empty()).count();
        let part = |name: &str| match field(name) {
            text if text.is_empty() => "-".to_owned(),
            text => text.replace('/', "%2F"),
        };
        keys.insert(format!("cities/{}/{}/{}", part("country"), part("admin1"), part("name")));
    }
    let total = lines.lines().count();
    assert_eq!(report["lines"], total);
    assert_eq!(report["created"], keys.len());
    assert_eq!(report["replaced"], total - keys.len());
    assert_eq!(report["duplicate_keys"], total - keys.len());
    assert_eq!(report["escaped_fields"], slashes);
    assert_eq!(report["empty_fields"], empty);
    assert_eq!(
        (&report["refused"], &report["skipped"], &report["unsent"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert!(total > keys.len() && slashes > 0 && empty > 0, "the fixture has lost its traps");
    assert_eq!(node.client().keys(), keys.into_iter().collect::<Vec<_>>());
    // Each value is its line, byte for byte.
    let first = lines.lines().next().unwrap();
    assert_eq!(sandbox.run(&["get", "cities/AD/03/Vila"]).expect(0).stdout, format!("{first}\n"));
    // Again: the same keys, each replaced.
    let again = sandbox.run(&["import", cities, "--key", template, "--json"]).expect(0).json();
    assert_eq!((&again["created"], &again["replaced"]), (&json!(0), &json!(total)));
}

#[test]
fn repeated_keys_follow_the_rule_that_was_asked_for() {
    let (sandbox, node) = running();
    sandbox.write(
        "lines.jsonl",
        "{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":2}\n{\"k\":\"a\",\"n\":3}\n{\"k\":\"a\",\"n\":4}\n",
    );
    let mut client = node.client();
    let mut import = |prefix: &str, rule: &str| {
        let template = format!("{prefix}/{{k}}");
        let report = sandbox
            .run(&["import", "lines.jsonl", "--key", &template, "--on-duplicate", rule, "--json"])
            .expect(0)
            .json();
        let stored: Vec<(String, Value)> = client
            .keys()
            .into_iter()
            .filter(|key| key.starts_with(prefix))
            .map(|key| (key.clone(), client.value(&encode_path(&key)).unwrap()["n"].clone()))
            .collect();
        (report, stored)
    };
    let pairs = |pairs: &[(&str, u64)]| {
        pairs.iter().map(|(key, n)| ((*key).to_owned(), json!(n))).collect::<Vec<_>>()
    };
    let (report, stored) = import("o", "overwrite");
    assert_eq!(stored, pairs(&[("o/a", 4), ("o/b", 2)]));
    assert_eq!(
        (&report["created"], &report["replaced"], &report["duplicate_keys"]),
        (&json!(2), &json!(2), &json!(2))
    );
    let (report, stored) = import("n", "number");
    assert_eq!(stored, pairs(&[("n/a", 1), ("n/a~2", 3), ("n/a~3", 4), ("n/b", 2)]));
    assert_eq!((&report["created"], &report["numbered"]), (&json!(4), &json!(2)));
    let (report, stored) = import("s", "skip");
    assert_eq!(stored, pairs(&[("s/a", 1), ("s/b", 2)]));
    assert_eq!((&report["created"], &report["skipped"]), (&json!(2), &json!(2)));
    // With overwrite, the earlier lines are in the key's history.
    let versions = node.client().get("/history/o/a").expect(200).json();
    assert_eq!(versions.as_array().unwrap().len(), 3);
}

#[test]
fn a_line_that_cannot_be_stored_is_told_and_the_others_go_on() {
    let (sandbox, node) = running();
    let lines = [
        "{\"k\":\"good\"}",
        "not json",
        "",
        "[1]",
        "{\"k\":[1]}",
        "{\"k\":\"..\"}",
        "{\"k\":\"x\",\"v\":1e999}",
        "{\"k\":\"a\",\"k\":\"b\"}",
        "{\"k\":\"also good\"}",
        "{\"k\":\"_reserved\"}",
        "{\"k\":\"tab\\t\"}",
    ];
    sandbox.write("lines.jsonl", &lines.join("\n"));
    let finished = sandbox
        .run(&["import", "lines.jsonl", "--key", "{k}", "--errors", "errors.jsonl", "--json"])
        .expect(1);
    let report = finished.json();
    assert_eq!(
        (&report["lines"], &report["created"], &report["blank"], &report["refused"]),
        (&json!(11), &json!(2), &json!(1), &json!(8))
    );
    let errors = std::fs::read_to_string(sandbox.folder().join("errors.jsonl")).unwrap();
    let told: Vec<u64> = errors
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [2, 4, 5, 6, 7, 8, 10, 11]);
    for line in told {
        assert!(finished.stderr.contains(&format!("line {line}")), "{finished:?}");
    }
    assert_eq!(node.client().keys(), ["also good", "good"]);
    let report =
        sandbox.run(&["import", "lines.jsonl", "--key", "dry/{k}", "--dry-run", "--json"]).expect(1).json();
    assert_eq!(
        (&report["created"], &report["unsent"], &report["refused"]),
        (&json!(0), &json!(3), &json!(7))
    );
    assert_eq!(node.client().keys().len(), 2, "a dry run has written");
    for template in ["no field", "{k}{k}", "{k", "a//{k}"] {
        sandbox.run(&["import", "lines.jsonl", "--key", template]).expect(2);
    }
}

/// What a client sees of every key: value bytes and whether it expires.
fn contents(client: &mut Client) -> Vec<(String, String, bool)> {
    let keys = client.keys();
    let read = |key: String| {
        let answer = client.get(&format!("/kv/{}", encode_path(&key))).expect(200);
        let (_, rest) = answer.text().split_once("\"data\":").unwrap();
        let data = rest.split(",\"expires_at\":").next().unwrap().trim_end_matches('}').to_owned();
        (key, data, answer.json().get("expires_at").is_some())
    };
    keys.into_iter().map(read).collect()
}

#[test]
fn an_export_imported_into_a_second_node_makes_an_equal_one() {
    let (sandbox, node) = running();
    let other_config =
        sandbox.configure("other.yaml", &[("data_dir", "other-data"), ("default_ttl", "\"1h\"")]);
    let other = Node::start(&sandbox, &other_config);
    let cities = cities();
    sandbox
        .run(&[
            "import",
            cities.to_str().unwrap(),
            "--key",
            "cities/{country}/{name}",
            "--on-duplicate",
            "number",
        ])
        .expect(0);
    let mut client = node.client();
    client.put("/kv/odd/%25%20%C3%A9", "{ \"n\":1.00,\"n\":2 }").expect(201);
    client.put("/kv/odd/null", "null").expect(201);
    client.put("/kv/odd/envelope", "{\"data\":{\"data\":1,\"ttl\":\"1h\"},\"ttl\":\"2h\"}").expect(201);
    client.put("/kv/odd/deep", format!("{}{}", "[".repeat(128), "]".repeat(128))).expect(201);

    // To a file, by a pipe, and a subtree.
    let report = sandbox.run(&["export", "-o", "all.jsonl", "--json"]).expect(0);
    let counted: Value = serde_json::from_str(&report.stderr).unwrap();
    let keys = node.client().keys().len();
    assert_eq!(counted["keys"], keys);
    let file = std::fs::read_to_string(sandbox.folder().join("all.jsonl")).unwrap();
    assert_eq!(file.lines().count(), keys);
    let imported = sandbox.run(&["import", "all.jsonl", "--url", &other.url(), "--json"]).expect(0).json();
    assert_eq!((&imported["created"], &imported["refused"]), (&json!(keys), &json!(0)));
    assert_eq!(contents(&mut other.client()), contents(&mut node.client()));

    other.client().delete("/kv/odd?recursive=true").expect(200);
    let piped = format!("'{KVS}' export odd/ | '{KVS}' import - --url {}", other.url());
    let mut shell = sandbox.command("sh");
    shell.args(["-c", &piped]);
    Finished::of(shell, b"").expect(0);
    assert_eq!(contents(&mut other.client()), contents(&mut node.client()));
}

#[test]
fn a_gzipped_file_and_standard_input_are_imported_alike() {
    let (sandbox, node) = running();
    sandbox.run_with(&["import", "-", "--key", "in/{k}"], b"{\"k\":1}\n{\"k\":2}").expect(0);
    sandbox.write("lines.jsonl", "{\"k\":1}\n{\"k\":2}\n");
    let mut gzip = sandbox.command("gzip");
    gzip.args(["-k", "lines.jsonl"]);
    Finished::of(gzip, b"").expect(0);
    sandbox.run(&["import", "lines.jsonl.gz", "--key", "gz/{k}"]).expect(0);
    assert_eq!(node.client().keys(), ["gz/1", "gz/2", "in/1", "in/2"]);
}

#[test]
fn help_names_every_command_and_a_typo_the_one_that_was_meant() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["--help"]).expect(0).stdout;
    for command in [
        "start", "stop", "restart", "status", "get", "put", "rm", "ls", "history", "import", "export",
        "backup", "restore", "check",
    ] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(command)),
            "{command} is not in the help:\n{help}"
        );
        let own = sandbox.run(&[command, "--help"]).expect(0);
        assert!(own.stdout.contains("Usage"), "{own:?}");
    }
    for (typo, meant) in [("strat", "start"), ("improt", "import"), ("statsu", "status"), ("bakup", "backup")]
    {
        let finished = sandbox.run(&[typo]).expect(2);
        assert!(finished.stderr.contains(meant), "{finished:?}");
    }
    let unknown = sandbox.run(&["zzzzzzzz"]).expect(2);
    assert!(unknown.stderr.contains("zzzzzzzz"), "{unknown:?}");
    let version = sandbox.run(&["--version"]).expect(0).stdout;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(sandbox.folder().read_dir().unwrap().count(), 0, "something was written");
}
