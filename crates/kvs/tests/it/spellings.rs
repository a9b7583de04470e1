//! Keys whose texts are spellings of other keys: every spelling of a key finds that key alone, whatever was read before it.
//!
//! What was read once is answered from memory afterwards, so each question here is asked after each other one.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::support::access::{World, minted};
use crate::support::attack::ask;
use crate::support::client::{Client, encode, encode_path};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

/// Keys and the texts that spell them; the second key of each pair has the text of a spelling of the first.
const PAIRS: [[(&str, &[&str]); 2]; 8] = [
    [("a b", &["a%20b", "%61%20b"]), ("a%20b", &["a%2520b", "%61%2520%62"])],
    [("a+b", &["a+b", "a%2Bb", "a%2bb"]), ("a%2Bb", &["a%252Bb"])],
    [("c%d", &["c%25d"]), ("c%25d", &["c%2525d", "%63%2525d"])],
    [("caf\u{e9}", &["caf%C3%A9", "caf%c3%a9"]), ("caf%C3%A9", &["caf%25C3%25A9"])],
    [("a", &["a", "%61"]), ("%61", &["%2561", "%25%36%31"])],
    [("e\u{301}/x", &["e%CC%81/x", "%65%cc%81/x"]), ("e%CC%81/x", &["e%25CC%2581/x"])],
    [("q?x=1", &["q%3Fx=1", "q%3fx%3D1"]), ("q%3Fx=1", &["q%253Fx=1"])],
    [("h#i", &["h%23i"]), ("h%23i", &["h%2523i"])],
];

/// The spellings of one pair, each with its key.
fn spellings(pair: &[(&'static str, &'static [&'static str]); 2]) -> Vec<(&'static str, &'static str)> {
    pair.iter().flat_map(|(key, texts)| texts.iter().map(move |text| (*text, *key))).collect()
}

#[test]
fn every_spelling_finds_its_own_key_after_every_other_one() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for pair in &PAIRS {
        for (key, _) in pair {
            client.put(&format!("/kv/{}", encode_path(key)), json!(key).to_string()).expect(201);
        }
        let all = spellings(pair);
        for (first, first_key) in &all {
            for (second, second_key) in &all {
                assert_eq!(client.value(first), Some(json!(first_key)), "{first} before {second}");
                assert_eq!(client.value(second), Some(json!(second_key)), "{second} after {first}");
            }
        }
        // A write and a delete through one spelling are seen through the others, and the other key stays.
        let [(one, one_texts), (other, other_texts)] = pair;
        for text in *one_texts {
            client.put(&format!("/kv/{text}"), json!(text).to_string()).expect(200);
            for again in *one_texts {
                assert_eq!(client.value(again), Some(json!(text)), "{again} after a write to {text}");
            }
            assert_eq!(client.value(other_texts[0]), Some(json!(other)));
        }
        client.delete(&format!("/kv/{}", one_texts[0])).expect(204);
        for _ in 0..2 {
            assert_eq!(client.value(other_texts[0]), Some(json!(other)));
            for text in *one_texts {
                client.get(&format!("/kv/{text}")).refused(404, "not_found");
            }
        }
        assert!(!client.keys().contains(&(*one).to_owned()));
    }
}

#[test]
fn a_text_that_is_no_path_is_refused_also_where_a_key_has_that_text() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    for text in
        ["p%2Fq", "p%2fq", "%5Fx", "%2e%2E", "a/%2e", "%00", "a%C2%85", "%FF", "%zz", "%", "a%", "a%4", "%2F"]
    {
        client.put(&format!("/kv/{}", encode_path(text)), "1").expect(201);
        for _ in 0..2 {
            client.get(&format!("/kv/{}", encode_path(text))).expect(200);
            client.get(&format!("/kv/{text}")).refused(400, "bad_path");
            client.send("HEAD", &format!("/kv/{text}"), &[], b"").expect(400);
        }
    }
    // Nor does a slash more or less find what was read before.
    client.put("/kv/s/t", "1").expect(201);
    client.get("/kv/s/t").expect(200);
    for text in ["s/t/", "s//t", "//s/t", "s/t//", "s/./t", "s/t/."] {
        client.get(&format!("/kv/{text}")).refused(400, "bad_path");
    }
    for target in ["/kv%2Fs/t", "//kv/s/t", "/kv/s%2Ft", "/%6bv/s/t", "/KV/s/t"] {
        assert!(matches!(client.get(target).status, 400 | 404), "{target}");
    }
    client.get("/kv//s/t").expect(200);
}

#[test]
fn conditions_histories_and_metadata_are_those_of_the_key_that_is_spelt() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("auth_enabled", "false")]);
    let mut client = node.client();
    for pair in &PAIRS {
        let [(one, one_texts), (other, other_texts)] = pair;
        let put = |client: &mut Client, key: &str| {
            client.put(&format!("/kv/{}", encode_path(key)), json!(key).to_string()).expect(201).uuid()
        };
        let (one_uuid, other_uuid) = (put(&mut client, one), put(&mut client, other));
        let (one_tag, other_tag) = (format!("\"{one_uuid}\""), format!("\"{other_uuid}\""));
        let both = [(one_texts[0], &one_tag, &other_tag), (other_texts[0], &other_tag, &one_tag)];
        // Twice, so that each is asked for after the other.
        for (text, tag, foreign) in both.into_iter().chain(both) {
            let target = format!("/kv/{text}");
            for _ in 0..2 {
                assert_eq!(client.get(&target).expect(200).header("etag"), Some(tag.as_str()), "{text}");
                client.send("GET", &target, &[("If-None-Match", tag)], b"").expect(304);
                client.send("GET", &target, &[("If-None-Match", foreign)], b"").expect(200);
                client.send("GET", &target, &[("If-Match", foreign)], b"").expect(412);
                let head = client.send("HEAD", &target, &[], b"").expect(200);
                assert_eq!(head.header("etag"), Some(tag.as_str()), "{text}");
            }
            client.send("PUT", &target, &[("If-Match", foreign)], b"1").expect(412);
            client.send("DELETE", &target, &[("If-Match", foreign)], b"").expect(412);
            let versions = client.get(&format!("/history/{text}")).expect(200).text().to_owned();
            assert!(versions.contains(tag.trim_matches('"')), "{text}: {versions}");
            assert!(!versions.contains(foreign.trim_matches('"')), "{text}: {versions}");
        }
    }
}

