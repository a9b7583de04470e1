//! The rules of paths over the bare socket: what is a key, what is refused, and that two texts never meet.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::{Client, encode_path};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

/// Targets behind `/kv/` that are refused with 400 `bad_path`.
fn refused() -> Vec<String> {
    let fixed = [
        // No path at all.
        "",
        "/",
        "%2F",
        "%2f",
        // Empty segments.
        "//",
        "//a",
        "a//b",
        "a/",
        "a/b//",
        "a///b",
        // `.` and `..`, written in any way.
        ".",
        "..",
        "./a",
        "../a",
        "a/.",
        "a/..",
        "a/../b",
        "a/./b",
        "%2e",
        "%2E%2e",
        "a/%2e%2E/b",
        ".%2e",
        "a/%2e",
        // Encoded slashes.
        "a%2Fb",
        "a%2fb",
        "%2Fa",
        "a%2F",
        "a/%2F/b",
        "%2F..%2F",
        // Control characters.
        "%00",
        "a%00",
        "a%00b",
        "a/%0a",
        "a%0D%0Ab",
        "%1f",
        "%7f",
        "a%09b",
        "%C2%80",
        "a%c2%85b",
        "%C2%9F",
        // A reserved first segment, written in any way.
        "_",
        "_x",
        "_changed",
        "_range/x",
        "_batch/x",
        "%5Frange",
        "%5fbatch",
        "%5F",
        "_%72ange",
        "/_range",
        "/_x",
        "/%5Fget",
        // Not UTF-8: alone, cut off, overlong, a surrogate, beyond the last character.
        "%FF",
        "a%ffb",
        "%C3",
        "a/%E2%82",
        "%C0%AF",
        "%c0%80",
        "%E0%80%AF",
        "%ED%A0%80",
        "%ED%B0%80",
        "%F4%90%80%80",
        "%80",
        // A percent sign without two digits.
        "%",
        "a%",
        "a%2",
        "%zz",
        "a%G0b",
        "%%41",
    ];
    let mut targets: Vec<String> = fixed.map(str::to_owned).to_vec();
    targets.extend([
        "x".repeat(1025),
        // 1,025 bytes of two-byte characters and one more.
        format!("{}x", "%C3%BC".repeat(512)),
        format!("{}/{}", "a".repeat(1000), "b".repeat(24)),
        // 65 segments.
        vec!["s"; 65].join("/"),
        vec!["%73"; 65].join("/"),
    ]);
    targets
}

