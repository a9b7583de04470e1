//! Users, groups, tokens and their revocation, from outside.

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::cluster::{Cluster, has_everything};
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::until_true;

const UNKNOWN: &str = "0b0d7f9e-9a1c-4a52-8f3e-6f2d1c0a9b8e";

/// A node that asks for tokens.
fn guarded(sandbox: &Sandbox) -> Node {
    Node::new(sandbox, &[("auth_enabled", "true")])
}

fn root_token(sandbox: &Sandbox, data: &str) -> String {
    std::fs::read_to_string(sandbox.folder().join(data).join("root.token")).unwrap().trim_end().to_owned()
}

fn root(sandbox: &Sandbox, node: &Node) -> Client {
    node.client().with_token(&root_token(sandbox, "data"))
}

fn user(root: &mut Client, nickname: &str) -> String {
    root.post("/auth/users", &json!({ "nickname": nickname })).expect(201).uuid()
}

fn wish(user: &str, scopes: &[&str]) -> Value {
    json!({ "user_uuid": user, "scopes": scopes, "ttl": "1h" })
}

fn token(client: &mut Client, wish: &Value) -> String {
    client.post("/auth/tokens", wish).expect(201).word("token")
}

/// What is refused for want of a good token, as every such refusal looks.
#[track_caller]
fn unauthorized(answer: Answer) {
    let answer = answer.refused(401, "unauthorized");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"kvs\""));
}

#[test]
fn users_and_groups_are_made_read_changed_and_deleted() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root = root(&sandbox, &node);
    let made = root.post("/auth/users", &json!({ "nickname": "ann" })).expect(201);
    let ann = made.uuid();
    assert_eq!(made.header("location"), Some(format!("/auth/users/{ann}").as_str()));
    let other = user(&mut root, "ann");
    assert_ne!(ann, other, "a nickname names nobody");
    let staff = root.post("/auth/groups", &json!({ "name": "staff", "members": [ann] })).expect(201).uuid();

    let read = root.get(&format!("/auth/users/{ann}")).expect(200).json();
    assert_eq!(
        (&read["nickname"], &read["disabled"], &read["groups"]),
        (&json!("ann"), &json!(false), &json!([staff]))
    );
    let changed = root.put(&format!("/auth/users/{ann}"), json!({ "nickname": "anna" }).to_string());
    let changed = changed.expect(200).json();
    assert_eq!((&changed["nickname"], &changed["created_at"]), (&json!("anna"), &read["created_at"]));
    let named = root.get("/auth/users?nickname=ann").expect(200).json();
    assert_eq!(named["users"].as_array().map(Vec::len), Some(1));

    let group = format!("/auth/groups/{staff}");
    assert_eq!(root.get(&group).expect(200).json()["members"], json!([ann]));
    root.put(&group, json!({ "name": "all", "members": [ann, other] }).to_string()).expect(200);
    let listed = root.get("/auth/groups").expect(200).json();
    assert_eq!(
        listed,
        json!({ "groups": [{ "uuid": staff, "name": "all", "member_count": 2 }], "next": null })
    );
    root.delete(&group).expect(204);
    root.delete(&group).refused(404, "not_found");
    assert_eq!(root.get(&format!("/auth/users/{ann}")).expect(200).json()["groups"], json!([]));

    root.delete(&format!("/auth/users/{ann}")).expect(204);
    for target in [format!("/auth/users/{ann}"), "/auth/users/x".to_owned(), format!("/auth/groups/{staff}")]
    {
        root.get(&target).refused(404, "not_found");
    }
}