#[test]
fn listings_and_bodies_name_keys_by_their_decoded_text() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let mut keys: Vec<&str> = PAIRS.iter().flatten().map(|(key, _)| *key).collect();
    for key in &keys {
        client.put(&format!("/kv/{}", encode_path(key)), json!(key).to_string()).expect(201);
    }
    keys.sort_unstable();
    // Page by page, through the cursor, either way.
    for (reverse, expected) in
        [("false", keys.clone()), ("true", keys.iter().rev().copied().collect::<Vec<_>>())]
    {
        let mut found = Vec::new();
        let mut target = format!("/kv/_range?limit=1&reverse={reverse}");
        loop {
            let page = client.get(&target).expect(200).json();
            for item in page["items"].as_array().unwrap() {
                assert_eq!(item["path"], item["data"]);
                found.push(item["path"].as_str().unwrap().to_owned());
            }
            let Some(cursor) = page["next"].as_str() else { break };
            target = format!("/kv/_range?limit=1&reverse={reverse}&cursor={}", encode(cursor));
        }
        assert_eq!(found, expected);
    }
    // In a query, and only there, a plus is a blank.
    for (prefix, expected) in [("a+b", "a b"), ("a%20b", "a b"), ("a%2Bb", "a+b"), ("a%2520b", "a%20b")] {
        let page = client.get(&format!("/kv/_range?prefix={prefix}")).expect(200).json();
        let found: Vec<&Value> = page["items"].as_array().unwrap().iter().map(|item| &item["path"]).collect();
        assert_eq!(found, [expected], "{prefix}");
    }
    let read = client.post("/kv/_get", &json!({ "paths": keys })).expect(200).json();
    for (item, key) in read["items"].as_array().unwrap().iter().zip(&keys) {
        assert_eq!((&item["path"], &item["data"]), (&json!(key), &json!(key)));
    }
}

