//! What a caller may not read is never shown: every way to a value answers as if the key were not there, and no listing,
//! count, cursor, condition or export tells that it is.
//!
//! Times are left out: a test of real processes cannot tell them apart from noise.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::access::{Person, World};
use crate::support::answer::Answer;
use crate::support::client::{Client, encode};

/// What stands in all values that eve may not read.
const SECRET_VALUE: &str = "what-eve-may-not-know";

/// The keys that eve may not read, beside keys of her own: one with metadata, one below a folder with metadata, one that
/// only her delete could reach.
const HIDDEN: [&str; 4] = ["mix/b-hidden", "mix/d-hidden", "vault/a-hidden", "mix/sub-hidden/x"];

/// Names as long as those, where nothing is.
const UNKNOWN: [&str; 4] = ["mix/b-absent", "mix/d-absent", "vault/a-absent", "mix/sub-absent/x"];

/// Keys that eve may read.
const SHOWN: [&str; 4] = ["mix/a", "mix/c", "mix/e", "mix/sub/y"];

struct Scene {
    world: World,
    eve: Person,
    ann: Person,
    /// A version of each hidden key.
    versions: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new(&[]);
        let (ann, eve) = (world.person("ann"), world.person("eve"));
        let mut hers = world.of(&ann);
        let lock = json!({ "owner": ann.uuid, "mode": "cdwr|----|----" });
        world.govern("vault", &lock);
        let mut versions = Vec::new();
        for path in HIDDEN {
            let body = json!({ "first": SECRET_VALUE }).to_string();
            versions.push(hers.put(&format!("/kv/{path}"), &body).expect(201).uuid());
            hers.put(&format!("/kv/{path}"), format!("\"{SECRET_VALUE}\"")).expect(200);
            world.govern(path, &lock);
        }
        // One of the unknown ones has metadata and no value, which may be known as little.
        world.govern("vault/a-absent", &lock);
        let mut client = world.of(&eve);
        for path in SHOWN {
            client.put(&format!("/kv/{path}"), "\"eve\"").expect(201);
        }
        Self { world, eve, ann, versions }
    }

    fn client(&self) -> Client {
        self.world.of(&self.eve)
    }

    /// Every hidden key is what it was.
    #[track_caller]
    fn assert_untouched(&self) {
        let mut hers = self.world.of(&self.ann);
        for path in HIDDEN {
            assert_eq!(hers.value(path), Some(json!(SECRET_VALUE)), "{path}");
            assert_eq!(hers.get(&format!("/history/{path}")).expect(200).json().as_array().unwrap().len(), 2);
        }
    }
}

/// Method, target, header fields and body of a request about `PATH`.
type Asked<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, String);

