//! The texts of JSONTestSuite and further tricky ones as values, through the real port.
//!
//! What is accepted comes back byte for byte; what is refused gets an answer that says so, never a dropped connection.

use std::path::{Path, PathBuf};

use crate::support::answer::{Answer, parse};
use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

/// The texts of one folder of the suite, by name.
fn texts(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/json_test_suite").join(folder);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// What the node did with a text.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was stored, and came back byte for byte.
    Kept,
    /// It was refused with 400 `bad_json`, and nothing was stored.
    Refused,
    /// Anything else.
    Wrong(String),
}

/// Puts a text under a key of its own and reads it back.
fn outcome(client: &mut Client, key: &str, text: &[u8]) -> Outcome {
    let put = match client.try_send("PUT", &format!("/kv/{key}"), &[], text) {
        Ok(answer) => answer,
        Err(error) => return Outcome::Wrong(format!("no answer to PUT: {error}")),
    };
    let get = match client.try_send("GET", &format!("/kv/{key}"), &[], b"") {
        Ok(answer) => answer,
        Err(error) => return Outcome::Wrong(format!("no answer to GET: {error}")),
    };
    match (put.status, get.status) {
        (200 | 201, 200) if has_data(&get, text) => {
            // What was accepted must be readable by everyone.
            match parse(&get.body) {
                Ok(_) => Outcome::Kept,
                Err(error) => Outcome::Wrong(format!("the answer to GET is no JSON: {error}")),
            }
        }
        (400, 404) if put.code() == "bad_json" => Outcome::Refused,
        _ => Outcome::Wrong(format!("PUT: {}\nGET: {}", put.shown(), get.shown())),
    }
}

/// Whether the answer to a `GET` holds exactly these bytes as its data.
fn has_data(answer: &Answer, text: &[u8]) -> bool {
    let name = b"\"data\":";
    let start = answer.body.windows(name.len()).position(|window| window == name);
    let rest = start.and_then(|start| answer.body[start + name.len()..].strip_prefix(text));
    rest.is_some_and(|rest| rest.starts_with(b"}") || rest.starts_with(b","))
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} texts went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_text_of_the_parsing_suite_is_kept_or_refused_as_its_name_says() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let texts = texts("test_parsing");
    assert_eq!(texts.len(), 318);
    let mut wrong = Vec::new();
    for (number, (name, text)) in texts.iter().enumerate() {
        let got = outcome(&mut client, &format!("json/{number}"), text);
        let fits = match name.split_once('_').unwrap().0 {
            "y" => got == Outcome::Kept,
            "n" => got == Outcome::Refused,
            "i" => matches!(got, Outcome::Kept | Outcome::Refused),
            other => panic!("{name}: unknown kind {other}"),
        };
        if !fits {
            wrong.push(format!("{name}: {got:?}"));
            // A connection that was dropped must not blame the next text.
            client = node.client();
        }
    }
    assert_none(&wrong);
}

#[test]
fn texts_on_which_parsers_disagree_come_back_byte_for_byte_when_accepted() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let texts = texts("test_transform");
    assert_eq!(texts.len(), 22);
    let mut wrong = Vec::new();
    let mut kept = 0;
    for (number, (name, text)) in texts.iter().enumerate() {
        match outcome(&mut client, &format!("json/{number}"), text) {
            Outcome::Kept => kept += 1,
            Outcome::Refused => {}
            got @ Outcome::Wrong(_) => {
                wrong.push(format!("{name}: {got:?}"));
                client = node.client();
            }
        }
    }
    assert_none(&wrong);
    // Numbers of any size within a double and doubled keys are plain JSON.
    assert!(kept >= 15, "only {kept} of the texts were accepted");
}