#[test]
fn nobody_is_shown_anothers_value_in_place_of_her_own() {
    let world = World::new(&[]);
    let (ann, eve) = (world.person("ann"), world.person("eve"));
    let (mut hers, mut eves) = (world.of(&ann), world.of(&eve));
    // Ann's key is "mail box"; Eve's has the text that stands in Ann's requests.
    hers.put("/kv/mail%20box", "\"ann's\"").expect(201);
    eves.put("/kv/mail%2520box", "\"eve's\"").expect(201);
    world.govern("mail%20box", &json!({ "owner": ann.uuid, "mode": "cdwr|----|----" }));
    for _ in 0..3 {
        assert_eq!(eves.value("mail%2520box"), Some(json!("eve's")));
        assert_eq!(hers.value("mail%20box"), Some(json!("ann's")));
        eves.get("/kv/mail%20box").refused(404, "not_found");
        assert_eq!(hers.value("mail%2520box"), Some(json!("eve's")), "others may read it");
    }
    // A token for a subtree opens the subtree of that text and not the one that its text spells.
    eves.put("/kv/mail%2520box/note", "\"eve's note\"").expect(201);
    hers.put("/kv/mail%20box/note", "\"ann's note\"").expect(201);
    let scoped =
        |client: &mut Client, path: &str| minted(client, &json!({ "scopes": ["read"], "paths": [path] }));
    let mut blank = world.bearer(&scoped(&mut hers, "mail box"));
    let mut escaped = world.bearer(&scoped(&mut hers, "mail%20box"));
    for _ in 0..2 {
        assert_eq!(eves.value("mail%2520box/note"), Some(json!("eve's note")));
        assert_eq!(hers.value("mail%20box/note"), Some(json!("ann's note")));
        assert_eq!(blank.value("mail%20box/note"), Some(json!("ann's note")));
        assert_eq!(blank.value("mail%2520box/note"), None);
        assert_eq!(escaped.value("mail%2520box/note"), Some(json!("eve's note")));
        assert_eq!(escaped.value("mail%20box/note"), None);
    }
    // What Ann deletes is gone for her, whatever Eve reads.
    hers.delete("/kv/mail%20box").expect(204);
    for _ in 0..2 {
        assert_eq!(eves.value("mail%2520box"), Some(json!("eve's")));
        assert_eq!(hers.value("mail%20box"), None);
    }
}