#[test]
fn listings_go_on_page_by_page() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root = root(&sandbox, &node);
    let mut made: Vec<String> = (0..7).map(|number| user(&mut root, &format!("user {number}"))).collect();
    made.sort_unstable();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = root.get(&format!("/auth/users?limit=3{cursor}")).expect(200).json();
        let users = page["users"].as_array().unwrap();
        seen.extend(users.iter().map(|user| user["uuid"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    for (query, code) in [
        ("limit=0", "bad_query"),
        ("limit=1001", "bad_query"),
        ("cursor=x", "bad_cursor"),
        ("x=1", "bad_query"),
    ] {
        root.get(&format!("/auth/users?{query}")).refused(400, code);
    }
}

#[test]
fn a_user_makes_tokens_for_itself_within_its_own_and_nothing_else() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root = root(&sandbox, &node);
    let (ann, bob) = (user(&mut root, "ann"), user(&mut root, "bob"));
    let limited =
        json!({ "user_uuid": ann, "scopes": ["read", "write"], "paths": ["home/ann"], "ttl": "1h" });
    let mut client = node.client().with_token(&token(&mut root, &limited));

    let me = client.get("/auth/whoami").expect(200).json();
    assert_eq!((&me["principal"], &me["nickname"]), (&json!(ann), &json!("ann")));
    assert_eq!((&me["scopes"], &me["paths"]), (&json!(["read", "write"]), &json!(["home/ann"])));
    client.get(&format!("/auth/users/{ann}")).expect(200);
    for target in ["/auth/users", "/auth/groups", &format!("/auth/users/{bob}"), "/auth/users/x"] {
        client.get(target).refused(403, "forbidden");
    }
    client.post("/auth/users", &json!({ "nickname": "eve" })).refused(403, "forbidden");
    client.delete(&format!("/auth/users/{ann}")).refused(403, "forbidden");
    client.put(&format!("/auth/users/{ann}"), r#"{"nickname":"x"}"#).refused(403, "forbidden");
    client.delete(&format!("/auth/users/{bob}/tokens")).refused(403, "forbidden");
    client.get(&format!("/auth/tokens?user={bob}")).refused(403, "forbidden");

    let narrower = token(&mut client, &json!({ "scopes": ["read"] }));
    let told = node.client().with_token(&narrower).get("/auth/whoami").expect(200).json();
    assert_eq!((&told["scopes"], &told["paths"]), (&json!(["read"]), &json!(["home/ann"])));
    assert_eq!(told["expires_at"], me["expires_at"], "it does not outlive the one that asked");
    for wider in [
        json!({ "scopes": ["delete"] }),
        json!({ "scopes": ["admin"] }),
        json!({ "scopes": ["read"], "paths": ["home"] }),
        json!({ "scopes": ["read"], "ttl": "2h" }),
        wish(&bob, &["read"]),
        wish("root", &["read"]),
        wish(UNKNOWN, &["read"]),
    ] {
        client.post("/auth/tokens", &wider).refused(403, "forbidden");
    }
    let own = client.get("/auth/tokens").expect(200).json();
    let users: Vec<&Value> = own["tokens"].as_array().unwrap().iter().map(|token| &token["user"]).collect();
    assert_eq!(users, [&json!(ann), &json!(ann)]);

    // Of an administrator within subtrees the same is true.
    let within = json!({ "user_uuid": ann, "scopes": ["admin"], "paths": ["home/ann"] });
    let mut within = node.client().with_token(&token(&mut root, &within));
    within.get("/auth/users").refused(403, "forbidden");
    within.post("/auth/tokens", &wish("root", &["read"])).refused(403, "forbidden");
    root.post("/auth/tokens", &wish(UNKNOWN, &["read"])).refused(404, "not_found");
}

#[test]
fn what_was_revoked_is_refused_at_once_and_after_a_restart() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root_client = root(&sandbox, &node);
    let (ann, bob) = (user(&mut root_client, "ann"), user(&mut root_client, "bob"));
    let made = root_client.post("/auth/tokens", &wish(&ann, &["read"])).expect(201);
    let (single, jti) = (made.word("token"), made.word("jti"));
    let [all, kept] = [(); 2].map(|()| token(&mut root_client, &wish(&ann, &["read"])));
    let deleted = token(&mut root_client, &wish(&bob, &["read", "admin"]));
    for good in [&single, &all, &kept, &deleted] {
        node.client().with_token(good).get("/auth/whoami").expect(200);
    }

    node.client().with_token(&single).delete(&format!("/auth/tokens/{jti}")).expect(204);
    unauthorized(node.client().with_token(&single).get("/auth/whoami"));
    root_client.delete(&format!("/auth/tokens/{jti}")).expect(204);
    node.client().with_token(&all).delete(&format!("/auth/tokens/{UNKNOWN}")).refused(404, "not_found");
    root_client.delete(&format!("/auth/tokens/{UNKNOWN}")).expect(204);
    node.client().with_token(&all).get("/auth/whoami").expect(200);
    root_client.delete(&format!("/auth/users/{ann}/tokens")).expect(204);
    root_client.delete(&format!("/auth/users/{bob}")).expect(204);

    // What is made afterwards is good, within the same second too, and is revoked in its turn.
    let again = token(&mut root_client, &wish(&ann, &["read"]));
    node.client().with_token(&again).get("/auth/whoami").expect(200);
    node.client().with_token(&again).delete(&format!("/auth/users/{ann}/tokens")).expect(204);
    let last = token(&mut root_client, &wish(&ann, &["read"]));
    root_client.post("/auth/tokens", &wish(&bob, &["read"])).refused(404, "not_found");

    let bad = [&single, &all, &kept, &deleted, &again];
    for token in bad {
        unauthorized(node.client().with_token(token).get("/auth/whoami"));
    }
    let config = sandbox.folder().join("config.yaml");
    node.kill();
    let node = Node::start(&sandbox, &config);
    for token in bad {
        unauthorized(node.client().with_token(token).get("/auth/whoami"));
    }
    node.client().with_token(&last).get("/auth/whoami").expect(200);
    let listed = root(&sandbox, &node).get("/auth/tokens").expect(200).json();
    let revoked = |token: &Value| token["revoked"] == json!(true);
    let tokens = listed["tokens"].as_array().unwrap();
    assert_eq!((tokens.len(), tokens.iter().filter(|token| revoked(token)).count()), (6, 5));
}

#[test]
fn a_disabled_user_is_refused_until_it_is_enabled() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root = root(&sandbox, &node);
    let ann = user(&mut root, "ann");
    let token = token(&mut root, &wish(&ann, &["read"]));
    let target = format!("/auth/users/{ann}");
    root.put(&target, r#"{"nickname":"ann","disabled":true}"#).expect(200);
    unauthorized(node.client().with_token(&token).get("/auth/whoami"));
    root.post("/auth/tokens", &wish(&ann, &["read"])).refused(409, "conflict");
    // A new name enables nobody.
    root.put(&target, r#"{"nickname":"anna"}"#).expect(200);
    unauthorized(node.client().with_token(&token).get("/auth/whoami"));
    root.put(&target, r#"{"nickname":"ann","disabled":false}"#).expect(200);
    node.client().with_token(&token).get("/auth/whoami").expect(200);
}

#[test]
fn bodies_that_say_something_twice_or_more_than_is_known_are_refused() {
    let sandbox = Sandbox::new();
    let node = guarded(&sandbox);
    let mut root = root(&sandbox, &node);
    let ann = user(&mut root, "ann");
    let mut post = |target: &str, body: &str| root.send("POST", target, &[], body.as_bytes());
    for body in [
        r#"{"nickname":"a","nickname":"b"}"#,
        r#"{"nickname":"a","\u006eickname":"b"}"#,
        r#"{"nickname":"a","uuid":"x"}"#,
        r#"{"nickname":null}"#,
        r#"{"nickname":""}"#,
        r#"{"nickname":"a\u0000"}"#,
        r#"["a"]"#,
        "{}",
        "",
    ] {
        post("/auth/users", body).refused(400, "bad_json");
    }
    for body in [
        format!(r#"{{"user_uuid":"{ann}","scopes":["read"],"scopes":["admin"]}}"#),
        format!(r#"{{"user_uuid":"{ann}","user_uuid":"root","scopes":["read"]}}"#),
        format!(r#"{{"user_uuid":"{ann}","scopes":["read"],"paths":["a"],"paths":["b"]}}"#),
        format!(r#"{{"user_uuid":"{ann}","scopes":["read"],"paths":null}}"#),
        format!(r#"{{"user_uuid":"{ann}","scopes":["read","read"]}}"#),
        format!(r#"{{"user_uuid":"{}","scopes":["read"]}}"#, ann.to_uppercase()),
    ] {
        post("/auth/tokens", &body).refused(400, "bad_json");
    }
    let long = format!(r#"{{"nickname":"{}"}}"#, "x".repeat(100_000));
    post("/auth/users", &long).refused(413, "too_large");
    let typed = root.send("POST", "/auth/users", &[("Content-Type", "text/plain")], br#"{"nickname":"a"}"#);
    typed.refused(415, "unsupported_media_type");
    let listed = root.get("/auth/users").expect(200).json();
    assert_eq!(listed["users"].as_array().map(Vec::len), Some(1), "nothing was made");
}

#[test]
fn nobody_without_a_good_token_comes_near_accounts() {
    let sandbox = Sandbox::new();
    let node = Node::new(
        &sandbox,
        &[("auth_enabled", "true"), ("allow_anonymous_read", "true"), ("allow_anonymous_write", "true")],
    );
    let good = root_token(&sandbox, "data");
    let (message, mac) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let forged = [
        None,
        Some("x".to_owned()),
        Some(format!("{none}.{payload}.")),
        Some(format!("{none}.{payload}.{mac}")),
        Some(format!("{header}.{payload}.")),
        Some(format!("{message}.{}", "A".repeat(43))),
        Some(format!("{good}=")),
        Some(format!("{good}.{mac}")),
        Some("A".repeat(8192)),
        Some("A".repeat(9000)),
    ];
    for forged in &forged {
        let mut client = match forged {
            Some(token) => node.client().with_token(token),
            None => node.client(),
        };
        for (method, target) in [
            ("GET", "/auth/whoami".to_owned()),
            ("GET", "/auth/users".to_owned()),
            ("POST", "/auth/users".to_owned()),
            ("GET", "/auth/users/x".to_owned()),
            ("DELETE", format!("/auth/users/{UNKNOWN}")),
            ("DELETE", "/auth/users/root/tokens".to_owned()),
            ("GET", "/auth/groups".to_owned()),
            ("POST", "/auth/tokens".to_owned()),
            ("GET", "/auth/tokens".to_owned()),
            ("DELETE", format!("/auth/tokens/{UNKNOWN}")),
        ] {
            unauthorized(client.send(method, &target, &[], b""));
        }
    }
    // A token is sent in one way only.
    let tricks = [
        ("Cookie", format!("token={good}")),
        ("X-Authorization", format!("Bearer {good}")),
        ("Proxy-Authorization", format!("Bearer {good}")),
        ("Authorization", format!("Basic {good}")),
        ("Authorization", good.clone()),
    ];
    for (name, value) in &tricks {
        unauthorized(node.client().send("GET", "/auth/whoami", &[(name, value)], b""));
    }
    node.client().get(&format!("/auth/whoami?access_token={good}")).refused(401, "unauthorized");
    let twice = [("Authorization", format!("Bearer {good}")), ("Authorization", format!("Bearer {good}"))];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    unauthorized(node.client().send("GET", "/auth/whoami", &twice, b""));
    node.client().with_token(&good).get("/auth/whoami").expect(200);
    assert!(!node.said().contains(mac), "a token is never logged");
}

#[test]
fn without_accounts_there_is_nothing_under_auth() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    for (method, target) in [("GET", "/auth/whoami"), ("POST", "/auth/users"), ("GET", "/auth/tokens")] {
        node.client().send(method, target, &[], b"").refused(404, "not_found");
    }
    assert!(!sandbox.folder().join("data/root.token").exists());
}

#[test]
fn what_one_node_makes_and_revokes_the_others_know() {
    let mut cluster = Cluster::empty();
    for index in 0..2 {
        assert_eq!(cluster.add(&[("auth_enabled", "true")]), index);
    }
    let root = |index: usize| {
        let token = root_token(cluster.sandbox(), &format!("data-n{index}"));
        cluster.client(index).with_token(&token)
    };
    // A node that still fetches what the cluster holds takes no writes of clients.
    until_true("the nodes to be one cluster", || {
        let settled = |index| has_everything(&root(index).get("/cluster/convergence").expect(200).json(), 1);
        settled(0) && settled(1)
    });
    let ann = user(&mut root(0), "ann");
    let [here, there] = [(); 2].map(|()| token(&mut root(0), &wish(&ann, &["read"])));
    cluster.client(1).with_token(&here).get("/auth/whoami").expect(200);
    until_true("the user to arrive", || root(1).get(&format!("/auth/users/{ann}")).status == 200);
    let refused =
        |index: usize, token: &str| cluster.client(index).with_token(token).get("/auth/whoami").status == 401;
    root(1).delete(&format!("/auth/users/{ann}/tokens")).expect(204);
    assert!(refused(1, &here));
    until_true("the revocation to arrive", || refused(0, &here) && refused(0, &there));
    root(0).delete(&format!("/auth/users/{ann}")).expect(204);
    until_true("the deletion to arrive", || root(1).get(&format!("/auth/users/{ann}")).status == 404);
    // The token of one node's root is good on all: there is one secret.
    let mut foreign = cluster.client(1).with_token(&root_token(cluster.sandbox(), "data-n0"));
    foreign.get("/auth/users").expect(200);
}