/// An answer without what differs between any two requests, and with one name for the key.
fn comparable(answer: &Answer, path: &str) -> (u16, Vec<(String, String)>, String) {
    let varying = ["x-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned();
    (answer.status, headers.collect(), String::from_utf8_lossy(&answer.body).replace(path, "PATH"))
}

#[test]
fn a_hidden_key_answers_like_one_that_is_not_there() {
    let scene = Scene::new();
    let mut client = scene.client();
    let uuid = Uuid::from_u128(7).to_string();
    for ((hidden, unknown), version) in HIDDEN.into_iter().zip(UNKNOWN).zip(&scene.versions) {
        let tagged = format!("\"{version}\"");
        let batch = |op: &str| format!(r#"{{"ops":[{{"op":"{op}","path":"PATH"}}]}}"#);
        let conditional = format!(r#"{{"ops":[{{"op":"delete","path":"PATH","if_match":"{version}"}}]}}"#);
        let asked: Vec<Asked<'_>> = vec![
            ("GET", "/kv/PATH".into(), vec![], String::new()),
            ("HEAD", "/kv/PATH".into(), vec![], String::new()),
            ("GET", "/kv/PATH".into(), vec![("If-None-Match", &tagged)], String::new()),
            ("GET", "/kv/PATH".into(), vec![("If-None-Match", "*")], String::new()),
            ("GET", "/history/PATH".into(), vec![], String::new()),
            ("GET", format!("/history/PATH/{version}"), vec![], String::new()),
            ("GET", format!("/history/PATH/{uuid}"), vec![], String::new()),
            ("POST", format!("/history/PATH/{version}/restore"), vec![], String::new()),
            ("POST", format!("/history/PATH/{uuid}/restore"), vec![], String::new()),
            ("GET", "/meta/PATH".into(), vec![], String::new()),
            ("DELETE", "/kv/PATH".into(), vec![], String::new()),
            ("DELETE", "/kv/PATH".into(), vec![("If-Match", &tagged)], String::new()),
            ("DELETE", "/kv/PATH".into(), vec![("If-Match", "*")], String::new()),
            ("DELETE", "/kv/PATH?recursive=true".into(), vec![], String::new()),
            ("POST", "/kv/_get".into(), vec![], r#"{"paths":["PATH"]}"#.into()),
            ("POST", "/kv/_batch".into(), vec![], batch("delete")),
            ("POST", "/kv/_batch".into(), vec![], conditional),
            ("GET", "/kv/_range?prefix=PATH".into(), vec![], String::new()),
            ("GET", "/kv/_range?start_key=PATH&limit=1".into(), vec![], String::new()),
        ];
        for (method, target, headers, body) in asked {
            let mut ask = |path: &str| {
                let (target, body) = (target.replace("PATH", path), body.replace("PATH", path));
                comparable(&client.send(method, &target, &headers, body.as_bytes()), path)
            };
            let (of_hidden, of_unknown) = (ask(hidden), ask(unknown));
            // A cursor names no key; it differs from any other.
            let blank = |(status, headers, text): (u16, Vec<_>, String)| match text.split_once(r#""next":"#) {
                Some((before, _)) => (status, headers, before.to_owned()),
                None => (status, headers, text),
            };
            let (of_hidden, of_unknown) = (blank(of_hidden), blank(of_unknown));
            assert_eq!(of_hidden, of_unknown, "{method} {target} {headers:?} {body}");
        }
        scene.assert_untouched();
    }
}

#[test]
fn a_refused_write_says_the_same_whether_the_key_is_there_or_not() {
    let scene = Scene::new();
    let mut client = scene.client();
    let uuid = Uuid::from_u128(7).to_string();
    let version = scene.world.of(&scene.ann).get("/kv/vault/a-hidden").expect(200).uuid();
    for headers in [
        vec![],
        vec![("If-None-Match", "*".to_owned())],
        vec![("If-Match", "*".to_owned())],
        vec![("If-Match", format!("\"{version}\""))],
        vec![("If-Match", format!("\"{uuid}\""))],
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut ask = |path: &str| {
            let answer = client.send("PUT", &format!("/kv/{path}"), &headers, b"1");
            comparable(&answer.refused(403, "forbidden"), path)
        };
        assert_eq!(ask("vault/a-hidden"), ask("vault/a-nowher"), "{headers:?}");
    }
    for condition in ["", r#","if_none_match":"*""#, r#","if_match":"*""#] {
        let mut ask = |path: &str| {
            let body = format!(r#"{{"ops":[{{"op":"put","path":"{path}","data":1{condition}}}]}}"#);
            let answer = client.send("POST", "/kv/_batch", &[], body.as_bytes()).refused(403, "forbidden");
            comparable(&answer, path)
        };
        assert_eq!(ask("vault/a-hidden"), ask("vault/a-nowher"), "{condition}");
    }
    let mut govern =
        |path: &str| comparable(&client.put(&format!("/meta/{path}"), "{}").refused(403, "forbidden"), path);
    assert_eq!(govern("vault/a-hidden"), govern("vault/a-nowher"));
    scene.assert_untouched();
}

#[test]
fn no_listing_shows_or_counts_what_may_not_be_read() {
    let scene = Scene::new();
    let mut client = scene.client();
    let listed = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|found| found["path"].as_str().unwrap().to_owned()).collect()
    };
    for query in
        ["", "prefix=", "prefix=mix/", "start_key=mix/a&end_key=n", "prefix=mix/&limit=4", "keys_only=true"]
    {
        let answer = client.get(&format!("/kv/_range?{query}")).expect(200);
        assert!(
            !answer.shown().contains("hidden") && !answer.text().contains(SECRET_VALUE),
            "{}",
            answer.shown()
        );
        assert_eq!(listed(&answer.json()), SHOWN, "{query}");
        let mut backwards =
            listed(&client.get(&format!("/kv/_range?{query}&reverse=true")).expect(200).json());
        backwards.reverse();
        assert_eq!(backwards, SHOWN, "{query}");
    }
    for (query, paths, prefixes) in [
        ("delimiter=/", vec![], vec!["mix/"]),
        ("prefix=mix/&delimiter=/", vec!["mix/a", "mix/c", "mix/e"], vec!["mix/sub/"]),
        ("prefix=mix/&delimiter=-", SHOWN.to_vec(), vec![]),
        ("prefix=vault/", vec![], vec![]),
        ("prefix=vault/&delimiter=/", vec![], vec![]),
        ("prefix=mix/b", vec![], vec![]),
        ("start_key=mix/b&end_key=mix/c", vec![], vec![]),
    ] {
        let page = client.get(&format!("/kv/_range?{query}")).expect(200).json();
        assert_eq!(
            (listed(&page), &page["prefixes"]),
            (paths.iter().map(ToString::to_string).collect(), &json!(prefixes)),
            "{query}"
        );
    }
    // The limit counts what is shown, and a page of one row after the other has every row of hers.
    for limit in 1..=3 {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client.get(&format!("/kv/_range?limit={limit}{cursor}")).expect(200).json();
            assert!(page["items"].as_array().unwrap().len() <= limit);
            seen.extend(listed(&page));
            let Some(next) = page["next"].as_str() else { break };
            for decoded in [URL_SAFE_NO_PAD.decode(next), STANDARD_NO_PAD.decode(next)].into_iter().flatten()
            {
                let text = String::from_utf8_lossy(&decoded).into_owned();
                assert!(!text.contains("hidden") && !text.contains("vault"), "the cursor says {text}");
            }
            cursor = format!("&cursor={}", encode(next));
        }
        assert_eq!(seen, SHOWN);
    }
    let paths: Vec<&str> = HIDDEN.into_iter().chain(UNKNOWN).chain(SHOWN).collect();
    let items = client.post("/kv/_get", &json!({ "paths": paths })).expect(200).json();
    for found in items["items"].as_array().unwrap() {
        let is_hers = SHOWN.contains(&found["path"].as_str().unwrap());
        assert_eq!(found["error"].is_null(), is_hers, "{found}");
    }
}

#[test]
fn a_cursor_of_somebody_else_opens_nothing() {
    let scene = Scene::new();
    let mut root = scene.world.root();
    let cursor = root.get("/kv/_range?limit=1").expect(200).json()["next"].as_str().unwrap().to_owned();
    let mut client = scene.client();
    let answer = client.get(&format!("/kv/_range?limit=100&cursor={}", encode(&cursor)));
    assert!(
        !answer.shown().contains("hidden") && !answer.shown().contains(SECRET_VALUE),
        "{}",
        answer.shown()
    );
    let own = client.get("/kv/_range?limit=1").expect(200).json()["next"].as_str().unwrap().to_owned();
    for at in 0..own.len() {
        let changed =
            format!("{}{}{}", &own[..at], if &own[at..=at] == "A" { "B" } else { "A" }, &own[at + 1..]);
        let answer = client.get(&format!("/kv/_range?limit=100&cursor={}", encode(&changed)));
        let is_refused = (answer.status, answer.code().as_str()) == (400, "bad_cursor");
        assert!(is_refused || !answer.shown().contains("hidden"), "{}", answer.shown());
    }
}

#[test]
fn a_recursive_delete_leaves_what_may_not_be_deleted_and_does_not_count_it() {
    let scene = Scene::new();
    let mut client = scene.client();
    for target in ["/kv/vault?recursive=true", "/kv/nothing-there?recursive=true"] {
        assert_eq!(client.delete(target).expect(200).json(), json!({ "deleted": 0 }));
    }
    let deleted = client.delete("/kv/mix?recursive=true").expect(200).json();
    assert_eq!(deleted, json!({ "deleted": SHOWN.len() }));
    scene.assert_untouched();
    // Readable and not deletable: left, too.
    scene.world.of(&scene.ann).put("/kv/mix/readable", "1").expect(201);
    client.put("/kv/mix/a", "1").expect(201);
    assert_eq!(client.delete("/kv/mix?recursive=true").expect(200).json()["deleted"], 1);
    client.get("/kv/mix/readable").expect(200);
    scene.assert_untouched();
}

#[test]
fn an_export_and_a_backup_hold_nothing_for_who_may_not_read_it() {
    let scene = Scene::new();
    let (sandbox, url) = (scene.world.sandbox(), scene.world.node().url());
    let exported = sandbox.run(&["export", "--url", &url, "--token", &scene.eve.token]).expect(0);
    assert!(
        !exported.stdout.contains("hidden") && !exported.stdout.contains(SECRET_VALUE),
        "{}",
        exported.stdout
    );
    let lines = exported.json_lines();
    let of_eve: Vec<&str> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
    assert_eq!(of_eve, SHOWN);
    let all = sandbox.run(&["export", "--url", &url, "--token", scene.world.root_token()]).expect(0);
    assert!(HIDDEN.iter().all(|path| all.stdout.contains(path)), "{}", all.stdout);
    sandbox.run(&["export", "--url", &url, "--token", "no.good.token"]).expect(1);
    sandbox.run(&["backup", "--url", &url, "--token", &scene.eve.token]).expect(1);
    assert!(!sandbox.folder().join("backups").exists());
    for target in
        ["/backup", "/sync/merkle/root?prefix=vault/", "/cluster/tombstones", "/cluster/convergence"]
    {
        scene.client().get(target).refused(403, "forbidden");
    }
    // Names of keys are in no metric.
    let metrics = scene.client().get("/metrics").expect(200);
    assert!(!metrics.text().contains("hidden") && !metrics.text().contains("vault"));
}