#[test]
fn the_trail_names_the_key_that_was_refused() {
    let world = World::new(&[]);
    let ann = world.person("ann");
    let version = world.of(&ann).put("/kv/box%201", "1").expect(201).uuid();
    let wish = json!({ "user_uuid": ann.uuid, "scopes": ["read"] });
    let mut reader = world.bearer(&minted(&mut world.root(), &wish));
    let refused = [
        ("PUT", "/kv/box%201".to_owned(), Some("box 1")),
        ("DELETE", "/kv//box%2520".to_owned(), Some("box%20")),
        ("PUT", "/meta/%62ox+1".to_owned(), Some("box+1")),
        ("POST", format!("/history/box%201/{version}/restore"), Some("box 1")),
        ("PUT", "/kv/box%2F1".to_owned(), None),
        ("POST", "/kv/_batch".to_owned(), None),
    ];
    for (method, target, _) in &refused {
        let body: &[u8] =
            if target.ends_with("_batch") { br#"{"ops":[{"op":"delete","path":"x"}]}"# } else { b"1" };
        reader.send(method, target, &[], body).refused(403, "forbidden");
    }
    let shown = world.sandbox().run(&["audit", "show", "--json"]).expect(0).json_lines();
    let denied: Vec<(Option<&str>, &str)> = shown
        .iter()
        .filter(|entry| entry["event"] == "denied")
        .map(|entry| (entry["path"].as_str(), entry["detail"].as_str().unwrap()))
        .collect();
    let details: Vec<String> =
        refused.iter().map(|(method, target, _)| format!("{method} {target}")).collect();
    let expected: Vec<(Option<&str>, &str)> =
        refused.iter().zip(&details).map(|((_, _, key), detail)| (*key, detail.as_str())).collect();
    assert_eq!(denied, expected);
}

#[test]
fn no_spelling_of_a_target_escapes_the_limit() {
    let sandbox = Sandbox::new();
    let limit =
        [("rate_limiting_enabled", "true"), ("rate_limit_requests", "12"), ("rate_limit_window", "\"24h\"")];
    let node = Node::new(&sandbox, &limit);
    let mut client = node.client();
    client.put("/kv/a%20b", "1").expect(201);
    client.put("/kv/a%2520b", "2").expect(201);
    let targets = [
        "/kv/a%20b",
        "/kv/a%2520b",
        "/kv/%61%20b",
        "/kv//a%20b",
        "/%68ealth",
        "/health/",
        "//health",
        "/kv/../health",
        "/kv/a%2Fb",
        "/peer%2Fv1/swim",
    ];
    for (number, target) in targets.iter().enumerate() {
        let answer = client.get(target);
        let left = answer.header("ratelimit-remaining").map(|left| left.parse::<usize>().unwrap());
        assert_eq!(left, Some(12 - 2 - 1 - number), "{target}: {}", answer.shown());
    }
    for target in targets {
        client.get(target).refused(429, "rate_limited");
    }
    client.get("/health").expect(200);
}

#[test]
fn targets_that_are_no_path_of_this_node_are_refused() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let address = node.address();
    let mut client = node.client();
    for (key, value) in [("a%20b", "1"), ("a%2520b", "2"), ("h", "3"), ("h%23i", "4")] {
        client.put(&format!("/kv/{key}"), value).expect(201);
        client.get(&format!("/kv/{key}")).expect(200);
    }
    // Absolute targets, and those with a fragment: its reader would cut it off and find another key.
    for target in [
        format!("http://{address}/kv/a%20b"),
        format!("HTTP://{address}/kv/a%2520b"),
        "/kv/h#i".to_owned(),
        "/kv/h#".to_owned(),
        "/kv/h?#i".to_owned(),
        "/kv/_range?prefix=h#i".to_owned(),
        format!("/kv/{}#i", "h".repeat(200)),
        "#".to_owned(),
    ] {
        for (method, body) in [("GET", ""), ("PUT", "5"), ("DELETE", "")] {
            let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
            let fields =
                format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let answer = ask(&node, format!("{head}{fields}"));
            assert!(
                answer.as_ref().is_none_or(|answer| answer.status == 400),
                "{method} {target:.60}: {}",
                answer.unwrap().shown()
            );
        }
    }
    let mut client = node.client();
    assert_eq!(client.keys(), ["a b", "a%20b", "h", "h#i"]);
    assert_eq!(client.value("h"), Some(json!(3)));
    // A number sign in a field or in a body is none of a target.
    let answer = client.send("PUT", "/kv/sign", &[("X-Sign", "#")], b"\"#\\n#\"").expect(201);
    assert!(answer.header("connection").is_none(), "{}", answer.shown());
    assert_eq!(client.value("sign"), Some(json!("#\n#")));
}

#[test]
fn http_2_finds_the_same_keys() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let address = node.address();
    for pair in &PAIRS {
        for (key, _) in pair {
            node.client().put(&format!("/kv/{}", encode_path(key)), json!(key).to_string()).expect(201);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        let serving = tokio::spawn(connection);
        let mut get = async |text: &str| {
            let request = Request::builder().uri(format!("http://{address}/kv/{text}"));
            let request = request.body(Full::new(Bytes::new())).unwrap();
            let (head, body) = sender.send_request(request).await.unwrap().into_parts();
            let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
            (head.status.as_u16(), body["data"].clone())
        };
        for pair in &PAIRS {
            let all = spellings(pair);
            for (first, first_key) in &all {
                for (second, second_key) in &all {
                    assert_eq!(get(first).await, (200, json!(first_key)), "{first} before {second}");
                    assert_eq!(get(second).await, (200, json!(second_key)), "{second} after {first}");
                }
            }
        }
        assert_eq!(get("a%2Fb").await, (400, Value::Null));
        serving.abort();
    });
    drop(runtime);
    node.stop();
}
