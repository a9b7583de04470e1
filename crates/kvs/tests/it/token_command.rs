//! `kvs token`, and how the client commands come by a token.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

fn guarded(sandbox: &Sandbox) -> Node {
    Node::new(sandbox, &[("auth_enabled", "true")])
}

/// The one line that a command printed.
#[track_caller]
fn printed(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let finished = sandbox.run(arguments).expect(0);
    assert_eq!(finished.stdout.lines().count(), 1, "the token alone: {:?}", finished.stdout);
    finished.stdout.trim_end().to_owned()
}

#[test]
fn root_s_token_is_printed_and_is_private() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let token = printed(&sandbox, &["token"]);
    let file = sandbox.folder().join("data/root.token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{token}\n"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let me = node.client().with_token(&token).get("/auth/whoami").expect(200).json();
    assert_eq!((&me["principal"], &me["scopes"]), (&json!("root"), &json!(["admin"])));
    node.stop();
    // A stopped node is not asked, and a token that is gone or bad is made again.
    assert_eq!(printed(&sandbox, &["token"]), token);
    for bad in ["", "no token\n"] {
        std::fs::write(&file, bad).unwrap();
        let other = printed(&sandbox, &["token"]);
        assert_ne!(other, token);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_token_is_made_for_a_user_by_uuid_or_nickname() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root = node.client().with_token(&printed(&sandbox, &["token"]));
    let ann = root.post("/auth/users", &json!({ "nickname": "ann & co" })).expect(201).uuid();
    for name in [ann.as_str(), "ann & co"] {
        let arguments =
            ["token", "--user", name, "--scopes", "read,write", "--ttl", "90s", "--paths", "a,b/c"];
        let token = printed(&sandbox, &arguments);
        let me = node.client().with_token(&token).get("/auth/whoami").expect(200).json();
        assert_eq!((&me["principal"], &me["scopes"]), (&json!(ann), &json!(["read", "write"])));
        assert_eq!(me["paths"], json!(["a", "b/c"]));
        assert_eq!(me["expires_at"].as_u64().unwrap() - me["issued_at"].as_u64().unwrap(), 90_000);
    }
    let for_root = printed(&sandbox, &["token", "--user", "root", "--scopes", "read"]);
    assert_eq!(node.client().with_token(&for_root).get("/auth/whoami").expect(200).word("principal"), "root");

    root.post("/auth/users", &json!({ "nickname": "twin" })).expect(201);
    root.post("/auth/users", &json!({ "nickname": "twin" })).expect(201);
    for (arguments, code, said) in [
        (&["token", "--user", "nobody", "--scopes", "read"][..], 2, "there is no user"),
        (&["token", "--user", "twin", "--scopes", "read"], 2, "several users"),
        (&["token", "--user", "root", "--scopes", "all"], 2, "--scopes takes"),
        (&["token", "--user", "root", "--scopes", "read", "--ttl", "367d"], 2, "366 days"),
        (&["token", "--user", "root", "--scopes", "read", "--paths", "a//b"], 2, "--paths"),
        (&["token", "--user", "root"], 2, "--scopes"),
        (&["token", "--scopes", "read"], 2, "--user"),
    ] {
        let finished = sandbox.run(arguments).expect(code);
        assert!(finished.stdout.is_empty() && finished.stderr.contains(said), "{arguments:?}: {finished:?}");
    }
    node.stop();
    let finished = sandbox.run(&["token", "--user", "ann & co", "--scopes", "read"]).expect(3);
    assert!(finished.stdout.is_empty() && finished.stderr.contains("could not be asked"), "{finished:?}");
}

#[test]
fn a_node_that_asks_nobody_has_no_token_and_one_that_never_ran_has_no_file() {
    let sandbox = Sandbox::new();
    sandbox.configure("open.yaml", &[]);
    sandbox.configure("config.yaml", &[("auth_enabled", "true")]);
    let finished = sandbox.run(&["token", "--config", "open"]).expect(1);
    assert!(finished.stderr.contains("auth_enabled is false"), "{finished:?}");
    let finished = sandbox.run(&["token"]).expect(1);
    assert!(finished.stderr.contains("start the node once"), "{finished:?}");
    assert!(!sandbox.folder().join("data").exists());
}

#[test]
fn commands_find_root_s_token_or_take_one_and_say_what_to_do_without() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let url = node.url();
    sandbox.run(&["put", "a", "1"]).expect(0);
    let read = printed(&sandbox, &["token", "--user", "root", "--scopes", "read"]);
    let file = sandbox.write("token", &format!("{read}\n"));
    let file = file.to_str().unwrap();
    assert_eq!(sandbox.run(&["get", "a", "--url", &url, "--token-file", file]).expect(0).stdout, "1\n");
    let piped = sandbox.run_with(&["get", "a", "--url", &url, "--token-file", "-"], read.as_bytes());
    assert_eq!(piped.expect(0).stdout, "1\n");
    let mut command = sandbox.kvs(&["get", "a", "--url", &url]);
    command.env("KVS_TOKEN", &read);
    assert_eq!(crate::support::finished::Finished::of(command, b"").expect(0).stdout, "1\n");

    // A token goes to its own node only: not to a URL that was given.
    let without = sandbox.run(&["get", "a", "--url", &url]).expect(1);
    assert!(
        without.stderr.contains("401 unauthorized") && without.stderr.contains("KVS_TOKEN"),
        "{without:?}"
    );
    let weak = sandbox.run(&["put", "a", "2", "--url", &url, "--token-file", file]).expect(1);
    assert!(weak.stderr.contains("403 forbidden") && weak.stderr.contains("does not allow"), "{weak:?}");
    for finished in [&without, &weak] {
        assert!(!finished.all().contains(&read), "{finished:?}");
    }
}