#[test]
fn what_some_reader_could_not_read_again_is_refused() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let nested =
        |depth: usize, open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let cases: &[(&str, Vec<u8>)] = &[
        ("a number beyond a double", b"1e999".to_vec()),
        ("a number below all doubles", b"[-1e999]".to_vec()),
        ("a number beyond a double as a member", b"{\"a\":123123e100000}".to_vec()),
        ("a lone high surrogate", b"\"\\uD800\"".to_vec()),
        ("a lone low surrogate", b"[\"\\uDC00x\"]".to_vec()),
        ("a lone surrogate as a key", b"{\"\\uD834\":1}".to_vec()),
        ("surrogates the wrong way round", b"\"\\uDD1E\\uD834\"".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("invalid UTF-8", b"\"\xff\"".to_vec()),
        ("an overlong character", b"\"\xc0\xaf\"".to_vec()),
        ("a surrogate in UTF-8", b"\"\xed\xa0\x80\"".to_vec()),
        ("UTF-16", b"\x00[\x001\x00]".to_vec()),
        ("two values", b"1 2".to_vec()),
        ("a value and a brace", b"{}}".to_vec()),
        ("no value", b"   ".to_vec()),
        ("nothing", Vec::new()),
        ("a comment", b"/* a */ 1".to_vec()),
        ("NaN", b"NaN".to_vec()),
        ("Infinity", b"[-Infinity]".to_vec()),
        ("a raw control character", b"\"a\x01\"".to_vec()),
        ("a number with a leading zero", b"01".to_vec()),
        ("129 nested lists", nested(129, "[", "]").into_bytes()),
        ("129 nested objects", nested(129, "{\"a\":", "}").into_bytes()),
        ("100,000 nested objects", nested(100_000, "{\"a\":", "}").into_bytes()),
        (
            "an envelope of 129 nested lists",
            format!("{{\"data\":{},\"ttl\":\"1h\"}}", nested(129, "[", "]")).into(),
        ),
    ];
    let mut wrong = Vec::new();
    for (number, (name, text)) in cases.iter().enumerate() {
        let got = outcome(&mut client, &format!("json/{number}"), text);
        if got != Outcome::Refused {
            wrong.push(format!("{name}: {got:?}"));
            client = node.client();
        }
    }
    assert_none(&wrong);
}

#[test]
fn unusual_but_valid_json_is_kept_byte_for_byte() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let nested =
        |depth: usize, open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let cases: &[(&str, Vec<u8>)] = &[
        ("128 nested lists", nested(128, "[", "]").into_bytes()),
        ("128 nested objects", nested(128, "{\"a\":", "}").into_bytes()),
        ("doubled keys", b"{\"a\":1,\"a\":2,\"b\":{\"c\":1,\"c\":1}}".to_vec()),
        ("an empty key", b"{\"\":0}".to_vec()),
        ("escapes as written", b"\"\\u0041\\/\\ud834\\udd1e\\u0000\"".to_vec()),
        ("spaces as written", b"{ \"a\"\t:\r\n[ 1 ,2 ] }".to_vec()),
        ("spaces around", b" \r\n\t[]\n ".to_vec()),
        (
            "numbers as written",
            b"[1.0,1.00,1E5,1e+5,-0,-0.0,0.1e-7,123456789012345678901234567890,1e308]".to_vec(),
        ),
        ("letters of all kinds", "\"\u{e9}e\u{301}\u{10ffff}\u{1f600}\u{2028}\u{feff}\"".as_bytes().to_vec()),
        ("markup", b"\"</script><!-- & ' -->\"".to_vec()),
        (
            "what looks like our own answer",
            b"{\"uuid\":\"x\",\"timestamp\":1,\"data\":{\"data\":2}}".to_vec(),
        ),
        ("null", b"null".to_vec()),
        ("an empty text", b"\"\"".to_vec()),
    ];
    let mut wrong = Vec::new();
    for (number, (name, text)) in cases.iter().enumerate() {
        let got = outcome(&mut client, &format!("json/{number}"), text);
        if got != Outcome::Kept {
            wrong.push(format!("{name}: {got:?}"));
            client = node.client();
        }
    }
    assert_none(&wrong);
}