/// Targets behind `/kv/` and the keys that they are.
fn accepted() -> Vec<(String, String)> {
    let fixed = [
        ("a", "a"),
        ("/b", "b"),
        ("A", "A"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("%61bc", "abc"),
        ("%2561", "%61"),
        ("a%252Fb", "a%2Fb"),
        ("%252e%252e", "%2e%2e"),
        ("a/_b", "a/_b"),
        ("a_", "a_"),
        ("...", "..."),
        ("a/..b", "a/..b"),
        (".a", ".a"),
        ("a./b", "a./b"),
        ("%3Fq=1", "?q=1"),
        ("a%23b", "a#b"),
        ("a;b=c", "a;b=c"),
        ("a:b@c!$&'()*,=~", "a:b@c!$&'()*,=~"),
        ("%22%3C%3E%5C%5E%60%7B%7C%7D", "\"<>\\^`{|}"),
        ("%20", " "),
        // One text, composed and decomposed: two keys.
        ("caf%C3%A9", "caf\u{e9}"),
        ("cafe%CC%81", "cafe\u{301}"),
        // Look-alikes and invisible characters are characters.
        ("%D0%B0", "\u{430}"),
        ("%E2%80%8B", "\u{200b}"),
        ("%EF%BB%BF", "\u{feff}"),
        ("%E2%80%A8", "\u{2028}"),
        ("%C2%A0", "\u{a0}"),
        ("%E2%88%95", "\u{2215}"),
        ("%EF%BC%8F", "\u{ff0f}"),
        ("%F0%9F%98%80", "\u{1f600}"),
        ("%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80", "\u{1f469}\u{200d}\u{1f680}"),
        ("%F4%8F%BF%BF", "\u{10ffff}"),
        ("%EF%BF%BF", "\u{ffff}"),
    ];
    let mut targets: Vec<(String, String)> =
        fixed.iter().map(|(target, key)| ((*target).to_owned(), (*key).to_owned())).collect();
    let mut add = |target: String, key: String| targets.push((target, key));
    add("x".repeat(1024), "x".repeat(1024));
    add("%79".repeat(1024), "y".repeat(1024));
    add("%C3%BC".repeat(512), "\u{fc}".repeat(512));
    add(vec!["s"; 64].join("/"), vec!["s"; 64].join("/"));
    add(format!("/{}", "z".repeat(1024)), "z".repeat(1024));
    targets
}

#[test]
fn what_breaks_a_rule_is_refused_for_every_method_and_in_the_history() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let mut wrong = Vec::new();
    for target in refused() {
        for (method, route, body) in
            [("PUT", "kv", "1"), ("GET", "kv", ""), ("DELETE", "kv", ""), ("GET", "history", "")]
        {
            let answer = client.send(method, &format!("/{route}/{target}"), &[], body.as_bytes());
            if (answer.status, answer.code().as_str()) != (400, "bad_path") {
                wrong.push(format!("{method} /{route}/{target:.60}: {}", answer.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(client.keys(), Vec::<String>::new(), "something was stored");
}

#[test]
fn every_other_text_is_a_key_of_its_own_and_comes_back_exactly() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let accepted = accepted();
    for (number, (target, key)) in accepted.iter().enumerate() {
        let put = client.put(&format!("/kv/{target}"), number.to_string());
        // 201 and not 200: nobody was there before.
        assert_eq!(put.status, 201, "{key:?}: {}", put.shown());
    }
    for (number, (target, key)) in accepted.iter().enumerate() {
        assert_eq!(client.value(target), Some(json!(number)), "{key:?} as {target}");
        assert_eq!(client.value(&encode_path(key)), Some(json!(number)), "{key:?} in its usual encoding");
    }
    let mut keys: Vec<&str> = accepted.iter().map(|(_, key)| key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(client.keys(), keys);
}

#[test]
fn a_leading_slash_is_optional_and_means_the_same_key() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    client.put("/kv//users/jo", "1").expect(201);
    client.put("/kv/users/jo", "2").expect(200);
    assert_eq!(client.value("/users/jo"), Some(json!(2)));
    client.post("/kv/_batch", &json!({"ops": [{"op": "put", "path": "/users/jo", "data": 3}]})).expect(200);
    assert_eq!(client.value("users/jo"), Some(json!(3)));
    assert_eq!(client.keys(), ["users/jo"]);
    client.get("/history//users/jo").expect(200);
    client.delete("/kv//users/jo").expect(204);
    assert_eq!(client.value("users/jo"), None);
}

#[test]
fn raw_bytes_beyond_ascii_are_the_key_that_they_spell_or_refused() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    for (raw, key) in [
        (&b"\xc3\xa9"[..], Some("\u{e9}")),
        (b"e\xcc\x81", Some("e\u{301}")),
        (b"\xff", None),
        (b"a\xc3", None),
    ] {
        let mut wire = node.wire();
        let mut request = b"PUT /kv/".to_vec();
        request.extend_from_slice(raw);
        request.extend_from_slice(
            format!(
                " HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1",
                node.address()
            )
            .as_bytes(),
        );
        wire.send(request);
        let answer = wire.answer_or_close();
        answer.iter().for_each(Answer::check);
        let stored = node.client().keys();
        match (answer.map(|answer| answer.status), key) {
            (Some(201), Some(key)) => assert_eq!(stored, [key]),
            (Some(400) | None, _) => assert_eq!(stored, Vec::<String>::new()),
            (status, _) => panic!("{raw:?}: {status:?}"),
        }
        for key in stored {
            node.client().delete(&format!("/kv/{}", encode_path(&key))).expect(204);
        }
    }
}

#[test]
fn texts_in_bodies_obey_the_same_rules_and_are_not_decoded() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let many = vec!["s"; 65].join("/");
    let long = "x".repeat(1025);
    let refused = [
        "", "/", "a//b", "a/", "//a", ".", "..", "a/../b", "a\u{0}", "a\n", "\u{7f}", "\u{85}", "_range",
        "/_x", &many, &long,
    ];
    let mut wrong = Vec::new();
    for path in refused {
        let batch = json!({"ops": [{"op": "put", "path": "fine", "data": 1}, {"op": "put", "path": path, "data": 1}]});
        let read = json!({"paths": ["fine", path]});
        for (target, body) in [("/kv/_batch", batch), ("/kv/_get", read)] {
            let answer = client.post(target, &body);
            if (answer.status, answer.code().as_str(), answer.json()["index"].as_u64())
                != (400, "bad_path", Some(1))
            {
                wrong.push(format!("{target} {path:.40?}: {}", answer.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(client.keys(), Vec::<String>::new(), "something was stored");

    let literal = ["a%2Fb", "%2e%2e", "%5Frange", "%00", "caf\u{e9}", "cafe\u{301}"];
    let ops: Vec<_> = literal.iter().map(|path| json!({"op": "put", "path": path, "data": path})).collect();
    client.post("/kv/_batch", &json!({"ops": ops})).expect(200);
    let mut expected: Vec<&str> = literal.to_vec();
    expected.sort_unstable();
    assert_eq!(client.keys(), expected);
    for path in literal {
        assert_eq!(client.value(&encode_path(path)), Some(json!(path)));
    }
}

#[test]
fn keys_that_differ_in_one_character_have_values_and_histories_of_their_own() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let keys =
        ["a", "a/b", "a b", "ab", "A", "a%2Fb", "\u{e9}", "e\u{301}", "a\u{200b}", "a.", "a/b/c", "a/b c"];
    let mut expected = BTreeMap::new();
    for round in 0..2 {
        for key in keys {
            let value = json!(format!("{key} {round}"));
            client.put(&format!("/kv/{}", encode_path(key)), value.to_string());
            expected.insert(key, value);
        }
    }
    check(&mut client, &expected, &keys);
    for (key, other) in keys.iter().zip(keys.iter().skip(1)) {
        client.delete(&format!("/kv/{}", encode_path(key))).expect(204);
        expected.remove(key);
        assert_eq!(
            client.value(&encode_path(other)),
            expected.get(other).cloned(),
            "{other:?} after {key:?} was deleted"
        );
    }
    check(&mut client, &expected, &keys);
}

fn check(client: &mut Client, expected: &BTreeMap<&str, serde_json::Value>, keys: &[&str]) {
    for key in keys {
        assert_eq!(client.value(&encode_path(key)), expected.get(key).cloned(), "{key:?}");
        let versions = client.get(&format!("/history/{}", encode_path(key))).expect(200).json();
        let versions = versions_of(&versions);
        let deletes = usize::from(!expected.contains_key(key));
        assert_eq!(versions.len(), 2 + deletes, "{key:?}: {versions:?}");
    }
}

/// The list in the answer of a history, whatever it is called.
fn versions_of(history: &serde_json::Value) -> &Vec<serde_json::Value> {
    history
        .as_array()
        .or_else(|| history["versions"].as_array())
        .unwrap_or_else(|| panic!("no versions: {history}"))
}
